"""A store, and followers of runs that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.backends import supervise
from runner.errors import StoreError
from runner.model.value import RunId
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model.tracking import TrackedRun

FOLLOWING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "following.py")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(supervise.__file__)))


@dataclass
class Theatre:
    """A home, a store, and the followers that play in them."""

    path: Path
    followers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.path / "home"

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.path / 'mlflow.db'}"

    @property
    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RUNPROJ_"))}
        return {
            **kept,
            "RUNPROJ_HOME": str(self.home),
            "MLFLOW_TRACKING_URI": self.uri,
            "PYTHONPATH": ROOT,
        }

    def follow(self, script: str, *, pipe: Any = None, **options: object) -> str:
        """Start a follower; return the run's id."""
        run_id = os.urandom(16).hex()
        self.followers[run_id] = subprocess.Popen(
            [sys.executable, FOLLOWING, script, json.dumps({"run_id": run_id, **options})],
            cwd=self.path,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=pipe or subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return run_id

    def ended(self, run_id: str) -> int:
        """Wait for the follower; return its exit code."""
        return self.followers[run_id].wait(timeout=120)

    def supervisor(self, run_id: str) -> int:
        path = self.home / "jobs" / run_id / "supervisor.json"
        self.until(path.exists)
        return int(json.loads(path.read_text())["pid"])

    def started(self, run_id: str) -> None:
        """Wait until the script has written the file ``ready``."""
        self.until((self.path / "ready").exists)
        assert self.supervisor(run_id)

    def until(self, condition: Any, within: float = 90.0) -> None:
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.01)

    def run(self, run_id: str) -> TrackedRun:
        store = open_store(self.uri, directory=str(self.path), environ={})
        try:
            return store.run(RunId(run_id))
        finally:
            store.close()

    def has(self, run_id: str) -> bool:
        """Whether the run got as far as having a record."""
        try:
            return bool(self.run(run_id))
        except StoreError:
            return False

    def is_closed(self, run_id: str) -> bool:
        gone = not (self.home / "jobs" / run_id).exists()
        return gone and self.run(run_id).status != "RUNNING"

    def record(self, run_id: str) -> dict[str, Any]:
        path = self.path / "mlruns" / "0" / run_id / "artifacts" / "runproj"
        found = json.loads((path / "record.json").read_text())
        assert isinstance(found, dict)
        return found

    def log(self, run_id: str) -> bytes:
        path = self.path / "mlruns" / "0" / run_id / "artifacts" / "runproj"
        return (path / "stdout.log").read_bytes()

    def doctor(self, *arguments: str) -> dict[str, Any]:
        argv = [sys.executable, "-m", "runner", "doctor", "--json", *arguments]
        done = subprocess.run(
            argv, cwd=self.path, env=self.environ, capture_output=True, check=False
        )
        assert not done.stderr, done.stderr.decode()
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return {**found, "exit_code": done.returncode}
