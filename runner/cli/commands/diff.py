"""``runproj diff``: in what two runs differ."""

from __future__ import annotations

from runner.app import Application
from runner.cli.output import TerminalReporter
from runner.cli.references import RUN_HELP, referenced_run
from runner.cli.verdict_view import show_differences
from runner.codec import document
from runner.pipeline.diff import diff
from runner.pipeline.tolerance import combined, from_flags
from runner.pipeline.verdict import HEADER, row
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console
    from runner.codec import JSON
    from runner.pipeline.diff import RunDiff

COLOURS = (("+++", "bold"), ("---", "bold"), ("@@", "blue"), ("+", "green"), ("-", "red"))


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "runproj diff RUN RUN [OPTIONS]"
    parser.epilog = "exit codes: 0 nothing differs, 1 something does"
    add = parser.add_argument
    add("before", metavar="RUN", help=RUN_HELP)
    add("after", metavar="RUN", help="another one")
    add("--all", action="store_true", help="show what is the same, too")
    add("--no-code", action="store_true", help="do not bring the files back to compare their lines")
    add(
        "--tolerance", action="append", default=[], metavar="NAME=VALUE",
        help="how near a metric or artifact must be (as for reproduce)",
    )  # fmt: skip
    add("--tracking-uri", metavar="URI", help="the store (default: as for run)")
    add("--json", action="store_true", help="print JSON")
    add("-q", "--quiet", action="store_true", help="no progress")


def call(options: Namespace, console: Console) -> int:
    """Compare two runs."""
    services = Application(settings(tracking_uri=options.tracking_uri), TerminalReporter(console))
    try:
        found = diff(
            referenced_run(options.before, services),
            referenced_run(options.after, services),
            combined(from_flags(options.tolerance)),
            services,
            code=not options.no_code,
        )
    finally:
        services.close()
    if options.json:
        console.emit(_document(found))
    else:
        _show(found, console, everything=options.all)
    return 0 if found.is_empty else 1


def _document(found: RunDiff) -> dict[str, JSON]:
    comparisons: list[JSON] = [
        {**entry, "difference": repr(c.difference)} if c.difference is not None else entry
        for c in found.comparisons
        if isinstance(entry := document(c), dict)
    ]
    return {
        "differences": document(found.differences),
        "comparisons": comparisons,
        "code": found.code,
        "code_trouble": found.code_trouble,
    }


def _show(found: RunDiff, console: Console, *, everything: bool) -> None:
    """Print the short answers first: the lines of code, which may be many, come last."""
    if found.code_trouble:
        console.tell(f"the code cannot be compared: {found.code_trouble}", colour="yellow")
    show_differences(found.differences, console)
    shown = [
        c for c in found.comparisons if everything or c.judgement not in {"identical", "ignored"}
    ]
    if shown:
        if found.differences:
            console.say()
        console.table(HEADER, [row(comparison) for comparison in shown])
    if found.is_empty:
        console.tell("nothing differs")
    if found.code:
        console.say()
    for line in (found.code or "").splitlines():
        colour = next((c for start, c in COLOURS if line.startswith(start)), None)
        console.say(console.styled(line, colour))
