from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from runner.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "entry_points:\n  main:\n    command: echo\n"
ODD = "signature: x\n" + GOOD
BAD = "entry_points:\n  main:\n    command: echo {x}\n"


@pytest.fixture
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {"good": GOOD, "odd": ODD, "bad": BAD}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "MLproject").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("projects")
def test_a_valid_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "good"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "good: valid\n")


def test_findings_are_lines_that_editors_can_follow(
    projects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "good", "odd", str(projects / "bad")]) == 2
    said = capsys.readouterr()
    assert said.out == (
        "odd/MLproject:1:1: warning: unknown key 'signature'\n"
        "bad/MLproject:3:19: error: the command uses '{x}', but no parameter 'x' is declared "
        "(declare it under 'parameters', as 'x: string')\n"
    )
    assert said.err == "3 targets: 1 error and 1 warning\n"


def test_the_default_is_the_current_directory(
    projects: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(projects / "odd")
    assert main(["validate"]) == 0
    assert capsys.readouterr().out == "MLproject:1:1: warning: unknown key 'signature'\n"


@pytest.mark.usefixtures("projects")
def test_strict_turns_warnings_into_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--strict", "odd"]) == 2
    assert capsys.readouterr().out == "odd/MLproject:1:1: error: unknown key 'signature'\n"


@pytest.mark.usefixtures("projects")
def test_json_holds_every_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--json", "good", "bad", "nowhere"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is False
    good, bad, nowhere = found["targets"]
    assert (good["target"], good["valid"], good["problems"]) == ("good", True, [])
    (problem,) = bad["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("MLproject", 3, 19)
    assert (problem["rule"], problem["entry_point"]) == ("undeclared-placeholder", "main")
    assert nowhere["problems"][0]["rule"] == "source"


@pytest.mark.usefixtures("projects")
def test_quiet_says_nothing_but_the_findings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "-q", "odd"]) == 0
    said = capsys.readouterr()
    assert (said.out.count("\n"), said.err) == (1, "")


FILES = {
    "good/MLproject": (GOOD, 0, ""),
    "a/python_env.yaml": ("python: 3.10\n", 2, "a/python_env.yaml:1:9: error: 'python' must be"),
    "a/conda.yaml": ("dependencies: x\n", 2, "a/conda.yaml:1:15: error: 'dependencies' must be"),
    "a/other.yaml": ("channels: x\n", 2, "a/other.yaml:1:11: error: 'channels' must be"),
    "a/env.yml": ("dependencies: [six]\n", 0, ""),
    "a/pyproject.toml": ("[project]\ndependencies = 1\n", 2, "a/pyproject.toml:2:1: error:"),
    "a/README.md": ("hello\n", 2, "a/README.md:1:1: error: README.md is no project file"),
    "a/MLproject.yaml": (BAD, 2, "a/MLproject.yaml:3:19: error: the command uses '{x}'"),
}


@pytest.mark.parametrize(("name", "case"), FILES.items(), ids=FILES)
def test_single_files_can_be_checked(
    projects: Path, capsys: pytest.CaptureFixture[str], name: str, case: tuple[str, int, str]
) -> None:
    text, code, start = case
    (projects / name).parent.mkdir(exist_ok=True)
    (projects / name).write_text(text)

    assert main(["validate", name]) == code
    assert capsys.readouterr().out.startswith(start)


def test_a_folder_without_project_is_told(
    projects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (projects / "empty").mkdir()
    assert main(["validate", "empty"]) == 2
    assert capsys.readouterr().out == (
        "empty: error: there is no MLproject file "
        "('runproj run -e SCRIPT' runs a script without one)\n"
    )


def test_a_project_of_requirements_only_is_valid(projects: Path) -> None:
    (projects / "plain").mkdir()
    (projects / "plain" / "requirements.txt").write_text("six\n")
    assert main(["validate", "plain"]) == 0


def test_a_git_project_is_checked_at_a_revision(
    projects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=projects / "bad", check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "bad")
    git("tag", "v1")
    shutil.copy(projects / "good" / "MLproject", projects / "bad" / "MLproject")
    git("commit", "-am", "good")

    assert main(["validate", f"file://{projects}/bad"]) == 0
    assert main(["validate", f"file://{projects}/bad", "-v", "v1"]) == 2
    assert "MLproject:3:19: error: the command uses" in capsys.readouterr().out


def test_credentials_of_a_target_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "https://me:hunter2@127.0.0.1:9/nothing.zip"]) == 2
    said = capsys.readouterr()
    assert "hunter2" not in said.out + said.err
