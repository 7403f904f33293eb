"""``runproj runs note``: the description that MLflow's UI shows, in Markdown."""

from __future__ import annotations

import shlex
import sys
import tempfile

from runner.cli.run_views import NOTE
from runner.cli.selection import RUN_HELP, opened, store_option
from runner.cli.text import printable
from runner.errors import RunprojError, UsageError
from runner.pipeline.lookup import find_run
from runner.settings import ENVIRON
from runner.system.process import attended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("run", metavar="RUN", help=RUN_HELP)
    add("text", nargs="?", metavar="TEXT", help="the new note; '-' reads it from standard input")
    add("-e", "--edit", action="store_true", help="write it with $VISUAL or $EDITOR")
    add("--remove", action="store_true", help="take the note away")
    store_option(parser)


def call(options: Namespace, console: Console) -> int:
    """Show the note, or write it."""
    if (options.text is not None) + options.edit + options.remove > 1:
        raise UsageError("a text, --edit and --remove contradict each other")
    with opened(options) as store:
        run = find_run(store, options.run)
        old = run.tags.get(NOTE, "")
        if options.remove:
            if NOTE in run.tags:
                store.delete_tag(run.run_id, NOTE)
            return 0
        if options.text is None and not options.edit:
            if old:
                _show(old, console)
            else:
                console.tell(f"the run {run.run_id[:8]} has no note")
            return 0
        new = edited(old) if options.edit else options.text
        if new == "-":
            new = sys.stdin.read()
        if new != old:
            store.log(run.run_id, tags={NOTE: new})
    return 0


def _show(note: str, console: Console) -> None:
    """Print a note as it is; on a terminal without anything that the terminal would obey."""
    if console.is_terminal:
        note = "\n".join(map(printable, note.splitlines()))
    console.write(note if note.endswith("\n") else f"{note}\n")


def edited(text: str) -> str:
    """Let the user edit a text.

    Raises:
        RunprojError: The editor could not be started, or went wrong.
    """
    editor = ENVIRON.get("VISUAL") or ENVIRON.get("EDITOR") or "vi"
    with tempfile.NamedTemporaryFile("w+", suffix=".md", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            code = attended([*shlex.split(editor), file.name], variables=ENVIRON)
        except OSError as error:
            raise RunprojError(
                f"the editor {editor!r} could not be started: {error.strerror}",
                hint="set EDITOR, or give the text on the command line",
            ) from None
        if code:
            raise RunprojError(f"the editor {editor!r} ended with exit code {code}; nothing saved")
        with open(file.name, encoding="utf-8") as again:
            return again.read().rstrip("\n")
