"""The schemas themselves, as editors and other tools use them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runner.model.spec import Parameter
from runner.schema import schema_text, validator

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("mlproject", "python_env", "conda_env")
ANNOTATIONS = {"x-severity", "x-unknown", "x-expected", "x-example", "x-elsewhere"}


def subschemas(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        yield path, schema
        for key, value in schema.items():
            yield from subschemas(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for at, value in enumerate(schema):
            yield from subschemas(value, f"{path}/{at}")


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one_and_says_what_it_describes(name: str) -> None:
    schema = json.loads(schema_text(name))

    validator(name)  # checks it against the meta-schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize("name", NAMES)
def test_every_key_has_a_title_and_a_description_for_editors(name: str) -> None:
    for path, schema in subschemas(json.loads(schema_text(name))):
        for key, value in schema.items() if path.endswith("/properties") else ():
            assert "$ref" in value or {"title", "description"} <= set(value), f"{path}/{key}"


@pytest.mark.parametrize("name", NAMES)
def test_only_known_annotations_are_used(name: str) -> None:
    for _path, schema in subschemas(json.loads(schema_text(name))):
        assert {key for key in schema if key.startswith("x-")} <= ANNOTATIONS


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_valid(name: str) -> None:
    import yaml

    for path, schema in subschemas(json.loads(schema_text(name))):
        example = schema.get("x-example")
        key = path.rpartition("/")[2]
        if example and path.endswith(f"/properties/{key}"):
            (value,) = yaml.safe_load(example).values()
            assert validator(name).evolve(schema=resolved(name, schema)).is_valid(value), path


def resolved(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "$defs": json.loads(schema_text(name)).get("$defs", {})}


def test_every_extension_of_a_parameter_reaches_the_spec() -> None:
    declared = set(json.loads(schema_text("mlproject"))["$defs"]["parameter"]["properties"])
    names = {"min": "minimum", "max": "maximum", "list": "is_list"}

    assert {names.get(key, key) for key in declared} == set(Parameter.FIELDS) - {"name", "place"}
