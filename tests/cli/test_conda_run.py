"""Projects with conda packages, run by the command, from a channel in the project, offline."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from channel_server import serving
from conda_channel import Channel, pure, standard_channel, standard_packages

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

PROJECT = """\
name: with conda
conda_env: conda.yaml
entry_points:
  main:
    command: "python -c 'import alpha; print(alpha.VERSION)' && tool && echo $MINE $ACTIVE"
"""
ASKED = """\
name: ignored
channels: [./channel]
dependencies: [python, alpha=1, tool, active]
variables: {MINE: "my own"}
"""
SLOW_MODULES = {
    "yaml", "rattler", "packaging", "subprocess", "typing", "tempfile", "zipfile",
    "runner.environments.conda.locking", "runner.environments.conda.building",
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    standard_channel(folder / "channel")
    (folder / "MLproject").write_text(PROJECT)
    (folder / "conda.yaml").write_text(ASKED)
    return folder


def call(
    runproj: Path, project: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Call the command where no network can be reached."""
    gone = "http://127.0.0.1:9"
    return subprocess.run(
        [str(runproj), *arguments],
        cwd=project,
        env={**os.environ, "HOME": str(project.parent), "https_proxy": gone, "http_proxy": gone,
             "UV_PYTHON_DOWNLOADS": "never", **variables},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def ran(runproj: Path, project: Path, *arguments: str) -> dict[str, Any]:
    done = call(runproj, project, "run", ".", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    assert "1.1\ntool\nmy own on:" in done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def recorded(project: Path, summary: dict[str, Any], name: str) -> bytes:
    (path,) = project.rglob(f"{summary['run_id']}/artifacts/runproj/{name}")
    return path.read_bytes()


def test_a_run_needs_no_conda_and_no_network(runproj: Path, project: Path) -> None:
    first = ran(runproj, project)
    second = ran(runproj, project)
    locks = [recorded(project, run, "conda-lock.yml") for run in (first, second)]
    assert locks[0] == locks[1]
    document = yaml.safe_load(locks[0])
    assert {row["name"] for row in document["package"]} >= {"python", "alpha", "tool", "active"}
    records = [json.loads(recorded(project, run, "record.json")) for run in (first, second)]
    entries = [record["environment"]["lock"] for record in records]
    assert entries[0]["digest"] == entries[1]["digest"]
    assert entries[0]["environment"] == entries[1]["environment"]
    assert entries[0]["name"] == "conda-lock.yml"
    described = json.loads(recorded(project, first, "environment.json"))
    assert described["manager"] == "rattler"
    assert described["contents"].startswith("sha256:")


def test_a_warm_run_imports_nothing_slow(runproj: Path, project: Path) -> None:
    ran(runproj, project)
    done = call(runproj, project, "run", ".", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert "runner.environments.conda.builder" in imported
    assert sorted(imported & SLOW_MODULES) == []


def test_the_env_commands_know_conda_environments(runproj: Path, project: Path) -> None:
    ran(runproj, project)
    (row,) = json.loads(call(runproj, project, "env", "list", "--json").stdout)
    assert (row["manager"], row["state"]) == ("rattler", "ready")
    shown = call(runproj, project, "env", "show", row["id"][:8]).stdout
    assert "active" in shown
    assert call(runproj, project, "env", "verify").returncode == 0
    with open(os.path.join(row["path"], "bin", "tool"), "a") as file:
        file.write("echo more\n")
    done = call(runproj, project, "env", "verify")
    assert done.returncode == 1
    assert "bin/tool was changed" in done.stdout
    key = call(runproj, project, "env", "key", ".").stdout.strip()
    assert key.removeprefix("sha256:").startswith(row["id"])
    assert call(runproj, project, "env", "prune", "--all").returncode == 0
    assert json.loads(call(runproj, project, "env", "list", "--json").stdout) == []


@pytest.mark.slow
def test_locked_wants_a_lock_that_fits(runproj: Path, project: Path) -> None:
    done = call(runproj, project, "run", ".", "--locked")
    assert done.returncode == 125
    assert "the project has no lock" in done.stderr
    assert call(runproj, project, "lock").returncode == 0
    summary = ran(runproj, project, "--locked")
    record = json.loads(recorded(project, summary, "record.json"))
    assert record["environment"]["lock"]["origin"] == "project"
    (project / "conda.yaml").write_text(ASKED.replace("alpha=1", "alpha=2"))
    done = call(runproj, project, "run", ".", "--locked")
    assert done.returncode == 125
    assert "'alpha=2' was added" in done.stderr


def test_lock_diff_tells_what_changed(runproj: Path, project: Path) -> None:
    assert call(runproj, project, "lock").returncode == 0
    (project / "conda-lock.yml").rename(project / "before.yml")
    (project / "conda.yaml").write_text(ASKED.replace("alpha=1, tool", "alpha=2, beta=1"))
    assert call(runproj, project, "lock").returncode == 0
    done = call(runproj, project, "lock", "diff", "before.yml", "conda-lock.yml")
    assert done.stdout.splitlines() == [
        "~ alpha 1.1 py_0 -> 2.0 py_0", "+ beta 1.0 py_0", "- tool 1.0 0",
    ]  # fmt: skip
    same = call(runproj, project, "lock", "diff", "before.yml", "before.yml", "--json")
    assert json.loads(same.stdout) == {"changes": []}
    assert call(runproj, project, "lock", "diff", "before.yml").returncode == 2
    done = call(runproj, project, "lock", "diff", "before.yml", "MLproject")
    assert done.returncode == 125
    assert "no conda-lock.yml" in done.stderr


def test_what_cannot_be_installed_is_told_without_a_traceback(runproj: Path, project: Path) -> None:
    (project / "conda.yaml").write_text(ASKED.replace("alpha=1", "alpha=1, gamma"))
    done = call(runproj, project, "run", ".")
    assert done.returncode == 125
    assert "the packages cannot be installed together" in done.stderr
    assert "gamma" in done.stderr
    assert "Traceback" not in done.stderr


def test_pip_projects_do_not_go_to_conda(runproj: Path, project: Path) -> None:
    (project / "conda.yaml").write_text("dependencies: [python, {pip: []}]\n")
    done = call(runproj, project, "run", ".", "--env-manager", "conda")
    assert "need no conda" in done.stderr
    assert done.returncode == 125


@pytest.mark.slow
def test_a_run_is_reproduced_from_its_lock(runproj: Path, project: Path) -> None:
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "one")):
        subprocess.run(("git", *command), cwd=project, check=True)
    summary = ran(runproj, project)
    channel = Channel(project / "channel")
    channel.add(*standard_packages(), pure("alpha", "1.9"))
    assert call(runproj, project, "env", "prune", "--all").returncode == 0
    done = call(runproj, project, "reproduce", summary["run_id"], "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "IDENTICAL"
    again = json.loads(done.stdout)["reproduction"]
    locks = [recorded(project, {"run_id": i}, "conda-lock.yml") for i in (again, summary["run_id"])]
    assert locks[0] == locks[1]


@pytest.mark.slow
def test_offline_fetches_nothing(runproj: Path, project: Path) -> None:
    with serving(project / "channel") as (host, handler):
        text = ASKED.replace("./channel", f"http://{host}")
        (project / "conda.yaml").write_text(text)
        direct = {"http_proxy": "", "no_proxy": "127.0.0.1"}
        done = call(runproj, project, "run", ".", "--offline", **direct)
        assert done.returncode == 125
        assert "offline" in done.stderr
        assert handler.asked == []
        assert call(runproj, project, "run", ".", **direct).returncode == 0
        count = len(handler.asked)
        (project / "conda.yaml").write_text(text.replace(", tool", ""))
        done = call(runproj, project, "lock", "--offline", **direct)
        assert done.returncode == 0, done.stderr
        assert len(handler.asked) == count


def test_who_is_to_solve_is_checked(runproj: Path, project: Path) -> None:
    done = call(runproj, project, "lock", "--env-manager", "local")
    assert (done.returncode, "locks nothing" in done.stderr) == (2, True)
    done = call(runproj, project, "lock", "--env-manager", "poetry")
    assert (done.returncode, "no environment manager named 'poetry'" in done.stderr) == (2, True)
    done = call(runproj, project, "lock", "--env-manager", "uv")
    assert (done.returncode, "needs conda packages" in done.stderr) == (125, True)
    done = call(runproj, project, "lock", "--env-manager", "micromamba", PATH="/usr/bin:/bin")
    assert (done.returncode, "'micromamba' is not installed" in done.stderr) == (125, True)
