"""Images that cannot be had, through the command line: one error, a record that says so."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

MAIN = "entry_points:\n  main: {command: 'true'}\n"


@pytest.fixture
def caller(tmp_path: Path) -> Path:
    folder = tmp_path / "caller"
    folder.mkdir()
    return folder


def refused(
    runproj: Path, caller: Path, docker_env: str, *flags: str, **variables: str
) -> tuple[int, str]:
    """Run a project that gets no image; return the exit code and what was said."""
    project = caller.parent / "project"
    project.mkdir(exist_ok=True)
    (project / "MLproject").write_text(f"name: d\ndocker_env: {docker_env}\n{MAIN}")
    done = subprocess.run(
        [str(runproj), "run", str(project), *flags],
        cwd=caller,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error[") == 1, done.stderr
    return done.returncode, done.stderr


def outcome(caller: Path) -> dict[str, str]:
    (path,) = caller.glob("mlruns/0/*/artifacts/runproj/record.json")
    found: dict[str, str] = json.loads(path.read_text())["outcome"]
    return found


def test_a_name_that_is_none_leaves_no_record(runproj: Path, caller: Path) -> None:
    code, said = refused(runproj, caller, "{image: 'Team/Image V1'}")
    assert code == 2
    assert "error[spec]: 'Team/Image V1' is not the name of an image" in said
    assert "MLproject:2:21" in said
    assert list(caller.iterdir()) == []


def test_no_engine_is_said_and_recorded(runproj: Path, caller: Path, tmp_path: Path) -> None:
    socket = f"unix://{tmp_path}/none.sock"
    code, said = refused(runproj, caller, "{image: a}", DOCKER_HOST=socket)
    assert code == 125
    assert "error[backend]: there is no container engine at" in said
    assert "which DOCKER_HOST names" in said
    assert "hint:" in said
    found = outcome(caller)
    assert (found["status"], found["phase"], found["reason"]) == ("FAILED", "lock", "error")
    assert "there is no container engine" in found["detail"]


@pytest.mark.slow
@pytest.mark.usefixtures("engine")
def test_a_missing_image_is_said_and_recorded(runproj: Path, caller: Path) -> None:
    code, said = refused(runproj, caller, "{image: 'nobody/has-this:1', pull: never}")
    assert code == 125
    assert "error[environment]: the image nobody/has-this:1 is not here" in said
    assert "docker pull nobody/has-this:1" in said
    assert outcome(caller)["phase"] == "lock"


@pytest.mark.slow
def test_a_build_that_fails_is_said_and_recorded(
    runproj: Path, caller: Path, sh_image: str
) -> None:
    (caller.parent / "project").mkdir()
    dockerfile = caller.parent / "project" / "Dockerfile"
    dockerfile.write_text(f"FROM {sh_image}\nRUN echo the cause; exit 7\n")
    code, said = refused(runproj, caller, "{dockerfile: Dockerfile}")
    assert code == 125
    assert "failed at step 2/" in said
    assert "exit code 7" in said
    assert "the cause" in said
    found = outcome(caller)
    assert (found["status"], found["phase"]) == ("FAILED", "build")
    assert "exit code 7" in found["detail"]


def test_a_project_without_lock_is_refused_when_one_is_asked_for(
    runproj: Path, caller: Path
) -> None:
    code, said = refused(runproj, caller, "{image: a}", "--locked")
    assert code == 125
    assert "the project has no image-lock.json" in said
    assert "runproj lock" in said
