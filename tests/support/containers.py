"""A real container engine, images on it, and a registry of our own: fixtures for every test."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from images import (
    Layer,
    add_bash,
    add_python,
    add_shell,
    archive,
    base_python,
    busybox,
    python_search_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import docker

PREFIX = "runproj-test"
"""The repository of every image of the tests; ``.ci/engine stop`` removes them."""
DEADLINE = 60.0
USER, PASSWORD = "tess", "open sesame"
HTPASSWD = "tess:$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n"


def unavailable(reason: str) -> None:
    """Fail where CI promises an engine, skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """Return a client of the engine that ``DOCKER_HOST`` names, else of the usual socket."""
    import docker

    try:
        client = docker.from_env(timeout=120)
    except docker.errors.DockerException as error:
        unavailable(f"no container engine answers: {error}")
        raise
    yield client
    client.close()


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Let one process of this machine at a time make an image."""
    path = Path(tempfile.gettempdir()) / f"{PREFIX}-{os.getuid()}-{name}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made(client: docker.DockerClient, tag: str, fill: Callable[[Layer], None], **facts: Any) -> str:
    """Make an image once per engine; return its tag."""
    import docker

    with alone(tag.replace("/", "-").replace(":", "-")):
        try:
            client.images.get(tag)
        except docker.errors.ImageNotFound:
            content = io.BytesIO()
            layer = Layer(content)
            fill(layer)
            layer.close()
            with tempfile.TemporaryFile() as file:
                identifier = archive(file, tag, content.getvalue(), **facts)
                file.seek(0)
                (loaded,) = client.images.load(file)
            assert loaded.id == identifier
    return tag


@pytest.fixture(scope="session")
def sh_image(engine: docker.DockerClient) -> str:
    """Return the tag of an image with a shell and its tools, and nothing else."""
    return made(engine, f"{PREFIX}/sh:1", add_shell, labels={"org.example.kind": "sh"})


@pytest.fixture(scope="session")
def bare_image(engine: docker.DockerClient) -> str:
    """Return the tag of an image with one program, ``/echo``, and no shell."""

    def fill(layer: Layer) -> None:
        layer.copy(busybox(), "/echo")

    return made(engine, f"{PREFIX}/bare:1", fill)


@pytest.fixture(scope="session")
def python_image(engine: docker.DockerClient) -> str:
    """Return the tag of an image with this machine's Python, one package, ``sh`` and ``bash``.

    The interpreter lies where it lies on this machine: a virtual environment of it that is mounted
    at its own path works inside.
    """

    def fill(layer: Layer) -> None:
        add_shell(layer)
        add_bash(layer)
        add_python(layer)

    status = os.stat(base_python())
    tag = f"{PREFIX}/python:2-{status.st_size:x}-{status.st_mtime_ns:x}"
    variables = {"LANG": "C.UTF-8", "LD_LIBRARY_PATH": python_search_path()}
    return made(engine, tag, fill, variables=variables)


def said(image: str, *argv: str) -> str:
    """Return what a command prints in a container of an image.

    By the ``docker`` program, which listens before it starts: the logs of a container that has
    ended may be short of their last words on a busy machine.
    """
    command = ["docker", "run", "--rm", image, *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Registry:
    """A registry on this machine, which Docker trusts without TLS because it is on 127.0.0.1."""

    def __init__(self, folder: Path, *, protected: bool = False) -> None:
        self._folder = folder
        self._protected = protected
        for _attempt in range(5):
            self.address = f"127.0.0.1:{_free_port()}"
            self._process = self._start()
            if self._is_up():
                return
            self.stop()
        pytest.fail((folder / "log").read_text())

    def _start(self) -> subprocess.Popen[bytes]:
        program = shutil.which("docker-registry", path=f"{os.environ.get('PATH', '')}:/usr/bin")
        assert program
        settings = self._folder / "config.yml"
        self._folder.mkdir(parents=True, exist_ok=True)
        users = self._folder / "users"
        users.write_text(HTPASSWD)
        lines = [
            "version: 0.1",
            "log: {level: warn}",
            "storage:",
            f"  filesystem: {{rootdirectory: '{self._folder}/data'}}",
            "  delete: {enabled: true}",
            f"http: {{addr: '{self.address}'}}",
        ]
        if self._protected:
            lines.append(f"auth: {{htpasswd: {{realm: test, path: '{users}'}}}}")
        settings.write_text("\n".join(lines) + "\n")
        with (self._folder / "log").open("wb") as log:
            return subprocess.Popen(
                [program, "serve", str(settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _is_up(self) -> bool:
        limit = time.monotonic() + DEADLINE
        while time.monotonic() < limit and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://{self.address}/v2/"):
                    return True
            except urllib.error.HTTPError as error:
                error.close()
                return error.code == 401  # it asks who we are: it is up
            except OSError:
                time.sleep(0.05)
        return False

    def stop(self) -> None:
        """End it; what it keeps stays on disk."""
        self._process.terminate()
        self._process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def have_registry() -> None:
    """Skip, or fail in CI, where the program is not installed."""
    if not shutil.which("docker-registry", path=f"{os.environ.get('PATH', '')}:/usr/bin"):
        unavailable("docker-registry is not installed")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Return a registry that everybody may read and write."""
    have_registry()
    started = Registry(tmp_path_factory.mktemp("registry"))
    yield started
    started.stop()
