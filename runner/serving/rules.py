"""Who may do what with which operation of a store.

Levels are MLflow's: READ looks, EDIT writes, MANAGE deletes and gives permissions. Whoever makes
an experiment or a registered model manages it. What belongs to a run or a logged model is decided
by its experiment.
"""

from __future__ import annotations

import os
import time

from runner.model.value import EMPTY, RunId, changed
from runner.serving.files import local_path
from runner.serving.messages import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, Final, Literal, Protocol, TypeAlias

    from runner.model.tracking import (
        Experiment,
        LoggedModel,
        ModelMetric,
        ModelVersion,
        RegisteredModel,
        RunSearch,
        TrackedRun,
    )
    from runner.ports import Artifacts, TrackingStore

    Kind: TypeAlias = Literal["experiment", "registered model"]
    Call: TypeAlias = Callable[..., Any]
    Rule: TypeAlias = Callable[..., Any]

    class Person(Protocol):
        """Somebody with permissions."""

        def may(self, level: int, kind: Kind, name: str) -> bool:
            """Whether somebody may do what needs this level to a thing."""

        def made(self, kind: Kind, name: str) -> None:
            """Note that somebody has made a thing."""

        def renamed(self, kind: Kind, name: str, new: str | None) -> None:
            """Note that a thing has another name now; None: it is gone."""


NONE: Final = 0
READ: Final = 1
EDIT: Final = 2
MANAGE: Final = 3
LEVELS: Final = {"NO_PERMISSIONS": NONE, "READ": READ, "EDIT": EDIT, "MANAGE": MANAGE}
"""MLflow's names of the levels."""
VERBS: Final = {READ: "read", EDIT: "edit", MANAGE: "manage"}
REMEMBERED: Final = 10_000
REMEMBERED_SECONDS: Final = 60.0


class Anyone:
    """Whoever comes to a server without accounts."""

    def may(self, level: int, kind: Kind, name: str) -> bool:  # noqa: ARG002 - nothing is asked
        """Allow."""
        return True

    def made(self, kind: Kind, name: str) -> None:
        """Note nothing."""

    def renamed(self, kind: Kind, name: str, new: str | None) -> None:
        """Note nothing."""


class Places:
    """In which experiment runs and logged models are, remembered for a minute."""

    def __init__(self, store: TrackingStore) -> None:
        self._store = store
        self._known: dict[str, tuple[str, float]] = {}

    def of_run(self, run_id: str) -> str:
        """Return the experiment of a run."""
        return self._remembered(run_id) or self.note(
            run_id, self._store.run(RunId(run_id)).experiment_id
        )

    def of_model(self, model_id: str) -> str:
        """Return the experiment of a logged model."""
        models = self._store.model_store
        if models is None:
            raise Refusal("this store cannot keep logged models", "ENDPOINT_NOT_FOUND")
        return self._remembered(model_id) or self.note(
            model_id, models.model(model_id).experiment_id
        )

    def _remembered(self, name: str) -> str | None:
        found = self._known.get(name)
        return found[0] if found and found[1] > time.monotonic() else None

    def note(self, name: str, experiment_id: str) -> str:
        """Remember where something is."""
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[name] = experiment_id, time.monotonic() + REMEMBERED_SECONDS
        return experiment_id


class Watch:
    """Checks what one person does to one store."""

    def __init__(self, store: TrackingStore, person: Person, places: Places) -> None:
        self.store = store
        self.person = person
        self.places = places
        self._is_anyone = isinstance(person, Anyone)

    def check(self, level: int, kind: Kind, name: str) -> None:
        """Let pass, or refuse with ``PERMISSION_DENIED``."""
        if not self.person.may(level, kind, name):
            raise Refusal(
                f"Permission denied: you may not {VERBS[level]} the {kind} {name!r}.",
                "PERMISSION_DENIED",
            )

    def check_run(self, level: int, run_id: str) -> None:
        """Check for the experiment of a run."""
        if not self._is_anyone:
            self.check(level, "experiment", self.places.of_run(run_id))

    def check_model(self, level: int, model_id: str) -> None:
        """Check for the experiment of a logged model."""
        if not self._is_anyone:
            self.check(level, "experiment", self.places.of_model(model_id))

    def check_location(self, location: str | None) -> None:
        """Refuse a folder of this machine that is not below the store's own artifacts."""
        path = local_path(location or "")
        if path is None or any(_is_below(path, root) for root in self._local_roots()):
            return
        raise Refusal(f"{location!r} is a folder of the server that is not for artifacts")

    def _local_roots(self) -> list[str]:
        roots = [self.store.artifact_root, getattr(self.store, "remote_root", None)]
        return [root for root in roots if root is not None and os.path.isabs(root)]


