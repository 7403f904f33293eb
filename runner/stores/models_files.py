"""Logged models in the file layout of MLflow 3: ``<experiment>/models/<model>/``."""

from __future__ import annotations

import os

from runner.errors import StoreError
from runner.model.tracking import LoggedModel, Metric, ModelMetric
from runner.model.value import RunId, changed
from runner.stores import metafile, rules, runfolder
from runner.stores.metafile import on_disk
from runner.stores.models_sqlite import STATUSES, check_model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import RLock
    from collections.abc import Callable, Iterable, Iterator

    from runner.codec import JSON
    from runner.model.tracking import Experiment
    from runner.ports import Artifacts

_UNDATED = 4
"""The words of a metric's line: time, value, step, run; then name and digest of a dataset."""


class FileModels:
    """The logged models of one folder of experiments; see ``runner.ports.ModelStore``."""

    def __init__(
        self,
        root: str,
        lock: RLock,
        *,
        experiment: Callable[[str], Experiment],
        folder_of: Callable[[str], Artifacts],
    ) -> None:
        self._root = root
        self._lock = lock
        self._experiment = experiment
        self._folder_of = folder_of

    def create_model(self, model: LoggedModel) -> LoggedModel:
        """Add a model; without an artifact URI it gets ``<experiment>/models/<id>/artifacts``."""
        check_model(model)
        rules.check_run_id(model.model_id)
        experiment = self._experiment(model.experiment_id)
        if experiment.lifecycle != "active":
            raise rules.not_active("experiment", experiment.name)
        location = experiment.artifact_location.rstrip("/")
        uri = model.artifact_uri or f"{location}/models/{model.model_id}/artifacts"
        model = changed(model, artifact_uri=uri)
        folder = os.path.join(self._root, model.experiment_id, "models", model.model_id)
        with self._lock, on_disk(self._root):
            if os.path.exists(os.path.join(folder, metafile.NAME)):
                raise rules.taken(f"there is a logged model {model.model_id!r} already")
            for kind in ("params", "metrics", "tags"):
                os.makedirs(os.path.join(folder, kind), exist_ok=True)
            runfolder.put_texts(folder, "params", model.params)
            runfolder.put_texts(folder, "tags", model.tags)
            metafile.write(folder, _meta(model))
        return model

    def model(self, model_id: str) -> LoggedModel:
        """Return one model that is not deleted."""
        with on_disk(self._root):
            return _model(self._folder(model_id))

    def models(self, experiment_ids: Iterable[str]) -> tuple[LoggedModel, ...]:
        """Return the models of some experiments, newest first."""
        with on_disk(self._root):
            found = [
                _model(folder)
                for experiment_id in dict.fromkeys(experiment_ids)
                for folder in self._folders(experiment_id)
            ]
        return tuple(sorted(found, key=lambda model: (-model.created, model.model_id)))

    def update_model(self, model: LoggedModel) -> LoggedModel:
        """Write status, tags and params anew."""
        check_model(model)
        with self._lock, on_disk(self._root):
            folder = self._folder(model.model_id)
            for key in runfolder.texts(folder, "tags").keys() - model.tags.keys():
                runfolder.delete_tag(folder, model.model_id, key)
            runfolder.put_texts(folder, "tags", model.tags)
            runfolder.put_texts(folder, "params", model.params)
            metafile.write(folder, _meta(model))
            return _model(folder)

    def delete_model(self, model_id: str) -> None:
        """Mark a model as deleted."""
        with self._lock, on_disk(self._root):
            folder = self._folder(model_id)
            meta = metafile.read(folder)
            metafile.write(folder, {**meta, "lifecycle_stage": "deleted"})

    def model_artifacts(self, model: LoggedModel) -> Artifacts:
        """Return the model's files."""
        return self._folder_of(model.artifact_uri)

    def log_metrics(self, metrics: Iterable[ModelMetric]) -> None:
        """Append metrics of models to their histories."""
        with self._lock, on_disk(self._root):
            for measured in metrics:
                rules.check_key("metric", measured.metric.key)
                _add_metric(self._folder(measured.model_id), measured)

    def _folder(self, model_id: str) -> str:
        """Return the folder of a model that is not deleted."""
        if rules.is_plain_name(model_id) and os.path.isdir(self._root):
            for experiment_id in os.listdir(self._root):
                folder = os.path.join(self._root, experiment_id, "models", model_id)
                if _is_active(folder):
                    return folder
        raise rules.missing(f"there is no logged model {model_id!r}")

    def _folders(self, experiment_id: str) -> Iterator[str]:
        if not rules.is_plain_name(experiment_id):
            return
        above = os.path.join(self._root, experiment_id, "models")
        if os.path.isdir(above):
            for name in sorted(os.listdir(above)):
                folder = os.path.join(above, name)
                if _is_active(folder):
                    yield folder


