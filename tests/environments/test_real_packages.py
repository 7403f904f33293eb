"""Real packages from the configured index."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from packages import Bench, make_source

from runner.environments.interpreters import Interpreters
from runner.environments.uv import Uv
from runner.errors import EnvError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def open_bench(bench: Bench) -> Bench:
    """Return a project that sees the configured index, and uv's usual cache."""
    bench.environ = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    return bench


def outcome(python: str, program: str) -> str:
    done = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def packages(description: str | None) -> dict[str, Any]:
    with open(str(description)) as file:
        return {p["name"]: p for p in json.load(file)["packages"]}


@pytest.mark.parametrize("manager", ["uv", "virtualenv"])
def test_both_managers_build_the_same_packages(open_bench: Bench, manager: str) -> None:
    made = open_bench.build("six==1.16.0", "docopt==0.6.2", manager=manager)
    python = os.path.join(made.bin_paths[0], "python")
    assert outcome(python, "import six, docopt; print(six.__version__)") == "1.16.0"
    found = packages(made.description)
    assert (found["six"]["built"], found["docopt"]["built"]) == (False, True)
    assert ("pip" in found) is (manager == "virtualenv")


def test_virtualenv_refuses_a_changed_package(open_bench: Bench) -> None:
    lock = open_bench.lock("six==1.16.0", manager="virtualenv")
    with open(lock.document) as file:
        text = file.read()
    shutil.copy(lock.document, f"{lock.document}.kept")
    with open(lock.document, "w") as file:
        file.write(text.replace('sha256 = "8abb', 'sha256 = "8abc').replace('"1e61', '"1e62'))
    with pytest.raises(EnvError, match=r"six.*locked hash"):
        open_bench.builder("virtualenv").build(lock)


def test_virtualenv_installs_local_packages(open_bench: Bench) -> None:
    make_source(open_bench.project / "pkg", "mine", "1.0", requires=["six"])
    made = open_bench.build("./pkg", manager="virtualenv")
    python = os.path.join(made.bin_paths[0], "python")
    assert outcome(python, "import mine, six; print(mine.VERSION)") == "1.0"


def test_as_of_hides_what_came_later(open_bench: Bench) -> None:
    when = datetime(2024, 6, 1, tzinfo=UTC)
    made = open_bench.build("six", "docopt", as_of=when)
    assert packages(made.description)["six"]["version"] == "1.16.0"


def test_old_interpreters_work(open_bench: Bench, tmp_path: Path) -> None:
    uv = Uv(environ=open_bench.environ)
    there = Interpreters(home=str(tmp_path / "h"), environ=open_bench.environ, uv=uv).installed()
    old = sorted({i.version for i in there if i.minor in {"3.6", "3.7", "3.8"}})
    if not old:
        pytest.skip("no Python older than 3.9 is installed")
    for version in old:
        made = open_bench.build("six==1.16.0", python=version)
        python = os.path.join(made.bin_paths[0], "python")
        assert outcome(python, "import six, platform; print(platform.python_version())") == version


def test_virtualenv_says_when_it_cannot_seed(open_bench: Bench, tmp_path: Path) -> None:
    uv = Uv(environ=open_bench.environ)
    there = Interpreters(home=str(tmp_path / "h"), environ=open_bench.environ, uv=uv).installed()
    old = [i.version for i in there if i.minor == "3.6"]
    if not old:
        pytest.skip("no Python 3.6 is installed")
    with pytest.raises(EnvError, match=r"virtualenv cannot put pip into Python 3\.6") as caught:
        open_bench.build("six==1.16.0", python=old[0], manager="virtualenv")
    assert "--env-manager uv" in str(caught.value.hint)


def test_the_usual_three_cost_little_more_than_raw_uv(open_bench: Bench, tmp_path: Path) -> None:
    lock = open_bench.lock("numpy", "pandas", "scikit-learn")
    made = open_bench.builder().build(lock)
    python = os.path.join(made.bin_paths[0], "python")
    assert outcome(python, "import numpy, pandas, sklearn; print('ok')") == "ok"
    uv, raw = Uv(environ=open_bench.environ), str(tmp_path / "raw")
    ours, theirs = [], []
    for _ in range(3):
        prefix = made.variables["VIRTUAL_ENV"]
        shutil.rmtree(prefix)
        begun = time.perf_counter()
        open_bench.builder().build(open_bench.lock("numpy", "pandas", "scikit-learn"))
        ours.append(time.perf_counter() - begun)
        shutil.rmtree(raw, ignore_errors=True)
        copy = tmp_path / "pylock.toml"
        shutil.copy(lock.document, copy)
        begun = time.perf_counter()
        uv.attempt("venv", "--no-project", "-q", "--python", sys.executable, raw)
        done = uv.attempt("pip", "sync", "-q", "--python", f"{raw}/bin/python", str(copy))
        theirs.append(time.perf_counter() - begun)
        assert done.exit_code == 0, done.complaint
    print(f"ours {min(ours):.3f} s, raw {min(theirs):.3f} s")  # noqa: T201 - for -s
    assert min(ours) < 4 * min(theirs)  # 1.25 is checked by the benchmarks, on a quiet machine
