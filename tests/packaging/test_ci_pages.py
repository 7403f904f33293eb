"""The jobs in ``docs/ci.md``: well formed, and their commands do what the page says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from git_repositories import make_repo
from machines import Machine

if TYPE_CHECKING:
    from git_repositories import Repo

PAGE = Path(__file__).parents[2] / "docs" / "ci.md"
BLOCKS = re.findall(
    r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)
GITHUB, GITLAB = (yaml.safe_load(block) for block in BLOCKS)
PROJECT = "entry_points:\n  main:\n    command: 'python train.py'\n"
INSTALL = "pip install runproj"


def test_the_jobs_have_what_their_services_want() -> None:
    job = GITHUB["jobs"]["reproduce"]
    assert GITHUB[True].keys() == {"push", "schedule"}  # YAML 1.1 reads 'on' so
    assert job["runs-on"].startswith("ubuntu-")
    assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", s["uses"]) for s in job["steps"] if "uses" in s)
    (cache,) = (s for s in job["steps"] if s.get("uses", "").startswith("actions/cache@"))
    identified = {step["id"] for step in job["steps"] if "id" in step}
    assert set(re.findall(r"steps\.(\w+)\.", cache["with"]["key"])) == identified == {"key"}
    assert job["env"]["RUNPROJ_HOME"].endswith(cache["with"]["path"])
    assert GITLAB["reproduce"].keys() == {"image", "variables", "cache", "script", "artifacts"}
    for commands in (runs(job), GITLAB["reproduce"]["script"]):
        assert commands[0] == INSTALL
        assert any("runproj env key" in command for command in commands)


def runs(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.fixture
def place(tmp_path: Path, runproj: Path) -> Machine:
    (tmp_path / "wheels").mkdir()
    return Machine(tmp_path / "ci", runproj, tmp_path / "wheels")


@pytest.fixture
def project(tmp_path: Path) -> Repo:
    return make_repo(tmp_path / "p", {"MLproject": PROJECT, "train.py": "print('loss 0.5')\n"})


@pytest.mark.slow
@pytest.mark.parametrize(
    "commands", [runs(GITHUB["jobs"]["reproduce"]), GITLAB["reproduce"]["script"]]
)
def test_the_commands_pass_until_the_run_diverges(
    commands: list[str], place: Machine, project: Repo
) -> None:
    url = f"file://{project.path}"
    given = {
        "PATH": f"{place.runproj.parent}:{place.environ['PATH']}",
        "PROJECT": url,
        "REVISION": "main",
        "GITHUB_OUTPUT": str(place.here / "output"),
        "GITHUB_STEP_SUMMARY": str(place.here / "summary"),
    }

    def job() -> int:
        script = "\n".join(command for command in commands if command != INSTALL)
        done = subprocess.run(
            ["bash", "-eu", "-c", script], cwd=place.here, env={**place.environ, **given},
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode in {0, 1, 3}, done.stderr
        return done.returncode

    reference = place.run(url, "-v", "main")
    (place.here / "reference-run").write_text(reference + "\n")
    assert job() == 0
    assert "## IDENTICAL" in (place.here / "summary").read_text()
    if any("GITHUB_OUTPUT" in command for command in commands):
        key = place.call("env", "key", url, "-v", "main").stdout.strip()
        assert (place.here / "output").read_text() == f"key={key}\n"
    suite = ET.parse(place.here / "reproduce.xml").getroot()  # noqa: S314 - our own file
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    log = Path(place.tracked(reference).artifact_uri) / "runproj" / "stdout.log"
    log.write_text("loss 0.4\n")  # as if the run had come to something else then
    assert job() == 1
    (place.here / "reference-run").write_text("f" * 32)
    assert job() == 3
    suite = ET.parse(place.here / "reproduce.xml").getroot()  # noqa: S314 - our own file
    assert suite.get("errors") == "1"
