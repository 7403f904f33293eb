"""``runproj runs tag``: set, show and remove tags."""

from __future__ import annotations

from runner.cli.selection import RUN_HELP, UNASKED, counted, opened, store_option
from runner.cli.text import padded, printable, width
from runner.errors import UsageError
from runner.pipeline.lookup import find_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from runner.cli.output import Console
    from runner.model.tracking import TrackedRun

EPILOG = """\
examples:
  runproj runs tag 3e01c1d4                       show the tags
  runproj runs tag 3e01c1d4 stage=candidate       set one
  runproj runs tag 3e01 77ab baseline=yes --remove draft"""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("words", nargs="+", metavar="RUN|NAME=VALUE", help=f"runs ({RUN_HELP}), and tags to set")
    add("--remove", action="append", default=[], metavar="NAME", help="take a tag away")
    add("-y", "--yes", action="store_true", help=f"do not ask, however many runs (> {UNASKED})")
    add("--json", action="store_true", help="show: print JSON")
    store_option(parser)


def call(options: Namespace, console: Console) -> int:
    """Change the tags, or show them when there is nothing to change."""
    tags = dict(word.split("=", 1) for word in options.words if "=" in word)
    names = [word for word in options.words if "=" not in word]
    if not names:
        raise UsageError("whose tags? No run is named", hint="runproj runs tag RUN NAME=VALUE")
    if both := sorted(tags.keys() & set(options.remove)):
        raise UsageError(f"the tag {both[0]!r} cannot be set and removed at once")
    with opened(options) as store:
        runs = [*{run.run_id: run for run in (find_run(store, name) for name in names)}.values()]
        if not tags and not options.remove:
            _show(runs, options, console)
            return 0
        _ask(runs, options, console)
        for run in runs:
            if tags:
                store.log(run.run_id, tags=tags)
            for name in options.remove:
                if name in run.tags:
                    store.delete_tag(run.run_id, name)
    console.tell(f"{counted(len(runs))} tagged")
    return 0


def _ask(runs: Sequence[TrackedRun], options: Namespace, console: Console) -> None:
    if len(runs) <= UNASKED or options.yes:
        return
    if not console.agrees(f"change the tags of {counted(len(runs))}?"):
        raise UsageError(f"this would change {counted(len(runs))}", hint="--yes does it")


def _show(runs: Sequence[TrackedRun], options: Namespace, console: Console) -> None:
    if options.json:
        console.emit({run.run_id: dict(sorted(run.tags.items())) for run in runs})
        return
    for run in runs:
        if len(runs) > 1:
            console.say(console.styled(f"{run.name} ({run.run_id})", "bold"))
        columns = max((width(printable(name)) for name in run.tags), default=0)
        for name, value in sorted(run.tags.items()):
            console.say(f"{padded(printable(name), columns)}  {printable(value)}".rstrip())
