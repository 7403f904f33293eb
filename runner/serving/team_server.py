"""A tracking server for a team: bound, served until told to stop, stopped without losing anything.

The pieces are those of a run's own endpoint, behind another gate (see ``docs/design/endpoint.md``).
"""

from __future__ import annotations

import socket

from runner.errors import BackendError, UsageError
from runner.serving.access_log import AccessLog
from runner.serving.admission import Admission
from runner.serving.gauges import Gauges
from runner.serving.server import Server
from runner.serving.team import TeamGate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from runner.model.server import ServerOptions
    from runner.ports import TrackingStore
    from runner.serving.doors import Door

BACKLOG = 1024


class TeamServer:
    """Serves a store as its options say. Made: bound, so that mistakes are known before."""

    def __init__(self, store: TrackingStore, options: ServerOptions) -> None:
        if store.uri.startswith(("http://", "https://")):
            raise UsageError(
                f"{store.uri} is a server already",
                hint="name a database or a folder: --tracking-uri sqlite:///mlflow.db",
            )
        self._options = options
        self._log: AccessLog | None = None
        store.experiments()  # a store that cannot be used is found now
        tls = _tls(options)
        self._door = _door(store, options)
        self._listener = _bound(options)
        self.port: int = self._listener.getsockname()[1]
        try:
            self._log = AccessLog(options.access_log) if options.access_log else None
            gauges = Gauges(store=store.uri, connections=lambda: self._server.connections)
            gate = TeamGate(
                admission=_admission(options), door=self._door, gauges=gauges, log=self._log
            )
            gate.max_body, gate.max_upload = options.max_body, options.max_upload
        except BaseException:
            self._listener.close()
            raise
        self._server = Server(
            self._listener.detach(), answer=gate.answer, threads=options.threads, tls=tls
        )

    @property
    def uri(self) -> str:
        """The tracking URI of this server for clients on this machine."""
        scheme = "https" if self._options.certificate else "http"
        host = self._options.host
        if host in {"", "0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
            host = socket.gethostname()
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def reopen_log(self) -> None:
        """Open the access log anew, after it was moved away."""
        if self._log is not None:
            self._log.reopen()

    def close(self) -> None:
        """Refuse new clients, finish what is under way, stop."""
        self._server.close(within=self._options.grace, accept=False)
        self._door.public.close()
        if self._log is not None:
            self._log.close()


def _bound(options: ServerOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise BackendError(
            f"the server cannot listen on {options.host} port {options.port}: {why}",
            hint="choose another with --port, 0 for any that is free",
        ) from error


def _admission(options: ServerOptions) -> Admission:
    own = {options.host, socket.gethostname()} - {""}
    return Admission({*own, *options.allowed_hosts}, options.allowed_origins)


def _tls(options: ServerOptions) -> Callable[[], SSLContext] | None:
    if not options.certificate:
        return None
    from runner.serving.tls import Certificate

    return Certificate(options.certificate, options.key or options.certificate).context


def _door(store: TrackingStore, options: ServerOptions) -> Door:
    from runner.serving.doors import OpenDoor

    if options.users is None:
        return OpenDoor(store)
    from runner.serving.accounts import Accounts
    from runner.serving.login import AccountDoor

    return AccountDoor(store, Accounts(options.users))
