"""What the runs of a tracking server read and made."""

from __future__ import annotations

from runner.errors import StoreError
from runner.model.tracking import Dataset, DatasetInput, Lineage, ModelOutput
from runner.stores import rules, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from runner.codec import JSON
    from runner.model.tracking import ModelMetric
    from runner.model.value import RunId
    from runner.stores.transport import Server


class RestLineage:
    """See ``runner.ports.LineageStore``."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def lineage(self, run_id: RunId) -> Lineage:
        """Return the run's datasets, models and outputs; none of what an old server forgets."""
        rules.check_run_id(run_id)
        answer: Any = self._server.get("mlflow/runs/get", run_id=run_id, run_uuid=run_id)
        inputs, outputs = answer["run"].get("inputs") or {}, answer["run"].get("outputs") or {}
        return Lineage(
            datasets=tuple(map(_dataset_input, inputs.get("dataset_inputs") or ())),
            models=tuple(item["model_id"] for item in inputs.get("model_inputs") or ()),
            outputs=tuple(
                ModelOutput(model_id=item["model_id"], step=int(item.get("step") or 0))
                for item in outputs.get("model_outputs") or ()
            ),
        )

    def log_lineage(self, run_id: RunId, lineage: Lineage) -> None:
        """Add datasets, models and outputs; what is there already stays as it is."""
        there = self.lineage(run_id)
        known = {(item.dataset.name, item.dataset.digest) for item in there.datasets}
        datasets: list[JSON] = [
            _document(item)
            for item in lineage.datasets
            if (item.dataset.name, item.dataset.digest) not in known
        ]
        models: list[JSON] = [
            {"model_id": model_id} for model_id in lineage.models if model_id not in there.models
        ]
        outputs: list[JSON] = [
            {"model_id": output.model_id, "step": output.step}
            for output in lineage.outputs
            if output not in there.outputs
        ]
        if datasets or models:
            document: dict[str, JSON] = {"run_id": run_id, "datasets": datasets}
            if models:  # which servers before MLflow 3 would refuse
                document["models"] = models
            self._server.post("mlflow/runs/log-inputs", document)
        if outputs:
            self._server.post("mlflow/runs/outputs", {"run_id": run_id, "models": outputs})

    def log_model_metrics(self, metrics: Iterable[ModelMetric]) -> None:
        """Add metrics of logged models; servers keep them as metrics of their runs, too."""
        queues: dict[RunId, list[JSON]] = {}
        for item in metrics:
            measured: Any = wire.measured(item.metric)
            measured["model_id"] = item.model_id
            if item.dataset_name is not None:
                measured["dataset_name"] = item.dataset_name
            if item.dataset_digest is not None:
                measured["dataset_digest"] = item.dataset_digest
            queues.setdefault(item.run_id, []).append(measured)
        for run_id, queue in queues.items():
            for start in range(0, len(queue), rules.METRICS_A_BATCH):
                batch = queue[start : start + rules.METRICS_A_BATCH]
                self._server.post("mlflow/runs/log-batch", {"run_id": run_id, "metrics": [*batch]})


def keeps_datasets(server: Server) -> bool:
    """Ask a server whether it knows datasets; those before MLflow 2.4 do not."""
    try:
        server.post("mlflow/runs/log-inputs", {}, repeatable=False)
    except StoreError as error:
        if error.status == "ENDPOINT_NOT_FOUND":
            return False
        if error.status in {"TEMPORARILY_UNAVAILABLE", "PERMISSION_DENIED"}:
            raise
    return True


def _document(item: DatasetInput) -> JSON:
    dataset = item.dataset
    described: dict[str, JSON] = {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
    }
    if dataset.schema is not None:
        described["schema"] = dataset.schema
    if dataset.profile is not None:
        described["profile"] = dataset.profile
    return {"dataset": described, "tags": wire.pairs(item.tags)}


def _dataset_input(found: Any) -> DatasetInput:  # noqa: ANN401 - parsed JSON
    dataset = found["dataset"]
    return DatasetInput(
        dataset=Dataset(
            name=dataset["name"],
            digest=dataset["digest"],
            source_type=dataset.get("source_type", ""),
            source=dataset.get("source", ""),
            schema=dataset.get("schema"),
            profile=dataset.get("profile"),
        ),
        tags=wire.texts(found.get("tags")),
    )
