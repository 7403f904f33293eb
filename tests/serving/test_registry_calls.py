"""Calls about registered models and their versions."""

from pathlib import Path

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


def versioned(client: Client, source: str, *, count: int = 1) -> None:
    for _ in range(count):
        client.post("model-versions/create", name="Wine Model", source=source)


def test_models_are_described_tagged_renamed_and_deleted(client: Client, source: str) -> None:
    versioned(client, source)
    name = {"name": "Wine Model"}
    answer = client.patch("registered-models/update", **name, description="neu\nü")
    assert answer["registered_model"]["description"] == "neu\nü"
    client.post("registered-models/set-tag", **name, key="a/b", value="1")
    client.post("registered-models/set-tag", **name, key="gone", value="1")
    client.delete("registered-models/delete-tag", **name, key="gone")
    client.delete("registered-models/delete-tag", **name, key="never there")
    client.post("registered-models/alias", **name, alias="best", version="1")
    answer = client.post("registered-models/rename", **name, new_name="Beer")
    found = answer["registered_model"]
    assert (found["name"], found["description"]) == ("Beer", "neu\nü")
    assert found["tags"] == [{"key": "a/b", "value": "1"}]
    assert found["aliases"] == [{"alias": "best", "version": "1"}]
    assert [v["name"] for v in found["latest_versions"]] == ["Beer"]
    gone = client.refused("GET", "registered-models/get", **name)
    assert gone == (404, "RESOURCE_DOES_NOT_EXIST")
    client.delete("registered-models/alias", name="Beer", alias="best")
    alias = client.refused("GET", "registered-models/alias", name="Beer", alias="best")
    assert alias == (400, "INVALID_PARAMETER_VALUE")
    client.delete("registered-models/delete", name="Beer")
    assert client.get("registered-models/search")["registered_models"] == []
    assert client.get("model-versions/search")["model_versions"] == []


def test_versions_are_described_tagged_and_deleted(client: Client, source: str) -> None:
    versioned(client, source, count=2)
    version = {"name": "Wine Model", "version": "2"}
    answer = client.patch("model-versions/update", **version, description="d")
    assert answer["model_version"]["description"] == "d"
    client.post("model-versions/set-tag", **version, key="k", value="v")
    client.post("model-versions/set-tag", **version, key="gone", value="v")
    client.delete("model-versions/delete-tag", **version, key="gone")
    found = client.get("model-versions/get", **version)["model_version"]
    assert (found["tags"], found["description"]) == ([{"key": "k", "value": "v"}], "d")
    client.post("registered-models/alias", **version, alias="best")
    latest = client.get("registered-models/alias", name="Wine Model", alias="latest")
    assert latest["model_version"]["version"] == "2"
    client.delete("model-versions/delete", **version)
    for call in ("model-versions/get", "model-versions/get-download-uri"):
        assert client.refused("GET", call, **version) == (404, "RESOURCE_DOES_NOT_EXIST")
    model = client.get("registered-models/get", name="Wine Model")["registered_model"]
    assert (model["aliases"], [v["version"] for v in model["latest_versions"]]) == ([], ["1"])
    made = client.post("model-versions/create", name="Wine Model", source=source)
    assert made["model_version"]["version"] == "3"


def test_only_active_stages_archive(client: Client, source: str) -> None:
    versioned(client, source)
    version = {"name": "Wine Model", "version": "1"}
    for stage, archives, expected in (
        ("Archived", True, (400, "INVALID_PARAMETER_VALUE")),
        ("None", True, (400, "INVALID_PARAMETER_VALUE")),
        ("Odd", False, (400, "INVALID_PARAMETER_VALUE")),
    ):
        refused = client.refused(
            "POST",
            "model-versions/transition-stage",
            **version,
            stage=stage,
            archive_existing_versions=archives,
        )
        assert refused == expected
    found = client.get("model-versions/get", **version)["model_version"]
    assert found["current_stage"] == "None"


