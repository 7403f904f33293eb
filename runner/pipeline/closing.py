"""The job folder: how a run that has begun gets its record closed, whatever dies meanwhile.

``open_job`` is called when the run has a record, ``close`` when its outcome is known; between the
two, ``<home>/jobs/<run id>/`` tells anybody who comes along what is to be done:

``job.json``
    which run in which store this is, and on which machine it lives;
``owner.lock``
    held by the process that will close the record;
``closing``
    the command that closes it when that process is gone (arguments that end in NUL);
``supervisor.json``, ``outcome.json``, ``system.metrics``
    what the supervisor tells (``runner.backends.supervise``).
"""

from __future__ import annotations

import json
import os
import sys

from runner.codec import document, pretty
from runner.errors import RunprojError, StoreError
from runner.pipeline.record import FOLDER
from runner.redaction import without_credentials
from runner.system.files import Lock, cache_directory, read, remove_tree, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from runner.codec import JSON
    from runner.model.run import Outcome
    from runner.model.tracking import TrackedRun
    from runner.model.value import RunId
    from runner.ports import Artifacts, Services, TrackingStore

JOB_VERSION = 1
HOST_TAG = "runproj.host"
"""The tag that says on which machine a run was started, so that only that one repairs it."""
LOGS = ("stdout.log", "stderr.log")
SAMPLES = "system.metrics"
"""The supervisor's samples of the machine; only commands that run for a while leave any."""
OUT_OF_REACH = "NOT_IMPLEMENTED"
"""What a store says whose artifacts lie where we cannot write: trying again would not help."""


class JobFolder:
    """The open job of one run: its folder, ours as long as we hold the lock."""

    def __init__(self, path: str, lock: Lock) -> None:
        self.path = path
        self._lock = lock

    def log(self, name: str, artifacts: Artifacts) -> str:
        """Return where a log is to be written: among the artifacts where these are local."""
        folder = artifacts.folder()
        return os.path.join(folder, FOLDER, name) if folder else os.path.join(self.path, name)

    def remove(self) -> None:
        """Take the folder away; nothing is left to be done for the run."""
        try:
            for name in os.listdir(self.path):
                os.unlink(os.path.join(self.path, name))
            os.rmdir(self.path)
        except OSError:  # somebody put a folder there
            remove_tree(self.path)
        self._lock.release()

    def leave(self) -> None:
        """Let go of the job, for somebody else to close."""
        self._lock.release()


def job_path(home: str, run_id: RunId) -> str:
    """Return the folder of a run's job."""
    return os.path.join(home, "jobs", run_id)


def host_tags() -> dict[str, str]:
    """Return the tags that tie a run to this machine; to be set when the run begins."""
    return {HOST_TAG: os.uname().nodename}


def open_job(
    services: Services,
    run: TrackedRun,
    *,
    record: Mapping[str, JSON] | None = None,
    backend: str = "local",
) -> JobFolder:
    """Make the job folder of a run that has just got its record, and own it.

    ``record`` is the document that becomes the run's ``record.json`` should the run end before
    anybody could store it.

    Raises:
        StoreError: The same run is under way already.
    """
    path = os.path.join(cache_directory(services.home, "jobs"), run.run_id)
    lock = Lock(os.path.join(path, "owner.lock"))
    if not lock.acquire(blocking=False):
        raise StoreError(
            f"run {run.run_id} is under way: another process owns it",
            hint="wait for its end, or cancel it",
        )
    for leftover in (
        "outcome.json",
        "supervisor.json",
        SAMPLES,
    ):  # a run that is continued by --run-id
        if os.path.exists(os.path.join(path, leftover)):
            os.unlink(os.path.join(path, leftover))
    described: dict[str, JSON] = {
        "version": JOB_VERSION,
        "run_id": run.run_id,
        "experiment_id": run.experiment_id,
        "tracking_uri": without_credentials(services.store.uri),
        "backend": backend,
        "host": document(this_host()),
        "owner": os.getpid(),
        "created": document(services.now()),
        "record": {**record} if record else None,
    }
    write_whole(os.path.join(path, "closing"), _closing_command(services.home, run.run_id))
    write_whole(os.path.join(path, "job.json"), pretty(described))
    return JobFolder(path, lock)


def this_host() -> dict[str, str]:
    """Tell this machine (and container) from others that may share the home directory."""
    try:
        pids = os.readlink("/proc/self/ns/pid")
    except OSError:
        pids = ""
    return {"name": os.uname().nodename, "pids": pids}


