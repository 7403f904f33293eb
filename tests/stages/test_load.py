from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.errors import SpecError
from runner.model.project import ProjectReference, Provenance, WorkingTree
from runner.model.spec import Problem, PythonSpec
from runner.model.value import Digest
from runner.stages import load as stage
from runner.stages.load import judged, load

if TYPE_CHECKING:
    from pathlib import Path

MLPROJECT = """\
name: demo
description: shows it all
python_env: python_env.yaml
extra: 1
entry_points:
  main:
    description: what it does
    parameters:
      alpha: {type: float, default: 0.5, min: 0, max: 1, description: mixing}
      data: path
      names: {list: true, default: [a, b]}
      verbose: {type: bool, switch: --verbose}
      kind: {choices: [x, y], optional: true}
      token: {secret: true}
    command: "python t.py {alpha} {data} {names} {verbose} {kind} {token}"
  broken:
    command: echo {nothing}
"""
PYTHON_ENV = "python: '3.11'\ndependencies: [six]\n"


def tree(project: Path, root: Path | None = None) -> WorkingTree:
    provenance = Provenance(
        reference=ProjectReference(location=str(project)), tree=Digest("swh:1:dir:0")
    )
    return WorkingTree(root=str(root or project), project=str(project), provenance=provenance)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "MLproject").write_text(MLPROJECT)
    (folder / "python_env.yaml").write_text(PYTHON_ENV)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path / "home")


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("the project was read again")

    monkeypatch.setattr("runner.documents.project.read_project", refuse)


def test_the_second_load_remembers_all_of_the_first(
    project: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(tree(project), home=home)
    forbid_reading(monkeypatch)

    assert load(tree(project), home=home) == first
    spec, problems = first
    assert spec.name == "demo"
    assert isinstance(spec.environment, PythonSpec)
    assert spec.environment.requirements == ("six",)
    assert [p.rule for p in problems] == ["unknown-key", "undeclared-placeholder"]


def test_what_is_remembered_is_forgotten_when_a_file_changes(project: Path, home: str) -> None:
    load(tree(project), home=home)

    (project / "python_env.yaml").write_text("dependencies: [numpy]\n")
    changed_environment, _ = load(tree(project), home=home)
    (project / "MLproject").write_text(MLPROJECT.replace("demo", "other"))
    changed_project, _ = load(tree(project), home=home)

    assert isinstance(changed_environment.environment, PythonSpec)
    assert changed_environment.environment.requirements == ("numpy",)
    assert changed_project.name == "other"


def test_an_environment_file_that_appears_is_noticed(project: Path, home: str) -> None:
    (project / "MLproject").write_text("name: x\n")
    (project / "python_env.yaml").unlink()
    before, _ = load(tree(project), home=home)
    (project / "conda.yaml").write_text("dependencies: [python=3.9]\n")
    after, _ = load(tree(project), home=home)

    assert before.environment == PythonSpec()
    assert isinstance(after.environment, PythonSpec)
    assert after.environment.origin == "conda.yaml"


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"spec": {}}',
        b"\xff\xfe",
        b'{"spec": 1, "files": 2}',
        b"[" * 9999,
    ],
)
def test_a_damaged_memory_is_replaced(project: Path, home: str, garbage: bytes) -> None:
    first = load(tree(project), home=home)
    (memory,) = os.scandir(os.path.join(home, "specs"))
    with open(memory.path, "wb") as file:
        file.write(garbage)

    assert load(tree(project), home=home) == first
    with open(memory.path, "rb") as file:
        assert json.load(file)["spec"]["name"] == "demo"


def test_a_field_that_is_not_ours_makes_a_memory_void(project: Path, home: str) -> None:
    first = load(tree(project), home=home)
    (memory,) = os.scandir(os.path.join(home, "specs"))
    with open(memory.path, encoding="utf-8") as file:
        document = json.load(file)
    document["spec"]["entry_points"]["main"]["colour"] = "red"
    with open(memory.path, "w", encoding="utf-8") as file:
        json.dump(document, file)

    assert load(tree(project), home=home) == first


