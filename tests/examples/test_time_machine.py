"""The project of April 2022: broken by today's packages, well with those of its day."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.conftest import Caller

PROJECT = Path(__file__).parents[2] / "example_projects" / "time_machine"
DAY = "2022-04-30T12:00:00+00:00"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def repository(tmp_path: Path) -> str:
    """Return the URL of a repository that holds the project, committed on its day."""
    work = tmp_path / "work"
    shutil.copytree(PROJECT, work)
    when = {**os.environ, "GIT_COMMITTER_DATE": DAY, "GIT_AUTHOR_DATE": DAY}
    for command in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "one")):
        subprocess.run(("git", *command), cwd=work, env=when, check=True)
    subprocess.run(("git", "clone", "-q", "--bare", work, tmp_path / "served.git"), check=True)
    return f"file://{tmp_path / 'served.git'}"


def test_a_commit_is_run_with_the_packages_of_its_day(caller: Caller, repository: str) -> None:
    today = caller("run", str(PROJECT), code=1)
    assert "Descriptors cannot be created directly" in today.stderr
    assert "as of" not in today.stderr  # a folder that somebody works in: now

    ended = caller("run", repository, "-v", "main", "--json")
    assert "packages as of the commit, 2022-04-30T12:00Z" in ended.stderr
    run = json.loads(ended.stdout[ended.stdout.index("{") :])
    artifacts = Path(run["artifact_uri"]) / "runproj"
    record = json.loads((artifacts / "record.json").read_text())
    assert record["request"]["as_of_commit"] is True
    assert record["request"]["as_of"].startswith("2022-04-30T12:00:00")
    assert record["environment"]["lock"]["as_of"].startswith("2022-04-30T12:00:00")
    assert 'name = "protobuf"\nversion = "3.20.1"' in (artifacts / "pylock.toml").read_text()

    broken = caller("run", repository, "-v", "main", "--as-of", "now", code=1)
    assert "Descriptors cannot be created directly" in broken.stderr

    refreshed = caller("reproduce", run["run_id"], "--refresh", "--json", code=1)
    verdict = json.loads(refreshed.stdout)
    assert verdict["differences"][0]["name"] == "protobuf"
    assert json.loads(caller("reproduce", run["run_id"], "--json").stdout)["status"] == "IDENTICAL"


def test_a_run_is_reproduced_as_of_when_it_began(caller: Caller) -> None:
    first = caller.json("run", str(PROJECT), "-q", "--as-of", "2022-04-30")
    ended = caller("reproduce", first["run_id"], "--as-of", "run", "--json", code=1)
    verdict = json.loads(ended.stdout)  # the run began today, with packages of another day
    assert verdict["differences"][0]["name"] == "protobuf"
    again = caller("reproduce", first["run_id"], "--as-of", "2022-04-29", "--json")
    assert json.loads(again.stdout)["status"] == "IDENTICAL"
