"""Between the rows of MLflow's tables and values; inside the caller's transaction."""

from __future__ import annotations

import json
import math

from runner.model.tracking import Experiment, Metric, TrackedRun
from runner.model.value import RunId
from runner.stores import rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from sqlite3 import Connection
    from typing import Any

LARGEST = 1.7976931348623157e308
"""What MLflow's SQL stores keep for infinity."""

EXPERIMENT = (
    "SELECT experiment_id, name, artifact_location, lifecycle_stage, creation_time,"
    " last_update_time FROM experiments"
)
RUN = (
    "SELECT run_uuid, experiment_id, name, status, start_time, end_time, artifact_uri, user_id,"
    " lifecycle_stage FROM runs"
)
_INSERT_RUN = (
    "INSERT INTO runs (run_uuid, experiment_id, name, status, start_time, end_time, artifact_uri,"
    " user_id, lifecycle_stage, source_type, source_name, entry_point_name, source_version)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'UNKNOWN', '', '', '')"
)
_UPSERT_TAG = (
    "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)"
    " ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value"
)
_INSERT_PARAM = (
    "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)"
    " ON CONFLICT (key, run_uuid) DO NOTHING"
)
_INSERT_METRIC = (
    "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_UPSERT_LATEST = (
    "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key, run_uuid) DO UPDATE SET"
    " value = excluded.value, timestamp = excluded.timestamp, step = excluded.step,"
    " is_nan = excluded.is_nan"
    " WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)"
)


def experiment(connection: Connection, experiment_id: str) -> Experiment:
    """Return one experiment; StoreError when there is none."""
    if experiment_id.isascii() and experiment_id.isdecimal():
        for found in experiments(connection, "WHERE experiment_id = ?", int(experiment_id)):
            return found
    raise rules.no_experiment(experiment_id)


def location(connection: Connection, experiment_id: str) -> str:
    """Return where an experiment keeps its artifacts; StoreError when it takes no runs."""
    if experiment_id.isascii() and experiment_id.isdecimal():
        for place, stage, name in connection.execute(
            "SELECT artifact_location, lifecycle_stage, name FROM experiments"
            " WHERE experiment_id = ?",
            (int(experiment_id),),
        ):
            if (stage or "active") != "active":
                raise rules.not_active("experiment", name)
            return place or ""
    raise rules.no_experiment(experiment_id)


def experiments(connection: Connection, clause: str, *values: object) -> tuple[Experiment, ...]:
    """Return the experiments that an SQL clause selects."""
    found = connection.execute(f"{EXPERIMENT} {clause}", values).fetchall()
    tags = _by_owner(connection, "experiment_tags", "experiment_id", [row[0] for row in found])
    return tuple(
        Experiment(
            experiment_id=str(row[0]),
            name=row[1],
            artifact_location=row[2] or "",
            lifecycle=row[3] or "active",
            created=row[4],
            updated=row[5],
            tags=tags.get(row[0], {}),
        )
        for row in found
    )


def run(connection: Connection, run_id: str) -> TrackedRun:
    """Return one run; StoreError when there is none."""
    found = connection.execute(f"{RUN} WHERE run_uuid = ?", (run_id,)).fetchall()
    if not found:
        raise rules.no_run(run_id)
    return filled(connection, found)[0]


def runs(connection: Connection, ids: Sequence[str]) -> tuple[TrackedRun, ...]:
    """Return some runs in the order of their ids."""
    clause = "WHERE run_uuid IN (SELECT value FROM json_each(?))"
    found = connection.execute(f"{RUN} {clause}", (json.dumps(ids),)).fetchall()
    by_id = {run.run_id: run for run in filled(connection, found)}
    return tuple(by_id[RunId(run_id)] for run_id in ids)


def filled(connection: Connection, found: Sequence[Sequence[Any]]) -> tuple[TrackedRun, ...]:
    """Return the runs of some rows, with their params, tags and latest metrics."""
    ids = [row[0] for row in found]
    params = _by_owner(connection, "params", "run_uuid", ids)
    tags = _by_owner(connection, "tags", "run_uuid", ids)
    metrics: dict[str, dict[str, Metric]] = {}
    for row in connection.execute(
        "SELECT key, value, timestamp, step, is_nan, run_uuid FROM latest_metrics"
        " WHERE run_uuid IN (SELECT value FROM json_each(?))",
        (json.dumps(ids),),
    ):
        metrics.setdefault(row[5], {})[row[0]] = metric(row)
    return tuple(
        TrackedRun(
            run_id=row[0],
            experiment_id=str(row[1]),
            name=row[2] or "",
            status=row[3],
            started=row[4],
            ended=row[5],
            artifact_uri=row[6] or "",
            user=row[7] or "",
            lifecycle=row[8] or "active",
            params=params.get(row[0], {}),
            tags=tags.get(row[0], {}),
            metrics=metrics.get(row[0], {}),
        )
        for row in found
    )


