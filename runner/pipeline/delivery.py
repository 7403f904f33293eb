"""Bring what waits in the spool to the tracking servers it is meant for.

A delivery may be cut off anywhere and be repeated: runs are found again by the tag
``runproj.client_id``, and only what is missing is written. What was delivered leaves the spool
when the server has been asked for all of it.
"""

from __future__ import annotations

import os

from runner.errors import RunprojError, StoreError
from runner.hashing import sha256
from runner.model.event import StepDone, Warned
from runner.model.run import ENDED
from runner.model.spec import Problem
from runner.model.value import RunId, Value
from runner.pipeline.closing import job_path
from runner.pipeline.store_reading import RUN_NAME_TAG, every_run, listed, point
from runner.pipeline.tally import Tally
from runner.pipeline.transfer import Transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Literal, TypeAlias

    from runner.model.tracking import Experiment, Spooled, TrackedRun
    from runner.ports import Artifacts, Services, TrackingStore

    State: TypeAlias = Literal["delivered", "waiting", "under-way", "undelivered"]

CLIENT_ID = "runproj.client_id"
"""The tag with the id that a run had before its server gave it one."""
EXPERIMENT_ID = "runproj.experiment_id"
"""The tag of a spooled experiment whose id on the server is known, but not its name."""
DEFAULT_EXPERIMENT = "0"
BLOCK = 1 << 20


class Delivery(Value):
    """What became of a spooled run.

    ``delivered`` (the server has all of it, under the id ``delivered_as``), ``waiting`` (nobody
    tried), ``under-way`` (the run, or another delivery of it), ``undelivered`` (``detail`` why).
    """

    run_id: RunId
    tracking_uri: str
    state: State
    delivered_as: RunId | None = None
    detail: str = ""


def deliver(
    services: Services,
    *,
    uri: str | None = None,
    dry_run: bool = False,
    patient: bool = True,
) -> tuple[Delivery, ...]:
    """Deliver what waits for one server, or for all of them; a server that fails is left alone."""
    found: list[Delivery] = []
    failed: dict[str, str] = {}
    for entry in services.spool.entries(uri):
        if dry_run:
            found.append(_said(entry, "waiting"))
        elif entry.tracking_uri in failed:
            found.append(_said(entry, "undelivered", failed[entry.tracking_uri]))
        else:
            delivery = _tried(entry, services, patient=patient)
            if delivery.state == "undelivered":
                failed[entry.tracking_uri] = delivery.detail
            found.append(delivery)
    return tuple(found)


def deliver_by_the_way(services: Services) -> None:
    """Try, at the end of a run, to deliver what waits for its server; tell what came of it."""
    began = services.now()
    deliveries = deliver(services, uri=services.store.uri, patient=False)
    if delivered := [d for d in deliveries if d.state == "delivered"]:
        subject = ", ".join(f"run {d.run_id} as {d.delivered_as}" for d in delivered)
        seconds = (services.now() - began).total_seconds()
        done = StepDone(verb="delivering", subject=subject, seconds=seconds)
        services.reporter.report(done)
    if waiting := [d for d in deliveries if d.state == "undelivered"]:
        count = "1 run waits" if len(waiting) == 1 else f"{len(waiting)} runs wait"
        problem = Problem(
            severity="warning",
            rule="tracking-undelivered",
            message=f"{count} on this machine for the tracking server: {waiting[0].detail}",
            hint="'runproj sync' tries again",
        )
        services.reporter.report(Warned(problem=problem))


def _said(entry: Spooled, state: State, detail: str = "") -> Delivery:
    return Delivery(
        run_id=entry.run_id, tracking_uri=entry.tracking_uri, state=state, detail=detail
    )


