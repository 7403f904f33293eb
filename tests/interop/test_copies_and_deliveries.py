"""Stores that real MLflow clients wrote, a real server that goes down, and what arrives there."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from libraries import fill
from mlflow_servers import MlflowServer

from runner.cli.output import SilentReporter
from runner.pipeline.store_digest import compare
from runner.pipeline.store_reading import every_run
from runner.pipeline.tally import Scope
from runner.pipeline.transfer import transfer
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.ports import TrackingStore

ALL = Scope()
WRITE = """
import sys, mlflow
from mlflow import MlflowClient

mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment(f"by {mlflow.__version__}")
with mlflow.start_run(run_name="outer"):
    mlflow.log_params({"alpha": 0.5, "text": "h\\u00e9 \\u2603"})
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("odd", float("nan"))
    mlflow.set_tag("team", "blau")
    with open("note.txt", "w") as file:
        file.write("hello")
    mlflow.log_artifact("note.txt", "notes")
    with mlflow.start_run(run_name="inner", nested=True) as inner:
        mlflow.log_metric("loss", float("inf"))
    with mlflow.start_run(run_name="gone", nested=True) as gone:
        pass
client = MlflowClient()
client.delete_run(gone.info.run_id)
if not mlflow.__version__.startswith("1."):
    client.create_registered_model("Wine")
    source = f"{inner.info.artifact_uri}/model"
    version = client.create_model_version("Wine", source, run_id=inner.info.run_id)
    client.set_registered_model_alias("Wine", "champion", version.version)
"""


@pytest.fixture
def server(tmp_path: Path, mlflow_python: Callable[[str], str]) -> Iterator[MlflowServer]:
    (tmp_path / "server").mkdir()
    made = MlflowServer(mlflow_python("3.17.2"), tmp_path / "server")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str], TrackingStore]]:
    stores: list[TrackingStore] = []

    def open_it(uri: str) -> TrackingStore:
        stores.append(open_store(uri, directory=str(tmp_path), environ={}))
        return stores[-1]

    yield open_it
    for store in stores:
        store.close()


def written(python: str, uri: str, folder: Path) -> None:
    done = subprocess.run(
        (python, "-W", "ignore", "-c", WRITE, uri),
        cwd=folder,
        env={
            "PATH": f"{Path(python).parent}:{os.defpath}",
            "HOME": str(folder),
            "GIT_PYTHON_REFRESH": "quiet",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def copied(source: TrackingStore, target: TrackingStore) -> None:
    result = transfer(source, target, reporter=SilentReporter())
    assert result.problems == ()
    assert compare(source, target, scope=ALL).differences == ()
    again = transfer(source, target, reporter=SilentReporter())
    assert again.made == {}


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.30.1", "2.22.5"])
def test_a_file_store_of_an_old_client_becomes_a_database(
    version: str,
    mlflow_python: Callable[[str], str],
    opened: Callable[[str], TrackingStore],
    tmp_path: Path,
) -> None:
    written(mlflow_python(version), (tmp_path / "mlruns").as_uri(), tmp_path)
    copied(opened("mlruns"), opened("sqlite:///new.db"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_server_goes_down_and_comes_back(
    server: MlflowServer, runproj: Path, tmp_path: Path, opened: Callable[[str], TrackingStore]
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "MLproject").write_text(
        'entry_points:\n  main: {command: "echo trained; touch ../go; '
        'while [ ! -e ../on ]; do sleep .05; done"}\n'
    )
    environ = {**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    manager, experiment_name = ("--env-manager", "local"), ("--experiment-name", "down")
    options = (*manager, *experiment_name, "--tracking-uri", server.uri)
    argv = (str(runproj), "run", "project", *options)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, cwd=tmp_path, env=environ, stderr=subprocess.DEVNULL)

    first = start()
    while not (tmp_path / "go").exists():
        assert first.poll() is None
    server.stop()
    (tmp_path / "on").touch()
    assert first.wait(120) == 0  # it began on the server and ended without
    assert start().wait(120) == 0  # this one never saw it
    server.start()
    sync = (str(runproj), "sync", "--json")
    done = subprocess.run(sync, cwd=tmp_path, env=environ, capture_output=True, check=True)
    delivered: list[dict[str, Any]] = json.loads(done.stdout)
    assert [delivery["state"] for delivery in delivered] == ["delivered", "delivered"]
    store = opened(server.uri)
    experiment = store.experiment_named("down")
    assert experiment
    runs = [*every_run(store, experiment.experiment_id)]
    assert {run.run_id for run in runs} == {delivery["delivered_as"] for delivery in delivered}
    for run in runs:
        assert run.status == "FINISHED"
        with store.artifacts(run).open("runproj/stdout.log") as log:
            assert log.read() == b"trained\n"
        with store.artifacts(run).open("runproj/record.json") as record:
            assert json.loads(record.read())["outcome"]["exit_code"] == 0
    _copy_there_and_back(server, opened)  # in the same test: starting the server is what costs


def _copy_there_and_back(server: MlflowServer, opened: Callable[[str], TrackingStore]) -> None:
    """Everything arrives and comes back; what else is on the server comes along."""
    first, last = opened("first"), opened("sqlite:///last.db")
    fill(first)
    copied(first, opened(server.uri))
    copied(opened(server.uri), last)
    assert compare(first, last, scope=ALL).differences == ()
