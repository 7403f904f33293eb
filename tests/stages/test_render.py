"""Rendering: what the command gets is what was given, in every place of a script."""

from __future__ import annotations

import csv
import json
import os
import shlex
import string
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from runner.errors import ParameterError, SpecError
from runner.model.plan import Invocation
from runner.model.spec import EntryPoint, Parameter, Place
from runner.model.value import EntryPointName
from runner.stages.render import Field, TemplateError, parts, render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.model.plan import Command

ROOT = Path(__file__).parents[2]
PLACE = Place(file="MLproject", line=3, column=5)


def invocation(template: str, values: Mapping[str, Any], **more: Any) -> Invocation:
    """Bind values to a template whose parameters are those of the values."""
    extra = more.pop("extra", {})
    secrets = frozenset(more.pop("secrets", ()))
    unset = more.pop("unset", ())
    parameters = more.pop("parameters", None) or tuple(
        Parameter(
            name=name,
            is_list=isinstance(values.get(name), tuple),
            secret=name in secrets,
            optional=name in unset,
        )
        for name in (*values, *unset)
    )
    entry_point = EntryPoint(
        name=EntryPointName("main"), template=template, parameters=parameters, place=PLACE
    )
    return Invocation(
        entry_point=entry_point, values=values, given={}, extra=extra, secrets=secrets
    )


def script(template: str, values: Mapping[str, Any] | None = None, **more: Any) -> str:
    """Render a template to the text of its script."""
    return render(invocation(template, values or {}, **more)).script


def as_mlflow(
    template: str, values: Mapping[str, str], extra: Mapping[str, str] | None = None
) -> str:
    """Render as MLflow 3.17 documents it: quote every value, format, append the rest."""
    text = template.format(**{name: shlex.quote(value) for name, value in values.items()})
    flags = (f"--{shlex.quote(k)} {shlex.quote(v)}" for k, v in (extra or {}).items())
    return " ".join([text, *flags])


def bash(text: str, variables: Mapping[str, str] | None = None, *, utf8: bool = False) -> bytes:
    """Run a script as runproj does and return what it wrote."""
    done = subprocess.run(
        ["bash", "-c", os.fsencode(text)],
        env={
            "PATH": os.defpath,
            "HOME": "/nowhere",
            "LC_ALL": "C.UTF-8" if utf8 else "C",
            **{name: os.fsencode(value) for name, value in (variables or {}).items()},
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert not done.stderr, (text, done.stderr)
    return done.stdout


def arguments(command: Command) -> list[str]:
    """Run a command made of ``args ...`` and return the arguments that it saw."""
    head = "args() { for a; do printf '%s\\0' \"$a\"; done; }\n"
    return [
        os.fsdecode(a) for a in bash(head + command.script, command.variables).split(b"\0")[:-1]
    ]


def seen(template: str, values: Mapping[str, Any] | None = None, **more: Any) -> list[str]:
    """Render, run, and return the arguments that the program saw."""
    return arguments(render(invocation(template, values or {}, **more)))


# -- templates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", ("plain",)),
        ("", ()),
        ("{{}}", ("{}",)),
        ("a{{b}}{c}", ("a{b}", Field(name="c", source="{c}"))),
        ("{n-class}", (Field(name="n-class", source="{n-class}"),)),
        ("{x:>10}", (Field(name="x", spec=">10", source="{x:>10}"),)),
        ("{x!s}", (Field(name="x", conversion="s", source="{x!s}"),)),
        ("{x!r}", ("'", Field(name="x", conversion="r", source="{x!r}"), "'")),
        ("${{H:-{x}}}", ("${H:-", Field(name="x", source="{x}"), "}")),
        ("{x:{y}}", (Field(name="x", spec="{y}", source="{x:{y}}"),)),
    ],
)
def test_templates_are_split_into_text_and_fields(template: str, expected: tuple[Any, ...]) -> None:
    assert parts(template) == expected


