"""Real conda-lock and a real conda: do they take what we write, and we what they write?

The conda is 4.3.16, the last one that is to be had as a Python package: it knows no ``.conda``
files, no Python after 3.9, and no virtual packages, and runs on Python 3.6. For newer ones stands a
program that answers conda-lock as they do.
"""

from __future__ import annotations

import glob
import json
import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conda_channel import MINOR, Channel
from packages import make_wheel
from solving_program import make_solver

from runner.environments.conda import contents, lockfile
from runner.environments.conda.locking import CondaLocking
from runner.environments.conda.platforms import platform_here
from runner.errors import EnvError
from tests.mlflow_clients import made

if TYPE_CHECKING:
    from typing import Any

    from conda_bench import CondaBench

    from runner.model.lock import ProjectLock

HERE = platform_here()
PYTHON_OF_CONDA = "3.6"
CONDA = ["conda==4.3.16", "requests<2.28", "ruamel.yaml<0.17", "pycosat<0.7"]
pytestmark = [pytest.mark.slow]
READ_AND_WRITE = """\
import json, sys, pathlib
from conda_lock.lockfile import parse_conda_lock_file, write_conda_lock_file
path = pathlib.Path(sys.argv[1])
lock = parse_conda_lock_file(path)
write_conda_lock_file(lock, path.with_name("theirs.yml"), metadata_choices=set())
print(json.dumps(sorted(p.name for p in lock.package)))
"""


def locking(conda: CondaBench) -> CondaLocking:
    return CondaLocking(home=str(conda.home), environ=conda.environ, reporter=conda.watcher)


def drawn(
    conda: CondaBench, *packages: str, pip: tuple[str, ...] = (), **options: Any
) -> ProjectLock:
    lock = locking(conda).drawn(conda.request(*packages, pip=pip), **options)
    (conda.project / lock.name).write_bytes(lock.content)
    return lock


@pytest.fixture(scope="session")
def python_of_conda_lock() -> str:
    """Return the Python of an environment with conda-lock in it."""
    return made(f"conda-lock-4.0.3-{MINOR}", MINOR, ["conda-lock==4.0.3"])


@pytest.fixture
def conda_lock(conda: CondaBench, python_of_conda_lock: str) -> str:
    """Put conda-lock on the PATH; return its program."""
    folder = os.path.dirname(python_of_conda_lock)
    conda.environ["PATH"] = f"{folder}:{conda.environ['PATH']}"
    return os.path.join(folder, "conda-lock")


