"""Datasets, models and outputs of runs in MLflow's SQLite tables ``datasets`` and ``inputs``."""

from __future__ import annotations

import json
import os

from runner.model.tracking import Dataset, DatasetInput, Lineage, ModelOutput
from runner.stores import rows, rules
from runner.stores.models_sqlite import write_metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from sqlite3 import Connection

    from runner.model.tracking import ModelMetric
    from runner.model.value import RunId
    from runner.stores.database import Database

_INPUT = "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id"
_DATASETS_OF = (
    "SELECT d.name, d.digest, d.dataset_source_type, d.dataset_source, d.dataset_schema,"
    " d.dataset_profile, i.input_uuid FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id"
    " WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND i.destination_id = ?"
    " ORDER BY d.name, d.digest"
)

_LINKED_RUNS = (
    "SELECT asked.value FROM json_each(?) asked WHERE EXISTS (SELECT 1 FROM inputs WHERE"
    " destination_type = 'RUN' AND destination_id = asked.value)"
    " OR EXISTS (SELECT 1 FROM inputs WHERE source_type IN ('RUN_INPUT', 'RUN_OUTPUT')"
    " AND source_id = asked.value)"
)


class SqliteLineage:
    """What the runs of one database read and made; see ``runner.ports.LineageStore``.

    ``has_models`` False is a database of MLflow 2, which knows datasets only.
    """

    def __init__(self, database: Database, *, has_models: bool) -> None:
        self._database = database
        self._has_models = has_models

    def lineage(self, run_id: RunId) -> Lineage:
        """Return the run's datasets, models and outputs."""
        with self._database.reading() as connection:
            found = connection.execute(_DATASETS_OF, (run_id,)).fetchall()
            tags = _input_tags(connection, [row[6] for row in found])
            datasets = tuple(
                DatasetInput(
                    dataset=Dataset(
                        name=row[0],
                        digest=row[1],
                        source_type=row[2],
                        source=row[3],
                        schema=row[4],
                        profile=row[5],
                    ),
                    tags=tags.get(row[6], {}),
                )
                for row in found
            )
            if not self._has_models:
                return Lineage(datasets=datasets)
            return Lineage(
                datasets=datasets,
                models=tuple(m for m, _ in _linked(connection, run_id, "INPUT")),
                outputs=tuple(
                    ModelOutput(model_id=m, step=step)
                    for m, step in _linked(connection, run_id, "OUTPUT")
                ),
            )

    def lineages(self, run_ids: Sequence[RunId]) -> Mapping[RunId, Lineage]:
        """Return the lineages of those runs that have one; see ``runner.ports.ManyLineages``."""
        with self._database.reading() as connection:
            found = connection.execute(_LINKED_RUNS, (json.dumps([*run_ids]),)).fetchall()
        return {run_id: self.lineage(run_id) for (run_id,) in found}

    def log_lineage(self, run_id: RunId, lineage: Lineage) -> None:
        """Add datasets, models and outputs; what is there already stays as it is."""
        linked = [("INPUT", model_id, 0) for model_id in lineage.models]
        linked += [("OUTPUT", output.model_id, output.step) for output in lineage.outputs]
        if linked and not self._has_models:
            raise rules.refused("this database is too old for logged models")
        with self._database.writing() as connection:
            rows.check_active(connection, run_id)
            experiment_id = int(rows.run(connection, run_id).experiment_id)
            for item in lineage.datasets:
                _add_dataset(connection, run_id, experiment_id, item)
            connection.executemany(
                f"{_INPUT}, step) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [
                    (_unique(), f"RUN_{way}", run_id, f"MODEL_{way}", model_id, step)
                    for way, model_id, step in linked
                ],
            )

    def log_model_metrics(self, metrics: Iterable[ModelMetric]) -> None:
        """Add metrics of logged models."""
        with self._database.writing() as connection:
            write_metrics(connection, metrics)


def _add_dataset(
    connection: Connection, run_id: str, experiment_id: int, item: DatasetInput
) -> None:
    dataset = item.dataset
    check_dataset(dataset)
    connection.execute(
        "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type,"
        " dataset_source, dataset_schema, dataset_profile) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (
            _unique(),
            experiment_id,
            dataset.name,
            dataset.digest,
            dataset.source_type,
            dataset.source,
            dataset.schema,
            dataset.profile,
        ),
    )
    (dataset_id,) = connection.execute(
        "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?",
        (experiment_id, dataset.name, dataset.digest),
    ).fetchone()
    input_id = _unique()
    added = connection.execute(
        f"{_INPUT}) VALUES (?, 'DATASET', ?, 'RUN', ?) ON CONFLICT DO NOTHING",
        (input_id, dataset_id, run_id),
    )
    if added.rowcount:
        connection.executemany(
            "INSERT INTO input_tags (input_uuid, name, value) VALUES (?, ?, ?)",
            [(input_id, key, rules.storable(value)) for key, value in item.tags.items()],
        )


def check_dataset(dataset: Dataset) -> None:
    """Refuse a dataset that MLflow refuses (``mlflow/utils/validation.py``)."""
    for what, text, limit in (
        ("name", dataset.name, 500),
        ("digest", dataset.digest, 36),
        ("source type", dataset.source_type, 36),
        ("source", dataset.source, 65_535),
        ("schema", dataset.schema or "", 1_048_575),
        ("profile", dataset.profile or "", 16_777_215),
    ):
        if len(text) > limit or (not text and what in {"name", "digest"}):
            raise rules.refused(f"a dataset's {what} has at most {limit} characters")


def _linked(connection: Connection, run_id: str, way: str) -> Iterator[tuple[str, int]]:
    for model_id, step in connection.execute(
        "SELECT destination_id, step FROM inputs WHERE source_type = ? AND source_id = ?"
        " AND destination_type = ? ORDER BY step, destination_id",
        (f"RUN_{way}", run_id, f"MODEL_{way}"),
    ):
        yield str(model_id), int(step)


def _input_tags(connection: Connection, ids: list[str]) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for input_id, key, value in connection.execute(
        "SELECT input_uuid, name, value FROM input_tags"
        " WHERE input_uuid IN (SELECT value FROM json_each(?))",
        (json.dumps(ids),),
    ):
        found.setdefault(input_id, {})[key] = value
    return found


def _unique() -> str:
    return os.urandom(16).hex()