def _tried(entry: Spooled, services: Services, *, patient: bool) -> Delivery:
    """Deliver one entry, unless somebody is still writing to it or delivers it already."""
    lock = services.spool.lock(entry)
    if not lock.acquire(blocking=False):
        return _said(entry, "under-way", "another process delivers it")
    here = there = None
    try:
        here = services.spool.open(entry)
        if os.path.isdir(job_path(services.home, entry.run_id)):
            return _said(entry, "under-way", "the run has not ended")
        there = services.opened(entry.tracking_uri, patient=patient)
        made = _delivered(entry, here, there)
        here.close()
        here = None
        services.spool.remove(entry)
    except RunprojError as error:
        return _said(entry, "undelivered", error.message)
    else:
        delivered = _said(entry, "delivered")
        return Delivery(
            run_id=delivered.run_id,
            tracking_uri=delivered.tracking_uri,
            state="delivered",
            delivered_as=made,
        )
    finally:
        for store in (here, there):
            if store:
                store.close()
        lock.release()


def _delivered(entry: Spooled, here: TrackingStore, there: TrackingStore) -> RunId:
    """Copy an entry's runs and make sure that they arrived; return the id of its own run."""
    tally = Tally()
    copying = Transfer(here, there, tally, mark=CLIENT_ID)
    pairs: list[tuple[TrackedRun, RunId]] = []
    models = here.model_store
    for experiment, runs in _spooled(here):
        place = _place(experiment, there)
        for run in runs:
            if entry.on_server and run.run_id == entry.run_id:
                copying.merge(run, there.run(run.run_id))
                pairs.append((run, run.run_id))
            else:
                pairs.append((run, copying.run(run, place)))
        for model in models.models([experiment.experiment_id]) if models else ():
            copying.model(model, place)
    copying.link()
    from runner.pipeline.transfer_registry import transfer_registry

    transfer_registry(copying, dry_run=False)
    problems = [*tally.problems]
    for run, made in pairs:
        problems += _lacking(copying, run, made)
    if problems:
        raise StoreError("; ".join(problems))
    return RunId(copying.ids.get(entry.run_id, entry.run_id))


def _spooled(here: TrackingStore) -> Iterator[tuple[Experiment, list[TrackedRun]]]:
    for experiment in here.experiments():
        if runs := [*every_run(here, experiment.experiment_id)]:
            yield experiment, runs[::-1]


def _place(experiment: Experiment, there: TrackingStore) -> str:
    """Return the server's experiment for the runs of a spooled one."""
    known = experiment.tags.get(EXPERIMENT_ID)
    if experiment.experiment_id == DEFAULT_EXPERIMENT:
        known = DEFAULT_EXPERIMENT
    if known:
        return there.experiment(known).experiment_id
    found = there.experiment_named(experiment.name)
    if found is None:
        found = there.create_experiment(experiment.name, tags=experiment.tags)
    if found.lifecycle != "active":
        raise StoreError(
            f"the experiment {experiment.name!r} is deleted on the server",
            hint="restore it there",
        )
    return found.experiment_id


def _lacking(copying: Transfer, run: TrackedRun, made: RunId) -> list[str]:
    """Ask the server for a run; name what it lacks of it."""
    here, there = copying.source, copying.target
    copy = there.run(made)
    tags = {k: v for k, v in copying.tags(run.tags, run.run_id).items() if k != RUN_NAME_TAG}
    if run.run_id == made:
        tags.pop(CLIENT_ID, None)
    checks: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("parameters", lambda: run.params.items() <= copy.params.items()),
        ("tags", lambda: tags.items() <= copy.tags.items()),
        ("status", lambda: run.status not in ENDED or run.status == copy.status),
        ("metrics", lambda: _points(here, run, run.metrics) <= _points(there, copy, run.metrics)),
        ("files", lambda: _same_files(here.artifacts(run), there.artifacts(copy))),
    )
    return [
        f"the server does not have the {part} of run {run.run_id}"
        for part, holds in checks
        if not holds()
    ]


def _points(store: TrackingStore, run: TrackedRun, keys: Iterable[str]) -> set[object]:
    return {point(metric) for key in keys for metric in store.history(run.run_id, key)}


def _same_files(here: Artifacts, there: Artifacts) -> bool:
    return all(
        _content(here, artifact.path) == _content(there, artifact.path)
        for artifact in listed(here) or ()
    )


def _content(artifacts: Artifacts, path: str) -> str:
    hashed = sha256()
    with artifacts.open(path) as content:
        while block := content.read(BLOCK):
            hashed.update(block)
    return hashed.hexdigest()
