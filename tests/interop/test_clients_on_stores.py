"""Real MLflow clients and our stores read and extend what the other has written."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import StoreError
from runner.model.tracking import Metric, TrackedRun
from runner.model.value import RunId
from runner.stores.database import WRITTEN
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow

READ_AND_EXTEND = """
import json, sys
from mlflow.tracking import MlflowClient
client, run_id = MlflowClient(), sys.argv[1]
run = client.get_run(run_id)
experiment = client.get_experiment(run.info.experiment_id)
artifacts = [a.path for a in client.list_artifacts(run_id, "d")]
with open(client.download_artifacts(run_id, "d/a.txt", sys.argv[2])) as file:
    text = file.read()
runs = client.search_runs([run.info.experiment_id], "params.alpha = '0.50'")
found = [r.info.run_id for r in runs]
history = [(m.value, m.step) for m in client.get_metric_history(run_id, "loss")]
client.log_param(run_id, "theirs", "x")
client.log_metric(run_id, "loss", 0.25, step=7)
client.set_tag(run_id, "their/tag", "y")
client.set_terminated(run_id, "FAILED")
print(json.dumps(dict(
    name=getattr(run.info, "run_name", None), status=run.info.status, params=run.data.params,
    metrics={k: str(v) for k, v in run.data.metrics.items()}, tags=run.data.tags, found=found,
    artifacts=artifacts, text=text, history=history, experiment=experiment.name,
    start=run.info.start_time, tags_of_experiment=experiment.tags,
)))
"""

WRITE = """
import json, sys
import mlflow
from mlflow.tracking import MlflowClient
mlflow.set_experiment("theirs ü")
with mlflow.start_run(run_name="written by mlflow") as run:
    mlflow.log_params({"alpha": 0.5, "n/m": "x"})
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("nan", float("nan"))
    mlflow.set_tag("k", "v\\nw")
    mlflow.log_text("hello", "d/a.txt")