@given(st.text(alphabet="ab{}!:r$ ", max_size=12))
@settings(max_examples=600)
def test_templates_are_read_as_python_reads_them(template: str) -> None:
    try:
        expected = [
            (text, name, spec)
            for text, name, spec, conversion in string.Formatter().parse(template)
            if conversion in {None, "s"}
        ]
        python_reads = template.format(a="A", b="B", ab="C")
    except (ValueError, KeyError, IndexError):
        return
    assert expected is not None
    values = {"a": "A", "b": "B", "ab": "C"}
    try:
        assert script(template, values) == python_reads
    except SpecError:
        assert "!r" in template  # a conversion and a format in one field


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("a } b", "'}' is alone"),
        ("a { b", "never closed"),
        ("{}", "names no parameter"),
        ("{!r}", "names no parameter"),
        ("{x!z}", "unknown conversion"),
        ("{x!}", "unknown conversion"),
        ("{x!rr}", "unknown conversion"),
        ("{x!r:>5}", "both a conversion and a format"),
        ("{x{y}}", "brace in its name"),
    ],
)
def test_a_malformed_template_says_what_is_wrong(template: str, sentence: str) -> None:
    with pytest.raises(TemplateError, match=sentence):
        parts(template)
    with pytest.raises(SpecError) as caught:
        script(template, {"x": "1", "y": "2"})
    assert sentence in caught.value.message
    assert caught.value.where == "MLproject:3:5"


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("echo ${HOME}", "double the braces ({{HOME}})"),
        ("echo {alhpa}", "did you mean {alpha}?"),
        ("echo {alpha.__class__}", "a field is a parameter's whole name, such as {alpha}"),
        ("echo {alpha[0]}", "a field is a parameter's whole name, such as {alpha}"),
        ("echo {alpha:{width}}", "double the braces"),
        ("echo {0}", "double the braces"),
    ],
)
def test_an_undeclared_field_is_an_error_with_a_hint(template: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        script(template, {"alpha": "1"})
    assert hint in (caught.value.hint or "")


def test_a_field_can_be_a_name_with_dots() -> None:
    assert script("train model.lr={model.lr}", {"model.lr": "0.1"}) == "train model.lr=0.1"


# -- quoting -----------------------------------------------------------------------------------

SHELL_BYTES = st.binary(max_size=24).map(lambda b: os.fsdecode(b.replace(b"\0", b"")))
NASTY = st.text(alphabet="'\"\\$`!(){}[]*?~#;&| \t\n<>=-%a1éEOF\udcff", max_size=16)
VALUES = st.one_of(SHELL_BYTES, NASTY)

CONTEXTS = {
    "bare": "args {x}",
    "option": "args --x={x}",
    "embedded": "args a{x}b",
    "double": 'args "{x}"',
    "double embedded": 'args "a {x} $((1 + 1)) b"',
    "double after a name": 'v=1; args "$v{x}"',
    "double after a dollar name in quotes": 'v=1; args "$v""{x}"',
    "single": "args '{x}'",
    "single embedded": "args 'a \"{x}\" b'",
    "ansi": "args $'{x}'",
    "ansi embedded": "args $'a\\t{x}\\n'",
    "escaped quotes": "args \\'{x}\\'",
    "after a continued line": "args \\\n  {x}",
    "after an escaped backslash": "args \\\\{x}",
    "substitution": "args \"$(printf '%s' {x}; printf .)\"",
    "substitution, double": 'args "$(printf %s "{x}"; printf .)"',
    "substitution, single": "args \"$(printf %s '{x}'; printf .)\"",
    "substitution, nested": 'args "$(printf %s "$(printf %s {x}; printf .)")"',
    "substitution, case": 'args "$(case a in a) printf %s {x};; esac; printf .)"',
    "substitution, case, double": 'args "$(case a in (a) printf %s "{x}";; esac; printf .)"',
    "backquotes": 'args "`printf %s {x}; printf .`"',
    "backquotes, bare": "IFS=; set -f; args `printf %s {x}; printf .`",
    "backquotes, single": "args \"`printf %s '{x}'; printf .`\"",
    "backquotes, nested": r'''args "`printf %s \"\`printf %s {x}; printf .\`\"`"''',
    "subshell": "( args {x} )",
    "group": "{{ args {x}; }}",
    "function": 'f() {{ args "$@"; }}; f {x}',
    "pipe": "args {x} | cat",
    "default value": "args ${{UNSET_:-{x}}}",
    "default value of a parameter": "args ${{1-{x}}}",
    "assignment": 'v={x}; args "$v"',
    "array": 'v=({x} 2); args "${{v[0]}}"',
    "here-string": 'args "$(cat <<< {x}; printf .)"',
    "after a comment": "# it's {x}\nargs {x}",
    "comment at the end": "args {x} # it's {x}",
    "hash in a word": "args a#'{x}'",
    "after here-document": "cat <<'E' > /dev/null\nit's\nE\nargs '{x}'",
    "condition": 'if [[ {x} == {x} ]]; then args "{x}"; fi',
    "second condition": 'if [[ x == x && {x} == {x} ]]; then args "{x}"; fi',
    "arithmetic before": "(( 1 << 2 )); args $((1<<2)) '{x}'",
    "script": "bash -c \"printf '%s\\\\0' {x}\"",
    "script, double": 'bash -c \'printf "%s\\\\0" "{x}"\'',
    "script, single": "/bin/sh -ec \"printf '%s\\\\0' '{x}'\"",
    "eval": 'eval "args {x}"',
    "process substitution": 'args "$(cat <(printf %s {x}); printf .)"',
}
"""Templates of one program call each. What the program shall see is worked out below."""


def expected(name: str, value: str) -> list[str]:
    """What the program of a context sees of a value."""
    if name.startswith(("substitution", "backquotes", "process")):
        return [f"{value}."]
    special = {
        "option": [f"--x={value}"],
        "embedded": [f"a{value}b"],
        "double embedded": [f"a {value} 2 b"],
        "double after a name": [f"1{value}"],
        "double after a dollar name in quotes": [f"1{value}"],
        "single embedded": [f'a "{value}" b'],
        "ansi embedded": [f"a\t{value}\n"],
        "escaped quotes": [f"'{value}'"],
        "after an escaped backslash": [f"\\{value}"],
        "here-string": [f"{value}\n."],
        "hash in a word": [f"a#{value}"],
        "arithmetic before": ["4", value],
    }
    return special.get(name, [value])


def batch(name: str, values: Iterable[str]) -> tuple[str, list[str]]:
    """Put many values through one context in one script, and say what shall be seen."""
    head = "args() { for a; do printf '%s\\0' \"$a\"; done; }"
    pieces, wanted = [head], []
    for value in values:
        pieces.append(script(CONTEXTS[name], {"x": value}))
        wanted += expected(name, value)
    return "\n".join(pieces), wanted


def is_exempt(name: str, value: str) -> bool:
    """A plain value after ``$v`` prolongs the name, as in MLflow; backquotes refuse ``<(``."""
    if name.startswith("backquotes") and ("<(" in value or ">(" in value):
        with pytest.raises(ParameterError, match="between backquotes"):
            script(CONTEXTS[name], {"x": value})
        return True
    return name == "double after a name" and script("{x}", {"x": value}) == value


@pytest.mark.parametrize("name", CONTEXTS)
@given(values=st.lists(VALUES, min_size=20, max_size=40), utf8=st.booleans())
@example(
    values=[
        "",
        "'",
        '"',
        "\\",
        "\n",
        "$x",
        "`id`",
        "!",
        "a\nb",
        "E",
        "EOF",
        "*",
        "~",
        "#",
        "<(",
        ">(id)",
        "}",
        "$(",
        "'}",
        "((",
        "{a,b}",
        "é",
        "{$(",
        "{`",
        "{<(",
        "-a",
        "-eq",
        "--",
    ],
    utf8=True,
)
@example(values=[chr(c) if c < 128 else chr(0xDC00 + c) for c in range(1, 256)], utf8=False)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_value_arrives_as_it_is(
    name: str,
    values: list[str],
    utf8: bool,  # noqa: FBT001 - drawn by Hypothesis
) -> None:
    text, wanted = batch(name, [v for v in values if not is_exempt(name, v)])
    got = [os.fsdecode(a) for a in bash(text, utf8=utf8).split(b"\0")[:-1]]
    assert got == wanted


HERE_DOCUMENTS = {
    "expanding": "cat <<EOF\n{x}|\nEOF",
    "expanding, indented": "cat <<-EOF\n\t{x}|\n\tEOF",
    "expanding, after a name": "v=1; cat <<EOF\n$v{x}|\nEOF",
    "expanding, end of line": "cat <<EOF\n|{x}\nEOF",
    "expanding, joined with the delimiter": "cat <<EOF\nE{x}\nEOF",
    "two": "cat <<A; cat <<'B'\n{x}|\nA\n|{x}|\nB",
    "in a substitution": 'printf %s "$(cat <<EOF\n{x}|\nEOF\n)"',
    "substitution inside": "cat <<EOF\n$(printf %s {x}; printf '|')\nEOF",
    "quoted": "cat <<'EOF'\n|{x}|\nEOF",
    "quoted, by a backslash": "cat <<\\EOF\n|{x}|\nEOF",
    "quoted, in double quotes": 'cat <<"EOF"\n|{x}|\nEOF',
}


def document(name: str, value: str) -> str:
    """What a here-document of a context holds."""
    special = {
        "expanding, after a name": f"1{value}|\n",
        "expanding, end of line": f"|{value}\n",
        "expanding, joined with the delimiter": f"E{value}\n",
        "two": f"{value}|\n|{value}|\n",
        "in a substitution": f"{value}|",
    }
    return special.get(name, f"|{value}|\n" if name.startswith("quoted") else f"{value}|\n")


@pytest.mark.parametrize("name", HERE_DOCUMENTS)
@given(values=st.lists(VALUES, min_size=20, max_size=40))
@example(
    values=[
        "",
        "EOF",
        "OF",
        "a\nEOF\nb",
        "EOF\n",
        "\tx",
        "a\n\tb",
        "$x",
        "\\",
        "`",
        "E\\\nOF",
        "A",
        "B\n",
    ]
)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_here_documents_hold_what_was_given_or_refuse_it(name: str, values: list[str]) -> None:
    pieces, wanted = [], ""
    for value in values:
        plain_after_name = (
            name == "expanding, after a name" and script("{x}", {"x": value}) == value
        )
        if plain_after_name:
            continue
        try:
            pieces.append(script(HERE_DOCUMENTS[name], {"x": value}))
        except ParameterError:
            assert name.startswith("quoted") or name in {"two", "substitution inside"}
            assert "\n" in value
            continue
        wanted += document(name, value)
    assert bash("\n".join(pieces)) == os.fsencode(wanted)


@pytest.mark.parametrize(
    ("template", "value", "why"),
    [
        ("echo $(( {x} + 1 ))", "a[$(id)]", "arithmetic"),
        ("(( {x} ))", "a b", "arithmetic"),
        ("echo $[ {x} ]", "a b", "arithmetic"),
        ("echo ${{v:{x}}}", "a[$(id)]", "inside ${...}"),
        ("echo ${{v[{x}]}}", "a[$(id)]", "inside ${...}"),
        ("echo ${{v#{x}}}", "<(id)", "inside ${...}"),
        ('echo "${{v:-{x}}}"', "{a,b}", "inside ${...} between double quotes"),
        ("echo ${{v:-'{x}'}}", "a b", "inside ${...}"),
        ("echo ${{{x}}}", "v:-$(id)", "inside ${...}"),
        ('echo "${x}"', "(id)", "directly after a $"),
        ("echo ${x}", "a b", "directly after a $"),
        ("cat <<{x}\na\nEOF", "E OF", "here-document"),
        ("cat <<'EOF'\n{x}\nEOF", "EOF", "here-document"),
        ("cat <<'EOF'\n{x}\nEOF", "a\nEOF\nb", "here-document"),
        ('echo "`echo \\\\{x}`"', "", None),
        ("echo `echo \\{x}`", "a b", "backslash"),
    ],
)
def test_a_value_that_nothing_can_quote_is_refused(
    template: str, value: str, why: str | None
) -> None:
    if why is None:
        assert script(template, {"x": value})
        return
    with pytest.raises(ParameterError) as caught:
        script(template, {"x": value})
    assert why in caught.value.message
    assert caught.value.where == "MLproject:3:5"
    assert caught.value.hint


# -- as MLflow does ----------------------------------------------------------------------------

PLAIN = st.text(
    alphabet=string.ascii_letters + string.digits + "_@%+=:,./-", min_size=1, max_size=9
)


@pytest.mark.parametrize(
    "template",
    [
        *CONTEXTS.values(),
        "{x}",
        " {x} \n",
        "a\n{x}\nb",
        "echo $(({x}+1))",
        "${x}",
        "{x!r}",
        "{x:>12}",
        "a; {x}",
    ],
)
@given(value=PLAIN)
@settings(max_examples=15, deadline=None)
def test_plain_values_give_the_script_that_mlflow_gives(template: str, value: str) -> None:
    assume("[[" not in template or not value.startswith("-"))  # MLflow's is a syntax error there
    assert script(template, {"x": value}) == as_mlflow(template, {"x": value})


@given(value=NASTY)
def test_bare_words_give_the_script_that_mlflow_gives(value: str) -> None:
    assert script("train --x {x}", {"x": value}) == as_mlflow("train --x {x}", {"x": value})


def test_the_word_splitting_idiom_keeps_working() -> None:
    options = "a=1 b=2"
    assert seen("args main.steps=\\'{steps}\\' $(echo {o})", {"steps": "all", "o": options}) == [
        "main.steps='all'",
        "a=1",
        "b=2",
    ]
    assert seen("args $(echo {o})", {"o": ""}) == []


# -- formats -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "value", "wanted"),
    [
        ("args '{x:>5}'", "a b", ["  a b"]),
        ("args {x:>5}", "a b", ["a b"]),
        ("args {x:.2}", "a b", ["a "]),
        ("args '{x:05}'", "7", ["70000"]),
        ("args {x!r}", "it's", ["it's"]),
        ('args "{x!r}"', "a b", ["'a b'"]),
        ("args {x!s}", "a b", ["a b"]),
        ("args '{x:>{w}}'", "a", ["   a"]),
    ],
)
def test_formats_cut_and_pad_the_value(template: str, value: str, wanted: list[str]) -> None:
    assert seen(template, {"x": value, "w": "4"}) == wanted


