"""``runproj experiments restore``: bring deleted experiments back."""

from __future__ import annotations

from runner.cli.selection import opened, store_option
from runner.pipeline.lookup import find_experiment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("experiment", nargs="+", metavar="EXPERIMENT", help="names or ids")
    store_option(parser)


def call(options: Namespace, console: Console) -> int:
    """Restore the experiments; those that were never deleted stay as they are."""
    with opened(options) as store:
        found = [find_experiment(store, name) for name in options.experiment]
        chosen = {e.experiment_id for e in found if e.lifecycle == "deleted"}
        for experiment_id in chosen:
            store.restore_experiment(experiment_id)
    console.tell(f"{len(chosen)} experiment{'s' * (len(chosen) != 1)} restored")
    return 0
