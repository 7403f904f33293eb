"""A real MLflow client in a container logs into the run, whatever the store is."""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from docker_projects import until
from mlflow_server import mlflow_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from docker_projects import DockerProject

pytestmark = pytest.mark.slow

TRAIN = """\
import mlflow, os, sys
mlflow.log_param("alpha", 0.5)
mlflow.log_metric("loss", 0.25, step=3)
open("model.txt", "w").write("made inside")
mlflow.log_artifact("model.txt", "sub")
assert mlflow.active_run().info.run_id == os.environ["RUNPROJ_RUN_ID"]
"""
READ = """\
import mlflow, sys
from mlflow.artifacts import load_text
mlflow.set_tracking_uri(sys.argv[1])
run = mlflow.get_run(sys.argv[2])
print(run.data.params["alpha"], run.data.metrics["loss"], run.info.status,
      load_text(run.info.artifact_uri + "/sub/model.txt"), sep="|")
"""
LOGGED = "0.5|0.25|FINISHED|made inside"


@pytest.fixture
def training(
    project: DockerProject, python_image: str, mlflow_python: Callable[[str], str]
) -> DockerProject:
    """Return a project that trains with a client which lies in a folder of this machine."""
    python = mlflow_python("3.1.4-skinny")
    folder = os.path.dirname(os.path.dirname(python))
    (project.folder / "train.py").write_text(TRAIN)
    project.image = python_image
    project.write(f"{python} train.py", volumes=[f"{folder}:{folder}:ro"])
    return project


def read_back(python: str, uri: str, run_id: str) -> str:
    done = subprocess.run(
        [python, "-c", READ, uri, run_id], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("store", "network"), [("sqlite", "default"), ("files", "host")])
def test_local_stores(
    training: DockerProject, mlflow_python: Callable[[str], str], store: str, network: str
) -> None:
    uri = {"sqlite": f"sqlite:///{training.caller}/s.db", "files": f"{training.caller}/mlruns"}
    flags = ["--network", "host"] if network == "host" else []

    done = training.run("--allow-host-access", "--tracking-uri", uri[store], *flags)

    assert done.exit_code == 0, done.stderr
    reader = mlflow_python("3.1.4" if store == "sqlite" else "3.1.4-skinny")
    assert read_back(reader, uri[store], done.record["run_id"]) == LOGGED


def test_a_server_on_the_loopback_of_this_machine(
    training: DockerProject, mlflow_python: Callable[[str], str], tmp_path: Path
) -> None:
    with mlflow_server(mlflow_python("3.1.4"), tmp_path / "server") as uri:
        done = training.run("--allow-host-access", "--tracking-uri", uri)
        assert done.exit_code == 0, done.stderr
        run_id = done.run_id
        assert read_back(mlflow_python("3.1.4-skinny"), uri, run_id) == LOGGED


def test_the_relay_is_for_this_container_only(training: DockerProject) -> None:
    """Whoever else finds the relay's port is turned away before a byte is passed on."""
    (training.folder / "knock.py").write_text(
        "import os, time\n"
        "print(os.environ['MLFLOW_TRACKING_URI'], flush=True)\n"
        "import urllib.request\n"
        "urllib.request.urlopen(os.environ['MLFLOW_TRACKING_URI'] + '/health').read()\n"
        "open('/out/ready', 'w').close()\n"
        "while not os.path.exists('/out/done'): time.sleep(0.1)\n"
    )
    training.write("python3 knock.py", volumes=["./out:/out"])
    process = training.start()
    try:
        until("the container has knocked", (training.folder / "out" / "ready").exists)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            direct.open(f"{training.first_line}/health", timeout=60)
    finally:
        (training.folder / "out" / "done").touch()
    assert training.ended(process)[0] == 0