def test_versions_are_copied(client: Client, run: TrackedRun, source: str) -> None:
    client.post("model-versions/create", name="Wine Model", source=source, run_id=run.run_id)
    client.post("registered-models/alias", name="Wine Model", alias="best", version=1)
    client.post("registered-models/create", name="Copy")
    for wanted in ("models:/Wine Model/1", "models:/Wine Model@best", "models:/Wine Model/latest"):
        made = client.post("model-versions/create", name="Copy", source=wanted)["model_version"]
        assert made["source"] == "models:/Wine Model/1"
        uri = client.get("model-versions/get-download-uri", name="Copy", version=made["version"])
        assert uri == {"artifact_uri": source}


def test_where_versions_come_from(
    client: Client, store: TrackingStore, run: TrackedRun, tmp_path: Path
) -> None:
    client.post("registered-models/create", name="m")
    folder = store.artifacts(run).folder()
    assert folder is not None
    store.artifacts(run).put("model/MLmodel", b"x")
    (Path(folder) / "out").symlink_to(tmp_path)
    own = {"name": "m", "run_id": run.run_id}
    for source in (f"{folder}/model", f"file://{folder}/model", f"runs:/{run.run_id}/model"):
        made = client.post("model-versions/create", **own, source=source)["model_version"]
        uri = client.get("model-versions/get-download-uri", name="m", version=made["version"])
        assert uri == {"artifact_uri": f"mlflow-artifacts:/0/{run.run_id}/artifacts/model"}
    for source in ("s3://bucket/model", "dbfs:/model", "https://example.org/model"):
        made = client.post("model-versions/create", name="m", source=source)["model_version"]
        assert made["source"] == source
    for given in (
        {"name": "m", "source": f"{folder}/model"},
        {**own, "source": "/etc"},
        {**own, "source": "file:///etc"},
        {**own, "source": "relative/model"},
        {**own, "source": f"{folder}/../../../.."},
        {**own, "source": f"{folder}/out"},
        {"name": "m", "run_id": "nope", "source": f"{folder}/model"},
        {**own, "source": "s3://bucket/../x"},
        {**own, "source": f"runs:/{run.run_id}/../x"},
        {**own, "source": f"runs:/{run.run_id}"},
        {**own, "source": "models:/m/Production"},
        {**own, "source": "models:/m@none"},
    ):
        refused = client.refused("POST", "model-versions/create", **given)
        assert refused == (400, "INVALID_PARAMETER_VALUE"), given
    for source in ("models:/none/1", "models:/m/77", "models:/m-0", "runs:/none/model"):
        refused = client.refused("POST", "model-versions/create", **own, source=source)
        assert refused == (404, "RESOURCE_DOES_NOT_EXIST"), source


def test_pages_of_models_and_versions(client: Client, source: str) -> None:
    versioned(client, source, count=3)
    for name in ("b", "a"):
        client.post("registered-models/create", name=name)
    names, token = [], ""
    while True:
        page = client.get("registered-models/search", max_results=2, page_token=token)
        names.append([model["name"] for model in page["registered_models"]])
        token = page.get("next_page_token", "")
        if not token:
            break
    assert names == [["Wine Model", "a"], ["b"]]
    ordered = client.get("registered-models/search", order_by="name DESC")["registered_models"]
    assert [model["name"] for model in ordered] == ["b", "a", "Wine Model"]
    page = client.get(
        "model-versions/search",
        max_results=2,
        order_by="version_number ASC",
        filter="name LIKE 'W%'",
    )
    assert [v["version"] for v in page["model_versions"]] == ["1", "2"]
    for call, given in (
        ("registered-models/search", {"max_results": 1001}),
        ("registered-models/search", {"max_results": 0}),
        ("registered-models/search", {"page_token": "x"}),
        ("registered-models/search", {"filter": "params.x = '1'"}),
        ("registered-models/search", {"order_by": "shoe_size"}),
        ("model-versions/search", {"max_results": 200_001}),
        ("model-versions/search", {"filter": "name ="}),
    ):
        assert client.refused("GET", call, **given) == (400, "INVALID_PARAMETER_VALUE"), given
