"""Renaming, tagging, deleting and restoring experiments in MLflow's SQLite tables."""

from __future__ import annotations

import time

from runner.stores import rows, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from sqlite3 import Connection

    from runner.model.tracking import Experiment

_UPSERT_TAG = (
    "INSERT INTO experiment_tags (key, value, experiment_id) VALUES (?, ?, ?)"
    " ON CONFLICT (key, experiment_id) DO UPDATE SET value = excluded.value"
)


def update(
    connection: Connection, experiment_id: str, *, name: str | None, tags: Mapping[str, str]
) -> Experiment:
    """Rename an experiment, or add tags to it, or both."""
    experiment = rows.experiment(connection, experiment_id)
    number = int(experiment.experiment_id)
    rules.check_changeable(experiment)
    if name is not None:
        same = "SELECT 1 FROM experiments WHERE name = ? AND experiment_id != ?"
        if connection.execute(same, (rules.storable(name), number)).fetchone():
            raise rules.taken(f"there is an experiment named {name!r} already")
        connection.execute(
            "UPDATE experiments SET name = ?, last_update_time = ? WHERE experiment_id = ?",
            (rules.storable(name), _now(), number),
        )
    connection.executemany(
        _UPSERT_TAG, [(key, rules.storable(value), number) for key, value in tags.items()]
    )
    return rows.experiment(connection, experiment_id)


def delete_tag(connection: Connection, experiment_id: str, key: str) -> None:
    """Take a tag away."""
    experiment = rows.experiment(connection, experiment_id)
    rules.check_changeable(experiment)
    gone = connection.execute(
        "DELETE FROM experiment_tags WHERE experiment_id = ? AND key = ?",
        (int(experiment.experiment_id), key),
    )
    if not gone.rowcount:
        raise rules.no_experiment_tag(experiment_id, key)


def set_lifecycle(connection: Connection, experiment_id: str, lifecycle: str) -> None:
    """Delete or restore an experiment with all its runs."""
    experiment = rows.experiment(connection, experiment_id)
    if experiment.lifecycle == lifecycle:
        raise rules.no_experiment(experiment_id)
    number, now = int(experiment.experiment_id), _now()
    connection.execute(
        "UPDATE experiments SET lifecycle_stage = ?, last_update_time = ? WHERE experiment_id = ?",
        (lifecycle, now, number),
    )
    connection.execute(
        "UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE experiment_id = ?",
        (lifecycle, now if lifecycle == "deleted" else None, number),
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