def _by_owner(
    connection: Connection, table: str, owner: str, ids: Sequence[object]
) -> dict[Any, dict[str, str]]:
    """Return the keys and values of some runs or experiments."""
    found: dict[Any, dict[str, str]] = {}
    for key, value, belongs_to in connection.execute(
        f"SELECT key, value, {owner} FROM {table}"  # noqa: S608 - our own names
        f" WHERE {owner} IN (SELECT value FROM json_each(?))",
        (json.dumps(ids),),
    ):
        found.setdefault(belongs_to, {})[key] = value or ""
    return found


def metric(row: Sequence[Any]) -> Metric:
    """Return the metric of a row that begins with key, value, timestamp, step, is_nan."""
    value = math.nan if row[4] else row[1]
    return Metric(key=row[0], value=value, timestamp=row[2] or 0, step=row[3])


def lifecycle(connection: Connection, run_id: str) -> str:
    """Return the lifecycle of a run; StoreError when there is none."""
    found = connection.execute("SELECT lifecycle_stage FROM runs WHERE run_uuid = ?", (run_id,))
    for (stage,) in found:
        return str(stage or "active")
    raise rules.no_run(run_id)


def check_active(connection: Connection, run_id: str) -> None:
    """Refuse to write to a run that is deleted or not there."""
    if lifecycle(connection, run_id) != "active":
        raise rules.not_active("run", run_id)


def insert_run(connection: Connection, new: TrackedRun) -> None:
    """Write the row of a run."""
    row = (
        new.run_id,
        int(new.experiment_id),
        new.name,
        new.status,
        new.started,
        new.ended,
        new.artifact_uri,
        new.user,
        new.lifecycle,
    )
    connection.execute(_INSERT_RUN, row)


def write(
    connection: Connection,
    run_id: str,
    *,
    metrics: Iterable[Metric],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    """Write what a run logs; the caller has checked it against the rules."""
    _write_params(connection, run_id, params)
    write_tags(connection, run_id, tags)
    if measured := [_numbers(m, run_id) for m in metrics]:
        connection.executemany(_INSERT_METRIC, measured)
        connection.executemany(_UPSERT_LATEST, _latest(measured))


def _latest(measured: Iterable[tuple[Any, ...]]) -> Iterable[tuple[Any, ...]]:
    """Return the row of each key that the table of the latest would end up with."""
    found: dict[str, tuple[Any, ...]] = {}
    for row in measured:
        key, value, timestamp, step = row[:4]
        other = found.get(key)
        if other is None or (step, timestamp, value) > (other[3], other[2], other[1]):
            found[key] = row
    return found.values()


def write_tags(connection: Connection, run_id: str, tags: Mapping[str, str]) -> None:
    """Add or replace tags; the name of a run is one of them."""
    connection.executemany(
        _UPSERT_TAG, [(key, rules.storable(value), run_id) for key, value in tags.items()]
    )
    if name := tags.get(rules.RUN_NAME_TAG):
        connection.execute(
            "UPDATE runs SET name = ? WHERE run_uuid = ? AND name IS NOT ?",
            (rules.storable(name), run_id, rules.storable(name)),
        )


def _write_params(connection: Connection, run_id: str, params: Mapping[str, str]) -> None:
    added = connection.executemany(
        _INSERT_PARAM, [(key, rules.storable(value), run_id) for key, value in params.items()]
    )
    if params and added.rowcount != len(params):
        there = _by_owner(connection, "params", "run_uuid", [run_id])[run_id]
        for key, value in params.items():
            rules.check_again(run_id, key, there[key], rules.storable(value))


def _numbers(measured: Metric, run_id: str) -> tuple[object, ...]:
    value = float(measured.value)
    is_nan = math.isnan(value)
    stored = 0.0 if is_nan else max(min(value, LARGEST), -LARGEST)
    return measured.key, stored, measured.timestamp, measured.step, is_nan, run_id
