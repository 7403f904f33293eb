"""``runproj runs show``: one run, with the course of its metrics."""

from __future__ import annotations

import json

from runner.app import utc_now
from runner.cli import run_views
from runner.cli.run_views import SYSTEM
from runner.cli.selection import RUN_HELP, opened, store_option
from runner.cli.sparkline import sparkline
from runner.cli.text import clipped, padded, printable, width
from runner.errors import StoreError
from runner.pipeline.lookup import find_run
from runner.pipeline.record import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping

    from runner.cli.output import Console
    from runner.codec import JSON
    from runner.model.run import Artifact
    from runner.model.tracking import Metric, TrackedRun
    from runner.ports import TrackingStore

WIDEST = 40
"""Names in the left column are padded to at most so many columns."""
LONGEST = 200
"""Values are cut after so many columns."""
REMOTE_HISTORIES = 30
"""Histories that are asked of a server, one request each; metrics beyond stand without."""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON, histories included")
    parser.add_argument("--no-history", action="store_true", help="leave the sparklines out")
    store_option(parser)


def call(options: Namespace, console: Console) -> int:
    """Show the run."""
    with opened(options) as store:
        run = find_run(store, options.run)
        experiment = store.experiment(run.experiment_id).name
        record = _record(store, run)
        files, trouble = _files(store, run)
        courses = {} if options.no_history else histories(store, run)
    now = utc_now()
    if options.json:
        document = run_views.summary(run, experiment, now)
        document["artifacts"] = run_views.listing(files)
        document["record"] = {**record} or None
        if not options.no_history:
            document["histories"] = {k: run_views.course(c) for k, c in courses.items()}
        console.emit(document)
        return 0
    _fields(console, dict(run_views.page(run, experiment, record, now)))
    _section(console, "parameters", dict(sorted(run.params.items())))
    measured = {k: m for k, m in sorted(run.metrics.items()) if not k.startswith(SYSTEM)}
    system = {k: m for k, m in sorted(run.metrics.items()) if k.startswith(SYSTEM)}
    _metrics(console, "metrics", measured, courses)
    _metrics(console, "system", system, courses)
    tags = dict(sorted(run.tags.items()))
    note = tags.pop(run_views.NOTE, "")
    _section(console, "tags", tags)
    _section(console, "artifacts", {file.path: run_views.size(file.size) for file in files})
    if note:
        console.say(f"\n{console.styled('note', 'bold')}")
        for line in note.splitlines():
            console.say(f"  {printable(line)}")
    if trouble:
        console.tell(trouble, colour="yellow")
    return 0


def histories(store: TrackingStore, run: TrackedRun) -> dict[str, tuple[Metric, ...]]:
    """Return the histories of a run's metrics, as many as can be had at once."""
    keys = sorted(run.metrics)
    if store.artifact_root is None:  # a server: a request for each
        keys = keys[:REMOTE_HISTORIES]
    return {key: store.history(run.run_id, key) for key in keys}


def _fields(console: Console, fields: Mapping[str, str]) -> None:
    columns = max(map(len, fields))
    for label, text in fields.items():
        colour = None
        if label == "status":
            colour = run_views.status_colour(text.split(" ")[0].rstrip(",:"))
        shown = console.styled(printable(text), colour)
        console.say(f"{console.styled(label.ljust(columns), 'bold')}  {shown}")


def _section(console: Console, title: str, values: Mapping[str, str]) -> None:
    if not values:
        return
    console.say(f"\n{console.styled(title, 'bold')}")
    names = {key: printable(key) for key in values}
    columns = min(WIDEST, max(map(width, names.values())))
    for key, value in values.items():
        console.say(f"  {padded(names[key], columns)}  {clipped(value, LONGEST)}".rstrip())


def _metrics(
    console: Console,
    title: str,
    metrics: Mapping[str, Metric],
    courses: Mapping[str, tuple[Metric, ...]],
) -> None:
    """Print metrics: name, last value, step, and the course of those that have one."""
    if not metrics:
        return
    rows = []
    for key, metric in metrics.items():
        course = courses.get(key, ())
        line = ""
        if len(course) > 1:
            bars = sparkline([m.value for m in course], plain=not console.speaks_utf8)
            low, high = run_views.extremes(course)
            line = f"{bars}  {low} to {high}, {len(course)} values"
        name = printable(key.removeprefix(SYSTEM))
        rows.append((name, run_views.number(metric), f"(step {metric.step})", line))
    widths = [max(width(row[at]) for row in rows) for at in range(3)]
    widths[0] = min(widths[0], WIDEST)
    console.say(f"\n{console.styled(title, 'bold')}")
    for row in rows:
        cells = [padded(cell, columns) for cell, columns in zip(row, [*widths, 0], strict=True)]
        console.say(f"  {'  '.join(cells)}".rstrip())


def _record(store: TrackingStore, run: TrackedRun) -> Mapping[str, JSON]:
    """Return what Runproj recorded of a run; nothing where another program made it."""
    try:
        with store.artifacts(run).open(f"{FOLDER}/record.json") as file:
            found = json.loads(file.read())
    except (StoreError, ValueError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def _files(store: TrackingStore, run: TrackedRun) -> tuple[tuple[Artifact, ...], str]:
    """Return a run's files, and why they cannot be listed."""
    try:
        return store.artifacts(run).list(), ""
    except StoreError as error:
        return (), error.message
