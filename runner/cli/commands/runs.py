"""``runproj runs``: list runs, show one, read or follow its output."""

from __future__ import annotations

import json
import time

from runner.app import Application, utc_now
from runner.cli import run_views
from runner.cli.output import SilentReporter
from runner.errors import StoreError, UsageError
from runner.model.run import ENDED
from runner.pipeline.lookup import find_run
from runner.pipeline.record import FOLDER
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping
    from typing import BinaryIO

    from runner.cli.output import Console
    from runner.codec import JSON
    from runner.model.run import Artifact
    from runner.model.tracking import TrackedRun
    from runner.ports import TrackingStore

LIMIT = 50
PAGE = 1000
"""How many runs are asked for at once with ``--all``."""
PAUSE = 0.2
"""Seconds between two looks at a log that is being followed."""
CHUNK = 1 << 16
OPTIONS = {
    "list": ("experiment", "limit", "all", "deleted", "json"),
    "show": ("json",),
    "logs": ("stderr", "follow"),
}
"""What each action understands, beside the store."""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = (
        "runproj runs list [--experiment NAME] [--limit N | --all] [--deleted] [--json]\n"
        "       runproj runs show RUN [--json]\n"
        "       runproj runs logs RUN [--stderr] [-f]"
    )
    parser.epilog = "RUN is a run's id, or as much of its beginning as tells it from the others."
    add = parser.add_argument
    add("action", nargs="?", choices=sorted(OPTIONS), default="list", help="default: list")
    add("run", nargs="?", metavar="RUN", help="the run to show")
    add("--experiment", metavar="NAME", help="list: only this experiment's runs (name or id)")
    add("--limit", type=int, metavar="N", help=f"list: the newest N runs (default: {LIMIT})")
    add("--all", action="store_true", help="list: all runs")
    add("--deleted", action="store_true", help="list: deleted runs too")
    add("--stderr", action="store_true", help="logs: standard error instead of standard output")
    add("-f", "--follow", action="store_true", help="logs: go on until the run has ended")
    add(
        "--tracking-uri",
        metavar="URI",
        help="the store (default: MLFLOW_TRACKING_URI, ./mlruns "
        "where it holds runs, else ./mlflow.db)",
    )
    add("--json", action="store_true", help="list, show: print JSON")


def call(options: Namespace, console: Console) -> int:
    """List, show or read."""
    _check(options)
    services = Application(settings(tracking_uri=options.tracking_uri), SilentReporter())
    store = services.store
    try:
        if options.action == "list":
            _list(options, store, console)
        elif options.action == "show":
            _show(options, store, console)
        else:
            _logs(options, store, console)
    finally:
        store.close()
    return 0


def _check(options: Namespace) -> None:
    """Refuse what makes no sense together."""
    action = options.action
    if action == "list" and options.run:
        raise UsageError(
            f"'runs list' takes no run: {options.run!r}", hint=f"runproj runs show {options.run}"
        )
    if action != "list" and not options.run:
        raise UsageError(f"'runs {action}' needs a run", hint=f"runproj runs {action} RUN")
    known = OPTIONS[action]
    for name in sorted({option for understood in OPTIONS.values() for option in understood}):
        if name not in known and getattr(options, name) not in {None, False}:
            raise UsageError(f"'runs {action}' does not understand --{name}")
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit {options.limit} would show nothing", hint="--limit 10, or --all")
    if options.limit is not None and options.all:
        raise UsageError("--limit and --all contradict each other")


def _list(options: Namespace, store: TrackingStore, console: Console) -> None:
    names = {e.experiment_id: e.name for e in store.experiments()}
    chosen = _experiment(options.experiment, names) if options.experiment else [*names]
    runs, is_all = _newest(options, store, chosen)
    now = utc_now()
    if options.json:
        console.emit([run_views.summary(r, names.get(r.experiment_id, ""), now) for r in runs])
        return
    if not runs:
        console.tell(f"no runs in {store.uri}")
        return
    console.table(run_views.HEADER, run_views.rows(runs, names, now))
    if not is_all:
        console.tell(f"the newest {len(runs)} runs; --all shows all", colour="dim")