@pytest.mark.parametrize("template", ["args {x:d}", "args {x:.2f}", "args {x:>{w}}"])
def test_a_format_that_no_text_has_is_an_error(template: str) -> None:
    with pytest.raises(SpecError) as caught:
        script(template, {"x": "1", "w": "wide"})
    assert "{x:" in caught.value.message
    assert caught.value.where == "MLproject:3:5"


def test_digits_before_a_redirection_stay_an_argument() -> None:
    assert seen("args {n}>&1", {"n": "2"}) == ["2"]


# -- values that are not there -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("args {x} b", ["b"]),
        ("args a {x}", ["a"]),
        ("args --seed {x} b", ["b"]),
        ("args -s {x} b", ["b"]),
        ("args --seed={x} b", ["b"]),
        ("args seed={x} b", ["b"]),
        ('args --seed="{x}" b', ["b"]),
        ('args "--seed={x}" b', ["b"]),
        ("args --seed '{x}' b", ["b"]),
        ('args a "{x}"', ["a"]),
        ("args a \\\n  --seed {x} \\\n  b", ["a", "b"]),
        ("args a --seed \\\n  {x} \\\n  b", ["a", "b"]),
        ("args out-{x}.txt", ["out-.txt"]),
        ("args {x}.txt", [".txt"]),
        ("args {x}#a", ["#a"]),
        ('args "a {x} b"', ["a  b"]),
        ('args "--seed {x}"', ["--seed "]),
        ("args - {x}", ["-"]),
        ("args -- {x}", ["--"]),
        ("args a > /dev/stdout --seed {x}", ["a"]),
        ("args --a; args {x}", ["--a"]),
        ("args a\\ {x}", ["a "]),
        ("args --seed={x}{y}", ["--seed=Y"]),
        ("args {x}{y}", ["Y"]),
        ('args "{x}"{y}', ["Y"]),
        ("args {y} {x}", ["Y"]),
        ("args --a={y} {x}", ["--a=Y"]),
        ("args --a=1 {x}", ["--a=1"]),
        ('args "$(printf %s a {x})"', ["a"]),
        ("args \\'{x}\\'", ["''"]),
        ("SEED={x} args b", ["b"]),
        ("( args {x} )", []),
        ("args `echo a {x}`", ["a"]),
        ('v=1; args "$v{x}a"', ["1a"]),
    ],
)
def test_an_unset_value_takes_its_option_away(template: str, wanted: list[str]) -> None:
    assert seen(template, {"y": "Y"}, unset=("x",)) == wanted


