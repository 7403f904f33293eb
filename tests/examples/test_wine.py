"""The elastic net on wines: built, run from a folder and from git servers, read by real MLflow."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tests.examples.conftest import Caller

EXAMPLES = Path(__file__).parents[2] / "example_projects"
WINE = str(EXAMPLES / "elastic_net_wine")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def the_run(caller: Caller) -> dict[str, dict[str, Any]]:
    """Return the only run, as ``runs show`` tells it."""
    (run,) = caller.json("runs", "list")
    shown: dict[str, dict[str, Any]] = caller.json("runs", "show", run["run_id"])
    return shown


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a bare repository that holds the project in ``wine/``, tagged ``v1``."""
    work, bare = tmp_path / "work", tmp_path / "served/wine.git"
    shutil.copytree(WINE, work / "wine")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "one"), ("tag", "v1")):
        subprocess.run(("git", *command), cwd=work, check=True)
    (work / "wine/train.py").write_text("raise SystemExit('this is not v1')\n")
    subprocess.run(("git", "commit", "-qam", "two"), cwd=work, check=True)
    subprocess.run(("git", "clone", "-q", "--bare", str(work), str(bare)), check=True)
    return bare


@pytest.fixture
def server(repository: Path) -> Iterator[str]:
    """Serve the repository with git's own daemon; return its URL."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    folder = str(repository.parent)
    argv = ("git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1")
    with subprocess.Popen((*argv, f"--port={port}", f"--base-path={folder}", folder)) as daemon:
        url = f"git://127.0.0.1:{port}/wine.git"
        for _ in range(100):
            asked = subprocess.run(("git", "ls-remote", url), capture_output=True, check=False)
            if asked.returncode == 0:
                break
            time.sleep(0.1)
        yield url
        daemon.terminate()


def test_a_run_from_a_folder_records_what_happened(caller: Caller) -> None:
    ended = caller("run", WINE, "-P", "alpha=0.5")
    assert ended.stdout.startswith("rmse 0.5654")
    run = the_run(caller)
    assert run["params"] == {"alpha": "0.5", "l1_ratio": "0.5"}
    assert run["metrics"]["rmse"]["value"] == pytest.approx(0.5654, abs=1e-3)
    artifacts = {str(p.relative_to(p.parents[1])) for p in caller.folder.rglob("artifacts/*")}
    assert {"artifacts/predictions.png", "artifacts/coefficients.csv"} <= artifacts
    (record,) = caller.folder.rglob("runproj/record.json")
    lock = (record.parent / "pylock.toml").read_text()
    assert 'name = "scikit-learn"' in lock
    assert "sha256" in lock
    assert json.loads(record.read_text())["outcome"]["status"] == "FINISHED"


def test_a_real_mlflow_reads_the_run_and_loads_its_model(caller: Caller) -> None:
    caller("run", WINE, "-P", "alpha=0.25")
    (described,) = caller.folder.rglob("runproj/environment.json")
    python = json.loads(described.read_text())["prefix"] + "/bin/python"
    script = """
import mlflow, sys
(run,) = mlflow.search_runs(output_format="list")
model = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
print(run.info.status, run.data.params["alpha"], run.data.metrics["r2"] > 0, len(model[-1].coef_))
print(run.data.tags["mlflow.source.type"], run.data.tags["mlflow.project.entryPoint"])
print(sorted(a.path for a in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)))
"""
    told = subprocess.run(
        (python, "-c", script), cwd=caller.folder, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    status, tags, artifacts = told.stdout.splitlines()
    assert status == "FINISHED 0.25 True 12"
    assert tags == "PROJECT main"
    assert "runproj" in artifacts


def test_a_run_from_a_bare_repository_takes_the_revision(caller: Caller, repository: Path) -> None:
    ended = caller("run", f"file://{repository}#wine", "-v", "v1", "-P", "l1_ratio=1")
    assert ended.stdout.startswith("rmse ")


def test_a_run_from_a_git_server_takes_the_commit(
    caller: Caller, server: str, repository: Path
) -> None:
    commit = subprocess.run(
        ("git", "-C", str(repository), "rev-parse", "v1"),
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    caller("run", f"{server}#wine", "-v", commit, "-P", "alpha=0.5")
    tags = the_run(caller)["tags"]
    assert tags["mlflow.source.git.commit"] == commit
    assert tags["mlflow.source.git.repoURL"] == server


def test_a_failing_revision_is_recorded_as_failed(caller: Caller, server: str) -> None:
    ended = caller("run", f"{server}#wine", "-v", "main", code=1)
    assert "this is not v1" in ended.stderr
    (run,) = caller.json("runs", "list")
    assert run["status"] == "FAILED"
