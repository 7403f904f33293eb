"""A tracking store that has a bit of everything, to be copied."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from runner.model.tracking import (
    Dataset,
    DatasetInput,
    Lineage,
    LoggedModel,
    Metric,
    ModelMetric,
    ModelOutput,
    ModelVersion,
    RegisteredModel,
    TrackedRun,
)
from runner.model.value import RunId, changed

if TYPE_CHECKING:
    from runner.ports import TrackingStore

OLD = RunId("0" + "e" * 31)
PARENT, CHILD, GONE = RunId("a" * 32), RunId("b" * 32), RunId("c" * 32)
MODEL = "m-" + "d" * 32
STEPS = 1100
"""More values of one metric than fit into one batch."""


def fresh(run_id: str, **given: object) -> TrackedRun:
    fields: dict[str, object] = {
        "run_id": RunId(run_id),
        "experiment_id": "0",
        "name": f"run {run_id[:3]}",
        "status": "RUNNING",
        "started": 1_700_000_000_000,
        "ended": None,
        "artifact_uri": "",
        "user": "ada",
    }
    return TrackedRun(**{**fields, **given})  # type: ignore[arg-type]


def fill(store: TrackingStore) -> None:
    """Write two experiments, three runs (one deleted), a model, and versions of it."""
    wine = store.create_experiment("wine / größe", tags={"team": "blau"}).experiment_id
    parent = store.create_run(fresh(PARENT, experiment_id=wine, params={"alpha": "0.50", "e": ""}))
    _measure(store)
    store.artifacts(parent).put("a/b c.txt", "héé\n".encode())
    store.artifacts(parent).put("big.bin", io.BytesIO(bytes(range(256)) * 9000))
    child = fresh(
        CHILD,
        experiment_id=wine,
        started=1_700_000_001_000,
        tags={
            "mlflow.parentRunId": PARENT,
            "mlflow.log-model.history": f'[{{"run_id":"{CHILD}"}}]',
        },
    )
    store.create_run(child)
    gone = store.create_run(fresh(GONE, status="FAILED", ended=1_700_000_002_000))
    store.artifacts(gone).put("left.txt", b"x")
    _lineage(store, wine)
    _register(store)
    store.update_run(PARENT, status="FINISHED", ended=1_700_000_009_000)
    store.update_run(CHILD, status="KILLED", ended=1_700_000_009_500)
    store.delete_run(GONE)
    old = store.create_experiment("old").experiment_id
    store.create_run(fresh(OLD, experiment_id=old))
    store.delete_experiment(old)


def _measure(store: TrackingStore) -> None:
    values = (0.1, -0.0, 1e308, math.nan, math.inf, -math.inf)
    odd = [Metric(key="odd/values", value=v, timestamp=5, step=s) for s, v in enumerate(values)]
    loss = [Metric(key="loss", value=1 / (i + 1), timestamp=i, step=i) for i in range(STEPS)]
    store.log(PARENT, metrics=[*odd, *loss], tags={"multi": "line\nline"})


def _lineage(store: TrackingStore, experiment_id: str) -> None:
    models, lineages = store.model_store, store.lineage_store
    assert models
    assert lineages
    model = models.create_model(
        LoggedModel(
            model_id=MODEL,
            experiment_id=experiment_id,
            name="classifier",
            source_run_id=PARENT,
            created=1_700_000_003_000,
            updated=1_700_000_004_000,
            params={"depth": "3"},
            tags={"of": PARENT},
        )
    )
    models.model_artifacts(model).put("MLmodel", b"flavors: {}\n")
    models.update_model(changed(model, status="READY"))
    data = Dataset(name="wine", digest="1f", source_type="local", source='{"uri": "w.csv"}')
    lineages.log_lineage(
        PARENT,
        Lineage(
            datasets=(DatasetInput(dataset=data, tags={"mlflow.data.context": "training"}),),
            outputs=(ModelOutput(model_id=MODEL, step=2),),
        ),
    )
    lineages.log_lineage(CHILD, Lineage(models=(MODEL,)))
    point = Metric(key="accuracy", value=0.75, timestamp=7, step=2)
    store.log(PARENT, metrics=[point])  # as MLflow does: it is the run's, too
    measured = ModelMetric(
        model_id=MODEL, run_id=PARENT, metric=point, dataset_name="wine", dataset_digest="1f"
    )
    lineages.log_model_metrics([measured])


def _register(store: TrackingStore) -> None:
    registry = store.registry_store
    assert registry
    registry.create_registered_model(
        RegisteredModel(name="Wine", created=1, updated=1, description="red", tags={"k": "v"})
    )
    for number, source in enumerate((f"models:/{MODEL}", store.run(PARENT).artifact_uri + "/a")):
        registry.create_version(
            ModelVersion(
                name="Wine",
                version=0,
                created=2,
                updated=2,
                source=source,
                location=source,
                run_id=PARENT,
                description=f"number {number}",
                stage=("Archived", "Production")[number],
                tags={"n": str(number)},
            )
        )
    registry.set_alias("Wine", "champion", 2)
    last = registry.versions("Wine")[-1]
    for _ in range(2):
        registry.create_version(changed(last, stage="None", tags={}))
    registry.delete_version("Wine", 3)