client = MlflowClient()
dead = client.create_run(run.info.experiment_id)
client.delete_run(dead.info.run_id)
print(json.dumps([run.info.run_id, dead.info.run_id, run.info.artifact_uri]))
"""


def ask(python: str, script: str, uri: str, folder: Path, *arguments: str) -> Any:
    """Run a script with a client; return the JSON of its last line."""
    done = subprocess.run(
        [python, "-W", "ignore", "-c", script, *arguments],
        cwd=folder,
        env={
            "PATH": os.defpath,
            "HOME": str(folder),
            "PYTHONUTF8": "1",
            "MLFLOW_TRACKING_URI": uri,
            "MLFLOW_ALLOW_FILE_STORE": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def written(uri: str, folder: Path) -> TrackedRun:
    """Write a run with a bit of everything."""
    store = open_store(uri, directory=str(folder), environ={})
    experiment = store.create_experiment("ours: ü 'x'", tags={"team": "blau"})
    run = store.create_run(
        TrackedRun(
            run_id=RunId(""),
            experiment_id=experiment.experiment_id,
            name="our run: yes # no",
            status="RUNNING",
            started=int(time.time() * 1000),
            ended=None,
            artifact_uri="",
            user="ada",
            params={"alpha": "0.50", "n/m": "multi\nline", "u": "héé 🎉"},
            tags={"mlflow.source.type": "PROJECT", "k": "v"},
        )
    )
    losses = [Metric(key="loss", value=1 / (i + 1), timestamp=1000 + i, step=i) for i in range(3)]
    odd = {"nan": math.nan, "inf": math.inf}
    odds = [Metric(key=k, value=v, timestamp=1000) for k, v in odd.items()]
    store.log(run.run_id, metrics=[*losses, *odds])
    store.artifacts(run).put("d/a.txt", b"hello")
    store.close()
    return store.run(run.run_id)


def check_reading(said: dict[str, Any], run: TrackedRun) -> None:
    assert said["name"] == "our run: yes # no"
    assert said["status"] == "RUNNING"
    assert said["start"] == run.started
    assert said["params"] == run.params
    assert said["tags"].items() >= run.tags.items()
    assert (said["metrics"]["loss"], said["metrics"]["nan"]) == (str(1 / 3), "nan")
    assert said["metrics"]["inf"] in {"inf", "1.7976931348623157e+308"}
    assert said["found"] == [run.run_id]
    assert said["artifacts"] == ["d/a.txt"]
    assert said["text"] == "hello"
    assert said["history"] == [[1.0, 0], [0.5, 1], [1 / 3, 2]]
    assert said["experiment"] == "ours: ü 'x'"
    assert said["tags_of_experiment"]["team"] == "blau"


def check_extension(uri: str, folder: Path, run: TrackedRun) -> None:
    store = open_store(uri, directory=str(folder), environ={})
    found = store.run(run.run_id)
    assert found.status == "FAILED"
    assert found.ended is not None
    assert found.params == {**run.params, "theirs": "x"}
    assert found.tags["their/tag"] == "y"
    assert found.metrics["loss"].value == 0.25
    assert len(store.history(run.run_id, "loss")) == 4
    assert store.update_run(run.run_id, status="FINISHED", ended=5).status == "FINISHED"
    store.close()


@pytest.mark.parametrize("version", ["3.1.4", "3.17.2"])
def test_new_clients_on_our_database(
    version: str, mlflow_python: Callable[[str], str], tmp_path: Path
) -> None:
    run = written("sqlite:///mlflow.db", tmp_path)
    uri = "sqlite:///mlflow.db"
    said = ask(mlflow_python(version), READ_AND_EXTEND, uri, tmp_path, run.run_id, str(tmp_path))
    check_reading(said, run)
    check_extension(uri, tmp_path, run)


@pytest.mark.parametrize("version", ["1.30.1", "2.9.2", "2.22.5", "3.1.4", "3.17.2"])
def test_clients_on_our_files(
    version: str, mlflow_python: Callable[[str], str], tmp_path: Path
) -> None:
    run = written("mlruns", tmp_path)
    said = ask(
        mlflow_python(version), READ_AND_EXTEND, "mlruns", tmp_path, run.run_id, str(tmp_path)
    )
    check_reading(said, run)
    check_extension("mlruns", tmp_path, run)
    meta = (tmp_path / "mlruns" / run.experiment_id / run.run_id / "meta.yaml").read_text()
    assert f'run_uuid: "{run.run_id}"' in meta  # 3.x takes it away, old clients need it


@pytest.mark.parametrize("version", ["1.30.1", "2.9.2", "2.22.5", "3.1.4", "3.17.2"])
@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "mlruns"])
def test_we_read_and_extend_theirs(
    version: str, uri: str, mlflow_python: Callable[[str], str], tmp_path: Path
) -> None:
    python = mlflow_python(version)
    run_id, dead, artifact_uri = ask(python, WRITE, uri, tmp_path)
    before = revision(tmp_path)
    store = open_store(uri, directory=str(tmp_path), environ={})
    run = store.run(run_id)
    experiment = store.experiment_named("theirs ü")
    assert experiment is not None
    assert (run.name, run.status) == ("written by mlflow", "FINISHED")
    assert run.params == {"alpha": "0.5", "n/m": "x"}
    assert run.tags["k"] == "v\nw"
    assert math.isnan(run.metrics["nan"].value)
    assert [m.value for m in store.history(run.run_id, "loss")] == [1.0, 0.5, 1 / 3]
    assert store.run(dead).lifecycle == "deleted"
    assert [r.run_id for r in store.runs([experiment.experiment_id]).runs] == [run_id]
    with store.artifacts(run).open("d/a.txt") as file:
        assert file.read() == b"hello"
    assert run.artifact_uri == artifact_uri
    store.close()

    ours = written(uri, tmp_path)
    assert revision(tmp_path) == before  # whatever it was, it stays
    said = ask(python, READ_AND_EXTEND, uri, tmp_path, ours.run_id, str(tmp_path))
    check_reading(said, ours)
    check_extension(uri, tmp_path, ours)
    store = open_store(None, directory=str(tmp_path), environ={})
    assert store.run(run_id).name == "written by mlflow"
    store.close()


def revision(folder: Path) -> str | None:
    if not (folder / "mlflow.db").exists():
        return None
    connection = sqlite3.connect(folder / "mlflow.db")
    try:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    finally:
        connection.close()


def schema(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return tables with their columns and indexes, as SQLite understands them."""
    connection = sqlite3.connect(path)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    found: dict[str, list[tuple[object, ...]]] = {}
    for (table,) in tables:
        columns = [row[1:] for row in connection.execute(f"PRAGMA table_info({table})")]
        keys = [row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({table})")]
        indexes = [
            (name, unique, *[c[2] for c in connection.execute(f"PRAGMA index_info({name})")])
            for _, name, unique, *_ in connection.execute(f"PRAGMA index_list({table})")
        ]
        found[table] = [*columns, *sorted(keys), *sorted(indexes)]
    connection.close()
    return found


NEWEST_RUNS = (
    *("runproj_newest_runs", 0),
    *("experiment_id", "lifecycle_stage", "start_time", "run_uuid"),
)
"""The one index that only we make."""


def test_our_tables_are_those_of_mlflow(
    mlflow_python: Callable[[str], str], tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    written("sqlite:///mlflow.db", ours)
    ask(mlflow_python("3.1.4"), WRITE, "sqlite:///mlflow.db", theirs)
    found = schema(ours / "mlflow.db")
    found["runs"].remove(NEWEST_RUNS)
    assert found == schema(theirs / "mlflow.db")
    assert revision(ours) == revision(theirs)
    assert schema(ours / "mlflow.db").keys() >= WRITTEN.keys()


def test_a_database_of_the_future_is_refused(
    mlflow_python: Callable[[str], str], tmp_path: Path
) -> None:
    ask(mlflow_python("3.17.2"), WRITE, "sqlite:///mlflow.db", tmp_path)
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    connection.execute("ALTER TABLE runs ADD COLUMN harmless TEXT")
    connection.close()
    run = written("sqlite:///mlflow.db", tmp_path)
    assert run.name == "our run: yes # no"
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_master SET sql = replace(sql, 'harmless TEXT', 'owner TEXT NOT NULL')"
        " WHERE name = 'runs'"
    )
    connection.commit()
    connection.close()
    store = open_store("sqlite:///mlflow.db", directory=str(tmp_path), environ={})
    with pytest.raises(StoreError, match="owner") as caught:
        store.experiments()
    assert "update runproj" in str(caught.value.hint)
