"""The store's values as MLflow's JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runner.model.tracking import Lineage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.codec import JSON
    from runner.model.tracking import (
        DatasetInput,
        Experiment,
        LoggedModel,
        Metric,
        ModelMetric,
        ModelVersion,
        RegisteredModel,
        TrackedRun,
    )
    from runner.model.value import RunId
    from runner.serving.service import Service

LOGGED = "models:/m-"
"""How the URI of a logged model begins."""
NO_LINEAGE = Lineage()
MODEL_STATUS = {
    "UNSPECIFIED": "LOGGED_MODEL_STATUS_UNSPECIFIED",
    "PENDING": "LOGGED_MODEL_PENDING",
    "READY": "LOGGED_MODEL_READY",
    "UPLOAD_FAILED": "LOGGED_MODEL_UPLOAD_FAILED",
}


def pairs(mapping: Mapping[str, str]) -> list[JSON]:
    """Write a mapping as MLflow's list of keys and values."""
    return [{"key": key, "value": value} for key, value in mapping.items()]


def _number(value: float) -> JSON:
    """Write a number as JSON of protocol buffers does: NaN and infinities are words."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def metric_json(metric: Metric) -> dict[str, JSON]:
    """Write one measured number."""
    return {
        "key": metric.key,
        "value": _number(metric.value),
        "timestamp": metric.timestamp,
        "step": metric.step,
    }


def experiment_json(service: Service, experiment: Experiment) -> dict[str, JSON]:
    """Write an experiment."""
    found: dict[str, JSON] = {
        "experiment_id": experiment.experiment_id,
        "name": experiment.name,
        "artifact_location": service.experiment_location(
            experiment.experiment_id, experiment.artifact_location
        ),
        "lifecycle_stage": experiment.lifecycle,
        "tags": pairs(experiment.tags),
    }
    if experiment.created is not None:
        found["creation_time"] = experiment.created
    if experiment.updated is not None:
        found["last_update_time"] = experiment.updated
    return found


def run_info(service: Service, run: TrackedRun) -> dict[str, JSON]:
    """Write what is known about a run, without its data."""
    found: dict[str, JSON] = {
        "run_id": run.run_id,
        "run_uuid": run.run_id,
        "run_name": run.name,
        "experiment_id": run.experiment_id,
        "user_id": run.user,
        "status": run.status,
        "artifact_uri": service.run_location(run),
        "lifecycle_stage": run.lifecycle,
    }
    if run.started is not None:
        found["start_time"] = run.started
    if run.ended is not None:
        found["end_time"] = run.ended
    return found


def runs_json(service: Service, runs: Sequence[TrackedRun]) -> list[JSON]:
    """Write runs with everything that belongs to them."""
    lineages = getattr(service.known_lineages, "lineages", None)
    if lineages is None:
        return [run_json(service, run) for run in runs]
    found: Mapping[RunId, Lineage] = lineages([run.run_id for run in runs])
    return [run_json(service, run, found.get(run.run_id, NO_LINEAGE)) for run in runs]


def run_json(service: Service, run: TrackedRun, lineage: Lineage | None = None) -> dict[str, JSON]:
    """Write a run with everything that belongs to it; its lineage is looked up when not given."""
    found: dict[str, JSON] = {
        "info": run_info(service, run),
        "data": {
            "metrics": [metric_json(metric) for metric in run.metrics.values()],
            "params": pairs(run.params),
            "tags": pairs(run.tags),
        },
    }
    if lineage is None and service.known_lineages is not None:
        lineage = service.known_lineages.lineage(run.run_id)
    if lineage is not None:
        found["inputs"] = _inputs(lineage)
        found["outputs"] = {
            "model_outputs": [{"model_id": o.model_id, "step": o.step} for o in lineage.outputs]
        }
    return found


def _inputs(lineage: Lineage) -> dict[str, JSON]:
    return {
        "dataset_inputs": [_dataset_input(item) for item in lineage.datasets],
        "model_inputs": [{"model_id": model_id} for model_id in lineage.models],
    }


def _dataset_input(item: DatasetInput) -> JSON:
    dataset: dict[str, JSON] = {
        "name": item.dataset.name,
        "digest": item.dataset.digest,
        "source_type": item.dataset.source_type,
        "source": item.dataset.source,
    }
    if item.dataset.schema is not None:
        dataset["schema"] = item.dataset.schema
    if item.dataset.profile is not None:
        dataset["profile"] = item.dataset.profile
    return {"dataset": dataset, "tags": pairs(item.tags)}


def model_json(service: Service, model: LoggedModel) -> dict[str, JSON]:
    """Write a logged model."""
    info: dict[str, JSON] = {
        "model_id": model.model_id,
        "experiment_id": model.experiment_id,
        "name": model.name,
        "creation_timestamp_ms": model.created,
        "last_updated_timestamp_ms": model.updated,
        "artifact_uri": service.model_location(model),
        "status": MODEL_STATUS[model.status],
        "model_type": model.model_type,
        "source_run_id": model.source_run_id,
        "tags": pairs(model.tags),
    }
    if model.status_message:
        info["status_message"] = model.status_message
    return {
        "info": info,
        "data": {
            "params": pairs(model.params),
            "metrics": [_model_metric(metric) for metric in model.metrics],
        },
    }


def _model_metric(measured: ModelMetric) -> JSON:
    found = metric_json(measured.metric)
    found |= {"model_id": measured.model_id, "run_id": measured.run_id}
    if measured.dataset_name is not None:
        found["dataset_name"] = measured.dataset_name
    if measured.dataset_digest is not None:
        found["dataset_digest"] = measured.dataset_digest
    return found


def registered_json(
    service: Service, model: RegisteredModel, versions: Iterable[ModelVersion]
) -> dict[str, JSON]:
    """Write a registered model with the newest version of each stage."""
    latest = {version.stage: version for version in versions}
    return {
        "name": model.name,
        "creation_timestamp": model.created,
        "last_updated_timestamp": model.updated,
        "description": model.description,
        "tags": pairs(model.tags),
        "aliases": [{"alias": a, "version": str(v)} for a, v in model.aliases.items()],
        "latest_versions": [version_json(service, model, v) for v in latest.values()],
    }


def version_json(
    service: Service, model: RegisteredModel, version: ModelVersion
) -> dict[str, JSON]:
    """Write a version of a registered model."""
    found: dict[str, JSON] = {
        "name": version.name,
        "version": str(version.version),
        "creation_timestamp": version.created,
        "last_updated_timestamp": version.updated,
        "user_id": version.user,
        "current_stage": version.stage,
        "description": version.description,
        "source": service.public_location(version.source),
        "run_id": version.run_id,
        "run_link": version.run_link,
        "status": version.status,
        "tags": pairs(version.tags),
        "aliases": [a for a, number in model.aliases.items() if number == version.version],
    }
    if version.source.startswith(LOGGED):
        found["model_id"] = version.source.removeprefix("models:/")
    return found
