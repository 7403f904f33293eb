"""Command lines that make no sense, and stores that are none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.malformed.conftest import Refusal

PROJECT = 'entry_points:\n  main:\n    command: "true"\n'
ROOT = Path(__file__).parents[2]


class Case(NamedTuple):
    """A whole command line, what the error has to name, its kind."""

    arguments: tuple[str, ...]
    names: tuple[str, ...]
    kind: str = "usage"


def run(*arguments: str, names: tuple[str, ...], kind: str = "usage") -> Case:
    """Return a case of ``runproj run project``."""
    return Case(("run", "project", *arguments), names, kind)


FLAGS = (
    run("--surprise", names=("--surprise",)),
    run("--paramater", "a=b", names=("--paramater",)),
    run("-P", names=("-P",)),
    run("--timeout", names=("--timeout",)),
    run("second", names=("second",)),
    run("--tracking", "sideways", names=("sideways", "direct")),
    run("--timeout", "soon", names=("soon",)),
    run("--timeout", "0", names=("0",)),
    run("--timeout=-5", names=("-5",)),
    run("--timeout", "inf", names=("inf",)),
    run("--timeout", "nan", names=("nan",)),
    run("--timeout", "1y", names=("1y",)),
    run("--timeout", "1e999", names=("1e999",)),
    run("--timeout", "1e300d", names=("1e300d",)),
    run("--tag", "lonely", names=("lonely",)),
    run("--tag", "=x", names=("=x",)),
    run("--tag", "a=1", "--tag", "a=2", names=("a", "twice")),
    run("-A", "=x", names=("=x",)),
    run("-A", "gpus=all", "-A", "gpus=1", names=("gpus", "twice")),
    run("--experiment-name", "a", "--experiment-id", "1", names=("--experiment-id",)),
    run("-c", "{", names=("JSON",)),
    run("-c", "[1]", names=("JSON object",)),
    run("-c", "null", names=("JSON object",)),
    run("-c", "absent.json", names=("absent.json",)),
    run("-c", "broken.json", names=("broken.json",)),
    run("--as-of", "yesterday", names=("yesterday",)),
    run("--as-of", "2024-13-01", names=("2024-13-01",)),
    run("--as-of", "", names=("--as-of",)),
    run("--as-of", "commit", names=("commit",)),
    run("-b", "moon", names=("moon", "local")),
    run("-b", "", names=("local",)),
    run("--env-manager", "poetry", names=("poetry", "uv")),
    run("--env-manager", "UV", names=("UV", "uv")),
)

COMMANDS = (
    Case(("rum",), ("rum", "run")),
    Case(("frobnicate",), ("frobnicate",)),
    Case(("--frobnicate",), ("--frobnicate",)),
    Case(("validate", "--frobnicate"), ("--frobnicate",)),
    Case(("describe", "absent"), ("absent",), "source"),
    Case(("lock", "absent"), ("absent",), "source"),
    Case(("lock", "project", "--as-of", "soon"), ("soon",)),
    Case(("runs", "frobnicate"), ("frobnicate",)),
    Case(("runs", "show", "absent"), ("absent",), "store"),
    Case(("runs", "logs", "absent"), ("absent",), "store"),
    Case(("env", "frobnicate"), ("frobnicate",)),
    Case(("env", "show", "absent"), ("absent",), "environment"),
    Case(("env", "path", "absent"), ("absent",), "environment"),
    Case(("env", "verify", "absent"), ("absent",), "environment"),
    Case(("env",), ("'runproj env' needs ACTION\n", "one of: list, show")),
    Case(("completion", "tcsh"), ("tcsh",)),
    Case(("completion",), ("needs SHELL\n", "one of: bash, zsh, fish")),
    Case(("doctor", "--frobnicate"), ("--frobnicate",)),
)


@pytest.mark.parametrize("case", [*FLAGS, *COMMANDS], ids=lambda case: " ".join(case.arguments))
def test_a_command_line_that_makes_no_sense_is_refused(case: Case, refused: Refusal) -> None:
    refused.write({"project/MLproject": PROJECT, "broken.json": "{"})
    refused(*case.arguments, kind=case.kind).names(*case.names)


STORES = (
    ("sqlite:///corrupt.db", "corrupt.db"),
    ("http://127.0.0.1:1", "127.0.0.1:1"),
    ("http://bob:s3cret@127.0.0.1:1", "127.0.0.1:1"),
    ("note.txt", "note.txt"),
)


@pytest.mark.parametrize(("uri", "names"), STORES)
def test_a_store_that_is_none_is_refused(
    uri: str, names: str, refused: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    refused.write({"project/MLproject": PROJECT, "corrupt.db": b"x" * 5000, "note.txt": "x"})
    complaint = refused(
        *("run", "project", "--env-manager", "local"),
        *("--tracking-uri", uri, "--require-tracking"),
        kind="store",
    )
    complaint.names(names)
    assert "s3cret" not in complaint.text


def test_a_run_that_is_to_go_on_must_exist(refused: Refusal) -> None:
    refused.write({"project/MLproject": PROJECT})
    refused("run", "project", "--env-manager", "local", "--run-id", "0" * 32, kind="store").names(
        "0" * 32
    )


def test_an_experiment_given_by_id_must_exist(refused: Refusal) -> None:
    refused.write({"project/MLproject": PROJECT})
    refused(
        "run", "project", "--env-manager", "local", "--experiment-id", "4711", kind="store"
    ).names("4711")


AS_PROCESSES = (
    Case(("run", "absent"), ("absent",), "source"),
    Case(("run", "project", "-P", "x"), ("x",)),
    Case(("run", "project", "-e", "absent"), ("absent", "main"), "parameter"),
    Case(("run", "project", "--surprise"), ("--surprise",)),
    Case(("run", "broken"), ("MLproject:2:",), "spec"),
    Case(("rum",), ("rum",)),
)


@pytest.mark.parametrize("case", AS_PROCESSES, ids=lambda case: " ".join(case.arguments))
def test_the_program_says_the_same_as_the_function(case: Case, refused: Refusal) -> None:
    refused.write({"project/MLproject": PROJECT, "broken/MLproject": "entry_points:\n\tmain: {}\n"})
    ended = subprocess.run(
        (sys.executable, "-m", "runner", *case.arguments),
        cwd=refused.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    refused.check(ended.returncode, ended.stdout, ended.stderr, case.kind)
    assert all(name in ended.stderr for name in case.names)
    assert sorted(os.listdir(refused.folder)) == ["broken", "project"]