@pytest.fixture
def old_conda(conda: CondaBench, tmp_path: Path) -> str:
    """Return the program of a real conda that sees nothing but a channel of ``.tar.bz2`` files."""
    if not glob.glob(os.path.expanduser(f"~/.pyenv/versions/{PYTHON_OF_CONDA}.*/bin/python")):
        pytest.skip("conda 4.3.16 needs Python 3.6, which pyenv does not have here")
    try:
        python = made("conda-4.3.16", PYTHON_OF_CONDA, CONDA)
    except subprocess.CalledProcessError:
        pytest.skip("conda 4.3.16 cannot be installed here: its SAT solver needs a compiler")
    conda.channel = Channel(tmp_path / "old").add(
        *(replace(package, archive=".tar.bz2") for package in conda.packages)
    )
    settings = tmp_path / "condarc.yml"
    settings.write_text(
        f"pkgs_dirs: ['{tmp_path}/pkgs']\nchannels: ['{conda.channel.url}']\n"
        f"default_channels: ['{conda.channel.url}']\n"
    )
    conda.environ["CONDARC"] = str(settings)
    program = tmp_path / "programs" / "conda"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {python} -m conda "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def test_conda_lock_reads_and_writes_what_we_write(
    conda: CondaBench, python_of_conda_lock: str
) -> None:
    make_wheel(conda.wheels, "wheely", "1.0")
    drawn(conda, "python", "alpha", "active", pip=("wheely",))
    path = conda.project / "conda-lock.yml"
    done = subprocess.run(
        [python_of_conda_lock, "-c", READ_AND_WRITE, path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == ["active", "alpha", "pip", "python", "tzdata", "wheely"]
    theirs = lockfile.load(str(path.with_name("theirs.yml")), shown="l", platform=HERE)
    ours = lockfile.load(str(path), shown="l", platform=HERE)
    assert lockfile.changes(ours.packages, theirs.packages) == ()
    assert theirs.ours == ours.ours


@pytest.mark.parametrize("tool", ["conda", "micromamba"])
def test_installed_programs_solve_through_conda_lock(
    conda: CondaBench, conda_lock: str, tool: str
) -> None:
    calls = conda.project / "calls"
    program = make_solver(conda.home.parent / "programs" / tool, calls)
    conda.environ["PATH"] = f"{program.parent}:{conda.environ['PATH']}"
    make_wheel(conda.wheels, "wheely", "1.0", requires=["alpha"])
    asked: dict[str, Any] = {"pip": ("wheely",)}
    drawn(conda, "python", "alpha=1.0", **asked)
    ours = lockfile.load(str(conda.project / "conda-lock.yml"), shown="l", platform=HERE)
    made = drawn(conda, "python", "alpha=1.0", **asked, manager=tool)
    theirs = lockfile.parsed(made.content, shown="l")
    assert lockfile.changes(ours.packages, theirs.packages) == ()
    assert theirs.ours["solver"] == tool
    assert any(json.loads(line)[:1] == ["create"] for line in calls.read_text().splitlines())
    conda.builder().build(conda.lock("python", "alpha=1.0", locked=True, **asked))
    assert os.path.exists(conda_lock)


def test_what_the_program_says_is_quoted(conda: CondaBench, conda_lock: str) -> None:
    program = make_solver(conda.home.parent / "programs" / "mamba", conda.project / "calls")
    conda.environ["MAMBA_EXE"] = str(program)
    with pytest.raises(EnvError, match="mamba finds no packages") as caught:
        drawn(conda, "python", "alpha=77", manager="mamba")
    assert "alpha 77" in str(caught.value.hint)
    assert "Traceback" not in str(caught.value.hint)
    assert os.path.exists(conda_lock)


def test_a_lock_that_conda_lock_made_is_honoured(conda: CondaBench, conda_lock: str) -> None:
    program = make_solver(conda.home.parent / "programs" / "mamba", conda.project / "calls")
    channels, packages = [conda.channel.url], ["python", "alpha=1.0", "tool"]
    (conda.project / "conda.yaml").write_text(
        json.dumps({"channels": channels, "dependencies": packages})
    )
    (conda.project / "names.json").write_text("{}")
    subprocess.run(
        [conda_lock, "lock", "--conda", program, "-f", "conda.yaml", "-p", HERE,
         "--pypi_to_conda_lookup_file", f"file://{conda.project}/names.json"],
        cwd=conda.project, env=conda.environ, check=True, capture_output=True,
    )  # fmt: skip
    lock = conda.lock(*packages, locked=True)
    assert lock.origin == "project"
    assert "alpha 1.0" in conda.locked_texts(lock)
    conda.builder().build(lock)
    with pytest.raises(EnvError, match=r"conda-lock\.yml is stale: it has alpha 1\.0"):
        conda.lock("python", "alpha=2", "tool", locked=True)


def test_a_real_conda_builds_from_our_lock(conda: CondaBench, old_conda: str) -> None:
    asked = ("active", "tool=1", "tzdata")
    ours = conda.build(*asked).variables["CONDA_PREFIX"]
    conda.environ["CONDA_EXE"] = old_conda
    builder = conda.builder("conda")
    environment = builder.build(builder.lock(conda.request(*asked)))
    theirs = environment.variables["CONDA_PREFIX"]
    assert environment.variables["ACTIVE"] == f"on:{theirs}"
    assert files(ours) == files(theirs)


def test_a_real_conda_and_conda_lock_install_our_lock(
    conda: CondaBench, old_conda: str, conda_lock: str
) -> None:
    asked = ("active", "tool=1", "tzdata")
    drawn(conda, *asked)
    ours = conda.build(*asked).variables["CONDA_PREFIX"]
    theirs = str(conda.home.parent / "theirs")
    subprocess.run(
        [conda_lock, "install", "--conda", old_conda, "--prefix", theirs, "conda-lock.yml"],
        cwd=conda.project, env=conda.environ, check=True, capture_output=True,
    )  # fmt: skip
    assert files(ours) == files(theirs)


def files(prefix: str) -> dict[str, bytes]:
    """Return the files of the packages, as if they lay at one place."""
    found = {}
    for path in contents.listing(prefix):
        if not path.startswith("conda-meta/") and path != "CACHEDIR.TAG":
            content = Path(prefix, path).read_bytes()
            found[path] = content.replace(prefix.encode(), b"/prefix").replace(b"\0", b"")
    assert found
    return found