def _experiment(wanted: str, names: Mapping[str, str]) -> list[str]:
    """Return the id of the experiment that was asked for by name or id."""
    found = [experiment_id for experiment_id, name in names.items() if name == wanted]
    if found or wanted in names:
        return found or [wanted]
    from difflib import get_close_matches

    near = get_close_matches(wanted, names.values(), n=1)
    raise StoreError(
        f"there is no experiment {wanted!r}",
        status="RESOURCE_DOES_NOT_EXIST",
        hint=f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names.values())}",
    )


def _newest(
    options: Namespace, store: TrackingStore, experiment_ids: list[str]
) -> tuple[list[TrackedRun], bool]:
    """Return the runs to list, and whether these are all there are."""
    limit = None if options.all else options.limit or LIMIT
    lifecycle = "all" if options.deleted else "active"
    found: list[TrackedRun] = []
    page: str | None = None
    while True:
        want = PAGE if limit is None else min(PAGE, limit - len(found))
        answer = store.runs(experiment_ids, limit=want, page=page, lifecycle=lifecycle)
        found += answer.runs
        page = answer.next_page
        if page is None or (limit is not None and len(found) >= limit):
            return found, page is None


def _show(options: Namespace, store: TrackingStore, console: Console) -> None:
    run = find_run(store, options.run)
    experiment = store.experiment(run.experiment_id).name
    record = _record(store, run)
    files, trouble = _files(store, run)
    now = utc_now()
    if options.json:
        console.emit(
            {
                **run_views.summary(run, experiment, now),
                "artifacts": run_views.listing(files),
                "record": {**record} or None,
            }
        )
        return
    _fields(console, dict(run_views.page(run, experiment, record, now)))
    _section(console, "parameters", run.params)
    _section(
        console,
        "metrics",
        {k: f"{run_views.number(m)}  (step {m.step})" for k, m in sorted(run.metrics.items())},
    )
    _section(console, "tags", dict(sorted(run.tags.items())))
    _section(console, "artifacts", {file.path: run_views.size(file.size) for file in files})
    if trouble:
        console.tell(trouble, colour="yellow")


def _fields(console: Console, fields: Mapping[str, str]) -> None:
    width = max(map(len, fields))
    for label, text in fields.items():
        console.say(f"{console.styled(label.ljust(width), 'bold')}  {run_views.printable(text)}")


def _section(console: Console, title: str, values: Mapping[str, str]) -> None:
    if values:
        console.say()
        console.say(console.styled(title, "bold"))
        names = {key: run_views.printable(key) for key in values}
        width = min(run_views.WIDEST, max(map(len, names.values())))
        for key, value in values.items():
            console.say(f"  {names[key].ljust(width)}  {run_views.clipped(value, 200)}".rstrip())


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


def _logs(options: Namespace, store: TrackingStore, console: Console) -> None:
    run = find_run(store, options.run)
    name = f"{FOLDER}/{'stderr' if options.stderr else 'stdout'}.log"
    follow = options.follow
    while True:
        has_ended = run.status in ENDED
        try:
            log = store.artifacts(run).open(name)
        except StoreError as error:
            if error.status != "RESOURCE_DOES_NOT_EXIST":
                raise
            if not follow or has_ended:
                raise _no_log(run, name) from error
        else:
            with log:
                _pour(log, run, console, store if follow and not has_ended else None)
            return
        time.sleep(PAUSE)
        run = store.run(run.run_id)


def _pour(log: BinaryIO, run: TrackedRun, console: Console, store: TrackingStore | None) -> None:
    """Print a log to its end; with a store, to the end of the run."""
    while True:
        has_ended = store is None or store.run(run.run_id).status in ENDED
        while chunk := log.read(CHUNK):
            console.pour(chunk)
        if has_ended:
            return
        time.sleep(PAUSE)


def _no_log(run: TrackedRun, name: str) -> StoreError:
    if run.status in ENDED:
        hint = "runs that runproj did not make have no logs"
    else:
        hint = "the command has not begun yet, or runs elsewhere: wait for it with -f"
    return StoreError(
        f"the run {run.run_id} has no {name}", status="RESOURCE_DOES_NOT_EXIST", hint=hint
    )