def _closing_command(home: str, run_id: RunId) -> bytes:
    """Return the arguments that let this very Runproj close the record, wherever it is run from."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    start = (
        f"import os, sys; sys.path.append({root!r}); os.environ['RUNPROJ_HOME'] = {home!r}; "
        "from runner.cli.main import entry; entry()"
    )
    argv = [sys.executable, "-P", "-c", start, "doctor", "--quiet", "--job", run_id]
    return b"".join(os.fsencode(argument) + b"\0" for argument in argv)


def close(
    store: TrackingStore,
    run_id: RunId,
    outcome: Outcome,
    *,
    job: JobFolder | None,
    known: TrackedRun | None = None,
) -> None:
    """Write the end of a run into its record and take its job folder away.

    ``known`` is the run as the store has it, where that is known; else the store is asked, for the
    command may have moved its run to another experiment. A server is told in one request that all
    went well: what there is to say beside the status is in the record.

    Everything is tried, the status last, and everything may be repeated: when something fails,
    the folder stays, and ``runproj doctor`` delivers what is missing.

    Raises:
        StoreError: The store did not take it all; the run's outcome is kept in the job folder.
    """
    trouble: Exception | None = None
    try:
        remote = store.uri.startswith(("http:", "https:"))
        run = known or store.run(run_id)
        try:
            _close_files(store.artifacts(run), outcome, job)
        except (OSError, RunprojError) as error:
            if getattr(error, "status", "") != OUT_OF_REACH:
                trouble = error
        try:
            _close_samples(store, run_id, job)
        except (OSError, RunprojError) as error:
            trouble = trouble or error
        ended = milliseconds(outcome.finished)
        tags = {} if remote and outcome.status == "FINISHED" else outcome_tags(outcome)
        store.update_run(run_id, status=outcome.status, ended=ended, tags=tags)
    except (OSError, RunprojError) as error:
        trouble = error
    if trouble is None:
        if job:
            job.remove()
        return
    if job:
        _keep(job, outcome)
        job.leave()
    why = trouble.message if isinstance(trouble, RunprojError) else str(trouble)
    raise StoreError(
        f"the end of run {run_id} could not be recorded ({outcome.status}): {why}",
        where=without_credentials(store.uri),
        hint="'runproj doctor' delivers it later",
    ) from trouble


def outcome_tags(outcome: Outcome) -> dict[str, str]:
    """Return what the store shows of an outcome beside the status."""
    seconds = (outcome.finished - outcome.started).total_seconds()
    found: dict[str, str] = {
        "runproj.phase": outcome.phase,
        "runproj.reason": outcome.reason,
        "runproj.duration": f"{seconds:.3f}",
    }
    if outcome.exit_code is not None:
        found["runproj.exit_code"] = str(outcome.exit_code)
    if outcome.signal is not None:
        found["runproj.signal"] = str(outcome.signal)
    if outcome.usage is not None:
        found["runproj.cpu"] = f"{outcome.usage.user + outcome.usage.system:.3f}"
        found["runproj.peak_memory"] = str(outcome.usage.peak_memory)
    if outcome.detail:
        found["runproj.detail"] = outcome.detail
    return found


def milliseconds(moment: datetime) -> int:
    """Return a time as MLflow's stores keep it."""
    return round(moment.timestamp() * 1000)


def _close_files(artifacts: Artifacts, outcome: Outcome, job: JobFolder | None) -> None:
    """Complete the record's document and bring the logs where they belong."""
    path = f"{FOLDER}/record.json"
    record = _record(artifacts, path) or _unstored_record(job)
    if record is not None:
        record["outcome"] = document(outcome)
        artifacts.put(path, pretty(record))
    for name in LOGS if job else ():
        lying = os.path.join(job.path, name) if job else ""
        if os.path.exists(lying):
            with open(lying, "rb") as content:
                artifacts.put(f"{FOLDER}/{name}", content)


def _close_samples(store: TrackingStore, run_id: RunId, job: JobFolder | None) -> None:
    """Log what the supervisor measured and the follower did not bring into the store."""
    if job and os.path.exists(os.path.join(job.path, SAMPLES)):
        from runner.pipeline.system_metrics import Samples

        Samples(store, run_id, job.path, fresh=False).deliver()


def _record(artifacts: Artifacts, path: str) -> dict[str, JSON] | None:
    """Read the record's document; None when the run ended before it was written (whole)."""
    try:
        with artifacts.open(path) as file:
            found = json.loads(file.read())
    except StoreError as error:
        if error.status == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _unstored_record(job: JobFolder | None) -> dict[str, JSON] | None:
    """Return the record of a run that ended before it was stored."""
    described = job_document(job.path) if job else None
    found = described.get("record") if described else None
    return found if isinstance(found, dict) else None


def _keep(job: JobFolder, outcome: Outcome) -> None:
    """Leave the outcome in the job folder in the supervisor's form, where it has not been."""
    path = os.path.join(job.path, "outcome.json")
    if os.path.exists(path):
        return
    nothing: Mapping[str, JSON] = dict.fromkeys(("exit_code", "signal", "usage"))
    described = document(outcome)
    assert isinstance(described, dict)  # noqa: S101 - a Value is always written as an object
    try:
        write_whole(path, pretty({"version": 1, **nothing, **described}), durable=True)
    except OSError:
        return  # no room: doctor will call the run lost


def job_document(path: str) -> dict[str, JSON] | None:
    """Read a job folder's ``job.json``; None when it is not there, or no version of ours."""
    try:
        found = json.loads(read(os.path.join(path, "job.json")))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("version") != JOB_VERSION:
        return None
    return found