def test_an_edition_of_the_schema_has_its_own_memory(
    project: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(tree(project), home=home)
    monkeypatch.setattr(stage, "EDITION", "another")
    load(tree(project), home=home)

    assert len(os.listdir(os.path.join(home, "specs"))) == 2


def test_a_cache_that_cannot_be_written_does_not_matter(project: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the cache should be")

    spec, _ = load(tree(project), home=str(blocked))

    assert spec.name == "demo"


def test_nothing_is_written_into_the_project(project: Path, home: str) -> None:
    before = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(project)}
    load(tree(project), home=home)

    assert {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(project)} == before


def test_a_memory_does_not_lead_out_of_another_tree(tmp_path: Path, home: str) -> None:
    outer = tmp_path / "outer"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    (outer / "env.yaml").write_text("dependencies: [six]\n")
    (inner / "MLproject").write_text("python_env: ../env.yaml\n")

    load(tree(inner, root=outer), home=home)
    with pytest.raises(SpecError, match="lies outside of the project"):
        load(tree(inner, root=inner), home=home)


@pytest.mark.parametrize(
    "name",
    ["MLproject", "MLProject", "mlproject", "MLPROJECT", "MLproject.yaml", "mlproject.yml"],
)
def test_the_file_is_found_in_any_spelling(tmp_path: Path, home: str, name: str) -> None:
    (tmp_path / name).write_text("name: found\n")

    spec, problems = load(tree(tmp_path), home=home)

    assert (spec.name, spec.file, problems) == ("found", name, ())


def test_of_several_files_the_usual_one_wins_with_a_warning(tmp_path: Path, home: str) -> None:
    names = ["MLproject.yaml", "mlproject", "MLProject", "MLPROJECT", "MLproject"]
    for name in names:
        (tmp_path / name).write_text(f"name: {name}\n")
    chosen = []
    for _ in names:
        spec, problems = load(tree(tmp_path), home=home)
        assert spec.file is not None
        chosen.append(spec.file)
        assert [p.rule for p in problems] == (["several-files"] if len(chosen) < len(names) else [])
        (tmp_path / spec.file).unlink()

    assert chosen == ["MLproject", "MLProject", "mlproject", "MLPROJECT", "MLproject.yaml"]


def test_a_link_to_the_same_file_is_no_second_one(tmp_path: Path, home: str) -> None:
    (tmp_path / "MLproject").write_text("name: x\n")
    (tmp_path / "mlproject").symlink_to("MLproject")

    assert load(tree(tmp_path), home=home)[1] == ()


def test_a_folder_of_that_name_is_pointed_out(tmp_path: Path, home: str) -> None:
    (tmp_path / "MLProject").mkdir()
    (tmp_path / "MLProject" / "MLProject").write_text("name: x\n")

    spec, (problem,) = load(tree(tmp_path), home=home)

    assert spec.file is None
    assert problem.hint == "the project may be in there: add '#MLProject' to its address"


def test_a_file_that_is_nearly_named_right_is_pointed_out(tmp_path: Path, home: str) -> None:
    (tmp_path / "MLproject.txt").write_text("name: x\n")

    _, (problem,) = load(tree(tmp_path), home=home)

    assert str(problem) == (
        "MLproject.txt:1:1: warning: MLproject.txt is not read (rename it to MLproject)"
    )


def test_without_any_file_there_are_no_entry_points(tmp_path: Path, home: str) -> None:
    spec, problems = load(tree(tmp_path), home=home)

    assert (spec.file, spec.entry_points, spec.environment) == (None, {}, PythonSpec())
    assert problems == ()


def test_all_errors_are_raised_at_once(tmp_path: Path, home: str) -> None:
    (tmp_path / "MLproject").write_text("conda_env: c.yaml\nentry_points: []\nfoo: 1\n")

    with pytest.raises(SpecError) as caught:
        load(tree(tmp_path), home=home)

    assert caught.value.message == "there are 2 errors in MLproject"
    assert [p.rule for p in caught.value.problems] == ["missing-file", "wrong-type", "unknown-key"]


def test_a_single_error_is_the_message(tmp_path: Path, home: str) -> None:
    (tmp_path / "MLproject").write_text("foo: 1\nentry_points: []\n")

    with pytest.raises(SpecError) as caught:
        load(tree(tmp_path), home=home)

    assert "must be a mapping of names to entry points" in caught.value.message
    assert [p.rule for p in caught.value.problems] == ["unknown-key", "wrong-type"]
    assert caught.value.where == "MLproject:2:15"


def test_a_link_out_of_the_project_is_not_read(tmp_path: Path, home: str) -> None:
    (tmp_path / "secret").write_text("name: secret\n")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "MLproject").symlink_to(tmp_path / "secret")

    with pytest.raises(SpecError, match="MLproject leads out of the project"):
        load(tree(tmp_path / "project"), home=home)


