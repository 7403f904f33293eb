"""Which runs, in which store: the options that several commands share."""

from __future__ import annotations

from contextlib import contextmanager

from runner.app import Application
from runner.cli.output import SilentReporter
from runner.errors import UsageError
from runner.pipeline.lookup import PAGE, chosen_experiments, find_run, search_runs
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from runner.cli.output import Console
    from runner.model.tracking import TrackedRun
    from runner.ports import TrackingStore

RUN_HELP = "a run's id, or as much of its beginning as tells it from the others"
UNASKED = 10
"""So many runs may be changed without a question when they are named one by one."""
FILTERS = """\
FILTER is MLflow's filter language:
  metrics.rmse < 0.8 AND params.model = 'tree'
  attributes.status = 'FAILED' AND tags.mlflow.user IN ('ada', 'bob')
  attributes.run_name LIKE 'brave%'"""


def store_option(parser: ArgumentParser) -> None:
    """Declare where the runs are."""
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="the store (default: MLFLOW_TRACKING_URI, ./mlruns "
        "where it holds runs, else ./mlflow.db)",
    )


def selection_options(parser: ArgumentParser, *, ordered: bool = True) -> None:
    """Declare which runs are meant."""
    add = parser.add_argument
    add("--filter", metavar="FILTER", default="", help="only runs that pass (see below)")
    if ordered:
        add(
            "--order-by",
            metavar="KEY",
            action="append",
            default=[],
            help="sort by 'metrics.rmse', 'params.alpha DESC', ...; may be repeated",
        )
    add(
        "--experiment",
        metavar="NAME",
        action="append",
        default=[],
        help="only this experiment's runs (name or id); may be repeated",
    )


@contextmanager
def opened(options: Namespace) -> Iterator[TrackingStore]:
    """Open the store that the options name."""
    services = Application(settings(tracking_uri=options.tracking_uri), SilentReporter())
    store = services.store
    try:
        yield store
    finally:
        store.close()


def selected(
    options: Namespace, store: TrackingStore, *, limit: int | None, lifecycle: str
) -> tuple[Iterator[TrackedRun], dict[str, str]]:
    """Return the runs that the options select, and the names of their experiments by id."""
    names = chosen_experiments(store, options.experiment)
    runs = search_runs(
        store,
        [*names],
        filter_text=options.filter,
        order=getattr(options, "order_by", []),
        lifecycle=lifecycle,
        page_size=PAGE if limit is None else min(PAGE, limit + 1),
    )
    return runs, names


def named_runs(
    options: Namespace, store: TrackingStore, console: Console, *, verb: str, lifecycle: str
) -> list[TrackedRun]:
    """Return the runs that are to be changed: those named, or those that pass a filter.

    Who names many, or none at all, is asked first.

    Raises:
        UsageError: Nothing was chosen, or nobody is there to be asked.
    """
    narrowed = options.filter or options.experiment
    if bool(options.run) == bool(narrowed):
        raise UsageError(
            "name the runs, or choose them with --filter or --experiment"
            + (", not both" if options.run else ""),
            hint=f"runproj runs {options.verb} 3e01c1d4",
        )
    if options.run:
        found = {run.run_id: run for run in (find_run(store, word) for word in options.run)}
        runs = [*found.values()]
    else:
        runs = [*selected(options, store, limit=None, lifecycle=lifecycle)[0]]
    is_many = len(runs) > UNASKED or (narrowed and runs)
    if not is_many or options.yes:
        return runs
    answer = console.agrees(f"{verb} {counted(len(runs))} in {store.uri}?")
    if answer is None:
        raise UsageError(f"this would {verb} {counted(len(runs))}", hint="--yes does it")
    return runs if answer else []


def counted(number: int) -> str:
    """Return a number of runs in words."""
    return f"{number} run" + "s" * (number != 1)


def choice_options(parser: ArgumentParser, verb: str) -> None:
    """Declare the runs that are to be changed, by name or by filter."""
    parser.add_argument("run", nargs="*", metavar="RUN", help=RUN_HELP)
    selection_options(parser, ordered=False)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.set_defaults(verb=verb)
    parser.epilog = FILTERS
    store_option(parser)
