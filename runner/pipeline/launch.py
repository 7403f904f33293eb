"""Draft -> flight: a run whose record is open and whose command is on its way."""

from __future__ import annotations

from datetime import timedelta

from runner.codec import pretty
from runner.errors import StoreError, UsageError
from runner.model.event import Opened, Started, Warned
from runner.model.lock import ImageEnvironment, ImageLock
from runner.model.run import Job, Outcome, StoreAccess
from runner.model.spec import Problem
from runner.model.tracking import TrackedRun
from runner.model.value import RunId, Value
from runner.pipeline.closing import OUT_OF_REACH, close, host_tags, open_job
from runner.pipeline.draft import release
from runner.pipeline.record import (
    FOLDER,
    image_entry,
    image_tags,
    lock_entry,
    record,
    spec_entry,
    tags,
)
from runner.redaction import without_credentials
from runner.stages.lock import lock
from runner.system.files import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from runner.codec import JSON
    from runner.model.lock import Environment, EnvironmentLock
    from runner.model.plan import Draft, RunRequest
    from runner.model.run import Phase
    from runner.pipeline.closing import JobFolder
    from runner.ports import Endpoint, RunHandle, Services

PARAM_LIMIT = 6000
"""The longest parameter value that every MLflow store takes; the record keeps the whole."""
DEFAULT_EXPERIMENT = "0"


class Opening(Value):
    """A run whose record is open: from here on nothing may fail without being recorded."""

    draft: Draft
    run: TrackedRun
    job: JobFolder
    record: Mapping[str, JSON]
    began: datetime


class Flight(Value):
    """A run under way: its record, its job, and the endpoint that its command talks to."""

    opening: Opening
    handle: RunHandle
    endpoint: Endpoint | None

    @property
    def run(self) -> TrackedRun:
        """The run, as it was when the record was opened."""
        return self.opening.run


def launch(
    draft: Draft, services: Services, *, submitting: Callable[[], None] = lambda: None
) -> Flight:
    """Open the record, lock, build, submit; tell by ``submitting`` that a command may soon run.

    Raises:
        RunprojError: The environment could not be had or the job not be submitted; the record is
            closed and says so.
    """
    try:
        services.sampling(draft.request.system_metrics)  # may refuse: before there is a record
        opening = begin(draft, services)
    except BaseException:
        release(draft.tree)
        raise
    phase: Phase = "prepare"
    try:
        keep_source(opening, services)
        phase = "lock"
        locked = lock(draft, services)
        phase = "build"
        environment = services.builder(draft.builder).build(locked)
        keep_environment(opening, locked, environment, services)
        phase = "submit"
        submitting()
        return submit(opening, environment, services)
    except BaseException as error:
        abort(opening, phase, error, services)
        raise


def begin(draft: Draft, services: Services) -> Opening:
    """Give the run its record, and the record an owner."""
    for problem in draft.warnings:
        services.reporter.report(Warned(problem=problem))
    began = services.now()
    run = _continued(draft, services) if draft.request.run_id else _created(draft, began, services)
    try:
        written = record(draft, run, services)
        job = open_job(services, run, record=written, backend=draft.request.backend)
    except BaseException as error:
        if not draft.request.run_id:  # a continued run may be under way elsewhere: leave it alone
            outcome = unstarted("prepare", error, began=began, ended=services.now())
            close(services.store, run.run_id, outcome, job=None, known=run)
        raise
    services.reporter.report(
        Opened(run_id=run.run_id, run_name=run.name, experiment_id=run.experiment_id)
    )
    return Opening(draft=draft, run=run, job=job, record=written, began=began)


def _created(draft: Draft, began: datetime, services: Services) -> TrackedRun:
    request = draft.request
    return services.store.create_run(
        TrackedRun(
            run_id=RunId(""),
            experiment_id=experiment_of(request, services),
            name=request.run_name or request.tags.get("mlflow.runName", ""),
            status="RUNNING",
            started=round(began.timestamp() * 1000),
            ended=None,
            artifact_uri="",
            params=_params(draft, services),
            tags={**tags(draft, services), **host_tags()},
        )
    )


