"""``runproj env`` through the command."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from packages import Bench, make_wheel

from runner.environments import store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    make_wheel(made.wheels, "alpha", "1.0")
    prefix = made.build("alpha").variables["VIRTUAL_ENV"]
    store._LEASES.pop(prefix).release()
    return made


def call(runproj: Path, bench: Bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(runproj), "env", *arguments],
        cwd=bench.project,
        env={**bench.environ, "RUNPROJ_HOME": str(bench.home)},
        capture_output=True,
        text=True,
        check=False,
    )


def listed(runproj: Path, bench: Bench) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(call(runproj, bench, "list", "--json").stdout)
    return found


def test_list_shows_what_there_is(runproj: Path, bench: Bench) -> None:
    (row,) = listed(runproj, bench)
    assert (row["packages"], row["state"], row["in_use"]) == (1, "ready", False)
    assert isinstance(row["size"], int)
    assert isinstance(row["own"], int)
    assert row["size"] >= row["own"] > 0
    lines = call(runproj, bench, "list").stdout.splitlines()
    assert lines[0].split()[:2] == ["ID", "STATE"]
    assert lines[1].split()[:2] == [str(row["id"])[:12], "ready"]


def test_one_is_found_by_the_beginning_of_its_id(runproj: Path, bench: Bench) -> None:
    (row,) = listed(runproj, bench)
    short = str(row["id"])[:6]
    assert call(runproj, bench, "path", short).stdout.strip() == row["path"]
    shown = call(runproj, bench, "show", short).stdout
    assert "alpha" in shown
    assert str(row["path"]) in shown
    document = json.loads(call(runproj, bench, "show", short, "--json").stdout)
    assert document["packages"][0]["name"] == "alpha"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", "zzz"), 125, "there is no environment 'zzz'"),
        (("show",), 2, "needs one environment"),
        (("explode",), 2, "invalid choice"),
        (("prune", "--older-than", "soon"), 2, "soon"),
    ],
)
def test_what_makes_no_sense_is_refused(
    runproj: Path, bench: Bench, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = call(runproj, bench, *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert said in done.stderr


def test_verify_tells_damage(runproj: Path, bench: Bench) -> None:
    (row,) = listed(runproj, bench)
    done = call(runproj, bench, "verify")
    assert (done.returncode, done.stdout) == (0, f"{str(row['id'])[:12]}  ok\n"), done.stderr
    (module,) = bench.home.glob("envs/*/lib/*/site-packages/alpha.py")
    module.unlink()
    done = call(runproj, bench, "verify", str(row["id"])[:8])
    assert done.returncode == 1
    assert "alpha: alpha.py is missing" in done.stdout


def test_prune_spares_what_was_just_used(runproj: Path, bench: Bench) -> None:
    (row,) = listed(runproj, bench)
    assert call(runproj, bench, "prune").stdout == ""
    done = call(runproj, bench, "prune", "--all", "--dry-run")
    assert done.stdout.strip() == row["id"]
    assert os.path.exists(str(row["path"]))
    assert call(runproj, bench, "prune", "--all").stdout.strip() == row["id"]
    assert listed(runproj, bench) == []


def test_key_names_the_environment_of_a_project(runproj: Path, bench: Bench) -> None:
    (bench.project / "MLproject").write_text("name: p\npython_env: python_env.yaml\n")
    (bench.project / "python_env.yaml").write_text("dependencies:\n  - alpha\n")
    done = call(runproj, bench, "key", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert call(runproj, bench, "key").stdout.strip() == document["environment"]
    assert call(runproj, bench, "key", "--env-manager", "local").returncode == 125
