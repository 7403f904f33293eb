"""Binding: the right entry point, every value checked, everything wrong told at once."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import ParameterError, RunprojError, SpecError
from runner.model.plan import RunRequest
from runner.model.project import ProjectReference, Provenance, WorkingTree
from runner.model.spec import EntryPoint, Parameter, Place, ProjectSpec, PythonSpec
from runner.model.value import Digest, EntryPointName
from runner.stages.bind import bind
from runner.stages.render import render

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model.plan import Invocation

MAIN_PLACE = Place(file="MLproject", line=4, column=3)
PLACE = Place(file="MLproject", line=7, column=7)


def tree_at(path: str) -> WorkingTree:
    reference = ProjectReference(location=path)
    return WorkingTree(
        root=path,
        project=path,
        provenance=Provenance(reference=reference, tree=Digest("swh:1:dir:0")),
    )


def entry(*parameters: Parameter, name: str = "main", template: str | None = "train") -> EntryPoint:
    return EntryPoint(
        name=EntryPointName(name), template=template, parameters=parameters, place=MAIN_PLACE
    )


def parameter(name: str = "x", **more: Any) -> Parameter:
    return Parameter(name=name, place=PLACE, **more)


def bound(
    *entries: EntryPoint,
    given: dict[str, Any] | None = None,
    choose: str = "main",
    path: str = "/nowhere",
    strict: bool = False,
) -> Invocation:
    spec = ProjectSpec(
        name=None,
        file="MLproject",
        environment=PythonSpec(),
        entry_points={e.name: e for e in entries},
    )
    request = RunRequest(
        reference=ProjectReference(location=path),
        caller="/",
        entry_point=choose,
        parameters=given or {},
        strict=strict,
    )
    return bind(spec, request, tree_at(path))


def refusal(*entries: EntryPoint, **more: Any) -> RunprojError:
    with pytest.raises((ParameterError, SpecError)) as caught:
        bound(*entries, **more)
    return caught.value


# -- entry points ------------------------------------------------------------------------------


def test_a_declared_entry_point_wins_over_a_script(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    found = bound(entry(name="a.py", template="declared"), choose="a.py", path=str(tmp_path))
    assert found.entry_point.template == "declared"


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("train.py", "python train.py"),
        ("my train.py", "python 'my train.py'"),
        ("a/b.py", "python a/b.py"),
        ("./train.py", "python train.py"),
        ("-x.py", "python ./-x.py"),
        ("{x}.py", "python '{x}.py'"),
        ("prepare.sh", '"${SHELL:-bash}" prepare.sh'),
        ("fit.R", "Rscript -e \"mlflow::mlflow_source('fit.R')\" --args"),
        ("it's $x.R", "Rscript -e \"mlflow::mlflow_source('it\\\\'s \\$x.R')\" --args"),
    ],
)
def test_a_script_is_an_entry_point(tmp_path: Path, name: str, script: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.touch()
    found = bound(choose=name, path=str(tmp_path), given={"lr": "0.1"})
    assert render(found).script == f"{script} --lr 0.1"
    assert dict(found.extra) == {"lr": "0.1"}
    assert not found.warnings


def test_a_script_stays_inside_the_project(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "out.py").touch()
    os.symlink("../out.py", project / "link.py")
    for name in ("../out.py", "link.py", str(tmp_path / "out.py"), "a/../../out.py"):
        error = refusal(choose=name, path=str(project))
        assert "not inside the project" in error.message
    (project / "in.py").touch()
    assert bound(choose=str(project / "in.py"), path=str(project)).entry_point.template


def test_a_missing_entry_point_lists_the_others(tmp_path: Path) -> None:
    entries = (entry(name="train"), entry(name="evaluate"))
    error = refusal(*entries, choose="trian", path=str(tmp_path))
    assert error.message == "there is no entry point 'trian'; there are: train, evaluate"
    assert error.hint == "did you mean -e train?"
    error = refusal(*entries, path=str(tmp_path))
    assert error.message == "there is no entry point 'main'; there are: train, evaluate"
    assert error.hint in {"choose one: -e train", "did you mean -e train?"}
    error = refusal(entry(name="fit it"), path=str(tmp_path))
    assert error.hint == "choose one: -e 'fit it'"


def test_a_project_without_entry_points_names_its_scripts(tmp_path: Path) -> None:
    error = refusal(path=str(tmp_path))
    assert error.hint == "declare entry_points in an MLproject file, or name a script: -e train.py"
    (tmp_path / "train.py").touch()
    assert refusal(path=str(tmp_path)).hint == "choose one: -e train.py"
    error = refusal(choose="tain.py", path=str(tmp_path))
    assert (error.message, error.hint) == (
        "there is no script 'tain.py'; the project declares none",
        "did you mean -e train.py?",
    )


def test_only_the_chosen_entry_point_must_be_sound() -> None:
    broken = entry(name="other", template="echo {undeclared}")
    assert bound(entry(), broken).entry_point.name == "main"
    error = refusal(entry(), broken, choose="other")
    assert isinstance(error, SpecError)
    error = refusal(entry(template=None))
    assert (error.where, error.message) == (
        "MLproject:4:3",
        "the entry point 'main' has no command",
    )


def test_a_placeholder_is_not_filled_by_an_undeclared_parameter() -> None:
    error = refusal(entry(template="echo {y}"), given={"y": "1"})
    assert isinstance(error, SpecError)
    assert "undeclared parameter {y}" in error.message


# -- values ------------------------------------------------------------------------------------


def test_defaults_fill_in_and_given_values_win() -> None:
    found = bound(
        entry(parameter("a", default="1"), parameter("b", default="2"), parameter("c")),
        given={"c": "3", "b": "two"},
    )
    assert dict(found.values) == {"a": "1", "b": "two", "c": "3"}
    assert [*found.values] == ["a", "b", "c"]
    assert dict(found.given) == dict(found.values)


def test_names_are_case_sensitive() -> None:
    found = bound(entry(parameter("alpha", default="1")), given={"ALPHA": "2"})
    assert dict(found.values) == {"alpha": "1"}
    assert dict(found.extra) == {"ALPHA": "2"}
    (warning,) = found.warnings
    assert warning.rule == "undeclared-parameter"
    assert warning.hint == "did you mean 'alpha'?"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("int", t) for t in ("0", "-3", "+7", "1_000", " 5 ", "007", "9" * 4000)),
        *(("float", t) for t in ("1e-5", "-.5", "inf", "-Infinity", "nan", "1_0.5", "3", "1e400")),
        *(("bool", t) for t in ("true", "False", "YES", "no", "1", "0", "on", "oFF")),
        *(("uri", t) for t in ("s3://b/k", "file:///a", "runs:/1/a", "c:/x", "a+b.c-d:e")),
        *(("string", t) for t in ("", "a=b", "é", "\udcff", "\n", "it's")),
        *(("path", t) for t in ("a", "", "/x y")),
    ],
)
def test_a_fitting_value_is_passed_on_unchanged(kind: Any, text: str) -> None:
    found = bound(entry(parameter(type=kind)), given={"x": text})
    assert dict(found.values) == {"x": text}
    assert dict(found.given) == {"x": text}


TITLE = "parameter 'x' of entry point 'main'"


@pytest.mark.parametrize(
    ("declared", "text", "message", "hint"),
    [
        ({"type": "int"}, "abc", "'abc' is not an int", "-P x=7"),
        ({"type": "int"}, "3.0", "'3.0' is not an int", "-P x=3"),
        ({"type": "int"}, "1e3", "'1e3' is not an int", "-P x=1000"),
        ({"type": "int"}, "inf", "'inf' is not an int", "-P x=7"),
        ({"type": "int"}, "", "'' is not an int", "-P x=7"),
        ({"type": "int"}, "0x10", "'0x10' is not an int", "-P x=7"),
        ({"type": "int"}, "9" * 5000, f"'{'9' * 57}...' is not an int", "-P x=7"),
        ({"type": "float"}, "abc", "'abc' is not a float", "-P x=0.5"),
        ({"type": "float"}, "0,25", "'0,25' is not a float", "-P x=0.25"),
        ({"type": "bool"}, "ja", "'ja' is not a bool", "-P x=true"),
        ({"type": "bool"}, "", "'' is not a bool", "-P x=true"),
        ({"type": "uri"}, "./a", "'./a' is not a URI: it has no scheme", "-P x=file:///./a"),
        ({"type": "uri"}, "1:b", "'1:b' is not a URI: it has no scheme", "-P x=file:///1:b"),
        ({"type": "int", "minimum": 1.0}, "0", "'0' is less than 1", "-P x=1"),
        ({"type": "int", "maximum": 5.0}, "6", "'6' is more than 5", "-P x=5"),
        ({"type": "float", "minimum": 0.5}, "0.25", "'0.25' is less than 0.5", "-P x=0.5"),
        ({"type": "float", "maximum": 1.0}, "nan", "'nan' is more than 1", "-P x=1"),
        ({"choices": ("adam", "sgd")}, "sdg", "'sdg' is not one of adam, sgd", "-P x=sgd"),
        ({"type": "int", "choices": ("1", "2")}, "3", "'3' is not one of 1, 2", "-P x=1"),
        ({}, "a\0b", "'a\\x00b' holds a NUL character", "-P x=..."),
        ({"type": "int", "secret": True}, "hush", "the value is not an int", "-P x=..."),
        ({"type": "int"}, "http://u:p@h/", "'http://h/' is not an int", "-P x=7"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(
    declared: dict[str, Any], text: str, message: str, hint: str
) -> None:
    error = refusal(entry(parameter(**declared)), given={"x": text})
    assert error.message == f"{message}: {TITLE}"
    assert error.hint == hint
    assert error.where == "MLproject:7:7"


def test_numbers_are_compared_with_choices_as_numbers() -> None:
    declared = parameter(type="float", choices=("0.1", "1"))
    assert bound(entry(declared), given={"x": "1.0"}).values["x"] == "1.0"
    declared = parameter(type="bool", choices=("true",))
    assert bound(entry(declared), given={"x": "on"}).values["x"] == "on"


def test_a_default_is_checked_like_a_given_value() -> None:
    error = refusal(entry(parameter(type="int", default="many")))
    assert error.message == f"'many' is not an int: {TITLE}"


def test_all_problems_are_told_at_once() -> None:
    error = refusal(
        entry(parameter("a"), parameter("b", type="int"), parameter("c", minimum=2, type="float")),
        given={"b": "x", "c": "1", "d": ("1", "2")},
    )
    assert error.message == "4 parameters do not fit the entry point 'main'"
    assert [p.rule for p in error.problems] == [
        "missing-value",
        "wrong-type",
        "out-of-range",
        "given-twice",
    ]
    assert all(p.severity == "error" and p.hint for p in error.problems)
    assert "MLproject:7:7: error: no value is given for parameter 'a'" in str(error.problems[0])


def test_an_optional_parameter_may_be_unset_and_an_empty_text_is_a_value() -> None:
    declared = entry(parameter(optional=True))
    assert dict(bound(declared).values) == {}
    assert dict(bound(declared, given={"x": ""}).values) == {"x": ""}
    assert dict(bound(entry(parameter(type="bool", switch="-v"))).given) == {}


def test_a_list_takes_one_value_or_several() -> None:
    declared = entry(parameter(type="int", is_list=True, default=("1", "2")))
    assert bound(declared).values["x"] == ("1", "2")
    assert bound(declared, given={"x": "3"}).values["x"] == ("3",)
    assert bound(declared, given={"x": ("4", "5")}).values["x"] == ("4", "5")
    assert bound(declared, given={"x": ()}).values["x"] == ()
    error = refusal(declared, given={"x": ("1", "b")})
    assert error.message == f"'b' is not an int: {TITLE}"


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\0")), max_size=4))
def test_a_list_is_recorded_as_json(items: list[str]) -> None:
    found = bound(entry(parameter(is_list=True)), given={"x": tuple(items)})
    assert json.loads(found.given["x"]) == items


def test_a_repeated_value_needs_a_list() -> None:
    error = refusal(entry(parameter()), given={"x": ("1", "2")})
    assert error.message == f"2 values are given for {TITLE}"
    assert error.hint == "give it once, -P x=..., or declare it with 'list: true'"
    assert bound(entry(parameter()), given={"x": ("1",)}).values["x"] == "1"


def test_secrets_are_never_recorded() -> None:
    found = bound(
        entry(parameter(secret=True), parameter("y", secret=True, optional=True)),
        given={"x": "hush"},
    )
    assert found.secrets == {"x"}
    assert dict(found.given) == {"x": "***"}
    assert found.values["x"] == "hush"


def test_an_undeclared_parameter_is_kept_and_warned_about() -> None:
    found = bound(entry(parameter("learning_rate", default="1")), given={"learning-rate": "2"})
    assert dict(found.extra) == {"learning-rate": "2"}
    (warning,) = found.warnings
    assert str(warning) == (
        "MLproject:4:3: warning: parameter 'learning-rate' of entry point 'main' is not declared; "
        "it is appended to the command as --learning-rate (did you mean 'learning_rate'?)"
    )
    error = refusal(entry(parameter("alpha", default="1")), given={"alhpa": "2"}, strict=True)
    assert error.hint == "did you mean 'alpha'?"
    assert isinstance(error, ParameterError)


@pytest.mark.parametrize("extra", [{"": "x"}, {"a\0": "x"}, {"a": "\0"}])
def test_an_undeclared_parameter_must_be_possible(extra: dict[str, str]) -> None:
    assert "NUL" in refusal(entry(), given=extra).message


TEXTS = st.text(max_size=8) | st.sampled_from(["1", "0.5", "true", "a:b", "\0", "\udc80", "{x}"])


@given(
    kind=st.sampled_from(["string", "int", "float", "bool", "path", "uri"]),
    value=TEXTS | st.lists(TEXTS, max_size=3).map(tuple),
    flags=st.fixed_dictionaries(
        {"optional": st.booleans(), "is_list": st.booleans(), "secret": st.booleans()}
    ),
    choices=st.lists(TEXTS, max_size=2).map(tuple),
    name=st.sampled_from(["x", "X", "y", ""]),
)
@settings(max_examples=300, deadline=None)
def test_binding_ends_in_an_invocation_or_in_a_sentence(
    kind: Any, value: Any, flags: dict[str, Any], choices: tuple[str, ...], name: str
) -> None:
    declared = parameter(type=kind, choices=choices, default=None, **flags)
    found: Invocation | None = None
    told: list[object] = []
    try:
        found = bound(entry(declared, template="args {x}"), given={name: value})
    except RunprojError as error:
        told = [error.message, error.hint or error.problems]
    assert all(told)
    if found is not None:
        script = render(found).script
        assert "\0" not in script
        if flags["secret"] and isinstance(value, str) and len(value) > 6 and name == "x":
            assert value not in script
