"""``runproj experiments list``: a table of experiments."""

from __future__ import annotations

from runner.cli.experiment_views import HEADINGS, cells, document
from runner.cli.selection import opened, store_option
from runner.cli.table import lines
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console

EPILOG = """\
FILTER is MLflow's filter language:
  name LIKE 'wine%' AND tags.team = 'blue'
  creation_time > 1795245547000"""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--filter", metavar="FILTER", default="", help="only experiments that pass (see below)")
    add(
        "--order-by",
        metavar="KEY",
        action="append",
        default=[],
        help="sort by 'name', 'last_update_time DESC', ...; may be repeated",
    )
    add("--deleted", action="store_true", help="deleted experiments too")
    add("--csv", action="store_true", help="print CSV")
    add("--json", action="store_true", help="print JSON")
    store_option(parser)


def call(options: Namespace, console: Console) -> int:
    """List the experiments, the oldest first."""
    from runner.query.kinds import EXPERIMENT
    from runner.query.search import searched

    if options.csv and options.json:
        raise UsageError("--csv and --json contradict each other")
    with opened(options) as store:
        there = [e for e in store.experiments() if options.deleted or e.lifecycle == "active"]
        uri = store.uri
    found = searched(there, EXPERIMENT, filter_text=options.filter, order=options.order_by)
    if options.json:
        console.emit([document(experiment) for experiment in found])
    elif options.csv:
        _csv([document(experiment) for experiment in found], console)
    elif not found:
        console.tell(f"no such experiments in {uri}")
    else:
        room = console.room
        rows = [cells(experiment) for experiment in found]
        for line in lines(HEADINGS, rows, room=room[0] if room else None, styled=console.styled):
            console.say(line)
    return 0


def _csv(found: list[dict[str, object]], console: Console) -> None:
    import csv
    import io

    names = ("experiment_id", "name", "lifecycle", "created", "updated", "artifact_location")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([one[name] for name in names] for one in found)
    console.write(buffer.getvalue())