def _continued(draft: Draft, services: Services) -> TrackedRun:
    """Take up a run that is there already (``--run-id``), as MLflow does."""
    request = draft.request
    assert request.run_id is not None  # noqa: S101 - only called when there is one
    store = services.store
    run = store.run(request.run_id)
    if run.lifecycle != "active":
        raise StoreError(f"run {run.run_id} is deleted", hint="runproj can only continue live runs")
    if (request.experiment_id or request.experiment_name) and (
        run.experiment_id != experiment_of(request, services)
    ):
        raise UsageError(
            f"run {run.run_id} is in experiment {run.experiment_id}",
            hint="leave the experiment out, or name that one",
        )
    store.log(run.run_id, params=_params(draft, services))
    return store.update_run(
        run.run_id,
        status="RUNNING",
        name=request.run_name,
        tags={**tags(draft, services), **host_tags()},
    )


def experiment_of(request: RunRequest, services: Services) -> str:
    """Return the id of the experiment that was asked for; one asked for by name is made."""
    if request.experiment_id:
        return request.experiment_id
    if not request.experiment_name:
        return DEFAULT_EXPERIMENT
    store = services.store
    found = store.experiment_named(request.experiment_name)
    if found is None:
        try:
            return store.create_experiment(request.experiment_name).experiment_id
        except StoreError as error:
            if error.status != "RESOURCE_ALREADY_EXISTS":
                raise
            found = store.experiment_named(request.experiment_name)  # somebody was faster
    if found is None or found.lifecycle != "active":
        raise StoreError(
            f"the experiment {request.experiment_name!r} is deleted",
            hint="restore it, or choose another name",
        )
    return found.experiment_id


def _params(draft: Draft, services: Services) -> dict[str, str]:
    """Return the parameters for the store, shortened to what it takes."""
    extra = {k: without_credentials(v) for k, v in draft.invocation.extra.items()}
    given = {**draft.invocation.given, **extra}
    long = [name for name, value in given.items() if len(value) > PARAM_LIMIT]
    if long:
        services.reporter.report(
            Warned(
                problem=Problem(
                    severity="warning",
                    rule="long-parameter",
                    message=f"{', '.join(long)}: the tracking store shows only the first "
                    f"{PARAM_LIMIT} characters; {FOLDER}/record.json keeps them all",
                )
            )
        )
    return {name: value[:PARAM_LIMIT] for name, value in given.items()}


def keep_source(opening: Opening, services: Services) -> None:
    """Store what can be told before anything is built: the spec and the changes.

    The record itself is in the job folder by now; it is stored when the environment is known, or
    when the run ends before that.
    """
    draft = opening.draft
    kept = {
        "spec.json": pretty(spec_entry(draft.spec)),
        "source.patch": draft.tree.changes.patch,
        "untracked.tar.gz": draft.tree.changes.untracked,
    }
    keep(opening, {name: content for name, content in kept.items() if content}, services)


def keep_environment(
    opening: Opening, locked: EnvironmentLock, environment: Environment, services: Services
) -> None:
    """Store the record, the lock and what the environment holds."""
    entry = lock_entry(locked)
    described: dict[str, JSON] = {"manager": opening.draft.builder, "lock": entry}
    if isinstance(locked, ImageLock) and isinstance(environment, ImageEnvironment):
        described["image"] = image_entry(environment)
        services.store.update_run(opening.run.run_id, tags=image_tags(locked, environment))
    complete: dict[str, JSON] = {**opening.record, "environment": described}
    kept = {"record.json": pretty(complete)}
    path = getattr(locked, "document", None)
    if path:
        kept[str(entry["name"])] = read(path)
    if environment.description:
        kept["environment.json"] = read(environment.description)
    keep(opening, kept, services)


def keep(opening: Opening, files: Mapping[str, bytes], services: Services) -> None:
    """Store files of ours; where artifacts are out of our reach, say so and go on."""
    artifacts = services.store.artifacts(opening.run)
    for name, content in files.items():
        try:
            artifacts.put(f"{FOLDER}/{name}", content)
        except StoreError as error:
            if error.status != OUT_OF_REACH:
                raise
            services.reporter.report(Warned(problem=unkept(error)))
            return


