"""Calls of MLflow 3 about logged models, of 2.4 about datasets, of 1 and 2 about models."""

import json
import sqlite3

import pytest
from driving import PROXY, Client

from runner.model.tracking import TrackedRun
from runner.ports import TrackingStore

Model = dict[str, str]


@pytest.fixture
def model(client: Client, run: TrackedRun) -> Model:
    made = client.post(
        "logged-models",
        experiment_id="0",
        name="tree",
        model_type="forest",
        source_run_id=run.run_id,
        params=[{"key": "depth", "value": "3"}],
        tags=[{"key": "team", "value": "blue"}],
    )
    info: Model = made["model"]["info"]
    return info


def test_a_model_is_made(client: Client, run: TrackedRun, model: Model) -> None:
    assert model["model_id"].startswith("m-")
    assert model["status"] == "LOGGED_MODEL_PENDING"
    assert model["artifact_uri"] == f"mlflow-artifacts:/0/models/{model['model_id']}/artifacts"
    assert (model["source_run_id"], model["model_type"]) == (run.run_id, "forest")
    found = client.get(f"logged-models/{model['model_id']}")["model"]
    assert found["data"]["params"] == [{"key": "depth", "value": "3"}]
    assert found["info"]["tags"] == [{"key": "team", "value": "blue"}]


def test_a_model_without_a_name_is_called_by_its_id(client: Client) -> None:
    info = client.post("logged-models", experiment_id="0")["model"]["info"]
    assert info["name"] == info["model_id"]


@pytest.mark.parametrize("status", ["LOGGED_MODEL_READY", 2])
def test_a_model_becomes_ready(client: Client, model: Model, status: object) -> None:
    code, answer = client.call("PATCH", f"logged-models/{model['model_id']}", status=status)
    assert (code, answer["model"]["info"]["status"]) == (200, "LOGGED_MODEL_READY")
    found = client.refused("PATCH", f"logged-models/{model['model_id']}", status="HAPPY")
    assert found == (400, "INVALID_PARAMETER_VALUE")


def test_tags_and_params_of_models(client: Client, model: Model) -> None:
    address = f"logged-models/{model['model_id']}"
    tags = [{"key": "team", "value": "red"}, {"key": "a/b", "value": "x"}]
    assert client.call("PATCH", f"{address}/tags", tags=tags)[0] == 200
    client.post(f"{address}/params", params=[{"key": "width", "value": "4"}])
    found = client.get(address)["model"]
    assert found["info"]["tags"] == [{"key": "a/b", "value": "x"}, {"key": "team", "value": "red"}]
    assert {p["key"]: p["value"] for p in found["data"]["params"]} == {"depth": "3", "width": "4"}
    assert client.call("DELETE", f"{address}/tags/a%2Fb")[0] == 200
    assert client.refused("DELETE", f"{address}/tags/a%2Fb")[1] == "RESOURCE_DOES_NOT_EXIST"
    assert len(client.get(address)["model"]["info"]["tags"]) == 1


def test_a_deleted_model_is_gone(client: Client, model: Model) -> None:
    address = f"logged-models/{model['model_id']}"
    assert client.call("DELETE", address)[0] == 200
    for method, path in (("GET", address), ("DELETE", address), ("PATCH", f"{address}/tags")):
        assert client.refused(method, path) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert client.post("logged-models/search", experiment_ids=["0"])["models"] == []


def test_files_of_models(client: Client, store: TrackingStore, model: Model) -> None:
    content = b"weights" * 1000
    address = f"{PROXY}/0/models/{model['model_id']}/artifacts/data/model.pkl"
    assert client.raw("PUT", address, content) == (200, b"{}")
    assert client.raw("GET", address) == (200, content)
    assert client.raw("GET", address.replace("data/", "../"))[0] == 400
    found = client.get(f"logged-models/{model['model_id']}/artifacts/directories")
    assert found["files"] == [{"path": "data", "is_dir": True}]
    assert store.model_store is not None
    kept = store.model_store.model(model["model_id"])
    assert kept.artifact_uri.endswith(f"/mlruns/0/models/{kept.model_id}/artifacts")
    with store.model_store.model_artifacts(kept).open("data/model.pkl") as file:
        assert file.read() == content


