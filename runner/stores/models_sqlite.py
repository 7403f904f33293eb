"""Logged models in MLflow's SQLite tables (``logged_models*``, since MLflow 3.0)."""

from __future__ import annotations

import json
import math

from runner.model.tracking import LoggedModel, Metric, ModelMetric
from runner.model.value import RunId, changed
from runner.stores import rows, rules
from runner.stores.rows import LARGEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from sqlite3 import Connection

    from runner.ports import Artifacts
    from runner.stores.database import Database

STATUSES = ("UNSPECIFIED", "PENDING", "READY", "UPLOAD_FAILED")
"""By the number that the table keeps."""

_MODEL = (
    "SELECT model_id, experiment_id, name, artifact_location, status, status_message, model_type,"
    " source_run_id, creation_timestamp_ms, last_updated_timestamp_ms FROM logged_models"
)


class SqliteModels:
    """The logged models of one database; see ``runner.ports.ModelStore``.

    ``folder_of`` turns an artifact URI into the files that it names.
    """

    def __init__(self, database: Database, folder_of: Callable[[str], Artifacts]) -> None:
        self._database = database
        self._folder_of = folder_of

    def create_model(self, model: LoggedModel) -> LoggedModel:
        """Add a model; without an artifact URI it gets ``<experiment>/models/<id>/artifacts``."""
        check_model(model)
        with self._database.writing() as connection:
            experiment = rows.experiment(connection, model.experiment_id)
            if experiment.lifecycle != "active":
                raise rules.not_active("experiment", experiment.name)
            if _found(connection, "WHERE model_id = ?", model.model_id):
                raise rules.taken(f"there is a logged model {model.model_id!r} already")
            location = experiment.artifact_location.rstrip("/")
            uri = model.artifact_uri or f"{location}/models/{model.model_id}/artifacts"
            connection.execute(
                "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
                " creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage,"
                " model_type, source_run_id, status_message)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'active', ?, ?, ?)",
                (
                    model.model_id,
                    int(model.experiment_id),
                    rules.storable(model.name),
                    uri,
                    model.created,
                    model.updated,
                    STATUSES.index(model.status),
                    rules.storable(model.model_type),
                    model.source_run_id or None,
                    model.status_message,
                ),
            )
            _write_texts(connection, model)
        return changed(model, artifact_uri=uri)

    def model(self, model_id: str) -> LoggedModel:
        """Return one model that is not deleted."""
        with self._database.reading() as connection:
            return _only(connection, model_id)

    def models(self, experiment_ids: Iterable[str]) -> tuple[LoggedModel, ...]:
        """Return the models of some experiments, newest first."""
        numbers = [int(i) for i in experiment_ids if i.isascii() and i.isdecimal()]
        with self._database.reading() as connection:
            return _found(
                connection,
                "WHERE lifecycle_stage = 'active'"
                " AND experiment_id IN (SELECT value FROM json_each(?))"
                " ORDER BY creation_timestamp_ms DESC, model_id",
                json.dumps(numbers),
            )

    def update_model(self, model: LoggedModel) -> LoggedModel:
        """Write status, tags and params anew."""
        check_model(model)
        with self._database.writing() as connection:
            _only(connection, model.model_id)
            connection.execute(
                "UPDATE logged_models SET status = ?, status_message = ?,"
                " last_updated_timestamp_ms = ? WHERE model_id = ?",
                (STATUSES.index(model.status), model.status_message, model.updated, model.model_id),
            )
            for table in ("logged_model_tags", "logged_model_params"):
                connection.execute(f"DELETE FROM {table} WHERE model_id = ?", (model.model_id,))  # noqa: S608 - two fixed names
            _write_texts(connection, model)
            return _only(connection, model.model_id)

    def delete_model(self, model_id: str) -> None:
        """Mark a model as deleted."""
        with self._database.writing() as connection:
            _only(connection, model_id)
            connection.execute(
                "UPDATE logged_models SET lifecycle_stage = 'deleted' WHERE model_id = ?",
                (model_id,),
            )

    def model_artifacts(self, model: LoggedModel) -> Artifacts:
        """Return the model's files."""
        return self._folder_of(model.artifact_uri)