class GuardedArtifacts:
    """Files of a run or a logged model: reading was allowed, writing is asked for."""

    def __init__(self, files: Artifacts, check: Callable[[int], None]) -> None:
        self._check = check
        self.folder, self.open, self.list = files.folder, files.open, files.list
        self._files = files

    def put(self, path: str, content: Any) -> None:  # noqa: ANN401 - bytes or a stream
        """Write one file."""
        self._check(EDIT)
        self._files.put(path, content)

    def delete(self, path: str) -> None:
        """Delete one file or a folder."""
        self._check(MANAGE)
        self._files.delete(path)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - further ways of writing
        self._check(EDIT)
        return getattr(self._files, name)


def _is_below(path: str, root: str) -> bool:
    return os.path.realpath(path).startswith(os.path.realpath(root).rstrip("/") + "/")


def of_experiment(level: int) -> Rule:
    """Ask for a level of the experiment whose id comes first."""

    def rule(watch: Watch, call: Call, experiment_id: str, *rest: Any, **given: Any) -> Any:  # noqa: ANN401
        watch.check(level, "experiment", experiment_id)
        return call(experiment_id, *rest, **given)

    return rule


def of_run(level: int) -> Rule:
    """Ask for a level of the experiment of the run whose id comes first."""

    def rule(watch: Watch, call: Call, run_id: str, *rest: Any, **given: Any) -> Any:  # noqa: ANN401
        watch.check_run(level, run_id)
        return call(run_id, *rest, **given)

    return rule


def of_model(level: int) -> Rule:
    """Ask for a level of the experiment of the logged model that comes first, or its id."""

    def rule(watch: Watch, call: Call, model: LoggedModel | str, *rest: Any, **given: Any) -> Any:  # noqa: ANN401
        watch.check_model(level, model if isinstance(model, str) else model.model_id)
        return call(model, *rest, **given)

    return rule


def of_registered(level: int) -> Rule:
    """Ask for a level of the registered model that comes first, by name or as a value."""

    def rule(watch: Watch, call: Call, thing: Any, *rest: Any, **given: Any) -> Any:  # noqa: ANN401
        watch.check(level, "registered model", thing if isinstance(thing, str) else thing.name)
        return call(thing, *rest, **given)

    return rule


def _found_experiment(watch: Watch, call: Call, name: str) -> Experiment | None:
    found: Experiment | None = call(name)
    if found is not None:
        watch.check(READ, "experiment", found.experiment_id)
    return found


def _create_experiment(
    watch: Watch,
    call: Call,
    name: str,
    *,
    artifact_location: str | None = None,
    tags: Mapping[str, str] = EMPTY,
) -> Experiment:
    watch.check_location(artifact_location)
    made: Experiment = call(name, artifact_location=artifact_location, tags=tags)
    watch.person.made("experiment", made.experiment_id)
    return made


def _experiments(watch: Watch, call: Call) -> tuple[Experiment, ...]:
    may = watch.person.may
    return tuple(e for e in call() if may(READ, "experiment", e.experiment_id))


def _found_run(watch: Watch, call: Call, run_id: str) -> TrackedRun:
    run: TrackedRun = call(run_id)
    watch.check(READ, "experiment", watch.places.note(run_id, run.experiment_id))
    return run


def _create_run(watch: Watch, call: Call, run: TrackedRun) -> TrackedRun:
    watch.check(EDIT, "experiment", run.experiment_id)
    made: TrackedRun = call(run)
    watch.places.note(made.run_id, made.experiment_id)
    return made


def _move_run(watch: Watch, call: Call, run_id: str, experiment_id: str) -> TrackedRun:
    watch.check_run(MANAGE, run_id)
    watch.check(EDIT, "experiment", experiment_id)
    moved: TrackedRun = call(run_id, experiment_id)
    watch.places.note(run_id, experiment_id)
    return moved


def _in_experiments(watch: Watch, call: Call, ids: Iterable[str], *rest: Any, **given: Any) -> Any:  # noqa: ANN401
    may = watch.person.may
    return call([i for i in ids if may(READ, "experiment", i)], *rest, **given)


def _search(watch: Watch, call: Call, search: RunSearch) -> tuple[TrackedRun, ...] | None:
    may = watch.person.may
    ids = tuple(i for i in search.experiment_ids if may(READ, "experiment", i))
    found: tuple[TrackedRun, ...] | None = call(changed(search, experiment_ids=ids))
    for run in found or ():
        watch.places.note(run.run_id, run.experiment_id)
    return found


