"""A workshop that makes jobs for the local backend and runs them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.backends import supervise
from runner.backends.local import LocalBackend, SubmittedJob
from runner.model.lock import ProcessEnvironment
from runner.model.plan import Command
from runner.model.run import Job, StoreAccess
from runner.model.value import RunId

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.model.run import Outcome


@dataclass
class Workshop:
    """Makes jobs and runs them."""

    path: Path
    environ: dict[str, str]
    jobs: list[Job] = field(default_factory=list)
    handles: list[SubmittedJob] = field(default_factory=list)

    def job(self, script: str, **given: Any) -> Job:
        run_id = RunId(os.urandom(16).hex())
        folder = self.path / "jobs" / run_id
        fields: dict[str, Any] = {
            "run_id": run_id,
            "folder": str(folder),
            "directory": str(self.path),
            "command": Command(argv=("bash", "-c", script)),
            "environment": ProcessEnvironment(),
            "access": StoreAccess(),
            "stdout": str(folder / "stdout.log"),
            "stderr": str(folder / "stderr.log"),
        }
        self.jobs.append(Job(**{**fields, **given}))
        return self.jobs[-1]

    def submit(self, script: str, **given: Any) -> SubmittedJob:
        handle = LocalBackend(environ=self.environ).submit(self.job(script, **given))
        self.handles.append(handle)
        return handle

    def run(self, script: str, **given: Any) -> Outcome:
        outcome = self.submit(script, **given).wait()
        assert outcome is not None
        return outcome

    @property
    def stdout(self) -> bytes:
        return _content(self.jobs[-1].stdout)

    @property
    def stderr(self) -> bytes:
        return _content(self.jobs[-1].stderr)

    def until(self, text: bytes, within: float = 60.0) -> None:
        """Wait until the last job's standard output holds a text."""
        self.wait_for(lambda: text in self.stdout, within)

    def wait_for(self, condition: Callable[[], bool], within: float = 60.0) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, f"it did not come; there is {self.stdout!r}"
            time.sleep(0.005)

    def leftovers(self) -> list[int]:
        return [pid for job in self.jobs for pid in supervise.tree(job.run_id, everyone=True)]


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
