"""Values that do not fit, through the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.malformed.conftest import Refusal

PROJECT = """\
name: p
entry_points:
  main:
    parameters:
      n: {type: int, default: 1, min: 0, max: 9}
      x: {type: float, default: 0.5, max: 100}
      flag: {type: bool, default: true}
      file: {type: path, default: data.csv}
      link: {type: uri, default: "https://example.org/"}
      pick: {choices: [red, green], default: red}
      many: {type: int, list: true, default: [1, 2]}
      loud: {type: bool, switch: --loud, default: false}
      pin: {type: int, secret: true, optional: true}
    command: echo {n} {x} {flag} {file} {link} {pick} {many} {loud} {pin}
  needy:
    parameters:
      first: int
      second: {type: float}
    command: echo {first} {second}
"""


class Case(NamedTuple):
    """Arguments after ``run project``, and what the error has to name."""

    arguments: tuple[str, ...]
    names: tuple[str, ...]
    kind: str = "parameter"


def value(text: str, *names: str, kind: str = "parameter") -> Case:
    """Return a case of one ``-P``; the parameter's name has to be named."""
    return Case(("-P", text), (text.partition("=")[0], *names), kind)


VALUES = (
    value("n=abc", "'abc'"),
    value("n=3.7", "3.7"),
    value("n=", "int"),
    value("n=1e3", "1e3"),
    value("n=0x10", "0x10"),
    value("n=-1", "-1"),
    value("n=10", "10"),
    value("n=1 2", "1 2"),
    value("x=abc", "abc"),
    value("x=", "float"),
    value("x=1,5", "1,5"),
    value("x=100.5", "100.5"),
    value("x=0x1p3", "0x1p3"),
    value("x=0.5f", "0.5f"),
    value("flag=maybe", "maybe"),
    value("flag=2", "2"),
    value("flag=", "bool"),
    value("loud=very", "very"),
    value("pick=blue", "blue", "green"),
    value("pick=", "green"),
    value("pick=RED", "RED"),
    value("many=a", "a"),
    value("many=1.5", "1.5"),
    value("file=absent.csv", "absent.csv"),
    value("file=file:///absent/data.csv", "/absent/data.csv"),
    value("file=s3://bucket/key", "s3://bucket/key"),
    value("file=gs://bucket/key", "gs://bucket/key"),
    value("file=dbfs:/key", "dbfs:/key"),
    value("file=models:/m/1", "models:/m/1"),
    value("file=runs:/", "runs:/"),
    Case(("-P", "file=http://127.0.0.1:9/data.csv"), ("127.0.0.1:9",)),
    value("link=data.csv", "data.csv"),
    value("link=", "URI"),
    value("link=/abs/data.csv", "/abs/data.csv"),
    Case(("-P", "n=1", "-P", "n=2"), ("2 values", "n")),
    Case(("-P", "n=a\0b"), ("n",)),
    Case(("-P", "many=1", "-P", "many=b"), ("many", "b")),
    Case(("-P", "alhpa=1", "--strict"), ("alhpa",)),
    Case(("-P", "N=1", "--strict"), ("N", "n")),
)

ASSIGNMENTS = (
    Case(("-P", "n"), ("'n'",), "usage"),
    Case(("-P", ""), ("-P",), "usage"),
    Case(("-P", "=1"), ("=1",), "usage"),
    Case(("-P", "n 1"), ("n 1",), "usage"),
)

ENTRY_POINTS = (
    Case(("-e", "needy"), ("first", "second")),
    Case(("-e", "needy", "-P", "first=1"), ("second",)),
    Case(("-e", "needy", "-P", "first=a", "-P", "second=b"), ("first", "second")),
    Case(("-e", "mian"), ("mian", "main")),
    Case(("-e", "absent"), ("absent", "main", "needy")),
    Case(("-e", ""), ("main",)),
    Case(("-e", "absent.py"), ("absent.py",)),
    Case(("-e", "../outside.py"), ("../outside.py",)),
    Case(("-e", "/etc/hostname.sh"), ("/etc/hostname.sh",)),
    Case(("-e", "data.csv"), ("data.csv",)),
)


@pytest.mark.parametrize(
    "case", [*VALUES, *ASSIGNMENTS, *ENTRY_POINTS], ids=lambda case: " ".join(case.arguments)
)
def test_a_value_that_does_not_fit_is_refused(case: Case, refused: Refusal) -> None:
    refused.write({"project/MLproject": PROJECT, "project/data.csv": "1\n", "outside.py": ""})
    refused("run", "project", *case.arguments, kind=case.kind).names(*case.names)


def test_the_value_of_a_secret_is_not_in_the_error(refused: Refusal) -> None:
    refused.write({"project/MLproject": PROJECT, "project/data.csv": "1\n"})
    complaint = refused("run", "project", "-P", "pin=hunter2", kind="parameter")
    complaint.names("pin")
    assert "hunter2" not in complaint.text


class FileCase(NamedTuple):
    """A parameters file, what the error has to name and its kind."""

    name: str
    text: str | bytes
    names: tuple[str, ...]
    kind: str = "parameter"


FILES = (
    FileCase("list.yaml", "- n: 1\n", ("list.yaml:1",)),
    FileCase("scalar.yaml", "n=1\n", ("scalar.yaml:1",)),
    FileCase("nested.yaml", "n:\n  a: 1\n", ("nested.yaml:", "n")),
    FileCase("broken.yaml", "n: [1\n", ("broken.yaml:",)),
    FileCase("broken.json", '{"n": 1,\n', ("broken.json:",)),
    FileCase("twice.yaml", "n: 1\nn: 2\n", ("twice.yaml:2", "n")),
    FileCase("tab.yaml", "n:\n\t- 1\n", ("tab.yaml:2",)),
    FileCase("latin.yaml", b"pick: gr\xfcn\n", ("latin.yaml", "UTF-8")),
    FileCase("wrong.yaml", "n: many\n", ("n", "many")),
    FileCase("range.yaml", "n: 12\n", ("n", "12")),
    FileCase("deep.yaml", "many: [[1], [2]]\n", ("deep.yaml:", "many")),
)


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.name)
def test_a_wrong_parameters_file_is_refused_at_its_place(case: FileCase, refused: Refusal) -> None:
    refused.write({"project/MLproject": PROJECT, "project/data.csv": "1\n", case.name: case.text})
    refused("run", "project", "--params-file", case.name, kind=case.kind).names(*case.names)


@pytest.mark.parametrize("name", ["absent.yaml", "project"])
def test_a_parameters_file_that_is_none_is_refused(name: str, refused: Refusal) -> None:
    refused.write({"project/MLproject": PROJECT, "project/data.csv": "1\n"})
    refused("run", "project", "--params-file", name, kind="usage").names(name)
