"""A run -> the files that it made: its artifacts, and those of the models that MLflow 3 logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import StoreError
from runner.model.value import Value
from runner.pipeline.record import FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model.tracking import LoggedModel, Metric, TrackedRun
    from runner.ports import Artifacts, TrackingStore

MODELS = "models"
"""The folder under which the files of logged models are named: ``models/NAME/path``."""


class Produced(Value):
    """One file: whose it is, its path there, and its size in bytes."""

    artifacts: Artifacts
    path: str
    size: int


def models_of(store: TrackingStore, run: TrackedRun) -> tuple[tuple[str, LoggedModel], ...]:
    """Return the models that a run logged, the oldest first, each under a name of its own.

    A store that is too old for them, or a server that does not know them, has none.
    """
    if store.model_store is None:
        return ()
    try:
        found = store.model_store.models([run.experiment_id])
    except StoreError:
        return ()
    named: dict[str, LoggedModel] = {}
    for model in sorted(found, key=lambda m: (m.created, m.model_id)):
        if model.source_run_id == run.run_id:
            again = sum(other.name == model.name for other in named.values())
            named[f"{model.name}#{again + 1}" if again else model.name] = model
    return tuple(named.items())


def produced(store: TrackingStore, run: TrackedRun) -> dict[str, Produced]:
    """Return the files that the project made, by name; those of Runproj itself are left out."""
    artifacts = store.artifacts(run)
    found = {
        item.path: Produced(artifacts=artifacts, path=item.path, size=item.size)
        for item in artifacts.list()
        if not item.path.startswith(f"{FOLDER}/")
    }
    if store.model_store is None:
        return found
    for name, model in models_of(store, run):
        files = store.model_store.model_artifacts(model)
        for item in files.list():
            place = f"{MODELS}/{name}/{item.path}"
            found[place] = Produced(artifacts=files, path=item.path, size=item.size)
    return found


def measured(store: TrackingStore, run: TrackedRun) -> dict[str, list[Metric]]:
    """Return what a run measured of the models that it logged, by name.

    A metric is named ``models/NAME/KEY``, and ``models/NAME/KEY on DATASET`` where it was measured
    on a dataset. What other runs measured of the models is none of this run's results.
    """
    found: dict[str, list[Metric]] = {}
    for name, model in models_of(store, run):
        for point in model.metrics:
            if point.run_id == run.run_id:
                on = f" on {point.dataset_name}" if point.dataset_name else ""
                key = f"{MODELS}/{name}/{point.metric.key}{on}"
                found.setdefault(key, []).append(point.metric)
    return found


def own_names(store: TrackingStore, run: TrackedRun) -> Mapping[str, str]:
    """Return the words that mean this run or its models, and what they mean in every run."""
    names: dict[str, str] = {run.run_id: "<run>"}
    for name, model in models_of(store, run):
        names[model.model_id] = f"<model {name}>"
    return names
