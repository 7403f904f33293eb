"""Declarations that are fine, and the parameters they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runner.model.spec import Parameter
from runner.model.value import EntryPointName, changed

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.documents.remembered import Reading

    Read = Callable[[dict[str, str]], Reading]


def declared(read: Read, body: str) -> Parameter:
    text = f"entry_points:\n  main:\n    parameters:\n      x: {body}\n    command: run {{x}}\n"
    reading = read({"MLproject": text})
    assert reading.spec is not None
    assert reading.problems == ()
    (parameter,) = reading.spec.entry_points[EntryPointName("main")].parameters
    assert str(parameter.place) == "MLproject:4:7"
    return changed(parameter, place=None)


BODIES: dict[str, dict[str, Any]] = {
    "string": {},
    "str": {},
    "int": {"type": "int"},
    "boolean": {"type": "bool"},
    "{}": {},
    "{type: float, default: 0.5}": {"type": "float", "default": "0.5"},
    "{type: float, default: 1e-5}": {"type": "float", "default": "1e-5"},
    "{type: float, default: 1.50}": {"type": "float", "default": "1.5"},
    "{type: float, default: .inf}": {"type": "float", "default": "inf"},
    "{type: int, default: 10}": {"type": "int", "default": "10"},
    "{type: int, default: '-3'}": {"type": "int", "default": "-3"},
    "{type: bool, default: true}": {"type": "bool", "default": "True"},
    "{type: boolean, default: 'no'}": {"type": "bool", "default": "no"},
    "{default: ''}": {"default": ""},
    "{default: 12}": {"default": "12"},
    "{default: ~}": {},
    "{default: 2020-01-02}": {"default": "2020-01-02"},
    "{type: path, default: data}": {"type": "path", "default": "data"},
    "{type: uri, default: 's3://b/k'}": {"type": "uri", "default": "s3://b/k"},
    "{description: what it is}": {"description": "what it is"},
    "{choices: [a, b], default: b}": {"choices": ("a", "b"), "default": "b"},
    "{type: int, choices: [1, 2]}": {"type": "int", "choices": ("1", "2")},
    "{type: int, min: 1, max: 9, default: 9}": {
        "type": "int",
        "minimum": 1,
        "maximum": 9,
        "default": "9",
    },
    "{type: float, min: -0.5}": {"type": "float", "minimum": -0.5},
    "{optional: true}": {"optional": True},
    "{secret: true}": {"secret": True},
    "{list: true, default: [a, 1]}": {"is_list": True, "default": ("a", "1")},
    "{list: true, default: a}": {"is_list": True, "default": ("a",)},
    "{list: true, default: []}": {"is_list": True, "default": ()},
    "{type: bool, switch: --verbose}": {"type": "bool", "switch": "--verbose"},
    "{type: bool, switch: -v, default: false}": {
        "type": "bool",
        "switch": "-v",
        "default": "False",
    },
}


@pytest.mark.parametrize(("body", "fields"), BODIES.items(), ids=BODIES)
def test_a_declaration_becomes_a_parameter(read: Read, body: str, fields: dict[str, Any]) -> None:
    assert declared(read, body) == Parameter(name="x", **fields)


@pytest.mark.parametrize("name", ["n-class", "a.b", "x_1", "日本", "with space"])
def test_names_need_not_be_identifiers(read: Read, name: str) -> None:
    text = f"entry_points:\n  main:\n    parameters: {{'{name}': int}}\n    command: a\n"

    reading = read({"MLproject": text})

    assert reading.spec is not None
    assert reading.spec.entry_points[EntryPointName("main")].parameter(name) is not None


def test_a_multi_line_command_is_kept_as_it_is(read: Read) -> None:
    command = "python x.py \\\n  --a {a} \\\n  --b $(echo {a}) && awk '{{print}}' || true\n"
    block = "".join(f"      {line}\n" for line in command.splitlines())
    text = f"entry_points:\n  main:\n    parameters: {{a: string}}\n    command: |\n{block}"

    reading = read({"MLproject": text})

    assert reading.problems == ()
    assert reading.spec is not None
    assert reading.spec.entry_points[EntryPointName("main")].template == command


@pytest.mark.parametrize("command", ["echo {a:>10}", "echo {a!r}", "echo {a:{b}}"])
def test_placeholders_with_formats_count_as_used(read: Read, command: str) -> None:
    parameters = "    parameters: {a: int, b: int}\n"
    text = f"entry_points:\n  main:\n{parameters}    command: '{command} {{b}}'\n"

    assert read({"MLproject": text}).problems == ()