def test_what_is_left_of_an_option_is_tidy() -> None:
    assert script("train --seed {x} --b", {}, unset=("x",)) == "train --b"
    assert script("train --seed {x}", {}, unset=("x",)) == "train"
    assert script("train --seed={x} \\\n  --b", {}, unset=("x",)) == "train \\\n  --b"


@pytest.mark.parametrize(
    ("given_value", "template", "wanted"),
    [
        ("true", "args {v} b", ["--verbose", "b"]),
        ("YES", "args {v}", ["--verbose"]),
        ("1", 'args "{v}"', ["--verbose"]),
        ("false", "args {v} b", ["b"]),
        ("off", "args -a {v} b", ["-a", "b"]),
        (None, "args {v} b", ["b"]),
        ("false", 'args "{v}"', []),
    ],
)
def test_a_switch_is_its_flag_or_nothing(
    given_value: str | None, template: str, wanted: list[str]
) -> None:
    parameters = (Parameter(name="v", type="bool", switch="--verbose"),)
    values = {} if given_value is None else {"v": given_value}
    assert seen(template, values, parameters=parameters) == wanted


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("args --x {xs}", ["--x", "a b", "c'd", ""]),
        ("args --x={xs}", ["--x=a b", "--x=c'd", "--x="]),
        ("args 'o '{xs}.txt", ["o a b.txt", "o c'd.txt", "o .txt"]),
        ('args "{xs}"', ["a b c'd "]),
        ("args {xs}{y}", ["a b c'd Y"]),
        ('args {xs}" z"', ["a b c'd  z"]),
        ('args "$(printf "<%s>" {xs})"', ["<a b><c'd><>"]),
    ],
)
def test_a_list_is_one_word_per_element(template: str, wanted: list[str]) -> None:
    values = {"xs": ("a b", "c'd", ""), "y": "Y"}
    assert seen(template, values) == wanted


