"""The logged models of a tracking server, which MLflow's servers keep since 3.0."""

from __future__ import annotations

from runner.errors import StoreError
from runner.model.tracking import LoggedModel, ModelMetric
from runner.model.value import RunId, changed
from runner.stores import rules, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from runner.codec import JSON
    from runner.ports import Artifacts
    from runner.stores.transport import Server

MODELS = "mlflow/logged-models"
WORD = "LOGGED_MODEL_"
"""How the names of statuses begin in MLflow's messages."""
PAGE = 50


class RestModels:
    """See ``runner.ports.ModelStore``; the ids of models are the server's to choose."""

    def __init__(self, server: Server, files: Callable[[str], Artifacts]) -> None:
        self._server = server
        self._files = files

    def create_model(self, model: LoggedModel) -> LoggedModel:
        """Add a model; the returned one has the id and the times that the server chose."""
        params = wire.pairs(model.params)
        answer: Any = self._server.post(
            MODELS,
            {
                "experiment_id": model.experiment_id,
                "name": model.name,
                "model_type": model.model_type,
                "source_run_id": model.source_run_id,
                "params": params[: rules.PARAMS_A_BATCH],
                "tags": wire.pairs(model.tags),
            },
            repeatable=False,
        )
        made = _model(answer["model"])
        self._log_params(made.model_id, params[rules.PARAMS_A_BATCH :])
        if model.status not in {"UNSPECIFIED", made.status}:
            self._finalize(made.model_id, model.status)
        return changed(made, status=model.status, params=model.params, tags=model.tags)

    def model(self, model_id: str) -> LoggedModel:
        """Return one model."""
        answer: Any = self._server.get(f"{MODELS}/{_id(model_id)}")
        return _model(answer["model"])

    def models(self, experiment_ids: Iterable[str]) -> tuple[LoggedModel, ...]:
        """Return the models of some experiments, newest first."""
        ids = [*experiment_ids]
        found: list[LoggedModel] = []
        page = ""
        while ids:
            query: dict[str, JSON] = {"experiment_ids": [*ids], "max_results": PAGE}
            if page:
                query["page_token"] = page
            answer = self._server.post(f"{MODELS}/search", query)
            found += map(_model, wire.items(answer, "models"))
            page = str(answer.get("next_page_token") or "")
            if not page:
                break
        found.sort(key=lambda model: (-model.created, model.model_id))
        return tuple(found)

    def update_model(self, model: LoggedModel) -> LoggedModel:
        """Write status, tags and params anew; a server keeps the params that are there."""
        there = self.model(model.model_id)
        place = f"{MODELS}/{_id(model.model_id)}"
        for key in there.tags.keys() - model.tags.keys():
            self._server.delete(f"{place}/tags/{key}")
        if tags := {k: v for k, v in model.tags.items() if there.tags.get(k) != v}:
            self._server.patch(f"{place}/tags", {"tags": wire.pairs(tags)})
        new = {k: v for k, v in model.params.items() if k not in there.params}
        self._log_params(model.model_id, wire.pairs(new))
        if model.status not in {"UNSPECIFIED", there.status}:
            self._finalize(model.model_id, model.status)
        return self.model(model.model_id)

    def delete_model(self, model_id: str) -> None:
        """Mark a model as deleted."""
        self._server.delete(f"{MODELS}/{_id(model_id)}")

    def model_artifacts(self, model: LoggedModel) -> Artifacts:
        """Return the model's files."""
        return self._files(model.artifact_uri)

    def _log_params(self, model_id: str, params: list[JSON]) -> None:
        for start in range(0, len(params), rules.PARAMS_A_BATCH):
            batch = params[start : start + rules.PARAMS_A_BATCH]
            self._server.post(f"{MODELS}/{model_id}/params", {"params": [*batch]})

    def _finalize(self, model_id: str, status: str) -> None:
        document: dict[str, JSON] = {"model_id": model_id, "status": WORD + status}
        self._server.patch(f"{MODELS}/{model_id}", document)


def keeps_models(server: Server) -> bool:
    """Ask a server whether it knows logged models; those before MLflow 3 do not."""
    try:
        server.post(f"{MODELS}/search", {"experiment_ids": ["0"], "max_results": 1})
    except StoreError as error:
        if error.status in {"ENDPOINT_NOT_FOUND", rules.MISSING}:
            return False
        raise
    return True


def _id(model_id: str) -> str:
    rules.check_run_id(model_id)
    return model_id


def _model(found: Any) -> LoggedModel:  # noqa: ANN401 - parsed JSON
    info, data = found["info"], found.get("data", {})
    status = str(info.get("status", "")).removeprefix(WORD).removeprefix("STATUS_")
    return LoggedModel(
        model_id=info["model_id"],
        experiment_id=str(info["experiment_id"]),
        name=info.get("name", ""),
        artifact_uri=info.get("artifact_uri", ""),
        status=status or "UNSPECIFIED",
        status_message=info.get("status_message") or None,
        model_type=info.get("model_type", ""),
        source_run_id=info.get("source_run_id", ""),
        created=wire.milliseconds(info.get("creation_timestamp_ms")) or 0,
        updated=wire.milliseconds(info.get("last_updated_timestamp_ms")) or 0,
        params=wire.texts(data.get("params")),
        tags=wire.texts(info.get("tags")),
        metrics=tuple(
            ModelMetric(
                model_id=info["model_id"],
                run_id=RunId(metric.get("run_id", "")),
                metric=wire.metric(metric),
                dataset_name=metric.get("dataset_name") or None,
                dataset_digest=metric.get("dataset_digest") or None,
            )
            for metric in data.get("metrics") or ()
        ),
    )
