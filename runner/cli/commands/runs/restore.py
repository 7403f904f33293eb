"""``runproj runs restore``: bring deleted runs back."""

from __future__ import annotations

from runner.cli.selection import choice_options, counted, named_runs, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    choice_options(parser, "restore")


def call(options: Namespace, console: Console) -> int:
    """Restore the runs; those that were never deleted stay as they are."""
    with opened(options) as store:
        chosen = named_runs(options, store, console, verb="restore", lifecycle="deleted")
        runs = [run for run in chosen if run.lifecycle == "deleted"]
        for run in runs:
            store.restore_run(run.run_id)
    console.tell(f"{counted(len(runs))} restored")
    if len(chosen) > len(runs):
        console.tell(f"{counted(len(chosen) - len(runs))} were not deleted", colour="dim")
    return 0
