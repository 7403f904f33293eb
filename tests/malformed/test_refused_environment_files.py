"""Environment files that are wrong, through the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.malformed.conftest import Refusal

ENTRY = 'entry_points:\n  main:\n    command: "true"\n'

STRICT = ("--strict",)


class Case(NamedTuple):
    """A file, its text, the line that is at fault (0: none) and what the error has to name."""

    name: str
    file: str
    text: str | bytes
    line: int
    names: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


PYTHON_ENV = (
    Case("python a float", "python_env.yaml", "python: 3.10\n", 1, ("3.1",)),
    Case("python a list", "python_env.yaml", "python: ['3.10']\n", 1, ("python",)),
    Case("python a word", "python_env.yaml", 'python: "three"\n', 1, ("three",), STRICT),
    Case("python nonsense", "python_env.yaml", 'python: "3..1"\n', 1, ("3..1",), STRICT),
    Case("list", "python_env.yaml", "- numpy\n- pandas\n", 1),
    Case("scalar", "python_env.yaml", "numpy\n", 1),
    Case("unknown key", "python_env.yaml", "requirements: [numpy]\n", 1, ("requirements",)),
    Case("dependencies a string", "python_env.yaml", "dependencies: numpy\n", 1, ("dependencies",)),
    Case(
        "dependencies a mapping", "python_env.yaml", "dependencies: {a: b}\n", 1, ("dependencies",)
    ),
    Case("dependency a mapping", "python_env.yaml", "dependencies:\n  - a: b\n", 1),
    Case("dependency a number", "python_env.yaml", "dependencies:\n  - 3\n", 2),
    Case(
        "build dependencies a string",
        "python_env.yaml",
        "build_dependencies: pip\n",
        1,
        ("build_dependencies",),
    ),
    Case("a conda file", "python_env.yaml", "channels: [a]\ndependencies: [python=3.10]\n", 1),
    Case("tab", "python_env.yaml", "dependencies:\n\t- numpy\n", 2, ("tab",)),
    Case("open bracket", "python_env.yaml", "dependencies: [numpy\n", 0),
    Case("not UTF-8", "python_env.yaml", b"# caf\xe9\npython: '3.11'\n", 0, ("UTF-8",)),
    Case("binary", "python_env.yaml", b"\x00\x01\x02", 0),
)

CONDA_ENV = (
    Case("empty", "conda.yaml", "", 0, ("conda.yaml",)),
    Case("list", "conda.yaml", "- python=3.10\n", 1),
    Case("dependencies a string", "conda.yaml", "dependencies: python\n", 1, ("dependencies",)),
    Case("dependency a number", "conda.yaml", "dependencies:\n  - 3.10\n", 2),
    Case("pip a string", "conda.yaml", "dependencies:\n  - pip: numpy\n", 2, ("pip",)),
    Case("pip a mapping", "conda.yaml", "dependencies:\n  - pip: {numpy: 1}\n", 2, ("pip",)),
    Case("pip misspelt", "conda.yaml", "dependencies:\n  - pypi: [numpy]\n", 2, ("pypi",)),
    Case("channels a mapping", "conda.yaml", "channels: {a: b}\n", 1, ("channels",)),
    Case("tab", "conda.yaml", "dependencies:\n\t- python\n", 2, ("tab",)),
    Case("not YAML", "conda.yaml", "dependencies: ]\n", 1),
)


@pytest.mark.parametrize("case", PYTHON_ENV, ids=lambda case: case.name)
def test_a_wrong_python_env_is_refused_at_its_place(case: Case, refused: Refusal) -> None:
    check(case, "python_env", refused)


@pytest.mark.parametrize("case", CONDA_ENV, ids=lambda case: case.name)
def test_a_wrong_conda_env_is_refused_at_its_place(case: Case, refused: Refusal) -> None:
    check(case, "conda_env", refused)


def check(case: Case, key: str, refused: Refusal) -> None:
    refused.write(
        {"project/MLproject": f"{key}: {case.file}\n{ENTRY}", f"project/{case.file}": case.text}
    )
    complaint = refused("run", "project", *case.flags, kind="spec")
    complaint.names(case.file, *case.names)
    if case.line:
        complaint.names(f"{case.file}:{case.line}:")


def test_errors_of_the_project_and_its_environment_are_told_at_once(refused: Refusal) -> None:
    refused.write(
        {
            "project/MLproject": "python_env: python_env.yaml\nentry_points: {main: 3}\n",
            "project/python_env.yaml": "dependencies: numpy\n",
        }
    )
    refused("run", "project", kind="spec").names("MLproject:2:", "python_env.yaml:1:")


def test_conda_packages_are_never_dropped_in_silence(refused: Refusal) -> None:
    refused.write(
        {
            "project/MLproject": f"conda_env: conda.yaml\n{ENTRY}",
            "project/conda.yaml": "dependencies: [python=3.11, r-base, cudatoolkit=11]\n",
        }
    )
    refused("run", "project", "--env-manager", "uv", kind="environment").names("r-base")
