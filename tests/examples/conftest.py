"""Calls the command in a folder of its own, with environments shared by the session."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


@dataclass(frozen=True)
class Caller:
    """Somebody at a prompt."""

    command: Path
    folder: Path
    home: Path

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Call ``runproj`` and check its exit code."""
        ended = subprocess.run(
            (self.command, *arguments),
            cwd=self.folder,
            env={
                **os.environ,
                "RUNPROJ_HOME": str(self.home),
                "PATH": f"{self.command.parent}:{os.environ['PATH']}",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended

    def json(self, *arguments: str) -> Any:
        """Call ``runproj ... --json`` and return the document."""
        return json.loads(self(*arguments, "--json").stdout)


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that all tests of the session share, in all of pytest's processes."""
    mine = tmp_path_factory.getbasetemp()
    return (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "examples-home"


@pytest.fixture
def caller(runproj: Path, tmp_path: Path, environments: Path) -> Caller:
    """Return somebody whose current folder is empty."""
    folder = tmp_path / "caller"
    folder.mkdir()
    return Caller(runproj, folder, environments)
