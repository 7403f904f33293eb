"""Podman speaks Docker's API: the same runs through its socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import alone, unavailable
from docker_projects import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker
    from docker_projects import DockerProject

pytestmark = pytest.mark.slow

SETTINGS = """\
[containers]
default_ulimits = []
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Podman:
    """A service of our own, with storage of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = f"unix://{folder}/p.sock"
        (folder / "containers.conf").write_text(SETTINGS)
        places = f'graphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
        (folder / "storage.conf").write_text(f'[storage]\ndriver = "vfs"\n{places}')
        self.environ = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }

    def call(self, *arguments: str) -> str:
        done = subprocess.run(
            ["podman", *arguments], env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen(
                ["podman", "system", "service", "--time=0", self.socket],
                env=self.environ,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )


@pytest.fixture(scope="module")
def podman(engine: docker.DockerClient, sh_image: str) -> Iterator[Podman]:
    """Start a service; one at a time on a machine, for all of them make the same bridge."""
    with alone("podman"):
        yield from serving(engine, sh_image)


def serving(engine: docker.DockerClient, sh_image: str) -> Iterator[Podman]:
    if shutil.which("podman") is None or shutil.which("catatonit") is None:
        unavailable("podman and catatonit are not installed")
    if os.getuid() != 0:
        pytest.skip("a rootless podman needs a bridge that only root can make here")
    folder = Path(tempfile.mkdtemp(prefix="rpp-", dir="/tmp"))  # sockets have short names
    made = Podman(folder)
    with (folder / "image.tar").open("wb") as file:
        file.writelines(engine.images.get(sh_image).save(named=True))
    made.call("load", "--quiet", "--input", str(folder / "image.tar"))
    service = made.start()
    try:
        until("podman listens", (folder / "p.sock").exists)
        yield made
        assert made.call("ps", "--all", "--quiet") == ""
    finally:
        service.terminate()
        service.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def contained(project: DockerProject, podman: Podman) -> DockerProject:
    project.environ["DOCKER_HOST"] = podman.socket
    project.image = f"localhost/{project.image}"
    return project


def test_a_run_with_files_limits_and_tracking(contained: DockerProject) -> None:
    (contained.folder / "data.txt").write_text("from the project\n")

    done = contained.go(
        "cat data.txt && id -u && echo x > /out/made && df -k /dev/shm | tail -1 | "
        "awk '{{print $2}}' && wget -qO- $MLFLOW_TRACKING_URI/health; exit 7",
        *("--shm-size", "32m"),
        volumes=["./out:/out"],
        environment=[["A", "b c"]],
    )

    assert done.exit_code == 7, done.stderr
    assert done.stdout.split() == ["from", "the", "project", "0", str(32 << 10), "OK"]
    assert done.outcome["detail"] == "the command ended with exit code 7"
    assert (contained.folder / "out" / "made").stat().st_uid == os.getuid()


def test_a_cancelled_run(contained: DockerProject) -> None:
    contained.write("trap 'echo told; exit 3' TERM; echo started; while :; do sleep 0.1; done")
    process = contained.start()
    process.send_signal(signal.SIGTERM)

    assert contained.ended(process) == (3, "told\n")
    assert contained.latest().outcome["status"] == "KILLED"


def test_an_image_that_is_not_there(contained: DockerProject) -> None:
    contained.image = "localhost/never/built:1"

    done = contained.go("true", pull="never")

    assert done.exit_code == 125
    assert "never/built" in done.stderr
    assert "Traceback" not in done.stderr
