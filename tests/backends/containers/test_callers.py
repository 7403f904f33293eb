"""Whoever calls: files in volumes are his, and an unknown user has a home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.system.engine import address

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else"),
]

UID, GID = 23456, 34567
MLPROJECT = """\
name: mine
docker_env:
  image: {image}
  volumes: ["./out:/out"]
entry_points:
  main:
    command: "id -u && id -g && echo $HOME && touch ~/x here /out/made && mkdir /out/sub && ls -A"
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder that belongs to somebody, with his Python path and project."""
    folder = Path(tempfile.mkdtemp(prefix="rpc-", dir="/tmp"))
    (folder / "project").mkdir()
    (folder / "root").symlink_to(Path(__file__).parents[3])
    for path in (folder, folder / "project"):
        os.chown(path, UID, GID)
    yield folder
    shutil.rmtree(folder)


def python_for_everybody() -> tuple[str, str]:
    """Return an interpreter that others may start, and the folder of our requirements.

    The one that runs the tests may lie in root's home.
    """
    packages = sysconfig.get_paths()["purelib"]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{version}"):
        with suppress(OSError):
            check = [python, "-c", "import sys; sys.path.append(sys.argv[1]); import jsonschema"]
            done = subprocess.run([*check, packages], user=UID, group=GID, cwd="/", check=False)
            if done.returncode == 0:
                return python, packages
    pytest.skip("this machine's Python can be used by root only")


def run_as(place: Path, groups: list[int]) -> subprocess.CompletedProcess[str]:
    python, packages = python_for_everybody()
    code = "import sys; from runner.cli.main import entry; entry()"
    return subprocess.run(
        [python, "-c", code, "run", "project"],
        cwd=place,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "HOME": str(place),
            "PYTHONPATH": f"{place / 'root'}:{packages}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        user=UID,
        group=GID,
        extra_groups=groups,
    )


def socket_of(engine: docker.DockerClient) -> str:
    found = address(dict(os.environ)).socket
    assert found, engine.api.base_url
    return found


def test_an_ordinary_user(place: Path, sh_image: str, engine: docker.DockerClient) -> None:
    (place / "project" / "MLproject").write_text(MLPROJECT.format(image=sh_image))

    done = run_as(place, [os.stat(socket_of(engine)).st_gid])

    assert done.returncode == 0, done.stderr
    uid, gid, home, *files = done.stdout.split()
    assert (uid, gid, home) == (str(UID), str(GID), "/mlflow/home")
    assert files == ["MLproject", "here"]
    for name in ("made", "sub"):
        made = (place / "project" / "out" / name).stat()
        assert (made.st_uid, made.st_gid) == (UID, GID)


def test_a_user_whom_nobody_lets_in(
    place: Path, sh_image: str, engine: docker.DockerClient
) -> None:
    if os.stat(socket_of(engine)).st_mode & 0o006:
        pytest.skip("this machine lets everybody use its engine")
    (place / "project" / "MLproject").write_text(MLPROJECT.format(image=sh_image))

    done = run_as(place, [])

    assert done.returncode == 125
    assert "you are not allowed to use the container engine" in done.stderr
    assert "hint: ask to become a member of its group" in done.stderr
