"""Malformed parameters, and exactly what is said about each: place, severity, rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from readings import check_places, check_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.documents.remembered import Reading

    Read = Callable[[dict[str, str]], Reading]

PROJECTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "parameter a number": (
        ("entry_points:\n  main:\n    parameters: {x: 5}\n    command: a {x}\n"),
        ("MLproject:3:21 error wrong-type",),
    ),
    "parameter null": (
        ("entry_points:\n  main:\n    parameters:\n      x:\n    command: a {x}\n"),
        ("MLproject:4:7 error empty",),
    ),
    "parameter a list": (
        ("entry_points:\n  main:\n    parameters: {x: [int]}\n    command: a {x}\n"),
        ("MLproject:3:21 error wrong-type",),
    ),
    "unknown type": (
        ("entry_points:\n  main:\n    parameters: {x: integer}\n    command: a {x}\n"),
        ("MLproject:3:21 warning unknown-type",),
    ),
    "misspelt type": (
        ("entry_points:\n  main:\n    parameters: {x: {type: flaot}}\n    command: a {x}\n"),
        ("MLproject:3:28 warning unknown-type",),
    ),
    "type null": (
        ("entry_points:\n  main:\n    parameters: {x: {type: }}\n    command: a {x}\n"),
        ("MLproject:3:22 warning empty",),
    ),
    "glued mapping": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters:\n"
            "      x: {type:int, default:10}\n"
            "    command: a {x}\n"
        ),
        (
            "MLproject:4:11 warning glued-key",
            "MLproject:4:21 warning glued-key",
        ),
    ),
    "type without colon": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters:\n"
            "      x: {type path, default: a}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:4:11 warning glued-key",),
    ),
    "misspelt default": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: int, defualt: 3}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:33 warning unknown-key",),
    ),
    "int default a word": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters:\n"
            "      x: {type: int, default: ten}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:4:31 error default-type",),
    ),
    "int default a float": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters:\n"
            "      x: {type: int, default: 1.5}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:4:31 error default-type",),
    ),
    "float default a word": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: float, default: abc}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:44 error default-type",),
    ),
    "bool default a word": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: bool, default: maybe}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:43 error default-type",),
    ),
    "uri default without scheme": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: uri, default: data.csv}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:42 warning default-type",),
    ),
    "octal default": (
        ("entry_points:\n  main:\n    parameters: {x: {default: 010}}\n    command: a {x}\n"),
        ("MLproject:3:31 warning yaml-spelling",),
    ),
    "base 60 default": (
        ("entry_points:\n  main:\n    parameters: {x: {default: 12:30}}\n    command: a {x}\n"),
        ("MLproject:3:31 warning yaml-spelling",),
    ),
    "yes as default": (
        ("entry_points:\n  main:\n    parameters: {x: {default: on}}\n    command: a {x}\n"),
        ("MLproject:3:31 warning yaml-spelling",),
    ),
    "list default": (
        ("entry_points:\n  main:\n    parameters: {x: {default: [a, b]}}\n    command: a {x}\n"),
        ("MLproject:3:31 warning default-not-scalar",),
    ),
    "mapping default": (
        ("entry_points:\n  main:\n    parameters: {x: {default: {a: b}}}\n    command: a {x}\n"),
        ("MLproject:3:31 warning default-not-scalar",),
    ),
    "choices a text": (
        ("entry_points:\n  main:\n    parameters: {x: {choices: a}}\n    command: a {x}\n"),
        ("MLproject:3:31 error wrong-type",),
    ),
    "choices empty": (
        ("entry_points:\n  main:\n    parameters: {x: {choices: []}}\n    command: a {x}\n"),
        ("MLproject:3:31 error empty",),
    ),
    "choice of another type": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: int, choices: [1, two]}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:46 error choice-type",),
    ),
    "default not among choices": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {choices: [a, b], default: c}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:48 error default-choice",),
    ),
    "min a text": (
        ("entry_points:\n  main:\n    parameters: {x: {type: int, min: a}}\n    command: a {x}\n"),
        ("MLproject:3:38 error wrong-type",),
    ),
    "min on a text": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: string, min: 1}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:41 error range-type",),
    ),
    "min above max": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: int, min: 3, max: 1}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:38 error empty-range",),
    ),
    "default below min": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: int, min: 3, default: 1}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:50 error default-range",),
    ),
    "optional a text": (
        ("entry_points:\n  main:\n    parameters: {x: {optional: 'yes'}}\n    command: a {x}\n"),
        ("MLproject:3:32 error wrong-type",),
    ),
    "optional with default": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {optional: true, default: a}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:47 warning optional-default",),
    ),
    "switch on a text": (
        ("entry_points:\n  main:\n    parameters: {x: {switch: --x}}\n    command: a {x}\n"),
        ("MLproject:3:30 error switch-type",),
    ),
    "switch without dash": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: bool, switch: verbose}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:42 error wrong-value",),
    ),
    "switch and list": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: bool, switch: -v, list: true}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:42 error switch-list",),
    ),
    "list element of another type": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: int, list: true, default: [1, b]}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:54 error default-type",),
    ),
    "secret with default": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {secret: true, default: a}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:45 warning secret-default",),
    ),
    "required key": (
        (
            "entry_points:\n"
            "  main:\n"
            "    parameters: {x: {type: int, required: true}}\n"
            "    command: a {x}\n"
        ),
        ("MLproject:3:33 warning unknown-key",),
    ),
}
HINTS = {
    "misspelt default": "did you mean 'default'?",
    "unknown type": "did you mean 'int'?",
    "misspelt type": "did you mean 'float'?",
    "glued mapping": "write 'type: int'",
    "type without colon": "write 'type: path'",
    "parameter a number": "write 'x: {type: int, default: 5}'",
    "octal default": "write it in quotes: '010'",
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


def test_the_default_of_a_secret_is_not_repeated(read: Read) -> None:
    text = (
        "entry_points:\n"
        "  main:\n"
        "    parameters: {x: {type: int, secret: true, default: hunter2, choices: [1]}}\n"
        "    command: a {x}\n"
    )

    found = read({"MLproject": text})

    assert {p.rule for p in found.problems} == {"default-type", "default-choice", "secret-default"}
    assert "hunter2" not in str(found.problems)