def test_models_are_searched_as_clients_resolve_runs_uris(
    client: Client, run: TrackedRun, model: Model
) -> None:
    client.post("logged-models", experiment_id="0", name="other")
    found = client.post(
        "logged-models/search",
        experiment_ids=["0"],
        filter=f"name = 'tree' AND source_run_id = '{run.run_id}'",
        order_by=[{"field_name": "creation_time", "ascending": False}],
        max_results=1,
    )["models"]
    assert [item["info"]["model_id"] for item in found] == [model["model_id"]]
    found = client.post("logged-models/search", experiment_ids=["0"], filter="params.depth = '3'")
    assert len(found["models"]) == 1
    assert len(client.post("logged-models/search", experiment_ids=["0"])["models"]) == 2
    assert client.post("logged-models/search", experiment_ids=["7"])["models"] == []


def test_metrics_of_models(client: Client, run: TrackedRun, model: Model) -> None:
    metric = {"key": "rmse", "value": 0.5, "timestamp": 1, "step": 2, "model_id": model["model_id"]}
    client.post("runs/log-metric", run_id=run.run_id, **metric)
    client.post("runs/log-batch", run_id=run.run_id, metrics=[{**metric, "key": "mae"}])
    (first, second) = client.get(f"logged-models/{model['model_id']}")["model"]["data"]["metrics"]
    assert {first["key"], second["key"]} == {"rmse", "mae"}
    assert first["run_id"] == run.run_id
    found = client.post("logged-models/search", experiment_ids=["0"], filter="metrics.rmse < 1")
    assert len(found["models"]) == 1
    metric["model_id"] = "m-none"
    assert client.refused("POST", "runs/log-metric", run_id=run.run_id, **metric)[0] == 404


def test_outputs_link_runs_and_models(client: Client, run: TrackedRun, model: Model) -> None:
    outputs = [{"model_id": model["model_id"], "step": 3}]
    for _ in range(2):
        client.post("runs/outputs", run_id=run.run_id, models=outputs)
        client.post("runs/log-inputs", run_id=run.run_id, models=[{"model_id": "m-loaded"}])
    found = client.get("runs/get", run_id=run.run_id)["run"]
    assert found["outputs"]["model_outputs"] == outputs
    assert found["inputs"]["model_inputs"] == [{"model_id": "m-loaded"}]


def test_datasets(client: Client, run: TrackedRun) -> None:
    dataset = {
        "name": "wine",
        "digest": "abc",
        "source_type": "local",
        "source": '{"uri": "wine.csv"}',
        "schema": "{}",
    }
    tags = [{"key": "mlflow.data.context", "value": "training"}]
    for _ in range(2):
        given = [{"dataset": dataset, "tags": tags}]
        client.post("runs/log-inputs", run_id=run.run_id, datasets=given)
    found = client.get("runs/get", run_id=run.run_id)["run"]["inputs"]["dataset_inputs"]
    assert found == [{"dataset": dataset, "tags": tags}]
    wrong = [{"dataset": {**dataset, "digest": "x" * 37}}]
    refused = client.refused("POST", "runs/log-inputs", run_id=run.run_id, datasets=wrong)
    assert refused == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "given",
    [
        {"name": "a/b"},
        {"name": "x" * 501},
        {"experiment_id": "x"},
        {"params": [{"key": "", "value": ""}]},
        {"params": {"a": 1}},
        {"tags": ["a"]},
    ],
)
def test_wrong_models_are_refused(client: Client, given: dict[str, object]) -> None:
    status, _ = client.refused("POST", "logged-models", **{"experiment_id": "0", **given})
    assert status in {400, 404}


