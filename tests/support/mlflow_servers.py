"""A real ``mlflow server`` that can be stopped and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import StoreError
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from runner.ports import TrackingStore

START = 240.0
"""Seconds that a server may take to be up on a machine that has other things to do."""


class MlflowServer:
    """A server on a SQLite store of its own in ``folder``, always on the same port."""

    def __init__(self, python: str, folder: Path) -> None:
        self._python = python
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def store(self) -> TrackingStore:
        return open_store(self.uri, directory=str(self._folder), environ={})

    def start(self) -> None:
        """Start, and return when it answers."""
        words = ("server", "--workers", "1", "--port", str(self._port))
        stores = ("--backend-store-uri", f"sqlite:///{self._folder}/s.db")
        files = ("--artifacts-destination", str(self._folder / "artifacts"))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                (self._python, "-m", "mlflow", *words, *stores, *files),
                cwd=self._folder,
                env={
                    "PATH": f"{Path(self._python).parent}:{os.defpath}",
                    "HOME": str(self._folder),
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.2)

    def stop(self) -> None:
        """Kill it, as a machine that goes down does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        asking = open_store(
            self.uri,
            directory=str(self._folder),
            environ={"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
        )
        try:
            asking.experiments()
        except StoreError:
            return False
        else:
            return True
        finally:
            asking.close()
