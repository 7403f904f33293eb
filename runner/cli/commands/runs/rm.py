"""``runproj runs rm``: mark runs as deleted."""

from __future__ import annotations

from runner.cli.selection import choice_options, counted, named_runs, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    choice_options(parser, "rm")


def call(options: Namespace, console: Console) -> int:
    """Delete the runs; those that are deleted already stay so."""
    with opened(options) as store:
        chosen = named_runs(options, store, console, verb="delete", lifecycle="active")
        runs = [run for run in chosen if run.lifecycle == "active"]
        for run in runs:
            store.delete_run(run.run_id)
    console.tell(f"{counted(len(runs))} deleted")
    if len(chosen) > len(runs):
        console.tell(f"{counted(len(chosen) - len(runs))} had been deleted before", colour="dim")
    return 0