def _run_files(watch: Watch, call: Call, run: TrackedRun) -> GuardedArtifacts:
    def check(level: int) -> None:
        watch.check(level, "experiment", run.experiment_id)

    return GuardedArtifacts(call(run), check)


def _model_files(watch: Watch, call: Call, model: LoggedModel) -> GuardedArtifacts:
    def check(level: int) -> None:
        watch.check(level, "experiment", model.experiment_id)

    return GuardedArtifacts(call(model), check)


def _create_model(watch: Watch, call: Call, model: LoggedModel) -> LoggedModel:
    watch.check(EDIT, "experiment", model.experiment_id)
    made: LoggedModel = call(model)
    return made


def _found_model(watch: Watch, call: Call, model_id: str) -> LoggedModel:
    model: LoggedModel = call(model_id)
    watch.check(READ, "experiment", watch.places.note(model_id, model.experiment_id))
    return model


def _model_metrics(watch: Watch, call: Call, metrics: Iterable[ModelMetric]) -> None:
    metrics = tuple(metrics)
    for metric in metrics:
        watch.check_run(EDIT, metric.run_id)
        watch.check_model(EDIT, metric.model_id)
    call(metrics)


def _lineages(watch: Watch, call: Call, run_ids: Sequence[RunId]) -> Any:  # noqa: ANN401 - what the store finds
    for run_id in run_ids:
        watch.check_run(READ, run_id)
    return call(run_ids)


def _create_registered(watch: Watch, call: Call, model: RegisteredModel) -> RegisteredModel:
    made: RegisteredModel = call(model)
    watch.person.made("registered model", made.name)
    return made


def _registered(watch: Watch, call: Call) -> tuple[RegisteredModel, ...]:
    may = watch.person.may
    return tuple(m for m in call() if may(READ, "registered model", m.name))


def _rename_registered(watch: Watch, call: Call, name: str, new_name: str) -> RegisteredModel:
    watch.check(EDIT, "registered model", name)
    renamed: RegisteredModel = call(name, new_name)
    watch.person.renamed("registered model", name, new_name)
    return renamed


def _delete_registered(watch: Watch, call: Call, name: str) -> None:
    watch.check(MANAGE, "registered model", name)
    call(name)
    watch.person.renamed("registered model", name, None)


def _create_version(watch: Watch, call: Call, version: ModelVersion) -> ModelVersion:
    watch.check(EDIT, "registered model", version.name)
    watch.check_location(version.location)
    if version.run_id:
        watch.check_run(READ, version.run_id)
    made: ModelVersion = call(version)
    return made


TRACKING: Final[Mapping[str, Rule]] = {
    "experiment": of_experiment(READ),
    "experiment_named": _found_experiment,
    "create_experiment": _create_experiment,
    "experiments": _experiments,
    "update_experiment": of_experiment(EDIT),
    "delete_experiment_tag": of_experiment(EDIT),
    "delete_experiment": of_experiment(MANAGE),
    "restore_experiment": of_experiment(MANAGE),
    "move_run": _move_run,
    "create_run": _create_run,
    "run": _found_run,
    "update_run": of_run(EDIT),
    "log": of_run(EDIT),
    "delete_tag": of_run(EDIT),
    "history": of_run(READ),
    "runs": _in_experiments,
    "search_runs": _search,
    "artifacts": _run_files,
    "delete_run": of_run(MANAGE),
    "restore_run": of_run(MANAGE),
}
MODELS: Final[Mapping[str, Rule]] = {
    "create_model": _create_model,
    "model": _found_model,
    "models": _in_experiments,
    "update_model": of_model(EDIT),
    "delete_model": of_model(MANAGE),
    "model_artifacts": _model_files,
}
LINEAGE: Final[Mapping[str, Rule]] = {
    "lineage": of_run(READ),
    "lineages": _lineages,
    "log_lineage": of_run(EDIT),
    "log_model_metrics": _model_metrics,
}
REGISTRY: Final[Mapping[str, Rule]] = {
    "create_registered_model": _create_registered,
    "registered_model": of_registered(READ),
    "registered_models": _registered,
    "update_registered_model": of_registered(EDIT),
    "rename_registered_model": _rename_registered,
    "delete_registered_model": _delete_registered,
    "tag_registered_model": of_registered(EDIT),
    "set_alias": of_registered(EDIT),
    "delete_alias": of_registered(EDIT),
    "create_version": _create_version,
    "versions": of_registered(READ),
    "update_version": of_registered(EDIT),
    "tag_version": of_registered(EDIT),
    "delete_version": of_registered(MANAGE),
}
