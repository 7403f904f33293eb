"""Datasets, models and outputs of runs in MLflow's file layout.

``<experiment>/datasets/<id>/meta.yaml`` describes a dataset, ``<run>/inputs/<id>/meta.yaml`` links
a run to it, ``<run>/outputs/<model>/meta.yaml`` to a logged model. Ids are MD5 sums, and a link
names its source as its destination, too: both are MLflow's choices, which its readers rely on.
"""

from __future__ import annotations

import hashlib
import os

from runner.errors import StoreError
from runner.model.tracking import Dataset, DatasetInput, Lineage, ModelOutput
from runner.stores import metafile, rules, runfolder
from runner.stores.lineage_sqlite import check_dataset
from runner.stores.metafile import on_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import RLock
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from runner.codec import JSON
    from runner.model.tracking import ModelMetric
    from runner.model.value import RunId
    from runner.stores.models_files import FileModels


class FileLineage:
    """What the runs of one folder read and made; see ``runner.ports.LineageStore``.

    ``folder_of`` finds the folder of a run, ``active_folder_of`` one that may be written to.
    """

    def __init__(
        self,
        models: FileModels,
        lock: RLock,
        *,
        folder_of: Callable[[str], str],
        active_folder_of: Callable[[str], str],
    ) -> None:
        self._models = models
        self._lock = lock
        self._folder_of = folder_of
        self._active_folder_of = active_folder_of

    def lineage(self, run_id: RunId) -> Lineage:
        """Return the run's datasets, models and outputs."""
        folder = self._folder_of(run_id)
        with on_disk(folder):
            inputs = tuple(_metas(os.path.join(folder, "inputs")))
            outputs = tuple(_metas(os.path.join(folder, "outputs")))
            return Lineage(
                datasets=tuple(_datasets(os.path.dirname(folder), inputs)),
                models=tuple(
                    str(meta.get("source_id"))
                    for meta in inputs
                    if meta.get("source_type") in {"MODEL", "MODEL_INPUT"}
                ),
                outputs=tuple(
                    ModelOutput(
                        model_id=str(meta.get("destination_id")),
                        step=runfolder.number(meta.get("step")) or 0,
                    )
                    for meta in outputs
                ),
            )

    def log_lineage(self, run_id: RunId, lineage: Lineage) -> None:
        """Add datasets, models and outputs; what is there already stays as it is."""
        for model_id in (*lineage.models, *(output.model_id for output in lineage.outputs)):
            rules.check_run_id(model_id)
        with self._lock:
            folder = self._active_folder_of(run_id)
            with on_disk(folder):
                for item in lineage.datasets:
                    _add_dataset(folder, run_id, item)
                for model_id in lineage.models:
                    _add_input(folder, run_id, model_id, "MODEL", {})
                for output in lineage.outputs:
                    _keep(
                        os.path.join(folder, "outputs", output.model_id),
                        {
                            "destination_id": output.model_id,
                            "destination_type": "MODEL_OUTPUT",
                            "source_id": output.model_id,
                            "source_type": "RUN_OUTPUT",
                            "step": output.step,
                            "tags": {},
                        },
                    )

    def log_model_metrics(self, metrics: Iterable[ModelMetric]) -> None:
        """Add metrics of logged models."""
        self._models.log_metrics(metrics)


def _add_dataset(folder: str, run_id: str, item: DatasetInput) -> None:
    dataset = item.dataset
    check_dataset(dataset)
    dataset_id = _sum(dataset.name + dataset.digest)
    meta: dict[str, JSON] = {
        "digest": dataset.digest,
        "name": dataset.name,
        "profile": dataset.profile,
        "schema": dataset.schema,
        "source": dataset.source,
        "source_type": dataset.source_type,
    }
    _keep(os.path.join(os.path.dirname(folder), "datasets", dataset_id), meta)
    _add_input(folder, run_id, dataset_id, "DATASET", item.tags)


def _add_input(folder: str, run_id: str, source: str, kind: str, tags: Mapping[str, str]) -> None:
    meta: dict[str, JSON] = {
        "destination_id": source,
        "destination_type": "RUN",
        "source_id": source,
        "source_type": kind,
        "tags": {key: rules.storable(value) for key, value in tags.items()},
    }
    _keep(os.path.join(folder, "inputs", _sum(source + run_id)), meta)


def _keep(folder: str, meta: Mapping[str, JSON]) -> None:
    if not os.path.exists(os.path.join(folder, metafile.NAME)):
        os.makedirs(folder, exist_ok=True)
        metafile.write(folder, meta)


def _sum(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def _metas(folder: str) -> Iterator[dict[str, JSON]]:
    """Return what the ``meta.yaml`` files one level below a folder say, sorted by their place."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        try:
            yield metafile.read(os.path.join(folder, name))
        except (FileNotFoundError, NotADirectoryError, StoreError):
            continue


def _datasets(experiment: str, inputs: Iterable[Mapping[str, JSON]]) -> Iterator[DatasetInput]:
    for link in inputs:
        if link.get("source_type") != "DATASET":
            continue
        source = str(link.get("source_id"))
        if not rules.is_plain_name(source):
            continue
        try:
            meta = metafile.read(os.path.join(experiment, "datasets", source))
        except (FileNotFoundError, NotADirectoryError, StoreError):
            continue
        tags = link.get("tags")
        yield DatasetInput(
            dataset=Dataset(
                name=str(meta.get("name", "")),
                digest=str(meta.get("digest", "")),
                source_type=str(meta.get("source_type", "")),
                source=str(meta.get("source", "")),
                schema=_text(meta.get("schema")),
                profile=_text(meta.get("profile")),
            ),
            tags={k: str(v) for k, v in tags.items()} if isinstance(tags, dict) else {},
        )


def _text(value: JSON) -> str | None:
    return None if value is None else str(value)
