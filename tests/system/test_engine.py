"""Where the engine is looked for, and what is said when it is not there."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from runner.errors import BackendError
from runner.system.engine import address, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def context(home: Path, name: str, host: str, *, certificates: bool = False) -> None:
    folder = sha256(name.encode()).hexdigest()
    meta = home / ".docker" / "contexts" / "meta" / folder
    meta.mkdir(parents=True)
    endpoint = {"docker": {"Host": host, "SkipTLSVerify": False}}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": endpoint}))
    if certificates:
        tls = home / ".docker" / "contexts" / "tls" / folder / "docker"
        tls.mkdir(parents=True)
        for file in ("ca.pem", "cert.pem", "key.pem"):
            (tls / file).write_text("x")


def test_docker_host_wins_over_the_context(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "DOCKER_HOST": "tcp://h:2375", "DOCKER_CONTEXT": "other"}

    found = address(environ)

    assert (found.url, found.origin) == ("tcp://h:2375", "DOCKER_HOST")
    assert found.ca is None


def test_docker_host_with_certificates(tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("x")
    environ = {
        "DOCKER_HOST": "tcp://h:2376",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(tmp_path),
    }

    found = address(environ)

    assert found.ca == str(tmp_path / "ca.pem")
    assert found.certificate == str(tmp_path / "cert.pem")
    assert found.verify


def test_the_context_of_the_variable_and_of_the_configuration(tmp_path: Path) -> None:
    context(tmp_path, "far", "ssh://me@far")
    context(tmp_path, "safe", "tcp://safe:2376", certificates=True)
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "safe"}')
    home = {"HOME": str(tmp_path)}

    assert address({**home, "DOCKER_CONTEXT": "far"}).url == "ssh://me@far"
    safe = address(home)
    assert safe.url == "tcp://safe:2376"
    assert safe.key is not None
    assert safe.key.endswith("key.pem")


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no docker context named 'gone'") as refused:
        address({"HOME": str(tmp_path), "DOCKER_CONTEXT": "gone"})

    assert refused.value.hint


@pytest.mark.parametrize("text", ["/var/run/docker.sock", "npipe:////./pipe", "unix://relative"])
def test_an_address_that_is_none(text: str) -> None:
    with pytest.raises(BackendError, match="no address of a container engine"):
        address({"DOCKER_HOST": text})


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("unix:///var/run/docker.sock", True),
        ("tcp://127.0.0.1:2375", True),
        ("tcp://localhost:2375", True),
        ("tcp://engine.example:2376", False),
        ("ssh://me@far", False),
        ("ssh://me@far:22/run/docker.sock", False),
    ],
)
def test_whether_an_engine_is_on_this_machine(url: str, *, local: bool) -> None:
    assert address({"DOCKER_HOST": url}).is_local is local


@pytest.fixture
def short() -> Iterator[str]:
    """A folder with a short path, for sockets take no more than 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        yield folder


def test_no_engine_at_the_socket(short: str) -> None:
    path = os.path.join(short, "none.sock")

    with pytest.raises(BackendError, match="there is no container engine at") as refused:
        connect({"DOCKER_HOST": f"unix://{path}"})

    assert path in refused.value.message
    assert "DOCKER_HOST" in (refused.value.hint or "")


def test_an_engine_that_has_died(short: str) -> None:
    path = os.path.join(short, "dead.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)

    with pytest.raises(BackendError, match="no container engine answers"):
        connect({"DOCKER_HOST": f"unix://{path}"})


@pytest.mark.skipif(os.getuid() == 0, reason="nobody forbids root to open a socket")
def test_a_socket_of_somebody_else(short: str) -> None:
    path = os.path.join(short, "theirs.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0)

        with pytest.raises(BackendError, match="not allowed to use the container engine"):
            connect({"DOCKER_HOST": f"unix://{path}"})
