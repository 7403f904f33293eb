"""``runproj experiments rm``: delete experiments, as MLflow does: nothing is lost."""

from __future__ import annotations

from runner.cli.selection import opened, store_option
from runner.errors import UsageError
from runner.pipeline.lookup import find_experiment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("experiment", nargs="+", metavar="EXPERIMENT", help="names or ids")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    store_option(parser)


def call(options: Namespace, console: Console) -> int:
    """Delete the experiments and with them their runs, after a question if they have any."""
    with opened(options) as store:
        found = [find_experiment(store, name) for name in options.experiment]
        chosen = {e.experiment_id: e for e in found if e.lifecycle == "active"}
        if chosen and not options.yes and store.runs([*chosen], limit=1).runs:
            names = ", ".join(repr(experiment.name) for experiment in chosen.values())
            answer = console.agrees(f"delete {names} and all runs in it?")
            if answer is None:
                raise UsageError(f"this would delete {names} with its runs", hint="--yes does it")
            chosen = chosen if answer else {}
        for experiment_id in chosen:
            store.delete_experiment(experiment_id)
    console.tell(f"{len(chosen)} experiment{'s' * (len(chosen) != 1)} deleted")
    return 0
