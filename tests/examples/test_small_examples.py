"""The projects in ``example_projects/`` that need no packages, run as their READMEs say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.conftest import Caller

EXAMPLES = Path(__file__).parents[2] / "example_projects"
HELLO = str(EXAMPLES / "hello")
PARAMETERS = str(EXAMPLES / "parameters")
LOCAL = ("--env-manager", "local")


@pytest.mark.parametrize("project", sorted(path.name for path in EXAMPLES.iterdir()))
def test_every_example_is_valid_to_the_letter(project: str, caller: Caller) -> None:
    caller("validate", "--strict", str(EXAMPLES / project))


@pytest.mark.parametrize("project", sorted(path.name for path in EXAMPLES.iterdir()))
def test_every_example_describes_its_main_entry_point(project: str, caller: Caller) -> None:
    assert "main" in caller("describe", str(EXAMPLES / project)).stdout


def test_hello_greets(caller: Caller) -> None:
    assert caller("run", HELLO, *LOCAL).stdout == "Hello, world!\n"


def test_hello_takes_any_name(caller: Caller) -> None:
    name = 'it\'s "you" & $(me)'
    ended = caller("run", HELLO, *LOCAL, "-P", f"name={name}", "-P", "times=2")
    assert ended.stdout == f"Hello, {name}!\n" * 2
    (run,) = caller.json("runs", "list")
    assert caller.json("runs", "show", run["run_id"])["params"] == {"name": name, "times": "2"}


def test_hello_refuses_a_word_for_a_number(caller: Caller, tmp_path: Path) -> None:
    ended = caller("run", HELLO, *LOCAL, "-P", "times=zero", code=2)
    assert "times" in ended.stderr
    assert list((tmp_path / "caller").iterdir()) == []


def arguments(caller: Caller, *given: str) -> dict[str, str | list[str]]:
    """Run the project of all parameters; return what its program received, by flag."""
    received: list[str] = json.loads(caller("run", PARAMETERS, *LOCAL, *given).stdout)
    found: dict[str, list[str]] = {}
    flag = ""
    for word in received:
        if word.startswith("--"):
            flag = word
            found[flag] = []
        else:
            found[flag].append(word)
    return {name: words[0] if len(words) == 1 else words for name, words in found.items()}


def test_parameters_have_their_defaults(caller: Caller) -> None:
    assert arguments(caller) == {
        "--text": "some text",
        "--data": str(EXAMPLES / "parameters/data.csv"),
        "--page": "https://example.org/",
        "--epochs": "10",
        "--rate": "1e-3",
        "--shuffle": "True",
        "--solver": "adam",
        "--layers": ["64", "32"],
    }


def test_parameters_arrive_as_given(caller: Caller) -> None:
    given = ("layers=128", "layers=64", "layers=32", "verbose=true", "seed=7", "shuffle=no")
    received = arguments(caller, *(text for value in given for text in ("-P", value)))
    assert received["--layers"] == ["128", "64", "32"]
    assert received["--verbose"] == []
    assert received["--seed"] == "7"
    assert received["--shuffle"] == "no"


def test_a_secret_is_neither_recorded_nor_logged(caller: Caller, tmp_path: Path) -> None:
    assert arguments(caller, "-P", "token=hunter2")["--token"] == "hunter2"
    for path in (tmp_path / "caller").rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes(), path


def test_an_input_file_is_recorded_by_its_digest(caller: Caller, tmp_path: Path) -> None:
    arguments(caller)
    (path,) = (tmp_path / "caller").rglob("record.json")
    (found,) = json.loads(path.read_text())["inputs"]
    assert found["parameter"] == "data"
    assert found["digest"].startswith("sha256:")
    assert found["size"] == len("x,y\n1,2\n3,5\n")
