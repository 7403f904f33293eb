"""Calls about registered models and their versions."""

import pytest
from driving import PROXY, Client

from runner.model.tracking import TrackedRun
from runner.ports import TrackingStore


@pytest.fixture
def source(client: Client, run: TrackedRun) -> str:
    client.raw("PUT", f"{PROXY}/0/{run.run_id}/artifacts/model/MLmodel", b"flavors: {}")
    client.post("registered-models/create", name="Wine Model", description="d")
    return f"mlflow-artifacts:/0/{run.run_id}/artifacts/model"


def test_models_are_registered(client: Client) -> None:
    tags = [{"key": "team", "value": "blue"}]
    client.post("registered-models/create", name="Wine Model", tags=tags)
    found = client.get("registered-models/get", name="Wine Model")["registered_model"]
    assert (found["name"], found["tags"], found["latest_versions"]) == ("Wine Model", tags, [])
    again = client.refused("POST", "registered-models/create", name="Wine Model")
    assert again == (400, "RESOURCE_ALREADY_EXISTS")
    listed = client.get("registered-models/search", filter="name ILIKE 'wine%'")
    assert [model["name"] for model in listed["registered_models"]] == ["Wine Model"]
    assert client.get("registered-models/search", filter="name = 'x'")["registered_models"] == []


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "..", "x" * 300])
def test_names_that_cannot_be_registered(client: Client, name: str) -> None:
    refused = client.refused("POST", "registered-models/create", name=name)
    assert refused == (400, "INVALID_PARAMETER_VALUE")
    missing = client.refused("GET", "registered-models/get", name=name)
    assert missing == (404, "RESOURCE_DOES_NOT_EXIST")


def test_versions_are_counted(
    client: Client, store: TrackingStore, run: TrackedRun, source: str
) -> None:
    for number in ("1", "2"):
        made = client.post(
            "model-versions/create", name="Wine Model", source=source, run_id=run.run_id
        )["model_version"]
        assert (made["version"], made["source"], made["status"]) == (number, source, "READY")
        uri = client.get("model-versions/get-download-uri", name="Wine Model", version=number)
        assert uri == {"artifact_uri": source}
    assert store.registry_store is not None
    kept = store.registry_store.versions("Wine Model")
    assert {version.location for version in kept} == {f"{store.artifacts(run).folder()}/model"}
    found = client.get("model-versions/search", filter="name='Wine Model'")["model_versions"]
    assert [version["version"] for version in found] == ["2", "1"]
    latest = client.get("registered-models/get", name="Wine Model")["registered_model"]
    assert [version["version"] for version in latest["latest_versions"]] == ["2"]


def test_a_logged_model_is_registered(client: Client, source: str) -> None:
    model = client.post("logged-models", experiment_id="0", name="m")["model"]["info"]
    made = client.post(
        "model-versions/create", name="Wine Model", source=f"models:/{model['model_id']}"
    )["model_version"]
    assert made["source"] == f"models:/{model['model_id']}"
    uri = client.get("model-versions/get-download-uri", name="Wine Model", version="1")
    assert uri == {"artifact_uri": model["artifact_uri"]}
    assert source


def test_stages_and_aliases(client: Client, source: str) -> None:
    for _ in range(2):
        client.post("model-versions/create", name="Wine Model", source=source)
    for number in ("1", "2"):
        moved = client.post(
            "model-versions/transition-stage",
            name="Wine Model",
            version=number,
            stage="production",
            archive_existing_versions=True,
        )["model_version"]
        assert moved["current_stage"] == "Production"
    stages = {
        version["version"]: version["current_stage"]
        for version in client.get("model-versions/search")["model_versions"]
    }
    assert stages == {"1": "Archived", "2": "Production"}
    latest = client.post(
        "registered-models/get-latest-versions", name="Wine Model", stages=["Production"]
    )["model_versions"]
    assert [version["version"] for version in latest] == ["2"]
    client.post("registered-models/alias", name="Wine Model", alias="champion", version="1")
    found = client.get("registered-models/alias", name="Wine Model", alias="champion")
    assert found["model_version"]["version"] == "1"
    assert found["model_version"]["aliases"] == ["champion"]


def test_what_goes_wrong_with_versions(client: Client, source: str) -> None:
    model = {"name": "Wine Model"}
    for method, call, given, expected in (
        ("POST", "model-versions/create", {"name": "none", "source": source}, 404),
        ("GET", "model-versions/get", {**model, "version": "9"}, 404),
        ("GET", "model-versions/get", {**model, "version": "one"}, 400),
        ("GET", "model-versions/get-download-uri", {**model, "version": "9"}, 404),
        ("POST", "registered-models/alias", {**model, "alias": "a", "version": 9}, 404),
        ("POST", "registered-models/alias", {**model, "alias": "../a", "version": 1}, 400),
        ("POST", "registered-models/alias", {**model, "alias": "latest", "version": 1}, 400),
        ("GET", "registered-models/alias", {**model, "alias": "none"}, 400),
        ("GET", "registered-models/get-latest-versions", {**model, "stages": "Odd"}, 400),
        ("POST", "model-versions/create", {**model, "source": "mlflow-artifacts:/x"}, 404),
    ):
        assert client.refused(method, call, **given)[0] == expected, call