def test_an_empty_list_is_unset() -> None:
    assert seen("args --x {xs} b", {"xs": ()}) == ["b"]


# -- secrets -----------------------------------------------------------------------------------

SECRET_CONTEXTS = [
    name
    for name in CONTEXTS
    if not name.startswith(("comment", "after a comment", "default value"))
]


@pytest.mark.parametrize("name", SECRET_CONTEXTS)
@pytest.mark.parametrize("value", ["s3cr;et '\"$x`id`\\", "plainsecret", "a\nb", "*"])
def test_a_secret_reaches_the_program_and_not_the_script(name: str, value: str) -> None:
    command = render(invocation(CONTEXTS[name], {"x": value}, secrets=("x",)))
    assert value not in "".join(command.argv)
    assert dict(command.variables) == {"RUNPROJ_SECRET_1": value}
    assert arguments(command) == expected(name, value)


def test_secrets_in_documents_and_comments() -> None:
    command = render(invocation("cat <<EOF # {x}\n{x}\nEOF", {"x": "a $b"}, secrets=("x",)))
    assert bash(command.script, command.variables) == b"a $b\n"
    with pytest.raises(ParameterError, match="delimiter is quoted"):
        script("cat <<'EOF'\n{x}\nEOF", {"x": "a"}, secrets=("x",))
    with pytest.raises(SpecError, match="no format"):
        script("args {x:>5}", {"x": "a"}, secrets=("x",))


