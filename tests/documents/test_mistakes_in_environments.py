"""Malformed environments, and exactly what is said about each: place, severity, rule."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from readings import check_places, check_words, said

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.documents.remembered import Reading

    Read = Callable[[dict[str, str]], Reading]

PROJECTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "two environments": (
        ("python_env: a.yaml\nconda_env: b.yaml\n"),
        ("MLproject:2:1 error two-environments",),
    ),
    "python_env a list": ("python_env: [a.yaml]\n", ("MLproject:1:13 error wrong-type",)),
    "python_env missing": ("python_env: env.yaml\n", ("MLproject:1:13 error missing-file",)),
    "conda_env missing": (
        ("name: x\nconda_env: conda.yml\n"),
        ("MLproject:2:12 error missing-file",),
    ),
    "conda_env null": ("conda_env: ~\n", ("MLproject:1:1 warning empty-environment",)),
    "env file outside": ("conda_env: ../../conda.yaml\n", ("MLproject:1:12 error outside",)),
    "env file absolute": ("conda_env: /etc/hostname\n", ("MLproject:1:12 error outside",)),
    "env file a URL": (
        "conda_env: https://me:secret@example.org/conda.yaml\n",
        ("MLproject:1:12 error missing-file",),
    ),
    "env file a folder": ("conda_env: .\n", ("MLproject:1:12 error unreadable",)),
    "docker_env a text": (
        ("name: x\ndocker_env: python:3.11\n"),
        ("MLproject:2:13 error wrong-type",),
    ),
    "docker_env without image": (
        ('name: x\ndocker_env: {volumes: ["/a:/b"]}\n'),
        ("MLproject:2:1 error missing-key",),
    ),
    "docker image empty": (("name: x\ndocker_env: {image: ''}\n"), ("MLproject:2:21 error empty",)),
    "docker image no name": (
        ("name: x\ndocker_env: {image: 'Team/Image V1'}\n"),
        ("MLproject:2:21 error image-name",),
    ),
    "docker unknown key": (
        ("name: x\ndocker_env: {image: a, build_context: .}\n"),
        ("MLproject:2:24 warning unknown-key",),
    ),
    "docker volumes a text": (
        ("name: x\ndocker_env: {image: a, volumes: /a:/b}\n"),
        ("MLproject:2:33 error wrong-type",),
    ),
    "docker variable a triple": (
        ("name: x\ndocker_env: {image: a, environment: [[A, b, c]]}\n"),
        ("MLproject:2:38 error wrong-value",),
    ),
    "docker variable with equals": (
        ("name: x\ndocker_env: {image: a, environment: [A=b]}\n"),
        ("MLproject:2:38 warning docker-variable",),
    ),
    "docker variable expanded": (
        ("name: x\ndocker_env: {image: a, volumes: ['${PWD}:/b']}\n"),
        ("MLproject:2:34 warning docker-expansion",),
    ),
    "docker without name": ("docker_env: {image: a}\n", ("MLproject:1:1 error docker-name",)),
    "dockerfile outside": (
        ("name: x\ndocker_env: {dockerfile: ../Dockerfile}\n"),
        ("MLproject:2:26 error outside",),
    ),
    "dockerfile missing": (
        ("name: x\ndocker_env: {dockerfile: Dockerfile}\n"),
        ("MLproject:2:26 error missing-file",),
    ),
    "docker context no folder": (
        ("name: x\ndocker_env: {context: MLproject}\n"),
        ("MLproject:2:23 error missing-file",),
    ),
    "docker arguments without a build": (
        ("name: x\ndocker_env: {image: a, args: {A: b}, target: c}\n"),
        ("MLproject:2:24 warning docker-build", "MLproject:2:38 warning docker-build"),
    ),
    "docker pull policy unknown": (
        ("name: x\ndocker_env: {image: a, pull: sometimes}\n"),
        ("MLproject:2:30 error wrong-value",),
    ),
    "docker code unknown": (
        ("name: x\ndocker_env: {image: a, code: live}\n"),
        ("MLproject:2:30 error wrong-value",),
    ),
    "docker platform odd": (
        ("name: x\ndocker_env: {image: a, platform: 'x; y'}\n"),
        ("MLproject:2:34 error wrong-value",),
    ),
    "docker name with spaces": (
        ("name: My Project\ndocker_env: {image: a}\n"),
        ("MLproject:1:7 warning docker-name",),
    ),
    "databricks job": (
        "databricks_spark_job: {python_file: a.py}\n",
        ("MLproject:1:1 warning databricks-job",),
    ),
}
HINTS = {
    "docker_env a text": "write 'docker_env: {image: python:3.11}'",
}
ENVIRONMENTS: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("python_env.yaml", "empty"): ("", ("python_env.yaml:1:1 error empty",)),
    ("python_env.yaml", "a list"): ("- numpy\n", ("python_env.yaml:1:1 error wrong-type",)),
    ("python_env.yaml", "float python"): (
        "python: 3.10\n",
        ("python_env.yaml:1:9 error wrong-type",),
    ),
    ("python_env.yaml", "integer python"): (
        "python: 3\n",
        ("python_env.yaml:1:9 error wrong-type",),
    ),
    ("python_env.yaml", "python no version"): (
        "python: latest\n",
        ("python_env.yaml:1:9 warning python-version",),
    ),
    ("python_env.yaml", "unknown key"): (
        ("python: '3.11'\npackages: [a]\n"),
        ("python_env.yaml:2:1 error unknown-key",),
    ),
    ("python_env.yaml", "misspelt dependencies"): (
        "dependancies: [a]\n",
        ("python_env.yaml:1:1 error unknown-key",),
    ),
    ("python_env.yaml", "dependencies a text"): (
        "dependencies: numpy\n",
        ("python_env.yaml:1:15 error wrong-type",),
    ),
    ("python_env.yaml", "dependencies a mapping"): (
        "dependencies: {numpy: 1}\n",
        ("python_env.yaml:1:15 error wrong-type",),
    ),
    ("python_env.yaml", "a number among dependencies"): (
        ("dependencies:\n  - numpy\n  - 5\n"),
        ("python_env.yaml:3:5 error wrong-type",),
    ),
    ("python_env.yaml", "conda's pin"): (
        ("dependencies:\n  - numpy=1.20\n"),
        ("python_env.yaml:2:5 warning requirement",),
    ),
    ("python_env.yaml", "conda file"): (
        ("name: x\nchannels: [a]\ndependencies: [python=3.9]\n"),
        ("python_env.yaml:1:1 error wrong-kind",),
    ),
    ("python_env.yaml", "conda file by pip block"): (
        ("dependencies:\n  - pip:\n    - a\n"),
        ("python_env.yaml:1:1 error wrong-kind",),
    ),
    ("python_env.yaml", "missing include"): (
        ("dependencies:\n  - -r requirements.txt\n"),
        ("python_env.yaml:2:5 warning missing-file",),
    ),
    ("python_env.yaml", "syntax"): ("python: '3.11\n", ("python_env.yaml:1:9 error yaml",)),
    ("python_env.yaml", "template"): (
        "python: {{ version }}\n",
        ("python_env.yaml:1:10 error template",),
    ),
    ("conda.yaml", "empty"): ("", ("conda.yaml:1:1 error empty",)),
    ("conda.yaml", "a text"): ("conda\n", ("conda.yaml:1:1 error wrong-type",)),
    ("conda.yaml", "dependencies a text"): (
        "dependencies: python\n",
        ("conda.yaml:1:15 error wrong-type",),
    ),
    ("conda.yaml", "dependency a number"): (
        ("dependencies:\n  - 3.9\n"),
        ("conda.yaml:2:5 error wrong-type",),
    ),
    ("conda.yaml", "pip a text"): (
        ("dependencies:\n  - pip: numpy\n"),
        ("conda.yaml:2:10 error wrong-type",),
    ),
    ("conda.yaml", "dependency null"): (("dependencies:\n  -\n"), ("conda.yaml:2:4 error empty",)),
    ("conda.yaml", "misspelt pip"): (
        ("dependencies:\n  - pipp: [a]\n"),
        ("conda.yaml:2:5 error unknown-key",),
    ),
    ("conda.yaml", "unknown key"): (
        "dependencys: [python]\n",
        ("conda.yaml:1:1 warning unknown-key",),
    ),
    ("conda.yaml", "no package"): ("dependencies: ['==3']\n", ("conda.yaml:1:16 error package",)),
    ("conda.yaml", "channels a text"): (
        ("channels: conda-forge\ndependencies: [python]\n"),
        ("conda.yaml:1:11 error wrong-type",),
    ),
    ("conda.yaml", "python_env file"): (
        ("python: '3.9'\nbuild_dependencies: [pip]\n"),
        ("conda.yaml:1:1 error wrong-kind",),
    ),
    ("conda.yaml", "variables not set"): (
        ("dependencies: [python]\nvariables: {A: b}\n"),
        ("conda.yaml:2:1 warning variables",),
    ),
    ("conda.yaml", "variables a list"): (
        ("dependencies: [python]\nvariables: [A]\n"),
        (
            "conda.yaml:2:1 warning variables",
            "conda.yaml:2:12 error wrong-type",
        ),
    ),
    ("conda.yaml", "conda's pin for pip"): (
        ("dependencies:\n  - pip:\n    - numpy=1.20\n"),
        ("conda.yaml:3:7 warning requirement",),
    ),
    ("conda.yaml", "missing include"): (
        ("dependencies:\n  - pip:\n    - -r req.txt\n"),
        ("conda.yaml:3:7 warning missing-file",),
    ),
    ("pyproject.toml", "syntax"): (("[project\nname = 'x'\n"), ("pyproject.toml:1:9 error toml",)),
    ("pyproject.toml", "no project"): ("[tool.black]\n", ("pyproject.toml:1:1 error missing-key",)),
    ("pyproject.toml", "poetry"): (
        ("[tool.poetry]\nname = 'x'\n"),
        ("pyproject.toml:1:1 error missing-key",),
    ),
    ("pyproject.toml", "dependencies a text"): (
        ("[project]\nname = 'x'\ndependencies = 'a'\n"),
        ("pyproject.toml:3:1 error wrong-type",),
    ),
    ("pyproject.toml", "requires-python a number"): (
        ("[project]\nname = 'x'\nrequires-python = 3\n"),
        ("pyproject.toml:3:1 error wrong-type",),
    ),
    ("pyproject.toml", "dynamic dependencies"): (
        ("[project]\nname = 'x'\ndynamic = ['dependencies']\n"),
        ("pyproject.toml:3:1 warning dynamic",),
    ),
}
KEYS = {"python_env.yaml": "python_env", "conda.yaml": "conda_env", "pyproject.toml": "python_env"}


@pytest.mark.parametrize(("text", "expected"), PROJECTS.values(), ids=PROJECTS)
def test_every_problem_is_found_at_its_place(
    read: Read, text: str, expected: tuple[str, ...]
) -> None:
    check_places(read({"MLproject": text}), expected)


@pytest.mark.parametrize("text", [text for text, _ in PROJECTS.values()], ids=PROJECTS)
def test_messages_are_one_sentence_in_our_own_words(read: Read, text: str) -> None:
    check_words(read({"MLproject": text}))


@pytest.mark.parametrize(("name", "hint"), HINTS.items(), ids=HINTS)
def test_frequent_mistakes_get_a_hint_that_repairs_them(read: Read, name: str, hint: str) -> None:
    found = read({"MLproject": PROJECTS[name][0]})

    assert hint in [problem.hint for problem in found.problems]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [(name, text, expected) for (name, _), (text, expected) in ENVIRONMENTS.items()],
    ids=map(" ".join, ENVIRONMENTS),
)
def test_every_problem_of_an_environment_file_is_found_at_its_place(
    read: Read, name: str, text: str, expected: tuple[str, ...]
) -> None:
    found = read({"MLproject": f"{KEYS[name]}: {name}\n", name: text})

    assert said(found) == expected
    assert (found.spec is None) == any(" error " in line for line in expected)


def test_problems_of_several_files_come_together(read: Read) -> None:
    files = {
        "MLproject": "nmae: x\npython_env: python_env.yaml\nentry_points: []\n",
        "python_env.yaml": "python: 3.10\ndependencies: numpy\n",
    }

    assert said(read(files)) == (
        "MLproject:1:1 warning unknown-key",
        "MLproject:3:15 error wrong-type",
        "python_env.yaml:1:9 error wrong-type",
        "python_env.yaml:2:15 error wrong-type",
    )


def test_a_float_python_is_shown_as_it_was_written(read: Read) -> None:
    found = read({"MLproject": "python_env: p.yaml\n", "p.yaml": "python: 3.10\n"})

    assert found.problems[0].hint == "write 'python: \"3.10\"', in quotes"


def test_a_named_pipe_is_not_waited_for(read: Read, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "conda.yaml")

    found = read({"MLproject": "conda_env: conda.yaml\n"})

    assert said(found) == ("MLproject:1:12 error unreadable",)


def test_a_near_file_name_is_suggested(read: Read) -> None:
    found = read({"MLproject": "conda_env: conda.yml\n", "conda.yaml": "dependencies: []\n"})

    assert found.problems[0].hint == "did you mean 'conda.yaml'?"


def test_credentials_are_not_repeated(read: Read) -> None:
    found = read({"MLproject": "conda_env: https://me:hunter2@example.org/conda.yaml\n"})

    assert "https://example.org" in found.problems[0].message
    assert "hunter2" not in str(found.problems)
