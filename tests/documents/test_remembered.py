from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.documents.remembered import (
    Reading,
    recalled,
    remember,
    spec_document,
    spec_from_document,
)
from runner.model.spec import (
    CondaSpec,
    DockerSpec,
    EntryPoint,
    Parameter,
    Place,
    Problem,
    ProjectSpec,
    PythonSpec,
)
from runner.model.value import EntryPointName

if TYPE_CHECKING:
    from pathlib import Path

texts = st.text(max_size=8)
lists = st.lists(texts, max_size=3).map(tuple)
places = st.none() | st.builds(
    Place, file=texts, line=st.integers(1, 99), column=st.integers(1, 99)
)
optional = st.none() | texts
parameters = st.builds(
    Parameter,
    name=texts,
    type=st.sampled_from(["string", "int", "float", "bool", "path", "uri"]),
    default=optional | lists,
    optional=st.booleans(),
    is_list=st.booleans(),
    choices=lists,
    minimum=st.none() | st.integers() | st.floats(allow_nan=False),
    switch=optional,
    secret=st.booleans(),
    description=optional,
    place=places,
)
entry_points = st.builds(
    EntryPoint,
    name=texts,
    template=optional,
    parameters=st.lists(parameters, max_size=3).map(tuple),
    description=optional,
    place=places,
)
environments = (
    st.builds(
        PythonSpec,
        origin=texts,
        kind=st.sampled_from(["python_env", "conda", "requirements", "pyproject", "none"]),
        directory=texts,
        python=optional,
        build_requirements=lists,
        requirements=lists,
        place=places,
    )
    | st.builds(
        CondaSpec,
        origin=texts,
        name=optional,
        channels=lists,
        packages=lists,
        pip=lists,
        variables=st.dictionaries(texts, texts, max_size=2),
        place=places,
    )
    | st.builds(
        DockerSpec,
        image=texts,
        volumes=lists,
        variables=st.dictionaries(texts, optional, max_size=2),
        place=places,
    )
)
specs = st.builds(
    ProjectSpec,
    name=optional,
    file=optional,
    environment=environments,
    entry_points=st.lists(entry_points, max_size=3).map(lambda e: {one.name: one for one in e}),
    description=optional,
)


@given(specs)
def test_a_spec_survives_its_document(spec: ProjectSpec) -> None:
    assert spec_from_document(spec_document(spec)) == spec


def spec(default: str | None, *, secret: bool = False) -> ProjectSpec:
    made = Parameter(name="x", default=default, secret=secret)
    main = EntryPointName("main")
    return ProjectSpec(
        name=None,
        file="MLproject",
        environment=PythonSpec(),
        entry_points={main: EntryPoint(name=main, template="a", parameters=(made,))},
    )


def test_a_reading_is_remembered_whole(tmp_path: Path) -> None:
    place = Place(file="MLproject", line=1, column=2)
    problem = Problem(severity="warning", rule="r", message="m", place=place, entry_point="main")
    reading = Reading(spec=spec(default="1"), problems=(problem,), files={"a": "absent"})
    path = os.path.join(tmp_path, "home", "specs", "x.json")

    remember(path, reading)

    assert recalled(path) == reading
    assert (tmp_path / "home" / "CACHEDIR.TAG").exists()


@pytest.mark.parametrize(
    "secret",
    [
        spec(secret=True, default="hunter2"),
        spec(default="https://me:hunter2@example.org/data"),
        spec(default="https://example.org/data?token=hunter2"),
    ],
)
def test_secrets_are_not_written_down(tmp_path: Path, secret: ProjectSpec) -> None:
    path = os.path.join(tmp_path, "specs", "x.json")

    remember(path, Reading(spec=secret, problems=(), files={}))

    assert not os.path.exists(path)


@pytest.mark.parametrize("default", ["ssh://git@example.org/x", "https://example.org/x", None])
def test_plain_urls_are_no_secrets(tmp_path: Path, default: str | None) -> None:
    path = os.path.join(tmp_path, "specs", "x.json")

    remember(path, Reading(spec=spec(default=default), problems=(), files={}))

    assert os.path.exists(path)
