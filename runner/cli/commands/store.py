"""``runproj store``: copy tracking stores, and compare what they hold."""

from __future__ import annotations

import os

from runner.app import Application
from runner.cli.output import TerminalReporter
from runner.codec import document
from runner.errors import UsageError
from runner.pipeline.tally import Scope
from runner.pipeline.transfer import transfer
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console
    from runner.pipeline.store_digest import Comparison
    from runner.pipeline.tally import Copied
    from runner.ports import TrackingStore

ACTIONS = ("copy", "verify")
EPILOG = """\
actions:
  copy FROM TO     copy experiments, runs, metric histories, files, logged and registered models;
                   what is there already is kept, so call it again when it was interrupted
  verify FROM TO   compare by digests what the two hold; TO may hold more

FROM and TO are tracking URIs: sqlite:///mlflow.db, a folder, http://host:5000 and so on.

exit code: 0 when all is the same, 1 when something differs or could not be copied"""
DIFFERENT = 1
SHOWN = 20
"""How many differences are told one by one."""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("action", choices=ACTIONS, metavar="ACTION", help="one of: " + ", ".join(ACTIONS))
    add("source", metavar="FROM", help="the store to read")
    add("target", metavar="TO", help="the store to write to, or to compare with")
    add(
        "--experiment",
        action="append",
        default=[],
        metavar="NAME",
        help="this experiment only, without registered models; may be repeated",
    )
    add("--no-verify", action="store_true", help="copy: do not read both sides again afterwards")
    add("--dry-run", action="store_true", help="copy: only say what would be copied")
    add("--json", action="store_true", help="print the result as JSON")
    add("-q", "--quiet", action="store_true", help="say only what went wrong")


def call(options: Namespace, console: Console) -> int:
    """Do what was asked."""
    services = Application(settings(), TerminalReporter(console))
    source, target = services.opened(options.source), services.opened(options.target)
    if source.uri == target.uri:
        raise UsageError("FROM and TO are the same store", hint="name two stores")
    if not _is_there(source):
        raise UsageError(f"there is no store at {source.uri}", hint="is the path right?")
    scope = Scope(experiments=tuple(options.experiment), registry=not options.experiment)
    try:
        if options.action == "verify":
            return _verify(source, target, scope, options, console)
        return _copy(source, target, scope, options, console)
    finally:
        source.close()
        target.close()


def _is_there(store: TrackingStore) -> bool:
    """Whether a local store was ever written; an empty one would be copied without a word."""
    from urllib.parse import unquote

    for kind in ("sqlite:///", "file://"):
        if store.uri.startswith(kind):
            path = store.uri.removeprefix(kind)
            return os.path.exists(path) or os.path.exists(unquote(path))
    return True


def _copy(
    source: TrackingStore,
    target: TrackingStore,
    scope: Scope,
    options: Namespace,
    console: Console,
) -> int:
    reporter = TerminalReporter(console)
    copied = transfer(source, target, reporter=reporter, scope=scope, dry_run=options.dry_run)
    compared = None
    if not options.no_verify and not options.dry_run:
        from runner.pipeline.store_digest import compare

        compared = compare(source, target, scope=scope)
    if options.json:
        console.emit({"copied": document(copied), "verified": document(compared)})
    else:
        _tell(copied, console, dry_run=options.dry_run)
        if compared:
            _tell_comparison(compared, console)
    wrong = copied.problems or (compared is not None and compared.differences)
    return DIFFERENT if wrong else 0


def _verify(
    source: TrackingStore,
    target: TrackingStore,
    scope: Scope,
    options: Namespace,
    console: Console,
) -> int:
    from runner.pipeline.store_digest import compare

    compared = compare(source, target, scope=scope)
    if options.json:
        console.emit(document(compared))
    else:
        _tell_comparison(compared, console)
    return DIFFERENT if compared.differences else 0


def _tell(copied: Copied, console: Console, *, dry_run: bool) -> None:
    kinds = {**copied.made, **copied.found}
    verb = "would be copied" if dry_run else "copied"
    for kind in kinds:
        new, old = copied.made.get(kind, 0), copied.found.get(kind, 0)
        there = f", {old} there already" if old else ""
        if not console.quiet:
            console.say(f"{kind}: {new} {verb}{there}")
    for problem in copied.problems:
        console.say(console.styled(problem, "red"))


def _tell_comparison(compared: Comparison, console: Console) -> None:
    for difference in compared.differences[:SHOWN]:
        console.say(console.styled(difference, "red"))
    if (more := len(compared.differences) - SHOWN) > 0:
        console.say(console.styled(f"and {more} more", "red"))
    if not compared.differences and not console.quiet:
        console.say(f"verified: {compared.things} things are the same, {compared.digest}")
