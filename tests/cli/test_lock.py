"""``runproj lock`` through the command: real uv, packages made by hand, no network."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from conda_channel import standard_channel
from packages import Bench, make_wheel

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = "name: p\npython_env: python_env.yaml\nentry_points:\n  main:\n    command: 'true'\n"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    make_wheel(made.wheels, "alpha", "1.0")
    (made.project / "MLproject").write_text(PROJECT)
    (made.project / "python_env.yaml").write_text("dependencies:\n  - alpha\n")
    return made


def call(runproj: Path, bench: Bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**bench.environ, "RUNPROJ_HOME": str(bench.home)}
    return subprocess.run(
        [str(runproj), *arguments],
        cwd=bench.project,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_writes_the_lock_and_says_what_changed(runproj: Path, bench: Bench) -> None:
    done = call(runproj, bench, "lock")
    assert (done.returncode, done.stdout) == (0, "+ alpha 1.0\n"), done.stderr
    assert "wrote pylock.toml: 1 package changed" in done.stderr
    assert 'name = "alpha"' in (bench.project / "pylock.toml").read_text()
    make_wheel(bench.wheels, "alpha", "2.0")
    assert "nothing changed" in call(runproj, bench, "lock").stderr
    assert call(runproj, bench, "lock", "--upgrade").stdout == "~ alpha 1.0 -> 2.0\n"
    assert sorted(os.listdir(bench.project)) == ["MLproject", "pylock.toml", "python_env.yaml"]


def test_writing_twice_writes_the_same_bytes(runproj: Path, bench: Bench) -> None:
    call(runproj, bench, "lock")
    first = (bench.project / "pylock.toml").read_bytes()
    call(runproj, bench, "lock")
    assert (bench.project / "pylock.toml").read_bytes() == first


def test_check_says_whether_it_fits(runproj: Path, bench: Bench) -> None:
    done = call(runproj, bench, "lock", "--check")
    assert done.returncode == 125
    assert "the project has no lock" in done.stderr
    call(runproj, bench, "lock")
    assert call(runproj, bench, "lock", "--check").returncode == 0
    (bench.project / "python_env.yaml").write_text("dependencies:\n  - alpha>=1\n")
    done = call(runproj, bench, "lock", "--check", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "fits": False,
        "reason": "'alpha>=1' was added, 'alpha' was removed",
    }


def test_it_writes_elsewhere_when_asked(runproj: Path, bench: Bench) -> None:
    done = call(runproj, bench, "lock", "-o", "-")
    assert done.stdout.startswith('lock-version = "1.0"\n')
    call(runproj, bench, "lock", "-o", "other.toml")
    assert (bench.project / "other.toml").read_text() == done.stdout
    assert not (bench.project / "pylock.toml").exists()


def test_a_fetched_project_needs_a_place(runproj: Path, bench: Bench) -> None:
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=bench.project, check=True)
    done = call(runproj, bench, "lock", f"file://{bench.project}", "-v", "main")
    assert done.returncode == 2, done.stderr
    assert "say where: -o FILE" in done.stderr
    assert not (bench.project / "pylock.toml").exists()


def test_conda_packages_are_locked(runproj: Path, bench: Bench, tmp_path: Path) -> None:
    channel = standard_channel(tmp_path / "channel")
    (bench.project / "MLproject").write_text(PROJECT.replace("python_env:", "conda_env:", 1))
    asked = f"channels: ['{channel.url}']\ndependencies: [python, alpha=1.0, tool]\n"
    (bench.project / "python_env.yaml").write_text(asked)
    done = call(runproj, bench, "lock")
    assert done.returncode == 0, done.stderr
    assert "+ alpha 1.0 py_0" in done.stdout
    assert (bench.project / "conda-lock.python_env.yml").exists()
    assert call(runproj, bench, "lock", "--check").returncode == 0
    assert "nothing changed" in call(runproj, bench, "lock").stderr
    (bench.project / "python_env.yaml").write_text(asked.replace("tool", "tool=0.9"))
    done = call(runproj, bench, "lock", "--check")
    assert done.returncode == 1
    assert "'tool=0.9' was added, 'tool' was removed" in done.stderr
    assert "~ tool 1.0 0 -> 0.9 0" in call(runproj, bench, "lock").stdout


def test_uv_lock_is_left_to_uv(runproj: Path, bench: Bench) -> None:
    (bench.project / "uv.lock").write_text("version = 1\n")
    (bench.project / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\n')
    done = call(runproj, bench, "lock")
    assert done.returncode == 2
    assert "locked by uv.lock" in done.stderr