def test_each_secret_has_one_variable() -> None:
    command = render(
        invocation("args {a} {b} {a}", {"a": "A", "b": ("B", "C")}, secrets=("a", "b"))
    )
    assert sorted(command.variables.values()) == ["A", "B", "C"]
    assert arguments(command) == ["A", "B", "C", "A"]


# -- undeclared parameters ---------------------------------------------------------------------

EXTRA = {"k": "a b", "key": "v"}
FLAGS = ["--k", "a b", "--key", "v"]


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("args a", ["a", *FLAGS]),
        ("args a\n", ["a", *FLAGS]),
        ("args a\n\n\n", ["a", *FLAGS]),
        ("args a \\\n  b \\\n", ["a", "b", *FLAGS]),
        ("args a \\", ["a", *FLAGS]),
        ("args a # comment", ["a", *FLAGS]),
        ("args a\n# comment\n", ["a", *FLAGS]),
        ("args a;", ["a", *FLAGS]),
        ("args a &", ["a", *FLAGS]),
        ("args b\nargs a\n", ["b", "a", *FLAGS]),
        ("args a <<EOF\nx\nEOF", ["a", *FLAGS]),
        ("args a <<EOF\nx\nEOF\n", ["a", *FLAGS]),
        ("args a <<EOF\nx\nEOF\nargs b", ["a", "b", *FLAGS]),
        ("args '# a'", ["# a", *FLAGS]),
        ("args a\\\\", ["a\\", *FLAGS]),
        ("args $(echo a)", ["a", *FLAGS]),
        ("args a\r\n", ["a", *FLAGS]),
    ],
)
def test_undeclared_parameters_are_flags_of_the_last_command(
    template: str, wanted: list[str]
) -> None:
    assert seen(template, extra=EXTRA) == wanted


