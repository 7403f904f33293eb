"""Machines of their own for tests, and a project that learns something on them."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

from runner.model.value import RunId
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model.tracking import TrackedRun
    from runner.ports import TrackingStore

SCRIPT = """
import json, os, urllib.request
RUN = os.environ["MLFLOW_RUN_ID"]
def post(path, **body):
    url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/" + path
    kind = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), kind)).read()
def metric(key, value, step=0):
    post("runs/log-metric", run_id=RUN, key=key, value=value, timestamp=1 + step, step=step)
def artifact(path, content):
    artifacts = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow-artifacts/artifacts/"
    with urllib.request.urlopen(os.environ["MLFLOW_TRACKING_URI"]
                                + "/api/2.0/mlflow/runs/get?run_id=" + RUN) as answer:
        root = json.load(answer)["run"]["info"]["artifact_uri"].partition(":/")[2].lstrip("/")
    urllib.request.urlopen(urllib.request.Request(artifacts + root + "/" + path, content.encode(),
                                                  method="PUT")).read()
"""
PROJECT = """\
name: learn
python_env: python_env.yaml
entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.5}
      data: {type: path, default: data.csv}
    command: 'python train.py {alpha} {data}'
"""
TRAIN = """
import json, random, sys
import tensorish
from logging_client import artifact, metric
alpha = float(sys.argv[1])
rows = [float(line) for line in open(sys.argv[2])]
random.seed(7)
for step in range(3):
    metric("loss", alpha * sum(rows) / (step + 1) + random.random() * 1e-3, step)
metric("score", tensorish.score(alpha))
artifact("model.json", json.dumps({"alpha": alpha, "rows": rows}))
"""


class Machine:
    """A cache, a current directory and a store of its own; wheels come from one folder."""

    def __init__(self, base: Path, runproj: Path, wheels: Path) -> None:
        self.here = base / "work"
        self.home = base / "home"
        self.here.mkdir(parents=True)
        self.runproj = runproj
        self.environ = {
            **os.environ,
            "RUNPROJ_HOME": str(self.home),
            "UV_CACHE_DIR": str(base / "uv"),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_CONFIG": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": str(wheels),
            "PIP_NO_INDEX": "1",
            "PWD": str(self.here),
        }

    def call(self, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.runproj), *map(str, arguments)],
            cwd=self.here,
            env={**self.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *arguments: object) -> str:
        done = self.call("run", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        run_id: str = json.loads(done.stdout)["run_id"]
        return run_id

    def verdict(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        done = self.call("reproduce", *arguments, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        verdict: dict[str, Any] = json.loads(done.stdout)
        return verdict

    @property
    def store(self) -> TrackingStore:
        return open_store(None, directory=str(self.here), environ={})

    def tracked(self, run_id: str) -> TrackedRun:
        store = self.store
        try:
            return store.run(RunId(run_id))
        finally:
            store.close()

    def artifact(self, run_id: str, path: str) -> bytes:
        store = self.store
        try:
            with store.artifacts(store.run(RunId(run_id))).open(path) as file:
                return file.read()
        finally:
            store.close()
