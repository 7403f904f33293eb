"""Installed programs, on request: the same lock, installed by somebody else."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from runner.environments.conda import contents, external
from runner.environments.conda.locking import CondaLocking
from runner.environments.conda.platforms import platform_here
from runner.errors import EnvError
from runner.model.lock import PackageLock

if TYPE_CHECKING:
    from pathlib import Path

    from conda_bench import CondaBench

    from runner.model.lock import ProcessEnvironment

PROGRAM = """\
#!{python}
# A program that takes conda's arguments and links an explicit list with rattler.
import asyncio, hashlib, json, os, sys
from urllib.parse import unquote, urlsplit
with open({log!r}, "a") as file:
    file.write(json.dumps(sys.argv) + "\\n")
words = sys.argv[1:]
assert words[0] == "create" and "--yes" in words
prefix, listed = words[words.index("--prefix") + 1], words[words.index("--file") + 1]
lines = open(listed).read().splitlines()
assert lines[0] == "@EXPLICIT"
import rattler
from rattler.explicit_environment import ExplicitEnvironmentSpec
records = []
for line in lines[1:]:
    url, _, md5 = line.partition("#")
    path = unquote(urlsplit(url).path)
    found = hashlib.md5(open(path, "rb").read()).hexdigest()
    if found != md5:
        sys.exit("ChecksumMismatchError: " + url)
    base, subdir, name = url.rsplit("/", 2)
    stem = name.removesuffix(".conda").removesuffix(".tar.bz2")
    title, version, build = stem.rsplit("-", 2)
    package = rattler.PackageRecord(name=title, version=version,
        build=rattler.BuildString(build), build_number=0, subdir=subdir, md5=bytes.fromhex(md5))
    records.append(rattler.RepoDataRecord(package, name, url, base + "/"))
asyncio.run(rattler.install(records, target_prefix=prefix, cache_dir=prefix + ".cache",
                            installed_packages=[], show_progress=False))
os._exit(0)
"""


def make_program(conda: CondaBench, name: str, folder: str = "bin") -> Path:
    import sys

    path = conda.project.parent / folder / name
    path.parent.mkdir(exist_ok=True)
    log = str(conda.project.parent / "calls")
    path.write_text(PROGRAM.format(python=sys.executable, log=log))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def build(conda: CondaBench, manager: str, *packages: str) -> ProcessEnvironment:
    builder = conda.builder(manager)
    lock = builder.lock(conda.request(*packages))
    assert isinstance(lock, PackageLock)
    assert lock.builder == manager
    return builder.build(lock)


@pytest.mark.parametrize("tool", ["conda", "mamba", "micromamba"])
def test_an_installed_program_builds_from_the_same_lock(conda: CondaBench, tool: str) -> None:
    program = make_program(conda, tool)
    conda.environ["PATH"] = f"{program.parent}:{conda.environ['PATH']}"
    ours = conda.build("python", "alpha", "active", "tool")
    theirs = build(conda, tool, "python", "alpha", "active", "tool")
    assert theirs.variables["CONDA_PREFIX"] != ours.variables["CONDA_PREFIX"]
    assert theirs.variables["ACTIVE"] == f"on:{theirs.variables['CONDA_PREFIX']}"
    lists = [contents.kept(e.variables["CONDA_PREFIX"]).keys() for e in (ours, theirs)]
    assert lists[0] == lists[1]
    calls = (conda.project.parent / "calls").read_text().splitlines()
    assert len(calls) == 1
    build(conda, tool, "python", "alpha", "active", "tool")
    assert (conda.project.parent / "calls").read_text().splitlines() == calls


def test_a_failing_program_is_quoted(conda: CondaBench) -> None:
    program = make_program(conda, "conda")
    conda.environ["CONDA_EXE"] = str(program)
    lock = conda.builder("conda").lock(conda.request("tool"))
    archive = next(conda.channel.path.glob("*/tool-1.0-0.conda"))
    archive.write_bytes(archive.read_bytes() + b"x")
    with pytest.raises(
        EnvError, match=r"conda could not make the environment \(exit code 1\)"
    ) as e:
        conda.builder("conda").build(lock)
    assert "ChecksumMismatchError" in str(e.value.hint)
    assert not list((conda.home / "envs").glob("????????????????????????????????"))


def test_without_the_program_the_message_says_what_to_do(conda: CondaBench) -> None:
    conda.environ["PATH"] = "/usr/bin:/bin"
    with pytest.raises(EnvError, match="the program 'micromamba' is not installed") as caught:
        build(conda, "micromamba", "tool")
    assert "leave --env-manager out" in str(caught.value.hint)


def test_where_a_program_is_looked_for(conda: CondaBench) -> None:
    home = conda.project.parent
    paths = {name: str(make_program(conda, name)) for name in ("conda", "mamba")}
    other = str(make_program(conda, "conda", "other"))
    gone = {"PATH": "/nowhere"}
    assert external.found("conda", gone) is None
    assert external.found("conda", {**gone, "MLFLOW_CONDA_HOME": str(home)}) == paths["conda"]
    asked = {**gone, "MLFLOW_CONDA_HOME": str(home), "MLFLOW_CONDA_CREATE_ENV_CMD": "mamba"}
    assert external.found("conda", asked) == paths["mamba"]
    assert external.found("conda", {**gone, "CONDA_EXE": other}) == other
    assert external.found("mamba", {**gone, "MAMBA_EXE": paths["mamba"]}) == paths["mamba"]
    assert external.found("micromamba", {**gone, "MAMBA_EXE": paths["mamba"]}) is None
    assert external.found("conda", {"PATH": f"/nowhere:{home}/other"}) == other


def test_the_list_has_a_hash_for_each_package(conda: CondaBench) -> None:
    from runner.environments.conda import lockfile

    lock = conda.lock("python", "tool")
    packages = lockfile.load(lock.document, shown="l", platform=platform_here()).packages
    text = external.explicit(packages)
    lines = text.splitlines()
    assert lines[0] == "@EXPLICIT"
    assert all(len(line.partition("#")[2]) == 32 for line in lines[1:])
    assert len(lines) == len(packages) + 1


def test_an_external_solver_needs_conda_lock(conda: CondaBench) -> None:
    program = make_program(conda, "conda")
    conda.environ |= {"CONDA_EXE": str(program), "PATH": "/usr/bin:/bin"}
    locking = CondaLocking(home=str(conda.home), environ=conda.environ)
    with pytest.raises(EnvError, match="done by conda-lock, which is not there") as caught:
        locking.drawn(conda.request("tool"), manager="conda")
    assert "runproj[conda-lock]" in str(caught.value.hint)
    with pytest.raises(EnvError, match="the program 'mamba' is not installed"):
        locking.drawn(conda.request("tool"), manager="mamba")
    with pytest.raises(EnvError, match="conda cannot see channels as of a date"):
        locking.drawn(conda.request("tool", as_of=datetime.now(UTC)), manager="conda")
    with pytest.raises(EnvError, match="conda solves anew, and cannot update some"):
        locking.drawn(conda.request("tool"), manager="conda", update=["tool"])
