"""Locks for other platforms, the ``pip:`` section included."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from conda_channel import FULL, MINOR, SUBDIR, CondaPackage, File
from packages import make_wheel
from packaging.utils import parse_wheel_filename

from runner.environments.conda import lockfile
from runner.environments.conda.locking import CondaLocking
from runner.environments.conda.platforms import KNOWN, platform_here
from runner.environments.conda.targets import UV_PLATFORMS, Target, target
from runner.environments.uv import Uv
from runner.errors import EnvError

if TYPE_CHECKING:
    from pathlib import Path

    from conda_bench import CondaBench

    from runner.environments.conda.lockfile import CondaLock

HERE = platform_here()
CP = f"cp{MINOR.replace('.', '')}"


def python_of(platform: str) -> CondaPackage:
    """Return a Python for a platform, which is only looked at."""
    program = "python.exe" if platform == "win-64" else f"bin/python{MINOR}"
    return CondaPackage("python", FULL, "0_cpython", platform=platform,
                        files={program: File(b"for elsewhere")})  # fmt: skip


def drawn(
    conda: CondaBench, *packages: str, pip: tuple[str, ...], platforms: list[str]
) -> CondaLock:
    locking = CondaLocking(home=str(conda.home), environ=conda.environ)
    made = locking.drawn(conda.request(*packages, pip=pip), platforms=platforms)
    (conda.project / made.name).write_bytes(made.content)
    return lockfile.parsed(made.content, shown="l")


def files(lock: CondaLock) -> set[tuple[str, str]]:
    return {(p.platform, p.file) for p in lock.packages if p.manager == "pip"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("platform", "tag"),
    [("osx-arm64", "macosx_11_0_arm64"), ("win-64", "win_amd64"),
     ("linux-aarch64", "manylinux_2_17_aarch64.manylinux2014_aarch64")],
)  # fmt: skip
def test_pip_packages_are_locked_for_other_platforms(
    conda: CondaBench, platform: str, tag: str
) -> None:
    conda.channel.add(python_of(platform))
    for fitting in (tag, "manylinux_2_17_x86_64"):
        make_wheel(conda.wheels, "compiled", "1.0", tag=f"{CP}-{CP}-{fitting}",
                   requires=["alpha", "onlywin; sys_platform == 'win32'"])  # fmt: skip
    make_wheel(conda.wheels, "onlywin", "1.0")
    make_wheel(conda.wheels, "alpha", "9.0")
    lock = drawn(conda, "python", "alpha=1", pip=("compiled",), platforms=[platform, HERE])
    expected = {(platform, f"compiled-1.0-{CP}-{CP}-{tag}.whl")}
    if HERE == "linux-64":
        expected.add((HERE, f"compiled-1.0-{CP}-{CP}-manylinux_2_17_x86_64.whl"))
    if platform == "win-64":
        expected.add((platform, "onlywin-1.0-py3-none-any.whl"))
    assert files(lock) == expected
    conda.builder().build(conda.lock("python", "alpha=1", pip=("compiled",), locked=True))


def test_the_pip_section_of_another_platform_respects_what_conda_has_there(
    conda: CondaBench,
) -> None:
    conda.channel.add(python_of("osx-arm64"))
    make_wheel(conda.wheels, "wheely", "1.0", requires=["alpha>=2"])
    with pytest.raises(EnvError, match="alpha"):
        drawn(conda, "python", "alpha=1", pip=("wheely",), platforms=["osx-arm64"])


def test_where_uv_knows_nothing_of_a_platform_that_is_said(conda: CondaBench) -> None:
    conda.channel.add(python_of("linux-ppc64le"))
    with pytest.raises(EnvError, match="locked for linux-ppc64le on such a machine only") as told:
        drawn(conda, "python", pip=("wheely",), platforms=["linux-ppc64le"])
    assert "osx-arm64" in str(told.value.hint)
    with pytest.raises(EnvError, match="there is no Python in the environment"):
        target((), "osx-64", "conda.yaml")


WHEELS = {
    "linux-64": ("numpy-2.0.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
    "linux-aarch64": ("x-1-cp311-abi3-manylinux_2_28_aarch64.whl", True),
    "osx-64": ("x-1-cp39-abi3-macosx_10_9_x86_64.whl", True),
    "osx-arm64": ("x-1-cp311-cp311-macosx_14_0_arm64.whl", False),
    "win-64": ("x-1-cp311-cp311-win_amd64.whl", True),
}


@pytest.mark.parametrize("platform", WHEELS)
def test_the_tags_are_those_of_the_platform(platform: str) -> None:
    wheel, fits = WHEELS[platform]
    tags = Target(platform=platform, version="3.11.9").tags()
    assert bool(parse_wheel_filename(wheel)[3] & set(tags)) is fits


def test_uv_knows_the_platforms_and_all_of_them_are_known() -> None:
    told = subprocess.run(
        [Uv(environ=os.environ).program, "pip", "compile", "--help"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    words = {word.strip(",[]") for word in told.split()}
    assert set(UV_PLATFORMS.values()) <= words
    assert set(UV_PLATFORMS) <= set(KNOWN)


def test_the_lock_of_another_platform_names_its_python(conda: CondaBench, tmp_path: Path) -> None:
    conda.channel.add(python_of("osx-arm64"))
    make_wheel(conda.wheels, "wheely", "1.0")
    drawn(conda, "python", pip=("wheely",), platforms=["osx-arm64"])
    document = yaml.safe_load((conda.project / "conda-lock.yml").read_text())
    rows = {row["name"]: row for row in document["package"]}
    assert rows["python"]["version"] == FULL
    assert {row["platform"] for row in rows.values()} == {"osx-arm64"}
    assert document["metadata"]["platforms"] == ["osx-arm64"]
    assert SUBDIR not in document["metadata"]["content_hash"]
    assert str(tmp_path / "home") not in str(document)