def test_a_pipe_in_place_of_the_file_is_not_waited_for(project: Path, home: str) -> None:
    (project / "MLproject").unlink()
    os.mkfifo(project / "MLproject")

    with pytest.raises(SpecError, match="MLproject cannot be read"):
        load(tree(project), home=home)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, home: str) -> None:
    with pytest.raises(SpecError, match="no such file or directory"):
        load(tree(tmp_path / "nowhere"), home=home)


def problem(severity: str, entry_point: str | None = None, rule: str = "r") -> Problem:
    return Problem(
        severity="error" if severity == "error" else "warning",
        rule=rule,
        message=f"{severity} {entry_point}",
        entry_point=entry_point,
    )


def test_only_the_chosen_entry_point_is_judged() -> None:
    found = [problem("warning"), problem("error", "a"), problem("warning", "b")]

    assert judged(found, entry_point="b") == (found[0], found[2])
    with pytest.raises(SpecError, match="error a"):
        judged(found, entry_point="a")


def test_a_job_for_databricks_cannot_run_here(tmp_path: Path, home: str) -> None:
    (tmp_path / "MLproject").write_text("databricks_spark_job: {python_file: a.py}\n")

    _, problems = load(tree(tmp_path), home=home)

    with pytest.raises(SpecError, match="runs on Databricks only"):
        judged(problems, entry_point="main")


WORDS = ["name", "entry_points", "main", "command", "parameters", "type", "default", "python_env"]
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["echo {x}", "python_env.yaml", "int", "../..", "{", "~", *WORDS])
)
keys = st.sampled_from([*WORDS, "docker_env", "image", "environment", "choices", "min", "x"])
structures = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)
entry_points = st.fixed_dictionaries(
    {},
    optional={
        "entry_points": st.dictionaries(keys, st.dictionaries(keys, structures)) | structures,
        "python_env": leaves,
        "docker_env": structures,
        "name": leaves,
    },
)
contents = (
    st.binary(max_size=100)
    | st.text("ab:-{}[]&*!|>'\"#\n\t %@,?", max_size=60).map(str.encode)
    | st.one_of(structures, entry_points).map(lambda value: json.dumps(value).encode())
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(project_file=contents, environment_file=contents)
def test_whatever_is_written_loads_or_is_refused(
    tmp_path: Path, project_file: bytes, environment_file: bytes
) -> None:
    project, home = tmp_path / "fuzzed", str(tmp_path / "home")
    project.mkdir(exist_ok=True)
    (project / "MLproject").write_bytes(project_file)
    (project / "python_env.yaml").write_bytes(environment_file)
    with contextlib.suppress(SpecError):  # anything else is a failure
        first = load(tree(project), home=home)
        assert load(tree(project), home=home) == first
