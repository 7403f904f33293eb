"""What every registry does: the port's contract, on SQLite (new and of MLflow 1) and on files."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from runner.errors import StoreError
from runner.model.tracking import ModelVersion, RegisteredModel
from runner.model.value import changed
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runner.ports import RegistryStore

MISSING, TAKEN, INVALID = (
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_ALREADY_EXISTS",
    "INVALID_PARAMETER_VALUE",
)


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        action()
    return caught.value.status


def fresh(name: str = "wine", **given: object) -> ModelVersion:
    fields: dict[str, object] = {
        "name": name,
        "version": 0,
        "created": 5,
        "updated": 5,
        "source": "s3://bucket/model",
        "location": "s3://bucket/model",
    }
    return ModelVersion(**{**fields, **given})  # type: ignore[arg-type]


@pytest.fixture(params=["sqlite", "files"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RegistryStore]:
    uri = "sqlite:///t.db" if request.param == "sqlite" else "runs"
    store = open_store(uri, directory=str(tmp_path), environ={})
    store.create_experiment("any")
    assert store.registry_store is not None
    yield store.registry_store
    store.close()


@pytest.fixture
def wine(registry: RegistryStore) -> RegisteredModel:
    made = registry.create_registered_model(
        RegisteredModel(name="wine", created=1, updated=1, description="d", tags={"t": "1"})
    )
    for _ in range(3):
        registry.create_version(fresh(tags={"v": "x"}))
    registry.set_alias("wine", "champion", 2)
    registry.set_alias("wine", "best", 2)
    registry.set_alias("wine", "first", 1)
    return made


def test_descriptions(registry: RegistryStore, wine: RegisteredModel) -> None:
    made = registry.update_registered_model(changed(wine, description="ä\nb", updated=9))
    assert (made.description, made.updated, made.tags) == ("ä\nb", 9, {"t": "1"})
    assert made.aliases == {"champion": 2, "best": 2, "first": 1}
    assert registry.registered_model("wine") == made
    (version,) = (v for v in registry.versions("wine") if v.version == 2)
    registry.update_version(changed(version, description="w", stage="Staging", updated=11))
    kept = {v.version: (v.description, v.stage, v.tags) for v in registry.versions("wine")}
    assert kept[2] == ("w", "Staging", {"v": "x"})
    assert kept[1] == ("", "None", {"v": "x"})


def test_renaming(registry: RegistryStore, wine: RegisteredModel) -> None:
    registry.create_registered_model(RegisteredModel(name="beer", created=1, updated=1))
    assert refusal(lambda: registry.rename_registered_model("wine", "beer")) == TAKEN
    for bad in ("", "a/b", "..", "x:y", "x" * 300):
        assert refusal(lambda bad=bad: registry.rename_registered_model("wine", bad)) == INVALID  # type: ignore[misc]
    made = registry.rename_registered_model("wine", "vin ü")
    assert (made.name, made.tags, made.description) == ("vin ü", wine.tags, "d")
    assert made.aliases == {"champion": 2, "best": 2, "first": 1}
    assert [(v.name, v.version, v.tags) for v in registry.versions("vin ü")] == [
        ("vin ü", number, {"v": "x"}) for number in (1, 2, 3)
    ]
    assert refusal(lambda: registry.registered_model("wine")) == MISSING
    assert [m.name for m in registry.registered_models()] == ["beer", "vin ü"]
    assert registry.create_version(fresh("vin ü")).version == 4


@pytest.mark.usefixtures("wine")
def test_deleting_models(registry: RegistryStore) -> None:
    registry.delete_registered_model("wine")
    assert registry.registered_models() == ()
    assert refusal(lambda: registry.versions("wine")) == MISSING
    registry.create_registered_model(RegisteredModel(name="wine", created=1, updated=1))
    again = registry.registered_model("wine")
    assert (again.tags, again.aliases, registry.versions("wine")) == ({}, {}, ())
    assert registry.create_version(fresh()).version == 1
    assert registry.versions("wine")[0].tags == {}


@pytest.mark.usefixtures("wine")
def test_tags(registry: RegistryStore) -> None:
    registry.tag_registered_model("wine", {"t": None, "a/b": "1", "never there": None})
    assert registry.registered_model("wine").tags == {"a/b": "1"}
    registry.tag_version("wine", 2, {"v": "y", "w": "multi\nline"})
    registry.tag_version("wine", 3, {"v": None})
    tags = [version.tags for version in registry.versions("wine")]
    assert tags == [{"v": "x"}, {"v": "y", "w": "multi\nline"}, {}]
    assert refusal(lambda: registry.tag_registered_model("wine", {"../x": "1"})) == INVALID
    assert refusal(lambda: registry.tag_version("wine", 1, {"": "1"})) == INVALID


@pytest.mark.usefixtures("wine")
def test_aliases(registry: RegistryStore) -> None:
    registry.delete_alias("wine", "best")
    registry.delete_alias("wine", "best")
    assert registry.registered_model("wine").aliases == {"champion": 2, "first": 1}
    registry.set_alias("wine", "champion", 3)
    assert registry.registered_model("wine").aliases == {"champion": 3, "first": 1}
    assert refusal(lambda: registry.delete_alias("wine", "../meta.yaml")) == INVALID


@pytest.mark.usefixtures("wine")
def test_deleted_versions_are_gone_but_their_numbers_are_not_given_again(
    registry: RegistryStore,
) -> None:
    registry.delete_version("wine", 2)
    registry.delete_version("wine", 3)
    assert [v.version for v in registry.versions("wine")] == [1]
    assert registry.registered_model("wine").aliases == {"first": 1}
    assert registry.create_version(fresh()).version == 4
    for action in (
        lambda: registry.delete_version("wine", 2),
        lambda: registry.set_alias("wine", "a", 2),
        lambda: registry.tag_version("wine", 2, {"t": "1"}),
        lambda: registry.update_version(fresh(version=2)),
    ):
        assert refusal(action) == MISSING


def test_what_is_not_there(registry: RegistryStore) -> None:
    nobody = RegisteredModel(name="nobody", created=1, updated=1)
    for action in (
        lambda: registry.update_registered_model(nobody),
        lambda: registry.rename_registered_model("nobody", "x"),
        lambda: registry.delete_registered_model("nobody"),
        lambda: registry.tag_registered_model("nobody", {"t": "1"}),
        lambda: registry.delete_alias("nobody", "a"),
        lambda: registry.delete_version("nobody", 1),
        lambda: registry.tag_version("nobody", 1, {"t": "1"}),
        lambda: registry.delete_registered_model("../runs"),
    ):
        assert refusal(action) == MISSING


def test_a_database_without_aliases_and_locations(tmp_path: Path) -> None:
    """MLflow 1 had neither; its databases are never changed."""
    store = open_store("sqlite:///t.db", directory=str(tmp_path), environ={})
    store.create_experiment("any")
    store.close()
    connection = sqlite3.connect(tmp_path / "t.db")
    connection.execute("DROP TABLE registered_model_aliases")
    connection.execute("ALTER TABLE model_versions DROP COLUMN storage_location")
    connection.commit()
    connection.close()
    registry = store.registry_store
    assert registry is not None
    registry.create_registered_model(RegisteredModel(name="wine", created=1, updated=1))
    registry.create_version(fresh())
    assert [v.location for v in registry.versions("wine")] == ["s3://bucket/model"]
    assert refusal(lambda: registry.set_alias("wine", "a", 1)) == INVALID
    registry.rename_registered_model("wine", "vin")
    registry.delete_version("vin", 1)
    registry.delete_registered_model("vin")
    store.close()
