"""Projects that run in containers, driven through the command line as their users do."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE = 120.0


class Finished:
    """A run that is over: what it printed, and its record."""

    def __init__(self, folder: Path, exit_code: int, stdout: str, stderr: str) -> None:
        self.folder, self.exit_code = folder, exit_code
        self.stdout, self.stderr = stdout, stderr

    @property
    def run_id(self) -> str:
        """The run's id, as the output tells it."""
        (found,) = re.findall(r"\(([0-9a-f]{32})\)", self.stderr)
        return str(found)

    @property
    def record(self) -> dict[str, Any]:
        """The record of the run, or of the latest one where its output names none."""
        named = re.search(r"\(([0-9a-f]{32})\)", self.stderr)
        pattern = f"mlruns/*/{named[1] if named else '*'}/artifacts/runproj/record.json"
        paths = self.folder.glob(pattern)
        latest = max(paths, key=lambda path: path.stat().st_mtime_ns)
        found: dict[str, Any] = json.loads(latest.read_text())
        return found

    @property
    def outcome(self) -> dict[str, Any]:
        """How it ended."""
        found: dict[str, Any] = self.record["outcome"]
        return found


class DockerProject:
    """A project's folder with a ``docker_env``, and the caller's folder beside it."""

    def __init__(self, folder: Path, runproj: Path, image: str) -> None:
        self.folder = folder / "project"
        self.caller = folder / "caller"
        self.folder.mkdir()
        self.caller.mkdir()
        self._runproj = runproj
        self.image = image
        self.environ = dict(os.environ)
        self.first_line = ""
        self._running: list[subprocess.Popen[str]] = []

    def write(self, command: str, **docker: Any) -> None:
        """Write the MLproject file."""
        parameters = docker.pop("parameters", {})
        document = {
            "name": "contained",
            "docker_env": {"image": self.image, **docker},
            "entry_points": {"main": {"command": command, "parameters": parameters}},
        }
        (self.folder / "MLproject").write_text(json.dumps(document))

    def argv(self, *arguments: str) -> list[str]:
        return [str(self._runproj), "run", str(self.folder), *arguments]

    def run(self, *arguments: str) -> Finished:
        """Run the project to its end."""
        done = subprocess.run(
            self.argv(*arguments),
            cwd=self.caller,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Finished(self.caller, done.returncode, done.stdout, done.stderr)

    def go(self, command: str, *arguments: str, **docker: Any) -> Finished:
        """Write a project of one command and run it."""
        self.write(command, **docker)
        return self.run(*arguments)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the project; wait until its command has written a line."""
        process = subprocess.Popen(
            self.argv(*arguments),
            cwd=self.caller,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self._running.append(process)
        assert process.stdout is not None
        self.first_line = process.stdout.readline().rstrip("\n")
        assert self.first_line, "the command has not started"
        return process

    def tool(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another subcommand of runproj."""
        return subprocess.run(
            [str(self._runproj), *arguments],
            cwd=self.caller,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def ended(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Wait for a started run; return its exit code and the rest of its output."""
        output, _ = process.communicate(timeout=DEADLINE)
        self._running.remove(process)
        return process.returncode, output

    def latest(self) -> Finished:
        """Return what is recorded of the latest run."""
        return Finished(self.caller, -1, "", "")

    def close(self) -> None:
        for process in self._running:
            process.send_signal(signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()


def until(what: str, condition: Any, *, within: float = 60.0) -> Any:
    """Wait until something is true; return it."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.1)
    return found
