"""``runproj check``: will runs of this project be reproducible?"""

from __future__ import annotations

from runner.app import Application
from runner.cli.output import SilentReporter
from runner.codec import document
from runner.pipeline.check import check
from runner.pipeline.request import parsed_reference
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console

COLOUR_OF = {"high": "red", "medium": "yellow", "low": "dim"}


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "runproj check [URI] [OPTIONS]"
    parser.epilog = (
        "exit codes: 0, and with --strict 1 when there is something of high or medium severity"
    )
    add = parser.add_argument
    add("uri", nargs="?", default=".", metavar="URI", help="the project (default: .)")
    add("-v", "--version", metavar="REVISION", help="branch, tag or commit of a git project")
    add("--strict", action="store_true", help="fail when there is something to be fixed")
    add("--json", action="store_true", help="print JSON")


def call(options: Namespace, console: Console) -> int:
    """Tell what stands in the way of reproducing runs."""
    services = Application(settings(), SilentReporter())
    found = check(parsed_reference(options.uri, options.version), services)
    serious = [risk for risk in found if risk.severity != "low"]
    if options.json:
        console.emit({"risks": document(found)})
    elif not found:
        console.say("nothing stands in the way of reproducing runs of this project")
    for risk in () if options.json else found:
        console.say(
            f"{console.styled(risk.severity, COLOUR_OF[risk.severity])}[{risk.rule}] {risk.message}"
        )
        console.say(f"  at {risk.where}")
        console.say(f"  fix: {risk.fix}")
    return 1 if options.strict and serious else 0
