"""A recorded run -> the same again -> a verdict.

``reproduce`` restores the files, pins every value and the lock, runs, compares, and keeps the
verdict with both runs. Whatever cannot be had makes the verdict INCOMPLETE, with the reason.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runner.codec import document
from runner.errors import EnvError, ParameterError, RunprojError, UsageError
from runner.model.event import Opened, Warned
from runner.model.plan import RunRequest
from runner.model.project import ProjectReference
from runner.model.spec import DockerSpec, Problem, PythonSpec
from runner.model.value import EMPTY, RunId, Value, changed
from runner.model.verdict import Tolerances, Verdict
from runner.pipeline.comparison import Side, compared, histories, reasons_of, status_of
from runner.pipeline.differences import differences
from runner.pipeline.draft import drafted, release
from runner.pipeline.follow import follow
from runner.pipeline.foreign import is_script
from runner.pipeline.launch import DEFAULT_EXPERIMENT, launch
from runner.pipeline.page import page
from runner.pipeline.pinning import Pinned, pinned
from runner.pipeline.recorded import (
    RecordedRun,
    inputs_of,
    lock_of,
    recorded_run,
    source_of,
    timeout_of,
)
from runner.pipeline.revision import asks_for_the_same, source_at
from runner.pipeline.run import heed_signals
from runner.pipeline.tolerance import combined, from_document
from runner.pipeline.verdict import keep_verdict
from runner.stages.date import NOW, has_lock
from runner.stages.load import load
from runner.stages.lock import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model.event import Event
    from runner.model.lock import RecordedLock
    from runner.model.plan import Draft
    from runner.model.project import WorkingTree
    from runner.model.spec import ProjectSpec
    from runner.pipeline.follow import Ended
    from runner.ports import Reporter, Services, TrackingStore

REPRODUCES = "runproj.reproduces"
REPRODUCES_URI = "runproj.reproduces_uri"
"""The store of the reference, where that is another one."""
RUN = "run"
"""``--as-of run``: when the run began."""
VARIATION = "runproj.variation"
TRACKING_OF_ITS_OWN = frozenset({REPRODUCES, REPRODUCES_URI, VARIATION})


class Reproduction(Value):
    """What is asked for: which run, what to change, and how near is near enough.

    ``overrides`` are ``-P`` values. ``commit`` is another one than the run's, whose files are then
    taken, with the recorded lock as long as it asks for the same environment. ``refresh`` resolves
    the environment anew instead of taking the recorded lock, and ``lock`` takes that one instead.
    A ``probe`` only wants to know: the reference is not tagged with what it finds.
    ``environment_manager`` is for runs whose record does not name one. ``host_access`` lets a
    container reach beyond itself: a record cannot allow that.
    """

    reference: RecordedRun
    caller: str
    overrides: Mapping[str, str | tuple[str, ...]] = EMPTY
    tolerances: Tolerances = Tolerances()
    refresh: bool = False
    commit: str | None = None
    lock: RecordedLock | None = None
    probe: bool = False
    as_of: str | None = None
    environment_manager: str | None = None
    experiment_name: str | None = None
    experiment_id: str | None = None
    run_name: str | None = None
    host_access: bool = False


def reproduce(asked: Reproduction, services: Services, watcher: Watcher) -> Verdict:
    """Run a recorded run again and say whether it came to the same.

    ``watcher`` is the reporter of the services.

    Raises:
        UsageError: The overrides make no sense.
        StoreError: The verdict could not be kept.
    """
    reference = asked.reference
    try:
        draft, pins = prepared(asked, services)
    except UsageError:
        raise
    except RunprojError as error:
        return changed(incomplete(reference, error), warnings=tuple(watcher.warnings))
    try:
        interruption = heed_signals()
        flight = launch(draft, services, submitting=interruption.hold)
        ended = follow(flight, services, signals=interruption)
        verdict = judged(asked, pins, ended, services)
    except RunprojError as error:
        verdict = changed(incomplete(reference, error), varied=pins.varied)
        if watcher.opened:
            verdict = changed(verdict, reproduction=watcher.opened, store=services.store.uri)
    verdict = changed(verdict, warnings=tuple(watcher.warnings))
    keep_verdict(verdict, reference, services, quietly=asked.probe or asked.commit is not None)
    return verdict


def found_run(store: TrackingStore, text: str) -> RecordedRun:
    """Find a run by id, by the beginning of one, or as ``runs:/ID``, with its record.

    Raises:
        StoreError: There is none, it is under way, or nothing was recorded of it.
    """
    from runner.pipeline.lookup import find_run

    return recorded_run(store, find_run(store, text.removeprefix("runs:/").strip("/")))


def prepared(asked: Reproduction, services: Services) -> tuple[Draft, Pinned]:
    """Restore the files and bind everything as it was.

    Raises:
        RunprojError: Something that the run needs is gone, or has changed.
    """
    reference = asked.reference
    _tell_missing(reference, services)
    lock = asked.lock or (None if asked.refresh else lock_of(reference))
    source = source_at(reference, asked.commit) if asked.commit else source_of(reference)
    tree = services.restorer.restore(source)
    try:
        spec, _ = load(tree, home=services.home)
        if asked.commit and not asks_for_the_same(reference, spec):
            lock = None
            _tell_other_environment(asked.commit, services)
        _check_packages(asked, spec)
        pins = pinned(asked, spec, tree, services.home)
        moment = _as_of(asked, tree, spec)
    except BaseException:
        release(tree)
        raise
    request = _request(asked, tree, pins, services)
    draft = drafted(changed(request, recorded_lock=lock, as_of=moment), tree, services)
    try:
        if lock is not None or not asked.commit:
            _check_manager(draft, reference)
        return _as_recorded(draft, pins, asked), pins
    except BaseException:
        release(tree)
        raise


def _request(
    asked: Reproduction, tree: WorkingTree, pins: Pinned, services: Services
) -> RunRequest:
    reference = asked.reference
    record = reference.record
    before = record.get("request", {})
    experiment_id, experiment_name = _experiment(asked, services)
    tags = {k: str(v) for k, v in (before.get("tags") or {}).items()}
    tags = {k: v for k, v in tags.items() if k not in TRACKING_OF_ITS_OWN}
    tags[REPRODUCES] = reference.run.run_id
    if reference.store.uri != services.store.uri:
        tags[REPRODUCES_URI] = reference.store.uri
    if pins.varied:
        tags[VARIATION] = ", ".join(f"{k}={v}" for k, v in sorted(pins.varied.items()))[:500]
    name = asked.run_name or f"{reference.run.name}-reproduced"
    return RunRequest(
        reference=ProjectReference(location=tree.provenance.reference.location),
        caller=asked.caller,
        entry_point=record["entry_point"],
        parameters=pins.parameters,
        environment_manager=asked.environment_manager or before.get("environment_manager"),
        refresh=asked.refresh,
        backend=before.get("backend", "local"),
        experiment_name=experiment_name,
        experiment_id=experiment_id,
        run_name=name,
        tags={**tags, "mlflow.runName": name},
        timeout=timeout_of(reference),
        docker_arguments=before.get("docker_arguments") or {},
        build_image=bool(before.get("build_image")),
        host_access=asked.host_access,
    )


def _experiment(asked: Reproduction, services: Services) -> tuple[str | None, str | None]:
    """Return id or name of the experiment of the new run: that of the reference, or its namesake.

    The reference may be in another store, where ids mean other experiments.
    """
    if asked.experiment_id or asked.experiment_name:
        return asked.experiment_id, asked.experiment_name
    store, experiment_id = asked.reference.store, asked.reference.run.experiment_id
    if store.uri == services.store.uri or experiment_id == DEFAULT_EXPERIMENT:
        return experiment_id, None
    return None, store.experiment(experiment_id).name


def _check_packages(asked: Reproduction, spec: ProjectSpec) -> None:
    """See that something says which packages a script needs.

    Raises:
        EnvError: Nothing does.
    """
    is_unknown = spec.file is None and spec.environment == PythonSpec()
    if is_script(asked.reference.record) and is_unknown and not asked.environment_manager:
        raise EnvError(
            "nothing says which packages the script needs: there is no environment file beside it",
            hint=f"--env-manager {HOST} takes those of this machine",
        )


def _as_of(asked: Reproduction, tree: WorkingTree, spec: ProjectSpec) -> str | None:
    """Return the date of the packages: the start of a run whose packages nobody wrote down.

    Images have no date: of a run of which no digest was recorded, the name is taken as it is now.

    What is resolved anew is resolved as of now, unless another date is asked for.
    """
    reference = asked.reference
    if asked.as_of == RUN:
        return _start(reference)
    if asked.as_of or asked.environment_manager == HOST:
        return asked.as_of
    if not reference.is_foreign or asked.commit or isinstance(spec.environment, DockerSpec):
        return NOW if asked.refresh else None
    return NOW if has_lock(tree.project) else str(reference.record["as_of"])


def _start(reference: RecordedRun) -> str:
    """Return when a run began.

    Raises:
        UsageError: Nobody wrote it down.
    """
    if reference.run.started is None:
        raise UsageError(
            f"--as-of run: nobody wrote down when run {reference.run.run_id} began",
            hint="give a date: --as-of 2024-05-31",
        )
    return datetime.fromtimestamp(reference.run.started / 1000, UTC).isoformat()


def _tell_missing(reference: RecordedRun, services: Services) -> None:
    """Say before anything is done what the record does not."""
    for sentence in reference.record.get("missing", []):
        problem = Problem(severity="warning", rule="not-recorded", message=sentence)
        services.reporter.report(Warned(problem=problem))


def _tell_other_environment(commit: str, services: Services) -> None:
    message = f"commit {commit[:12]} asks for another environment than the run: it is resolved"
    problem = Problem(severity="warning", rule="other-environment", message=message)
    services.reporter.report(Warned(problem=problem))


def _check_manager(draft: Draft, reference: RecordedRun) -> None:
    recorded = reference.record.get("environment", {}).get("manager")
    if recorded and recorded != draft.builder:
        raise EnvError(
            f"the run's environment was made by {recorded!r}, and this runproj would take "
            f"{draft.builder!r}"
        )


def _as_recorded(draft: Draft, pins: Pinned, asked: Reproduction) -> Draft:
    """Check the inputs, and record their parameters in the words of the first run.

    Raises:
        ParameterError: An input is not what it was.
    """
    reference, invocation = asked.reference, draft.invocation
    before = inputs_of(reference)
    checked = () if reference.is_foreign else invocation.inputs
    if asked.commit:
        checked = tuple(i for i in checked if not i.path.startswith(draft.tree.root + os.sep))
    for name in {item.parameter for item in checked} - pins.varied.keys():
        wanted = [item["digest"] for item in before.get(name, [])]
        found = [item.digest for item in invocation.inputs if item.parameter == name]
        if wanted != found:
            raise ParameterError(
                f"the input {name!r} has changed since the run",
                where=f"recorded {', '.join(wanted) or 'nothing'}, found {', '.join(found)}",
                hint=f"-P {name}=... names the file as it was, if you still have it",
            )
    words = {n: v for n, v in reference.record["parameters"].items() if n not in pins.varied}
    given = {n: words.get(n, v) for n, v in invocation.given.items()}
    return changed(draft, invocation=changed(invocation, given=given))


class Watcher:
    """A reporter that remembers which run was opened and what was warned of, and hands all on."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.opened: RunId | None = None
        self.warnings: list[str] = []

    def report(self, event: Event) -> None:
        """Take note, and hand on."""
        if isinstance(event, Opened):
            self.opened = event.run_id
        if isinstance(event, Warned):
            self.warnings.append(event.problem.message)
        self._reporter.report(event)


