"""``runproj server``: MLflow's REST API for a team, from a SQLite or a file store."""

from __future__ import annotations

import os
import signal

from runner.app import Application
from runner.cli.output import TerminalReporter
from runner.errors import UsageError
from runner.model.server import MIB, ServerOptions
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console
    from runner.serving.team_server import TeamServer

PORT_LIMIT = 65_535
USAGE = """\
runproj server [OPTIONS]
       runproj server users ACTION [NAME] --users FILE [OPTIONS]"""
EPILOG = """\
actions of 'runproj server users':
  add NAME          a new user; the password is asked for, or read from standard input
  passwd NAME       another password
  remove NAME       take a user away, with all permissions
  list              users, their tokens and permissions
  token NAME        make an access token (--label, --days), or take one away (--revoke LABEL)
  grant NAME LEVEL  READ, EDIT, MANAGE or NO_PERMISSIONS for --experiment ID or --model NAME;
                    DEFAULT takes a grant away
  admin NAME        make a user an administrator (--revoke takes that back)
  default LEVEL     what users may do where nothing was granted (READ at first)

Signals: SIGTERM and SIGINT finish what is under way and stop; SIGHUP reopens the access log.
Accounts and certificates are read again when their files change."""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.usage, parser.epilog = USAGE, EPILOG
    add = parser.add_argument
    add("words", nargs="*", metavar="users ACTION", help="manage users; nothing: serve")
    add("--tracking-uri", "--backend-store-uri", metavar="URI", help="the store (mlflow.db)")
    add("--artifacts-destination", metavar="URL", help="where artifacts of new experiments go")
    add("--host", default="127.0.0.1", metavar="HOST", help="address to listen on (127.0.0.1)")
    add("--port", type=int, default=5000, metavar="PORT", help="port, 0 for a free one (5000)")
    add("--users", metavar="FILE", help="accounts; without it everybody may do everything")
    add("--insecure-no-auth", action="store_true", help="no users, though others can connect")
    add("--tls-cert", metavar="FILE", help="certificate with its chain, PEM")
    add("--tls-key", metavar="FILE", help="its private key, PEM")
    add("--allowed-hosts", metavar="NAMES", help="names clients may use, with commas; * for all")
    add("--allowed-origins", metavar="ORIGINS", help="web pages that may call, with commas")
    add("--max-body", type=_size, default=16 * MIB, metavar="SIZE", help="of a call (16M)")
    add("--max-upload", type=_size, metavar="SIZE", help="of an artifact (no limit)")
    add("--threads", type=int, default=32, metavar="N", help="requests at the same time (32)")
    add("--shutdown-timeout", type=float, default=10.0, metavar="S", help="seconds to finish (10)")
    add("--access-log", metavar="FILE", help="a line for each request; '-' is standard error")
    _declare_account_options(parser)


def _declare_account_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--admin", action="store_true", help="users add: an administrator")
    add("--experiment", metavar="ID", help="users grant: of this experiment")
    add("--model", metavar="NAME", help="users grant: of this registered model")
    add("--label", metavar="LABEL", default="token", help="users token: what it is for")
    add("--days", type=int, metavar="N", help="users token: valid for so long (for ever)")
    add("--revoke", nargs="?", const="", metavar="LABEL", help="users token, admin: take away")
    add("--json", action="store_true", help="users list: print JSON")
    add("-q", "--quiet", action="store_true", help="say only what went wrong")


def call(options: Namespace, console: Console) -> int:
    """Serve, or manage users."""
    if options.words:
        if options.words[0] != "users":
            raise UsageError(
                f"'runproj server' does not know {options.words[0]!r}",
                hint="'runproj server' serves, 'runproj server users' manages accounts",
            )
        from runner.cli import accounts

        return accounts.call(options, console)
    _check(options)
    if options.users and not options.tls_cert and not _is_loopback(options.host):
        console.tell(
            "passwords and tokens travel unencrypted: give --tls-cert, or put a proxy that speaks "
            "TLS in front",
            colour="yellow",
        )
    given = settings(tracking_uri=options.tracking_uri)
    services = Application(given, TerminalReporter(console))
    try:
        return _serve(services.team_server(_asked(options, given.directory)), services, console)
    finally:
        services.close()


def _serve(server: TeamServer, services: Application, console: Console) -> int:
    """Answer until a signal says stop. A second one does not wait any more."""
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, {*ends, signal.SIGHUP})
    server.start()
    console.pour(f"runproj server: {server.uri} serves {services.store.uri}\n".encode())
    while (number := signal.sigwait({*ends, signal.SIGHUP})) == signal.SIGHUP:
        server.reopen_log()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
    console.tell(f"{signal.Signals(number).name}: finishing what is under way", colour="dim")
    server.close()
    return 0


def _asked(options: Namespace, directory: str) -> ServerOptions:
    def path(name: str | None) -> str | None:
        return name and os.path.normpath(os.path.join(directory, os.path.expanduser(name)))

    return ServerOptions(
        host=options.host,
        port=options.port,
        artifacts=options.artifacts_destination,
        users=path(options.users),
        certificate=path(options.tls_cert),
        key=path(options.tls_key),
        allowed_hosts=_list(options.allowed_hosts),
        allowed_origins=_list(options.allowed_origins),
        max_body=options.max_body,
        max_upload=options.max_upload,
        threads=options.threads,
        grace=options.shutdown_timeout,
        access_log=options.access_log if options.access_log == "-" else path(options.access_log),
    )


def _check(options: Namespace) -> None:
    """Refuse what makes no sense, or would open the store to strangers."""
    if not 0 <= options.port <= PORT_LIMIT:
        raise UsageError(f"{options.port} is no port", hint=f"0 to {PORT_LIMIT}")
    if options.threads < 1 or options.shutdown_timeout < 0:
        raise UsageError("--threads and --shutdown-timeout must be positive")
    if options.tls_key and not options.tls_cert:
        raise UsageError("--tls-key needs --tls-cert", hint="give both")
    is_open = options.users is None and not options.insecure_no_auth
    if is_open and not _is_loopback(options.host):
        raise UsageError(
            f"without --users everybody who reaches {options.host} could read and delete all runs",
            hint="make users with 'runproj server users add NAME --users FILE' and give "
            "--users FILE, or say --insecure-no-auth",
        )


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(item.strip() for item in (text or "").split(",") if item.strip())


def _size(text: str) -> int:
    """Read ``500K``, ``16M``, ``2G`` or a number of bytes."""
    from argparse import ArgumentTypeError

    unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:].upper(), 1)
    number = text[:-1] if unit > 1 else text
    if not (number.isascii() and number.isdigit()) or not int(number):
        raise ArgumentTypeError(f"{text!r} is no size: write 16M")
    return int(number) * unit
