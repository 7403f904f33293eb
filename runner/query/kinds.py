"""What can be asked of runs, experiments and logged models in a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.model.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    Answer: TypeAlias = str | float | tuple[str, ...] | None


PROMPT = "mlflow.prompt.is_prompt"
"""The tag of registered prompts, by which clients from MLflow 2.21 on leave them out."""


class Kind(Value):
    """What can be asked of one kind of things.

    ``attributes`` read a text or a number, under the names that clients use; ``params``, ``tags``
    and ``metrics`` read one of a key. All return None for what is not there. ``datasets`` read a
    name, digest or context of each dataset that a run has read.
    """

    attributes: Mapping[str, Callable[..., str | float | None]]
    tags: Callable[..., str | None]
    params: Callable[..., str | None] | None = None
    metrics: Callable[..., float | None] | None = None
    datasets: Callable[..., tuple[str, ...]] | None = None

    def reads(self, source: str) -> Callable[..., Answer] | None:
        """Return what reads a ``tag``, ``param``, ``metric`` or ``dataset`` of a key."""
        readers: dict[str, Callable[..., Answer] | None] = {
            "tag": self.tags,
            "param": self.params,
            "metric": self.metrics,
            "dataset": self.datasets,
        }
        return readers[source]

    def read(self, source: str, key: str, thing: object) -> Answer:
        """Return what a thing has, None when it has not."""
        if source == "attribute":
            return self.attributes[key](thing)
        reader = self.reads(source)
        return reader(thing, key) if reader else None


def _metric(thing: object, key: str) -> float | None:
    metric = thing.metrics.get(key)  # type: ignore[attr-defined]  # a TrackedRun
    return None if metric is None else float(metric.value)


def _model_metric(thing: object, key: str) -> float | None:
    found = [m.metric for m in thing.metrics if m.metric.key == key]  # type: ignore[attr-defined]
    latest = max(found, key=lambda m: (m.step, m.timestamp), default=None)
    return None if latest is None else float(latest.value)


def _attribute(name: str) -> Callable[..., str | float | None]:
    def read(thing: object) -> str | float | None:
        value: str | float | None = getattr(thing, name)
        return value

    return read


def _tag(thing: object, key: str) -> str | None:
    value: str | None = thing.tags.get(key)  # type: ignore[attr-defined]
    return value


def _registry_tag(thing: object, key: str) -> str | None:
    """Return a tag; what does not say whether it is a prompt, is a model, as clients assume."""
    return _tag(thing, key) or ("false" if key == PROMPT else None)


def _param(thing: object, key: str) -> str | None:
    value: str | None = thing.params.get(key)  # type: ignore[attr-defined]
    return value


def _attributes(**names: str) -> dict[str, Callable[..., str | float | None]]:
    return {shown: _attribute(field) for shown, field in names.items()}


RUN = Kind(
    attributes=_attributes(
        run_id="run_id",
        run_name="name",
        status="status",
        user_id="user",
        start_time="started",
        created="started",
        end_time="ended",
        artifact_uri="artifact_uri",
        experiment_id="experiment_id",
    ),
    tags=_tag,
    params=_param,
    metrics=_metric,
)
EXPERIMENT = Kind(
    attributes=_attributes(
        experiment_id="experiment_id",
        name="name",
        creation_time="created",
        last_update_time="updated",
    ),
    tags=_tag,
)
MODEL = Kind(
    attributes=_attributes(
        model_id="model_id",
        experiment_id="experiment_id",
        name="name",
        model_name="name",
        model_type="model_type",
        source_run_id="source_run_id",
        status="status",
        creation_time="created",
        creation_timestamp="created",
        last_updated_timestamp="updated",
    ),
    tags=_tag,
    params=_param,
    metrics=_model_metric,
)
REGISTERED = Kind(
    attributes=_attributes(
        name="name", creation_timestamp="created", last_updated_timestamp="updated"
    ),
    tags=_registry_tag,
)
VERSION = Kind(
    attributes=_attributes(
        name="name",
        version_number="version",
        run_id="run_id",
        source_path="source",
        creation_timestamp="created",
        last_updated_timestamp="updated",
    ),
    tags=_registry_tag,
)