def judged(asked: Reproduction, pins: Pinned, ended: Ended, services: Services) -> Verdict:
    """Compare a run with its reproduction."""
    reference, store = asked.reference, services.store
    run = store.run(ended.run.run_id)
    outcome = document(ended.outcome)
    assert isinstance(outcome, dict)  # noqa: S101 - a Value is always written as an object
    before = Side(reference.store, reference.run, reference.record.get("outcome") or {})
    declared = from_document(pins.tolerances, "MLproject: reproduce") if pins.tolerances else None
    layers = (asked.tolerances, declared) if declared else (asked.tolerances,)
    found = compared(before, Side(store, run, outcome), combined(*layers), pins.varied)
    again = recorded_run(store, run)
    return Verdict(
        status=status_of(found),
        reference=reference.run.run_id,
        reference_store=reference.store.uri,
        reproduction=run.run_id,
        store=store.uri,
        reasons=reasons_of(found),
        comparisons=found,
        differences=differences(reference, again),
        varied=pins.varied,
    )


def verdict_page(asked: Reproduction, verdict: Verdict, services: Services) -> bytes:
    """Return a verdict as an HTML page with the histories of the metrics."""
    assert verdict.reproduction is not None  # noqa: S101 - else there is no history to show
    reference, store = asked.reference, services.store
    before = Side(reference.store, reference.run, {})
    return page(verdict, histories(before, Side(store, store.run(verdict.reproduction), {})))


def incomplete(reference: RecordedRun, error: RunprojError) -> Verdict:
    """Return the verdict on a run that could not be run again."""
    return unchecked(reference.run.run_id, reference.store.uri, error)


def unchecked(reference: str, store: str, error: RunprojError) -> Verdict:
    """Return the verdict on a run that may not even have been found."""
    where = f" ({error.where})" if error.where else ""
    hint = f"; {error.hint}" if error.hint else ""
    return Verdict(
        status="INCOMPLETE",
        reference=RunId(reference),
        reference_store=store,
        reasons=(f"{error.message}{where}{hint}",),
    )