def check_model(model: LoggedModel) -> None:
    """Refuse a model that MLflow refuses; its name becomes a part of URIs."""
    if not model.name or len(model.name) > rules.EXPERIMENT_NAME_LIMIT:
        raise rules.refused(f"a logged model's name has 1 to {rules.EXPERIMENT_NAME_LIMIT} letters")
    if set(model.name) & set("/:.%\"'"):
        raise rules.refused(
            f"the logged model's name {rules.shortened(model.name)!r} holds one of / : . % \" '"
        )
    if model.status not in STATUSES:
        raise rules.refused(f"{model.status!r} is no status of a logged model")
    for kind, texts in (("tag", model.tags), ("parameter", model.params)):
        for key in texts:
            rules.check_key(kind, key)


def _write_texts(connection: Connection, model: LoggedModel) -> None:
    for table, prefix, texts in (
        ("logged_model_tags", "tag", model.tags),
        ("logged_model_params", "param", model.params),
    ):
        connection.executemany(
            f"INSERT INTO {table} (model_id, experiment_id, {prefix}_key, {prefix}_value)"  # noqa: S608 - two fixed names
            " VALUES (?, ?, ?, ?)",
            [
                (model.model_id, int(model.experiment_id), key, rules.storable(value))
                for key, value in texts.items()
            ],
        )


def _only(connection: Connection, model_id: str) -> LoggedModel:
    clause = "WHERE model_id = ? AND lifecycle_stage = 'active'"
    for found in _found(connection, clause, model_id):
        return found
    raise rules.missing(f"there is no logged model {model_id!r}")


def _found(connection: Connection, clause: str, *values: object) -> tuple[LoggedModel, ...]:
    found = connection.execute(f"{_MODEL} {clause}", values).fetchall()
    ids = json.dumps([row[0] for row in found])
    tags = _texts(connection, "logged_model_tags", "tag", ids)
    params = _texts(connection, "logged_model_params", "param", ids)
    metrics = _metrics(connection, ids)
    return tuple(
        LoggedModel(
            model_id=row[0],
            experiment_id=str(row[1]),
            name=row[2],
            artifact_uri=row[3],
            status=STATUSES[row[4]] if 0 <= row[4] < len(STATUSES) else STATUSES[0],
            status_message=row[5],
            model_type=row[6] or "",
            source_run_id=row[7] or "",
            created=row[8],
            updated=row[9],
            params=params.get(row[0], {}),
            tags=tags.get(row[0], {}),
            metrics=metrics.get(row[0], ()),
        )
        for row in found
    )


def _texts(
    connection: Connection, table: str, prefix: str, ids: str
) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for model_id, key, value in connection.execute(
        f"SELECT model_id, {prefix}_key, {prefix}_value FROM {table}"  # noqa: S608 - two fixed names
        " WHERE model_id IN (SELECT value FROM json_each(?))",
        (ids,),
    ):
        found.setdefault(model_id, {})[key] = value
    return found


def _metrics(connection: Connection, ids: str) -> Mapping[str, tuple[ModelMetric, ...]]:
    found: dict[str, tuple[ModelMetric, ...]] = {}
    for row in connection.execute(
        "SELECT model_id, metric_name, metric_value, metric_timestamp_ms, metric_step, run_id,"
        " dataset_name, dataset_digest FROM logged_model_metrics"
        " WHERE model_id IN (SELECT value FROM json_each(?)) ORDER BY metric_timestamp_ms",
        (ids,),
    ):
        value = math.nan if row[2] is None else row[2]
        measured = ModelMetric(
            model_id=row[0],
            run_id=RunId(row[5]),
            metric=Metric(key=row[1], value=value, timestamp=row[3], step=row[4]),
            dataset_name=row[6],
            dataset_digest=row[7],
        )
        found[row[0]] = (*found.get(row[0], ()), measured)
    return found


def write_metrics(connection: Connection, metrics: Iterable[ModelMetric]) -> None:
    """Add metrics of models; the same measurement twice is one. NaN is kept as no value."""
    for measured in metrics:
        model = _only(connection, measured.model_id)
        metric = measured.metric
        value = None if math.isnan(metric.value) else max(min(metric.value, LARGEST), -LARGEST)
        connection.execute(
            "INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms,"
            " metric_step, metric_value, experiment_id, run_id, dataset_uuid, dataset_name,"
            " dataset_digest) VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT dataset_uuid FROM datasets"
            " WHERE experiment_id = ? AND name = ? AND digest = ?), ?, ?) ON CONFLICT DO NOTHING",
            (
                measured.model_id,
                metric.key,
                metric.timestamp,
                metric.step,
                value,
                int(model.experiment_id),
                measured.run_id,
                int(model.experiment_id),
                measured.dataset_name,
                measured.dataset_digest,
                measured.dataset_name,
                measured.dataset_digest,
            ),
        )
