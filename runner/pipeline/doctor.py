"""Finds what killed processes left behind, and puts it right."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runner.errors import RunprojError
from runner.model.value import RunId, Value, changed
from runner.pipeline.closing import (
    HOST_TAG,
    JobFolder,
    close,
    job_document,
    job_path,
    this_host,
)
from runner.system.files import Lock, remove_tree
from runner.system.pool import prune_all
from runner.system.process import executable, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Literal, TypeAlias

    from runner.codec import JSON
    from runner.model.run import Outcome
    from runner.model.tracking import TrackedRun
    from runner.ports import RunHandle, Services, TrackingStore

    State: TypeAlias = Literal[
        "under-way",
        "unfollowed",
        "elsewhere",
        "closed",
        "delivered",
        "undelivered",
        "removed",
        "emptied",
    ]

TRASH_AGE = 3600.0
"""Seconds after which nobody is deleting an entry of the trash any more."""
PATIENCE = timedelta(seconds=30)
"""How long to wait for processes that were told to end."""


class Finding(Value):
    """Something that was found, and what was done about it (or would be, in a dry run).

    ``subject`` is a run's id or a path. States: ``under-way`` (its owner lives), ``unfollowed``
    (it runs on without an owner), ``elsewhere`` (another machine's), ``closed`` (the record has
    its end now), ``delivered`` (the server has it now), ``undelivered`` (it could not be closed,
    or the server not be told), ``removed`` and ``emptied`` (litter).
    """

    state: State
    subject: str
    detail: str
    status: str | None = None

    @property
    def is_trouble(self) -> bool:
        """Whether somebody has to look after it."""
        return self.state == "undelivered"


class Cure(Value):
    """What the doctor may do: ``end`` ends runs that nobody follows."""

    dry_run: bool = False
    end: bool = False


def repair(
    services: Services,
    *,
    opened: Callable[[str], TrackingStore],
    only: RunId | None = None,
    cure: Cure = Cure(),  # noqa: B008 - values never change
) -> tuple[Finding, ...]:
    """Close the records of runs whose processes are gone.

    ``opened`` opens the store of a tracking URI: jobs belong to many stores. ``only`` looks at
    one run's job and nowhere else.
    """
    if only is not None:
        path = job_path(services.home, only)
        return (_tended(path, services, opened, cure),) if os.path.isdir(path) else ()
    findings = [_tended(path, services, opened, cure) for path in _job_folders(services.home)]
    findings += _spooled(services, cure)
    findings += _runs_without_job(services, cure)
    findings += _leftovers(services, cure)
    findings += _idle_trees(services.home, cure)
    findings += _trash(services.home, cure)
    return tuple(findings)


def _job_folders(home: str) -> list[str]:
    folder = os.path.join(home, "jobs")
    return [e.path for e in os.scandir(folder) if e.is_dir()] if os.path.isdir(folder) else []


def _tended(
    path: str, services: Services, opened: Callable[[str], TrackingStore], cure: Cure
) -> Finding:
    """Look after one job folder."""
    run_id = RunId(os.path.basename(path))
    job = job_document(path)
    if job is not None and job.get("host") != this_host():
        host = job.get("host")
        where = host.get("name") if isinstance(host, dict) else "an unknown machine"
        return Finding(state="elsewhere", subject=run_id, detail=f"belongs to {where}")
    lock = Lock(os.path.join(path, "owner.lock"))
    try:
        if not lock.acquire(blocking=False):
            owner = job.get("owner") if job else "unknown"
            return Finding(state="under-way", subject=run_id, detail=f"process {owner} follows it")
        return _treated(JobFolder(path, lock), job, services, opened, cure=cure)
    except (RunprojError, OSError) as error:  # out of reach, or another user's
        detail = f"{error}; when the run or its store is gone for good, delete {path}"
        return Finding(state="undelivered", subject=run_id, detail=detail)
    finally:
        lock.release()


def _treated(
    folder: JobFolder,
    job: dict[str, JSON] | None,
    services: Services,
    opened: Callable[[str], TrackingStore],
    *,
    cure: Cure,
) -> Finding:
    """Do for a job without an owner, now ours, what is left to be done."""
    if job is None:
        if not cure.dry_run:
            folder.remove()
        return Finding(state="removed", subject=folder.path, detail="a job folder without a job")
    run_id = RunId(str(job["run_id"]))
    handle = services.backend(str(job.get("backend", "local"))).attach(folder.path)
    outcome = _ended(handle, cure)
    if outcome is None:
        hint = "'runproj doctor --end' ends it"
        return Finding(state="unfollowed", subject=run_id, detail=f"runs without us; {hint}")
    return _closed(run_id, outcome, folder, opened(str(job["tracking_uri"])), cure)


def _ended(handle: RunHandle, cure: Cure) -> Outcome | None:
    """Return how a job ended; end it first where we may."""
    outcome = handle.poll()
    if outcome is None and cure.end and not cure.dry_run:
        handle.cancel()
        outcome = handle.wait(PATIENCE / 2)
        if outcome is None:
            handle.cancel(9)  # without a supervisor there is nobody else to insist
            outcome = handle.wait(PATIENCE / 2)
    handle.release()
    return outcome


def _closed(
    run_id: RunId, outcome: Outcome, folder: JobFolder, store: TrackingStore, cure: Cure
) -> Finding:
    if not cure.dry_run:
        close(store, run_id, outcome, job=folder)
    detail = outcome.detail or "it finished"
    return Finding(state="closed", subject=run_id, detail=detail, status=outcome.status)


def _spooled(services: Services, cure: Cure) -> Iterator[Finding]:
    """Deliver what tracking servers could not take."""
    from runner.pipeline.delivery import deliver

    for delivery in deliver(services, dry_run=cure.dry_run, patient=False):
        match delivery.state:
            case "delivered":
                detail = f"to {delivery.tracking_uri} as {delivery.delivered_as}"
                yield Finding(state="delivered", subject=delivery.run_id, detail=detail)
            case "undelivered" | "waiting":
                detail = delivery.detail or f"waits for {delivery.tracking_uri}"
                yield Finding(state="undelivered", subject=delivery.run_id, detail=detail)
            case "under-way":
                continue


def _runs_without_job(services: Services, cure: Cure) -> Iterator[Finding]:
    """Close runs of this machine that say RUNNING and have neither a job folder nor a process."""
    try:
        for tracked in _running(services.store):
            path = job_path(services.home, tracked.run_id)
            if tracked.tags.get(HOST_TAG) != os.uname().nodename or os.path.exists(path):
                continue
            handle = services.backend("local").attach(path)
            if (outcome := handle.poll()) is None:
                detail = "runs on, but its job folder is gone"
                yield Finding(state="unfollowed", subject=tracked.run_id, detail=detail)
                continue
            if not cure.dry_run:
                ended = _lost(tracked, outcome)
                close(services.store, tracked.run_id, ended, job=None)
            yield Finding(
                state="closed",
                subject=tracked.run_id,
                detail="nobody runs it, and its job folder is gone",
                status=outcome.status,
            )
    except RunprojError as error:
        yield Finding(state="undelivered", subject="tracking store", detail=error.message)


def _leftovers(services: Services, cure: Cure) -> Iterator[Finding]:
    """Remove what jobs left with an engine, when their folders are gone."""
    for subject in services.backend("local").clear(dry_run=cure.dry_run):
        yield Finding(state="removed", subject=subject, detail="its job is gone")


def _lost(tracked: TrackedRun, outcome: Outcome) -> Outcome:
    """Say what little is known of a run without a job folder."""
    began = datetime.fromtimestamp((tracked.started or 0) / 1000, UTC)
    return changed(
        outcome,
        phase="command",
        started=min(began, outcome.finished) if tracked.started else outcome.finished,
        detail="nobody saw it end, and its job folder is gone",
    )


def _running(store: TrackingStore) -> Iterator[TrackedRun]:
    experiments = [experiment.experiment_id for experiment in store.experiments()]
    page: str | None = None
    while True:
        found = store.runs(experiments, limit=1000, page=page)
        yield from (tracked for tracked in found.runs if tracked.status == "RUNNING")
        page = found.next_page
        if page is None:
            return


def _idle_trees(home: str, cure: Cure) -> Iterator[Finding]:
    """Delete the work trees that nobody is likely to use again."""
    if cure.dry_run:
        return
    trees = os.path.join(home, "trees")
    before = sum(_blocks(trees, set()))
    if count := prune_all(home):
        saved = readable_size(max(0, before - sum(_blocks(trees, set()))))
        noun = "work tree" if count == 1 else "work trees"
        yield Finding(state="removed", subject=trees, detail=f"{count} idle {noun}, {saved}")


def _trash(home: str, cure: Cure) -> Iterator[Finding]:
    """Delete what was set aside long ago by processes that were killed before they deleted it."""
    folder = os.path.join(home, "trash")
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if time.time() - os.lstat(path).st_mtime > TRASH_AGE:
            if not cure.dry_run:
                remove_tree(path)
            yield Finding(state="emptied", subject=path, detail="was set aside and never deleted")


# ---------------------------------------------------------------- the health of the machine


def tools(environ: Mapping[str, str]) -> dict[str, JSON]:
    """Return path and version of the programs that Runproj starts; None for one that is missing."""
    found: dict[str, JSON] = {}
    for name in ("bash", "git", "uv"):
        try:
            path = _bundled_uv() if name == "uv" else executable(name, environ)
            told = run([path, "--version"], variables=environ, timeout=10).text
            first = told.splitlines()[0] if told else ""
            found[name] = {"path": path, "version": first}
        except RunprojError:
            found[name] = None
    if engine := _engine(environ):
        found["engine"] = engine  # few need one: none is no trouble
    return found


def _engine(environ: Mapping[str, str]) -> dict[str, JSON] | None:
    """Return address and version of the container engine; None when none answers."""
    from runner.system.engine_calls import Engine

    try:
        engine = Engine(environ)
        told = engine.ask("GET", "/version", patience=10)
    except RunprojError:
        return None
    parts = [part.get("Name", "") for part in told.get("Components") or ()][:1]
    name = parts[0] if parts else "engine"
    return {"path": engine.where.url, "version": f"{name} {told.get('Version', '')}"}


def _bundled_uv() -> str:
    """Return the uv that came with us.

    Raises:
        RunprojError: It is not there.
    """
    from uv import find_uv_bin

    try:
        return find_uv_bin()
    except FileNotFoundError as error:
        raise RunprojError("uv is not installed", hint="install runproj again") from error


def cache_sizes(home: str) -> dict[str, JSON]:
    """Return the bytes that each part of the cache takes on disk; a file with two names once."""
    sizes: dict[str, JSON] = {}
    seen: set[tuple[int, int]] = set()
    for entry in sorted(os.scandir(home), key=lambda e: e.name) if os.path.isdir(home) else ():
        if entry.is_dir(follow_symlinks=False):
            sizes[entry.name] = sum(_blocks(entry.path, seen))
    return sizes


def _blocks(folder: str, seen: set[tuple[int, int]]) -> Iterator[int]:
    for parent, _folders, files in os.walk(folder):
        for name in files:
            try:
                status = os.lstat(os.path.join(parent, name))
            except FileNotFoundError:
                continue
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                yield status.st_blocks * 512


def readable_size(size: JSON) -> str:
    """Put a number of bytes into words."""
    number = float(size) if isinstance(size, int | float) else 0.0
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:  # noqa: PLR2004 - bytes are counted in powers of 1024
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
