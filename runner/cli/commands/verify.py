"""``runproj verify``: check the files of a bundle, offline."""

from __future__ import annotations

import os

from runner.codec import document
from runner.pipeline.bundle import damage
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "runproj verify BUNDLE.zip"
    parser.epilog = "exit codes: 0 every file is what the bundle says, 1 one is not"
    parser.add_argument("bundle", metavar="BUNDLE", help="what 'runproj export' wrote")
    parser.add_argument("--json", action="store_true", help="print JSON")


def call(options: Namespace, console: Console) -> int:
    """Check every file against its digest."""
    found = damage(os.path.join(settings().directory, options.bundle))
    if options.json:
        console.emit({"damage": document(found)})
        return 1 if found else 0
    for item in found:
        console.say(console.styled(f"{item.path} {item.reason}", "red"))
    if not found:
        console.say("every file is what the bundle says")
    return 1 if found else 0