def _is_active(folder: str) -> bool:
    try:
        return metafile.read(folder).get("lifecycle_stage", "active") == "active"
    except (FileNotFoundError, NotADirectoryError, StoreError):
        return False


def _meta(model: LoggedModel) -> dict[str, JSON]:
    return {
        "artifact_location": model.artifact_uri,
        "creation_timestamp": model.created,
        "experiment_id": model.experiment_id,
        "last_updated_timestamp": model.updated,
        "model_id": model.model_id,
        "model_type": rules.storable(model.model_type) or None,
        "name": rules.storable(model.name),
        "source_run_id": model.source_run_id or None,
        "status": STATUSES.index(model.status),
        "status_message": model.status_message,
    }


def _model(folder: str) -> LoggedModel:
    meta = metafile.read(folder)
    status = meta.get("status")
    known = isinstance(status, int) and 0 <= status < len(STATUSES)
    model_id = os.path.basename(folder)
    return LoggedModel(
        model_id=model_id,
        experiment_id=str(meta.get("experiment_id", "")),
        name=str(meta.get("name") or model_id),
        artifact_uri=str(meta.get("artifact_location") or ""),
        status=STATUSES[status] if known and isinstance(status, int) else STATUSES[0],
        status_message=_text(meta.get("status_message")),
        model_type=_text(meta.get("model_type")) or "",
        source_run_id=_text(meta.get("source_run_id")) or "",
        created=runfolder.number(meta.get("creation_timestamp")) or 0,
        updated=runfolder.number(meta.get("last_updated_timestamp")) or 0,
        params=runfolder.texts(folder, "params"),
        tags=runfolder.texts(folder, "tags"),
        metrics=tuple(_metrics(folder, model_id)),
    )


def _text(value: JSON) -> str | None:
    return None if value is None else str(value)


def _metrics(folder: str, model_id: str) -> Iterator[ModelMetric]:
    for key, content in runfolder.texts(folder, "metrics").items():
        for line in content.splitlines():
            words = line.split(" ")
            try:
                metric = Metric(
                    key=key, timestamp=int(words[0]), value=float(words[1]), step=int(words[2])
                )
                run_id = RunId(words[3])
            except (ValueError, IndexError):  # a line that was cut off
                continue
            yield ModelMetric(
                model_id=model_id,
                run_id=run_id,
                metric=metric,
                dataset_name=" ".join(words[_UNDATED:-1]) or None,
                dataset_digest=words[-1] if len(words) > _UNDATED + 1 else None,
            )


def _add_metric(folder: str, measured: ModelMetric) -> None:
    metric = measured.metric
    words = [str(metric.timestamp), repr(float(metric.value)), str(metric.step), measured.run_id]
    if measured.dataset_name and measured.dataset_digest:
        name = " ".join(measured.dataset_name.split())
        words += [name, "".join(measured.dataset_digest.split())]
    path = os.path.join(folder, "metrics", *metric.key.split("/"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    line = f"{' '.join(words)}\n".encode("utf-8", "backslashreplace")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    with os.fdopen(descriptor, "ab") as file:
        file.write(line)
