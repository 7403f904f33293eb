"""What is gone or has changed is named precisely; nothing is run for it where that can be told."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from runner.codec import pretty, sha256
from runner.model.value import RunId
from runner.schema import validator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from git_repositories import Repo
    from machines import Machine

LOCAL = ("--env-manager", "local")


@pytest.fixture
def here(machine: Callable[[str], Machine]) -> Machine:
    return machine("here")


@pytest.fixture
def plain(project: Repo) -> Repo:
    """Return the project without the package that it imports, so that the host can run it."""
    project.commit({"train.py": "import sys\nprint('alpha', sys.argv[1])\n"})
    return project


def replaced(here: Machine, run_id: str, name: str, content: bytes | None) -> None:
    """Put another file in the place of one that runproj recorded."""
    store = here.store
    try:
        artifacts = store.artifacts(store.run(RunId(run_id)))
        if content is None:
            artifacts.delete(f"runproj/{name}")
        else:
            artifacts.put(f"runproj/{name}", content)
    finally:
        store.close()


def runs(here: Machine) -> int:
    store = here.store
    try:
        return len(store.runs(["0"]).runs)
    finally:
        store.close()


def reason(here: Machine, *arguments: object) -> str:
    """Reproduce; return why that was not possible, and see that no run was made for it."""
    before = runs(here)
    found = here.verdict(*arguments, code=3)
    assert found["status"] == "INCOMPLETE"
    assert [error.message for error in validator("verdict").iter_errors(found)] == []
    assert "reproduction" not in found
    assert runs(here) == before
    (text,) = found["reasons"]
    return str(text)


def test_a_patch_that_does_not_apply_or_was_exchanged(here: Machine, plain: Repo) -> None:
    plain.write({"train.py": "import sys\nprint('changed', sys.argv[1])\n"})
    run_id = here.run(plain.path, *LOCAL)
    other = b"--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-nothing like it\n+other\n"
    replaced(here, run_id, "source.patch", other)
    assert "runproj/source.patch" in reason(here, run_id)
    assert "is not what was recorded" in reason(here, run_id)
    record = json.loads(here.artifact(run_id, "runproj/record.json"))
    record["source"]["patch"] = sha256(other)
    replaced(here, run_id, "record.json", pretty(record))
    assert "the recorded patch does not apply: " in reason(here, run_id)
    replaced(here, run_id, "source.patch", None)
    assert "the patch of the run is not among its artifacts any more" in reason(here, run_id)


def test_a_commit_that_is_gone(here: Machine, plain: Repo) -> None:
    run_id = here.run(plain.path, *LOCAL)
    commit = plain.git("rev-parse", "HEAD")
    shutil.rmtree(plain.path / ".git")
    plain.git("init", "-q", "-b", "main")
    plain.commit()
    shutil.rmtree(here.home)
    text = reason(here, run_id)
    assert f"the commit {commit[:12]} of the run cannot be had" in text
    assert str(plain.path) in text
    assert "runproj export" in text


def test_an_input_that_has_changed(here: Machine, plain: Repo) -> None:
    data = here.here / "own.csv"
    data.write_text("1.0\n")
    run_id = here.run(plain.path, "-P", "data=own.csv", *LOCAL)
    data.write_text("2.0\n")
    text = reason(here, run_id)
    assert f"{data} is not what it was" in text
    assert "-P data=..." in text


def test_a_run_that_is_not_there_and_a_store_that_nobody_answers_for(
    here: Machine, tmp_path: Path
) -> None:
    report = tmp_path / "report.xml"
    text = reason(here, "f" * 32, "--junit", report)
    assert f"there is no run '{'f' * 32}' in sqlite:///" in text
    (suite,) = [ET.parse(report).getroot()]  # noqa: S314 - our own file
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")
    here.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    done = here.call(
        "reproduce", "f" * 32, "--tracking-uri", "http://user:hush@127.0.0.1:9", "--json"
    )
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert "127.0.0.1:9" in found["reasons"][0]
    assert "hush" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_package_that_was_withdrawn(
    machine: Callable[[str], Machine], project: Repo, wheels: Path
) -> None:
    here = machine("here")
    run_id = here.run(project.path)
    there = machine("there")
    there.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{here.here / 'mlflow.db'}"
    wheel = wheels / "tensorish-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes() + b"other bytes under the old name")
    (text,) = there.verdict(run_id, code=3)["reasons"]
    assert "tensorish" in text
    wheel.unlink()
    (text,) = there.verdict(run_id, code=3)["reasons"]
    assert "tensorish" in text
