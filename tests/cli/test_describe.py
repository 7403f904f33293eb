from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runner.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

MLPROJECT = """\
name: demo
description: |
  A small demonstration.
  In two lines.
python_env: python_env.yaml
signature: x
entry_points:
  main:
    description: Train a model.
    parameters:
      alpha: {type: float, default: 0.5}
      token: {secret: true, default: hunter2}
    command: python t.py {alpha} {token}
  broken:
    command: echo {nothing}
"""
PYTHON_ENV = """\
python: "3.11"
build_dependencies: [pip]
dependencies:
  - six
  - pkg @ git+https://me:hunter2@example.org/pkg.git
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "MLproject").write_text(MLPROJECT)
    (tmp_path / "python_env.yaml").write_text(PYTHON_ENV)
    monkeypatch.chdir(tmp_path)


def test_a_project_is_described_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe"]) == 0
    said = capsys.readouterr()
    assert said.out == (
        "demo\n"
        "A small demonstration.\n"
        "In two lines.\n"
        "environment: Python 3.11, python_env.yaml: 3 requirements\n"
        "  pip (to build)\n"
        "  six\n"
        "  pkg @ git+https://example.org/pkg.git\n"
        "entry points:\n"
        "  main (default)\n"
        "    Train a model.\n"
        "    runproj run URI\n"
        "    -P alpha=FLOAT              default 0.5\n"
        "    -P token=STRING             default ***, secret: never shown or stored\n"
        "\n"
        "  broken\n"
        "    runproj run URI -e broken\n"
        "\n"
    )
    assert "MLproject:6:1: warning: unknown key 'signature'" in said.err
    assert "MLproject:15:19: error: the command uses '{nothing}'" in said.err


def test_one_entry_point_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "-e", "main"]) == 0
    said = capsys.readouterr()
    assert "broken" not in said.out
    assert "nothing" not in said.err


def test_an_unknown_entry_point_is_refused_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["describe", "-e", "mian"]) == 2
    assert "did you mean 'main'?" in capsys.readouterr().err


def test_json_holds_everything_but_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "--json"]) == 0
    said = capsys.readouterr().out
    found = json.loads(said)
    assert found["name"] == "demo"
    assert found["environment"]["type"] == "python"
    assert found["environment"]["requirements"][1] == "pkg @ git+https://example.org/pkg.git"
    alpha, token = found["entry_points"]["main"]["parameters"]
    assert (alpha["type"], alpha["default"]) == ("float", "0.5")
    assert (token["secret"], token["default"]) == (True, "***")
    assert {p["rule"] for p in found["problems"]} >= {"unknown-key", "undeclared-placeholder"}
    assert "hunter2" not in said


ENVIRONMENTS = {
    "docker_env: {image: 'python:3.11', volumes: ['/a:/b'], environment: [[A, b], C]}": [
        "environment: docker image python:3.11",
        "  volume /a:/b",
        "  variable A=b",
        "  variable C",
    ],
    "conda_env: conda.yaml": [
        "environment: conda, conda.yaml: 2 packages",
        "  channel conda-forge",
        "  python=3.9",
        "  numpy",
        "  pip: mlflow",
    ],
}


@pytest.mark.parametrize(("line", "expected"), ENVIRONMENTS.items())
def test_every_kind_of_environment_is_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, expected: list[str]
) -> None:
    (tmp_path / "MLproject").write_text(f"name: demo\n{line}\n")
    (tmp_path / "conda.yaml").write_text(
        "channels: [conda-forge]\ndependencies: [python=3.9, numpy, {pip: [mlflow]}]\n"
    )

    assert main(["describe"]) == 0
    last = "entry points: none; 'runproj run -e SCRIPT' runs a script"
    assert capsys.readouterr().out.splitlines() == ["demo", *expected, last]


def test_a_project_that_cannot_be_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "MLproject").write_text("entry_points: []\n")
    assert main(["describe"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "error[spec]: 'entry_points' must be a mapping of names to entry points, not a list\n"
        "  at MLproject:1:15\n"
    )


def test_run_help_shows_the_same_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", ".", "--help"]) == 0
    assert "-P alpha=FLOAT              default 0.5" in capsys.readouterr().out
