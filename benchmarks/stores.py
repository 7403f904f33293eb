"""Fills tracking stores with many runs, patterned on the one that is there."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TABLES = {
    "runs": "run_uuid",
    "params": "run_uuid",
    "tags": "run_uuid",
    "latest_metrics": "run_uuid",
}
"""The tables that hold a run, each with the column of its id."""


def fill_sqlite(folder: Path, count: int) -> None:
    """Copy the first run of ``mlflow.db`` until there are ``count`` runs, a second apart."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        for table, key in TABLES.items():
            rows = database.execute(f"SELECT * FROM {table} LIMIT 20")  # noqa: S608 - our own names
            columns = [column[0] for column in rows.description]
            marks = ", ".join("?" * len(columns))
            pattern = rows.fetchall()
            database.executemany(
                f"INSERT INTO {table} VALUES ({marks})",  # noqa: S608 - our own names
                (
                    tuple(
                        _changed(column, value, key, at)
                        for column, value in zip(columns, row, strict=True)
                    )
                    for at in range(1, count)
                    for row in pattern
                ),
            )


def _changed(column: str, value: object, key: str, at: int) -> object:
    if column == key:
        return f"{at:032x}"
    if column == "start_time" and isinstance(value, int):
        return value - at * 1000
    return value


def fill_files(folder: Path, count: int) -> None:
    """Copy the first run of ``mlruns`` until there are ``count`` runs, a second apart."""
    experiment = folder / "mlruns" / "0"
    first = next(path for path in experiment.iterdir() if (path / "meta.yaml").exists())
    meta = (first / "meta.yaml").read_text()
    shutil.rmtree(first / "artifacts")
    (first / "artifacts").mkdir()
    start = next(line for line in meta.splitlines() if line.startswith("start_time:"))
    began = int(start.partition(":")[2])
    for at in range(1, count):
        run_id = f"{at:032x}"
        copy = experiment / run_id
        shutil.copytree(first, copy)
        changed = meta.replace(first.name, run_id).replace(
            start, f"start_time: {began - at * 1000}"
        )
        (copy / "meta.yaml").write_text(changed)
