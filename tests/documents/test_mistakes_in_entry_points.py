"""Malformed entry points and commands: what is said about each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from readings import check_places, check_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.documents.remembered import Reading

    Read = Callable[[dict[str, str]], Reading]

PROJECTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "entry_points null": ("entry_points:\n", ("MLproject:1:1 error empty",)),
    "entry_points a list": (("entry_points:\n  - main\n"), ("MLproject:2:3 error wrong-type",)),
    "entry point a text": (
        ("entry_points:\n  main: python train.py\n"),
        ("MLproject:2:9 error wrong-type",),
    ),
    "entry point null": (("entry_points:\n  main:\n"), ("MLproject:2:3 error empty",)),
    "mis-indented command": (
        ("entry_points:\n  main:\n  command: python train.py\n"),
        (
            "MLproject:2:3 error empty",
            "MLproject:3:12 error wrong-type",
        ),
    ),
    "no command": (
        ("entry_points:\n  main:\n    parameters: {a: int}\n"),
        ("MLproject:2:3 warning no-command",),
    ),
    "misspelt command": (
        ("entry_points:\n  main:\n    comand: echo\n"),
        (
            "MLproject:2:3 warning no-command",
            "MLproject:3:5 warning unknown-key",
        ),
    ),
    "command null": (("entry_points:\n  main:\n    command:\n"), ("MLproject:3:5 error empty",)),
    "command a list": (
        ("entry_points:\n  main:\n    command: [echo, a]\n"),
        ("MLproject:3:14 error wrong-type",),
    ),
    "command empty": (
        ("entry_points:\n  main:\n    command: ''\n"),
        ("MLproject:3:14 error empty",),
    ),
    "duplicate command": (
        ("entry_points:\n  main:\n    command: a\n    command: b\n"),
        ("MLproject:4:5 warning duplicate-key",),
    ),
    "duplicate entry point": (
        ("entry_points:\n  main: {command: a}\n  main: {command: b}\n"),
        ("MLproject:3:3 warning duplicate-key",),
    ),
    "parameters null": (
        ("entry_points:\n  main:\n    command: a\n    parameters:\n"),
        ("MLproject:4:5 error empty",),
    ),
    "parameters a list": (
        ("entry_points:\n  main:\n    command: a {x}\n    parameters: [x]\n"),
        (
            "MLproject:3:16 error undeclared-placeholder",
            "MLproject:4:17 error wrong-type",
        ),
    ),
    "misspelt parameters": (
        ("entry_points:\n  main:\n    paramaters: {x: int}\n    command: a {x}\n"),
        (
            "MLproject:3:5 warning unknown-key",
            "MLproject:4:16 error undeclared-placeholder",
        ),
    ),
    "undeclared placeholder": (
        ("entry_points:\n  main:\n    command: echo {x}\n"),
        ("MLproject:3:19 error undeclared-placeholder",),
    ),
    "near placeholder": (
        ("entry_points:\n  main:\n    parameters: {alpha: float}\n    command: echo {alhpa}\n"),
        (
            "MLproject:3:18 warning unused-parameter",
            "MLproject:4:19 error undeclared-placeholder",
        ),
    ),
    "shell variable in braces": (
        ("entry_points:\n  main:\n    command: echo ${HOME}\n"),
        ("MLproject:3:20 error undeclared-placeholder",),
    ),
    "shell default in braces": (
        ("entry_points:\n  main:\n    command: |\n      echo a\n      echo ${HOME:-x}\n"),
        ("MLproject:5:13 error undeclared-placeholder",),
    ),
    "empty braces": (
        ("entry_points:\n  main:\n    command: echo {}\n"),
        ("MLproject:3:19 error undeclared-placeholder",),
    ),
    "numbered braces": (
        ("entry_points:\n  main:\n    command: awk '{0}'\n"),
        ("MLproject:3:19 error undeclared-placeholder",),
    ),
    "open brace": (
        ("entry_points:\n  main:\n    command: 'echo {x'\n    parameters: {x: int}\n"),
        ("MLproject:3:14 error braces",),
    ),
    "single closing brace": (
        ("entry_points:\n  main:\n    command: 'echo }'\n"),
        ("MLproject:3:14 error braces",),
    ),
    "unknown conversion": (
        ("entry_points:\n  main: {command: 'a {x!q}', parameters: {x: int}}\n"),
        ("MLproject:2:22 error format",),
    ),
    "format for numbers": (
        ("entry_points:\n  main: {command: 'a {x:.2f}', parameters: {x: float}}\n"),
        ("MLproject:2:22 error format",),
    ),
    "format of a gigabyte": (
        ("entry_points:\n  main: {command: 'a {x:>1000000000}', parameters: {x: float}}\n"),
        ("MLproject:2:22 error format",),
    ),
    "attribute": (
        ("entry_points:\n  main: {command: 'a {x.__class__} {x}', parameters: {x: int}}\n"),
        ("MLproject:2:22 error undeclared-placeholder",),
    ),
    "code in braces": (
        ("entry_points:\n  main:\n    command: awk '{print $1}'\n"),
        ("MLproject:3:19 error undeclared-placeholder",),
    ),
    "unused parameter": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters:\n"
            "      a: int\n"
            "      b: int\n"
            "    command: echo {a}\n"
        ),
        ("MLproject:5:7 warning unused-parameter",),
    ),
    "missing backslash": (
        ("entry_points:\n  main:\n    command: |\n      python x.py\n        --epochs 3\n"),
        ("MLproject:5:9 warning missing-backslash",),
    ),
    "everything at once": (
        (
            "nmae: x\n"
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: int, defualt: 3, min: a}}\n"
            "    comand: a {x}\n"
            "  other: text\n"
        ),
        (
            "MLproject:1:1 warning unknown-key",
            "MLproject:3:3 warning no-command",
            "MLproject:4:33 warning unknown-key",
            "MLproject:4:50 error wrong-type",
            "MLproject:5:5 warning unknown-key",
            "MLproject:6:10 error wrong-type",
        ),
    ),
}
HINTS = {
    "format for numbers": "write '{x}'",
    "attribute": "write '{x}': only the whole value can be used",
    "misspelt parameters": "did you mean 'parameters'?",
    "mis-indented command": "indent 'command' further, so that it belongs to an entry point",
    "shell variable in braces": "for the shell's variable write '${{HOME}}', with double braces",
    "near placeholder": "did you mean '{alpha}'?",
    "missing backslash": "end the line before it with a backslash: 'python x.py \\'",
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


def test_an_error_in_one_entry_point_leaves_the_others_usable(read: Read) -> None:
    text = "entry_points:\n  broken: {command: 'echo {x}'}\n  sound: {command: echo}\n"

    found = read({"MLproject": text})

    assert [p.entry_point for p in found.problems] == ["broken"]
    assert found.spec is not None
    assert {e.name: e.template for e in found.spec.entry_points.values()} == {
        "broken": "echo {x}",
        "sound": "echo",
    }
