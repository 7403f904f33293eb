from __future__ import annotations

from typing import TYPE_CHECKING

from runner.documents.help import WIDTH, entry_point_help
from runner.model.value import EntryPointName

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.documents.remembered import Reading

TEXT = """\
entry_points:
  main:
    description: Train a model.
    parameters:
      alpha: {type: float, default: 0.5, min: 0, max: 1, description: mixing}
      data: path
      names: {list: true, default: [a, b c]}
      verbose: {type: bool, switch: --verbose}
      kind: {choices: [adam, sgd], optional: true}
      size: {choices: [very-small, very-large, huge], default: ''}
      token: {secret: true, default: hunter2}
      a-name-that-is-longer-than-the-column: {type: int, min: 3, description: long}
    command: a {alpha} {data} {names} {verbose} {kind} {size} {token}
  clean: {command: rm}
  broken: {}
"""


def help_of(read: Callable[[dict[str, str]], Reading], name: str, text: str = TEXT) -> str:
    spec = read({"MLproject": text}).spec
    assert spec is not None
    return entry_point_help(spec, spec.entry_points[EntryPointName(name)])


def test_the_help_says_what_each_parameter_means(
    read: Callable[[dict[str, str]], Reading],
) -> None:
    assert help_of(read, "main") == (
        "  main (default)\n"
        "    Train a model.\n"
        "    runproj run URI -P data=... -P a-name-that-is-longer-than-the-column=...\n"
        "    -P alpha=FLOAT              mixing; default 0.5, 0 to 1\n"
        "    -P data=PATH                required\n"
        "    -P names=STRING...          default 'a' 'b c', may be repeated\n"
        "    -P verbose=BOOL             true means --verbose\n"
        "    -P kind=adam|sgd            optional\n"
        "    -P size=STRING              default '', one of very-small, very-large, huge\n"
        "    -P token=STRING             default ***, secret: never shown or stored\n"
        "    -P a-name-that-is-longer-than-the-column=INT\n"
        "                                long; required, at least 3\n"
    )


def test_other_entry_points_are_named_in_the_command(
    read: Callable[[dict[str, str]], Reading],
) -> None:
    assert help_of(read, "clean") == "  clean\n    runproj run URI -e clean\n"


def test_an_entry_point_that_cannot_run_says_so(
    read: Callable[[dict[str, str]], Reading],
) -> None:
    assert "(has no command and cannot run)" in help_of(read, "broken")


def test_long_descriptions_are_wrapped_and_control_characters_are_visible(
    read: Callable[[dict[str, str]], Reading],
) -> None:
    text = f'entry_points: {{main: {{command: a, description: "\\e[31m{"word " * 60}"}}}}\n'

    lines = help_of(read, "main", text).splitlines()

    assert len(lines) > 3
    assert max(map(len, lines)) <= WIDTH
    assert "\\x1b[31mword" in lines[1]
