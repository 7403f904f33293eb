"""A real ``mlflow server`` on a free port."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE = 120


@contextmanager
def mlflow_server(python: str, folder: Path, store: str = "") -> Iterator[str]:
    """Start the server of an environment; its address. Artifacts go through it.

    Without ``store`` it serves ``s.db`` in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri, log = f"http://127.0.0.1:{port}", folder / "log"
    places = ("--backend-store-uri", store or f"sqlite:///{folder}/s.db")
    served = ("--artifacts-destination", str(folder / "artifacts"))
    with log.open("wb") as output:
        server = subprocess.Popen(
            [python, "-m", "mlflow", "server", "--workers", "1", "--port", str(port),
             *places, *served],
            env={
                "PATH": f"{Path(python).parent}:{os.defpath}",
                "HOME": str(folder),
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_ALLOW_FILE_STORE": "true",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=folder,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + DEADLINE
            while not _answers(uri):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.3)
            yield uri
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)


def _answers(uri: str) -> bool:
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=5) as answer:  # noqa: S310 - http
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, urllib.error.URLError):
        return False
