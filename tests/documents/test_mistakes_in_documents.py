"""MLproject files that are malformed as a whole: what is said about each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from readings import check_places, check_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.documents.remembered import Reading

    Read = Callable[[dict[str, str]], Reading]

PROJECTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "empty file": ("", ("MLproject:1:1 error empty",)),
    "only comments": ("# nothing\n", ("MLproject:1:1 error empty",)),
    "a list": (("- a\n- b\n"), ("MLproject:1:1 error wrong-type",)),
    "a text": ("hello\n", ("MLproject:1:1 error wrong-type",)),
    "a number": ("42\n", ("MLproject:1:1 error wrong-type",)),
    "two documents": (("name: a\n---\nname: b\n"), ("MLproject:2:1 error yaml",)),
    "a set": ("entry_points: !!set {a, b}\n", ("MLproject:1:15 error yaml",)),
    "a custom tag": ("name: !project x\n", ("MLproject:1:7 error yaml",)),
    "tab indentation": (
        ("entry_points:\n\tmain:\n\t\tcommand: echo\n"),
        ("MLproject:2:1 error tab",),
    ),
    "jinja block": (
        ("name: x\n{% if y %}\nz: 1\n{% endif %}\n"),
        ("MLproject:2:2 error template",),
    ),
    "jinja value": ("name: {{ cookiecutter.name }}\n", ("MLproject:1:8 error template",)),
    "missing colon": (("name: x\nentry_points\n  main: y\n"), ("MLproject:3:7 error yaml",)),
    "second colon": ("name: x: y\n", ("MLproject:1:8 error yaml",)),
    "open quote": (('name: "x\nentry_points: {}\n'), ("MLproject:1:7 error yaml",)),
    "open bracket": ("name: [a, b\n", ("MLproject:1:7 error yaml",)),
    "bad indentation": (
        ("name: x\nentry_points:\n   main: {command: a}\n  other: {command: b}\n"),
        ("MLproject:4:3 error yaml",),
    ),
    "unknown alias": ("name: *nobody\n", ("MLproject:1:7 error yaml",)),
    "alias in itself": ("name: &a [*a]\n", ("MLproject:1:1 error yaml",)),
    "bad escape": ('name: "\\q"\n', ("MLproject:1:8 error yaml",)),
    "reserved character": ("name: @x\n", ("MLproject:1:7 error yaml",)),
    "control character": ("name: a\x07b\n", ("MLproject:1:8 error yaml",)),
    "unknown directive": (("%FOO\nname: x\n"), ("MLproject:1:5 error yaml",)),
    "impossible date": ("name: 2020-13-45\n", ("MLproject:1:7 error yaml",)),
    "mapping as key": (("? {a: b}\n: c\n"), ("MLproject:1:3 error yaml",)),
    "too deep": (
        "name: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
        ("MLproject:1:1 error yaml",),
    ),
    "duplicate top key": (("name: x\nname: y\n"), ("MLproject:2:1 warning duplicate-key",)),
    "entry_point misspelt": (
        ("entry_point:\n  main: {command: echo}\n"),
        ("MLproject:1:1 warning unknown-key",),
    ),
    "misspelt python_env": ("pyhton_env: p.yaml\n", ("MLproject:1:1 warning unknown-key",)),
    "unknown top key": ("signature: x\n", ("MLproject:1:1 warning unknown-key",)),
    "conda for conda_env": ("conda: conda.yaml\n", ("MLproject:1:1 warning unknown-key",)),
    "boolean as key": (
        "on: x\n",
        (
            "MLproject:1:1 warning key-not-text",
            "MLproject:1:1 warning unknown-key",
        ),
    ),
    "key of an entry point": ("paramaters: {}\n", ("MLproject:1:1 warning unknown-key",)),
    "name a number": ("name: 12\n", ("MLproject:1:7 warning wrong-type",)),
    "name a list": ("name: [a]\n", ("MLproject:1:7 warning wrong-type",)),
    "description a mapping": ("description: {a: b}\n", ("MLproject:1:14 warning wrong-type",)),
}
HINTS = {
    "entry_point misspelt": "did you mean 'entry_points'?",
    "conda for conda_env": "did you mean 'conda_env'?",
    "key of an entry point": (
        "'parameters' belongs into an entry point: entry_points, main, parameters"
    ),
    "tab indentation": "replace it by spaces",
}


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
