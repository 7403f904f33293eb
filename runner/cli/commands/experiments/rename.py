"""``runproj experiments rename``: give an experiment another name."""

from __future__ import annotations

from runner.cli.selection import opened, store_option
from runner.pipeline.lookup import find_experiment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="its name or id")
    parser.add_argument("name", metavar="NAME", help="the new name")
    store_option(parser)


def call(options: Namespace, console: Console) -> int:
    """Rename the experiment."""
    with opened(options) as store:
        experiment = find_experiment(store, options.experiment)
        store.update_experiment(experiment.experiment_id, name=options.name)
    console.tell(f"{experiment.name!r} is {options.name!r} now")
    return 0
