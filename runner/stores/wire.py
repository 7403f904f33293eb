"""MLflow's JSON messages <-> values, with the oddities of its clients and servers."""

from __future__ import annotations

import json

from runner.model.tracking import Experiment, Metric, TrackedRun
from runner.model.value import RunId
from runner.stores import rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from runner.codec import JSON

BATCH_BYTES = 900_000
"""How much text one batch may hold; the server's limit is 1 MB of JSON."""


def batches(
    metrics: tuple[Metric, ...], params: Mapping[str, str], tags: Mapping[str, str]
) -> Iterator[dict[str, JSON]]:
    """Cut what is to be logged into batches within the server's limits of number and size."""
    numbers: list[JSON] = [measured(metric) for metric in metrics]
    queues = (
        ("params", pairs(params), rules.PARAMS_A_BATCH),
        ("tags", pairs(tags), rules.TAGS_A_BATCH),
        ("metrics", numbers, rules.METRICS_A_BATCH),
    )
    batch: dict[str, JSON] = {}
    count = size = 0
    for kind, items, most in queues:
        for item in items:
            length = len(json.dumps(item))
            ours: Any = batch.get(kind, [])
            full = len(ours) >= most or count >= rules.METRICS_A_BATCH
            if full or size + length > BATCH_BYTES:
                yield batch
                batch, count, size = {}, 0, 0
                ours = []
            ours.append(item)
            batch[kind] = ours
            count, size = count + 1, size + length
    if batch:
        yield batch


def pairs(values: Mapping[str, str]) -> list[JSON]:
    """Return a mapping as MLflow's list of keys and values."""
    return [{"key": key, "value": rules.storable(value)} for key, value in values.items()]


def measured(metric: Metric) -> JSON:
    """Return a metric as protobuf's JSON has it: NaN and the infinities are texts."""
    value: JSON = float(metric.value)
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 - NaN
        value = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    return {"key": metric.key, "value": value, "timestamp": metric.timestamp, "step": metric.step}


def items(answer: Mapping[str, JSON], name: str) -> list[Any]:
    """Return a list that an answer may leave out when it is empty."""
    found = answer.get(name)
    return found if isinstance(found, list) else []


def texts(items: list[Any] | None) -> dict[str, str]:
    """Return MLflow's list of keys and values as a mapping."""
    return {item["key"]: item.get("value", "") for item in items or ()}


def run_id_of(info: Any) -> str:  # noqa: ANN401 - parsed JSON
    """Return a run's id under its new or its old name."""
    return str(info.get("run_id") or info["run_uuid"])


def milliseconds(value: Any) -> int | None:  # noqa: ANN401 - parsed JSON
    """Return a time, which Java writes as text."""
    return None if value in {None, ""} else int(value)


def metric(found: Any) -> Metric:  # noqa: ANN401 - parsed JSON
    """Return a metric."""
    return Metric(
        key=found["key"],
        value=float(found.get("value", 0.0)),
        timestamp=int(found.get("timestamp", 0)),
        step=int(found.get("step", 0)),
    )


def experiment(found: Any) -> Experiment:  # noqa: ANN401 - parsed JSON
    """Return an experiment."""
    return Experiment(
        experiment_id=str(found["experiment_id"]),
        name=found.get("name", ""),
        artifact_location=found.get("artifact_location", ""),
        lifecycle=found.get("lifecycle_stage", "active"),
        created=milliseconds(found.get("creation_time")),
        updated=milliseconds(found.get("last_update_time")),
        tags=texts(found.get("tags")),
    )


def run(found: Any) -> TrackedRun:  # noqa: ANN401 - parsed JSON
    """Return a run."""
    info, data = found["info"], found.get("data", {})
    tags = texts(data.get("tags"))
    return TrackedRun(
        run_id=RunId(run_id_of(info)),
        experiment_id=str(info["experiment_id"]),
        name=info.get("run_name") or tags.get(rules.RUN_NAME_TAG, ""),
        status=info.get("status", "RUNNING"),
        started=milliseconds(info.get("start_time")),
        ended=milliseconds(info.get("end_time")),
        artifact_uri=info.get("artifact_uri", ""),
        user=info.get("user_id", ""),
        lifecycle=info.get("lifecycle_stage", "active"),
        params=texts(data.get("params")),
        tags=tags,
        metrics={m["key"]: metric(m) for m in data.get("metrics", ())},
    )
