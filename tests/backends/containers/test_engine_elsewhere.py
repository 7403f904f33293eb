"""An engine that is reached by TCP, as those of other machines: through the docker SDK."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from runner.system.engine import address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker_projects import DockerProject

pytestmark = pytest.mark.slow


def passed(guest: socket.socket, path: str) -> None:
    """Pass bytes between a guest and the engine's socket, until both have no more."""
    with guest, socket.socket(socket.AF_UNIX) as engine:
        engine.connect(path)

        def back() -> None:
            with suppress(OSError):
                while chunk := engine.recv(1 << 16):
                    guest.sendall(chunk)
                guest.shutdown(socket.SHUT_WR)

        answering = threading.Thread(target=back, daemon=True)
        answering.start()
        with suppress(OSError):
            while chunk := guest.recv(1 << 16):
                engine.sendall(chunk)
            engine.shutdown(socket.SHUT_WR)
        answering.join()


@pytest.fixture
def by_tcp(project: DockerProject) -> Iterator[DockerProject]:
    path = address(dict(os.environ)).socket
    assert path
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    guest, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=passed, args=(guest, path), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        project.environ["DOCKER_HOST"] = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        yield project


def test_a_run(by_tcp: DockerProject) -> None:
    (by_tcp.folder / "data.txt").write_text("from the project\n")

    done = by_tcp.go("cat data.txt; echo err >&2; wget -qO- $MLFLOW_TRACKING_URI/health; exit 7")

    assert done.exit_code == 7, done.stderr
    assert done.stdout == "from the project\nOK"
    assert "err\n" in done.stderr
    assert done.outcome["status"] == "FAILED"


def test_a_refusal(by_tcp: DockerProject) -> None:
    done = by_tcp.go("true", "--network", "no-such-network")

    assert done.exit_code == 125
    assert "no-such-network" in done.stderr
