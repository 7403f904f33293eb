"""The files that environments were installed from."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from typing import TYPE_CHECKING

import pytest
from packages import make_wheel

from runner.app import Application
from runner.cli.output import SilentReporter
from runner.codec import sha256
from runner.environments.package_files import WheelFiles
from runner.errors import EnvError, UsageError
from runner.model.lock import RecordedLock
from runner.settings import settings

if TYPE_CHECKING:
    from pathlib import Path


def locked(tmp_path: Path, rows: str) -> list[tuple[str, str]]:
    content = f'lock-version = "1.0"\ncreated-by = "uv"\n{rows}'.encode()
    lock = RecordedLock(
        content=content, digest=sha256(content), name="pylock.toml",
        python=platform.python_version(),
    )  # fmt: skip
    environ = {"PATH": os.path.dirname(sys.executable), "UV_PYTHON_DOWNLOADS": "never"}
    return list(WheelFiles(home=str(tmp_path / "home"), environ=environ).files(lock))


def row(*files: Path, name: str = "thing", marker: str = "", digest: str | None = None) -> str:
    wheels = ", ".join(
        f'{{path = "{path}", hashes = {{sha256 = "{digest or _digest(path)}"}}}}' for path in files
    )
    condition = f'marker = "{marker}"\n' if marker else ""
    return f'[[packages]]\nname = "{name}"\nversion = "1.0"\n{condition}wheels = [{wheels}]\n'


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_wheel_that_fits_best_is_taken(tmp_path: Path) -> None:
    here = platform.python_version_tuple()[:2]
    tags = ("py3-none-any", f"cp{''.join(here)}-none-any", "cp37-cp37m-win_amd64")
    wheels = [make_wheel(tmp_path, "thing", "1.0", tag=tag) for tag in tags]
    other = row(wheels[2], name="winonly", marker="sys_platform == 'win32'")
    assert locked(tmp_path, row(*wheels) + other) == [(wheels[1].name, str(wheels[1]))]


def test_what_cannot_be_packed_is_refused(tmp_path: Path) -> None:
    foreign = make_wheel(tmp_path, "thing", "1.0", tag="cp37-cp37m-win_amd64")
    with pytest.raises(EnvError, match="no wheel of thing for this machine"):
        locked(tmp_path, row(foreign))
    sdist = '[packages.sdist]\npath = "thing.tar.gz"\nhashes = {sha256 = "00"}\n'
    with pytest.raises(EnvError, match="no wheel of thing for this machine"):
        locked(tmp_path, f'[[packages]]\nname = "thing"\nversion = "1.0"\n{sdist}')
    wheel = make_wheel(tmp_path, "thing", "1.0")
    with pytest.raises(EnvError, match="does not have the locked hash"):
        locked(tmp_path, row(wheel, digest="0" * 64))
    rows = row(wheel)
    wheel.unlink()
    with pytest.raises(EnvError, match=f"the wheel {wheel.name} is not at"):
        locked(tmp_path, rows)


@pytest.mark.parametrize("manager", ["rattler", "docker", "local"])
def test_other_environments_are_refused(tmp_path: Path, manager: str) -> None:
    given = {"RUNPROJ_HOME": str(tmp_path), "PWD": str(tmp_path)}
    with pytest.raises(UsageError, match="cannot be packed yet"):
        Application(settings(given), SilentReporter()).package_files(manager)