def test_models_of_old_clients_are_kept_in_a_tag(
    client: Client, store: TrackingStore, run: TrackedRun
) -> None:
    for name in ("one", "two"):
        text = json.dumps({"artifact_path": name, "run_id": run.run_id})
        client.post("runs/log-model", run_id=run.run_id, model_json=text)
    history = json.loads(store.run(run.run_id).tags["mlflow.log-model.history"])
    assert [item["artifact_path"] for item in history] == ["one", "two"]
    for wrong in ("{", "[]", "1"):
        refused = client.refused("POST", "runs/log-model", run_id=run.run_id, model_json=wrong)
        assert refused == (400, "INVALID_PARAMETER_VALUE")


def test_a_long_history_of_models_keeps_the_latest(
    client: Client, store: TrackingStore, run: TrackedRun
) -> None:
    for number in range(40):
        model = {
            "artifact_path": f"model-{number}",
            "signature": {"inputs": "x" * 3000},
            "n": "y" * 200,
        }
        client.post("runs/log-model", run_id=run.run_id, model_json=json.dumps(model))
    text = store.run(run.run_id).tags["mlflow.log-model.history"]
    assert len(text) <= 8000
    paths = [item["artifact_path"] for item in json.loads(text)]
    assert paths == [f"model-{n}" for n in range(40 - len(paths), 40)]
    assert len(paths) > 20


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_a_database_of_mlflow_2_says_that_it_has_no_logged_models(
    client: Client, store: TrackingStore, run: TrackedRun
) -> None:
    store.close()
    database = sqlite3.connect(store.uri.removeprefix("sqlite:///"))
    for table in ("metrics", "params", "tags"):
        database.execute(f"DROP TABLE logged_model_{table}")
    database.execute("DROP TABLE logged_models")
    database.commit()
    database.close()
    found = client.refused("POST", "logged-models", experiment_id="0")
    assert found == (404, "ENDPOINT_NOT_FOUND")
    outputs = client.refused("POST", "runs/outputs", run_id=run.run_id, models=[{"model_id": "m"}])
    assert outputs == (400, "INVALID_PARAMETER_VALUE")
    assert client.get("runs/get", run_id=run.run_id)["run"]["outputs"]["model_outputs"] == []


def test_models_by_the_datasets_that_they_were_measured_on(client: Client, run: TrackedRun) -> None:
    ids = {}
    for name, on_first, on_second in (("a", 1, 9), ("b", 2, 8), ("c", None, 7), ("d", None, None)):
        made = client.post("logged-models", experiment_id="0", name=name)["model"]["info"]
        ids[name] = made["model_id"]
        for dataset, value in (("wine", on_first), ("beer", on_second)):
            if value is not None:
                client.post(
                    "runs/log-metric",
                    run_id=run.run_id,
                    key="loss",
                    value=value,
                    timestamp=value,
                    model_id=ids[name],
                    dataset_name=dataset,
                    dataset_digest="x",
                )

    def names(**given: object) -> list[str]:
        found = client.post("logged-models/search", experiment_ids=["0"], **given)["models"]
        return [model["info"]["name"] for model in found]

    wine = [{"dataset_name": "wine"}]
    by_name = [{"field_name": "name", "ascending": True}]
    assert names(order_by=by_name) == ["a", "b", "c", "d"]
    assert names(datasets=wine, order_by=by_name) == ["a", "b"]
    assert names(datasets=[{"dataset_name": "wine", "dataset_digest": "y"}]) == []
    assert names(datasets=wine, filter="metrics.loss > 1") == ["b"]
    on_wine = {"field_name": "metrics.loss", "dataset_name": "wine", "dataset_digest": "x"}
    order = [{**on_wine, "ascending": False}, *by_name]
    assert names(order_by=order) == ["b", "a", "c", "d"]
    on_beer = {"field_name": "metrics.loss", "dataset_name": "beer"}
    assert names(order_by=[on_beer, *by_name]) == ["c", "b", "a", "d"]
    found = client.post("logged-models/search", experiment_ids=["0"], datasets=wine)["models"]
    assert {len(model["data"]["metrics"]) for model in found} == {2}