def test_undeclared_parameters_are_written_as_mlflow_writes_them() -> None:
    extra = {"k": "v", "long-name": "it's", "o d": ""}
    assert script("train {x}", {"x": "1"}, extra=extra) == as_mlflow("train {x}", {"x": "1"}, extra)


def test_line_ends_of_windows_are_line_ends() -> None:
    assert seen("args a \\\r\n  {x}\r\n", {"x": "b\r\n"}) == ["a", "b\r\n"]


def test_a_command_is_a_script_for_bash() -> None:
    command = render(invocation("train", {}))
    assert command.argv == ("bash", "-c", "train")
    assert dict(command.variables) == {}


def test_an_entry_point_without_a_command_is_an_error() -> None:
    entry_point = EntryPoint(name=EntryPointName("main"), template=None, place=PLACE)
    with pytest.raises(SpecError, match="has no command"):
        render(Invocation(entry_point=entry_point, values={}, given={}))


def test_a_command_without_fields_is_not_read_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr("runner.stages.shell.Scanner.read", read)
    assert script("python train.py") == "python train.py"
    with pytest.raises(AssertionError):
        script("python train.py {x}", {"x": "1"})


# -- real projects, and the start-up budget ----------------------------------------------------

VERDICTS = Path(__file__).parents[2].parent / "shared" / "corpus" / "mlflow_verdict.csv"


@pytest.mark.skipif(not VERDICTS.is_file(), reason="the corpus is not beside the checkout")
@pytest.mark.parametrize("dummy", ["v1", "0.5", "a-b/c.d", "it's a=b $(x)"])
def test_real_templates_are_written_as_mlflow_writes_them(dummy: str) -> None:
    with VERDICTS.open(newline="") as file:
        entry_points = [
            entry_point
            for row in csv.DictReader(file)
            for entry_point in json.loads(row["entry_points"] or "{}").values()
            if isinstance(entry_point.get("command"), str)
        ]
    for entry_point in entry_points:
        template, values = entry_point["command"], dict.fromkeys(entry_point["parameters"], dummy)
        try:
            expected_text = as_mlflow(template, values)
        except KeyError:
            with pytest.raises(SpecError, match="undeclared parameter"):
                script(template, values)
            continue
        assert script(template, values) == expected_text
        flags = as_mlflow(template.rstrip("\n"), values, {"extra": dummy})
        assert script(template, values, extra={"extra": dummy}) == flags
    assert len(entry_points) > 100


def test_a_warm_run_without_parameters_imports_nothing_slow(tmp_path: Path) -> None:
    code = (
        "import sys, os, json; before = set(sys.modules); import runner.stages.bind, "
        "runner.stages.collect, runner.stages.render; print(*(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    loaded = set(done.stdout.split())
    assert {name for name in loaded if not name.startswith("runner")} <= {"__future__", "fcntl"}
    reading = ("accept", "quoting", "script", "shell", "fetched_input")
    assert not {f"runner.stages.{name}" for name in reading} & loaded