def unkept(error: StoreError) -> Problem:
    """Word what the store did not take as a warning."""
    return Problem(
        severity="warning", rule="record-not-stored", message=error.message, hint=error.hint
    )


def submit(opening: Opening, environment: Environment, services: Services) -> Flight:
    """Start the command, with an endpoint to log to."""
    draft, run, job = opening.draft, opening.run, opening.job
    request = draft.request
    # a container's processes are not the supervisor's to measure
    sampling = 0.0 if draft.container else services.sampling(request.system_metrics)
    endpoint = services.endpoint(run)
    artifacts = services.store.artifacts(run)
    lease = draft.tree.lease
    try:
        handle = services.backend(request.backend).submit(
            Job(
                run_id=run.run_id,
                folder=job.path,
                directory=draft.tree.project,
                command=draft.command,
                environment=environment,
                access=StoreAccess(
                    variables=variables(opening, endpoint, services, sampling=sampling)
                ),
                stdout=job.log("stdout.log", artifacts),
                stderr=job.log("stderr.log", artifacts),
                timeout=request.timeout,
                leases=(lease,) if lease is not None else (),
                container=draft.container,
                files=_carried_files(draft, services),
                sampling=sampling,
            )
        )
    except BaseException:
        if endpoint:
            endpoint.close(within=timedelta(0))
        raise
    services.reporter.report(Started(run_id=run.run_id, script=draft.command.script))
    return Flight(opening=opening, handle=handle, endpoint=endpoint)


def _carried_files(draft: Draft, services: Services) -> tuple[str, ...] | None:
    """Return the files to take along into a container."""
    if draft.container is None:
        return None
    from runner.system.snapshot import project_files

    return project_files(draft.tree, services.environ)


def variables(
    opening: Opening, endpoint: Endpoint | None, services: Services, *, sampling: float
) -> dict[str, str]:
    """Return what tells the command, and every run nested in it, where and what to log."""
    run = opening.run
    access: dict[str, str] = (
        dict(endpoint.variables)
        if endpoint
        else {
            "MLFLOW_TRACKING_URI": services.tracking_uri,
            "MLFLOW_RUN_ID": run.run_id,
            "MLFLOW_EXPERIMENT_ID": run.experiment_id,
            "RUNPROJ_RUN_ID": run.run_id,
            "RUNPROJ_EXPERIMENT_ID": run.experiment_id,
        }
    )
    if opening.draft.container and not endpoint:
        from runner.pipeline.carried import carried_credentials

        access |= carried_credentials(run, services.environ)
    if opening.draft.request.environment_manager:
        access["RUNPROJ_ENV_MANAGER"] = opening.draft.request.environment_manager
    access["RUNPROJ_SYSTEM_METRICS"] = f"{sampling:g}" if sampling else "false"
    if sampling:  # once is enough
        access["MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"] = "false"
    return access


def unstarted(phase: Phase, error: BaseException, *, began: datetime, ended: datetime) -> Outcome:
    """Say how a run ended that did not get as far as its command."""
    by_user = isinstance(error, KeyboardInterrupt | SystemExit)
    return Outcome(
        status="KILLED" if by_user else "FAILED",
        phase=phase,
        reason="cancelled" if by_user else "error",
        started=began,
        finished=ended,
        signal=getattr(error, "signal", None) if by_user else None,
        detail="" if by_user else _sentence(error),
    )


def abort(opening: Opening, phase: Phase, error: BaseException, services: Services) -> None:
    """Close the record of a run that did not get as far as its command."""
    outcome = unstarted(phase, error, began=opening.began, ended=services.now())
    try:
        close(services.store, opening.run.run_id, outcome, job=opening.job, known=opening.run)
    except StoreError as trouble:
        services.reporter.report(Warned(problem=unkept(trouble)))
    finally:
        release(opening.draft.tree)


def _sentence(error: BaseException) -> str:
    return getattr(error, "message", None) or f"{type(error).__name__}: {error}"
