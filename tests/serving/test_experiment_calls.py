"""Calls about experiments, and the run that follows ``set_experiment``."""

import time

import pytest
from driving import Client, new_run

from runner.model.tracking import TrackedRun
from runner.ports import TrackingStore


def moved(store: TrackingStore, run: TrackedRun) -> str:
    return store.run(run.run_id).experiment_id


def test_experiments_are_made_and_found(client: Client, store: TrackingStore) -> None:
    tags = [{"key": "team", "value": "blue"}]
    made = client.post("experiments/create", name="wine/β", tags=tags)["experiment_id"]
    by_id = client.get("experiments/get", experiment_id=made)["experiment"]
    by_name = client.get("experiments/get-by-name", experiment_name="wine/β")["experiment"]
    assert by_id == by_name
    assert by_id["artifact_location"] == f"mlflow-artifacts:/{made}"
    assert by_id["tags"] == tags
    assert by_id["lifecycle_stage"] == "active"
    assert store.experiment(made).artifact_location.endswith(f"/mlruns/{made}")


def test_what_goes_wrong_with_experiments(client: Client) -> None:
    client.post("experiments/create", name="x")
    assert client.refused("POST", "experiments/create", name="x") == (
        400,
        "RESOURCE_ALREADY_EXISTS",
    )
    assert client.refused("POST", "experiments/create")[1] == "INVALID_PARAMETER_VALUE"
    assert client.refused("POST", "experiments/create", name=" ")[1] == "INVALID_PARAMETER_VALUE"
    for given in ({"experiment_id": "99"}, {"experiment_id": "../x"}):
        assert client.refused("GET", "experiments/get", **given) == (404, "RESOURCE_DOES_NOT_EXIST")
    found = client.refused("GET", "experiments/get-by-name", experiment_name="none")
    assert found == (404, "RESOURCE_DOES_NOT_EXIST")


def test_experiments_are_listed(client: Client) -> None:
    for name in ("a", "b", "c"):
        client.post("experiments/create", name=name)
        time.sleep(0.002)  # the order is that of the milliseconds in which they were made
    names = [e["name"] for e in client.get("experiments/list")["experiments"]]
    assert names == ["c", "b", "a", "Default"]
    found = client.post("experiments/search", filter="name LIKE 'D%'")["experiments"]
    assert [e["name"] for e in found] == ["Default"]
    page = client.post("experiments/search", max_results=3, order_by=["name ASC"])
    assert [e["name"] for e in page["experiments"]] == ["Default", "a", "b"]
    rest = client.post(
        "experiments/search", order_by=["name ASC"], page_token=page["next_page_token"]
    )
    assert [e["name"] for e in rest["experiments"]] == ["c"]
    assert client.post("experiments/search", view_type="DELETED_ONLY")["experiments"] == []


def test_set_experiment_with_a_new_name_moves_the_run(
    client: Client, store: TrackingStore, run: TrackedRun
) -> None:
    client.refused("GET", "experiments/get-by-name", experiment_name="new")
    made = client.post("experiments/create", name="new")["experiment_id"]
    client.get("experiments/get", experiment_id=made)
    found = client.get("runs/get", run_id=run.run_id)["run"]["info"]
    assert found["experiment_id"] == made
    assert found["artifact_uri"] == f"mlflow-artifacts:/{made}/{run.run_id}/artifacts"
    assert moved(store, run) == made
    assert f"/mlruns/{made}/" in store.run(run.run_id).artifact_uri


def test_set_experiment_with_a_known_name_moves_the_run_and_its_files(
    client: Client, store: TrackingStore, run: TrackedRun
) -> None:
    store.artifacts(run).put("runproj/stdout.log", b"hello")
    known = store.create_experiment("known").experiment_id
    client.get("experiments/get-by-name", experiment_name="known")
    client.get("runs/get", run_id=run.run_id)
    assert moved(store, run) == known
    with store.artifacts(store.run(run.run_id)).open("runproj/stdout.log") as file:
        assert file.read() == b"hello"
    old = f"/api/2.0/mlflow-artifacts/artifacts/0/{run.run_id}/artifacts/runproj/stdout.log"
    assert client.raw("GET", old) == (200, b"hello")


@pytest.mark.parametrize(
    ("call", "given"),
    [
        ("runs/update", {"status": "RUNNING"}),
        ("runs/log-metric", {"key": "m", "value": 1, "timestamp": 1}),
        ("runs/log-batch", {"metrics": [{"key": "m", "value": 1, "timestamp": 1}]}),
        ("runs/log-inputs", {}),
        ("runs/log-model", {"model_json": "{}"}),
    ],
)
def test_a_run_that_has_begun_stays(
    client: Client, store: TrackingStore, run: TrackedRun, call: str, given: dict[str, object]
) -> None:
    store.create_experiment("later")
    client.post(call, run_id=run.run_id, **given)
    client.get("experiments/get-by-name", experiment_name="later")
    client.get("runs/get", run_id=run.run_id)
    assert moved(store, run) == "0"


def test_looking_up_an_experiment_to_search_in_it_moves_nothing(
    client: Client, store: TrackingStore, run: TrackedRun
) -> None:
    other = store.create_experiment("baseline").experiment_id
    client.get("experiments/get-by-name", experiment_name="baseline")
    client.post("runs/search", experiment_ids=[other])
    client.get("runs/get", run_id=run.run_id)
    assert moved(store, run) == "0"


def test_only_runs_of_this_endpoint_follow(
    client: Client, store: TrackingStore, run: TrackedRun
) -> None:
    stranger = new_run(store)
    other = store.create_experiment("other").experiment_id
    client.get("experiments/get-by-name", experiment_name="other")
    client.get("runs/get", run_id=stranger.run_id)
    assert moved(store, stranger) == "0"
    client.get("runs/get", run_id=run.run_id)
    assert moved(store, run) == other


def test_a_nested_project_run_follows_its_own_set_experiment(
    client: Client, store: TrackingStore, run: TrackedRun
) -> None:
    project = [{"key": "mlflow.source.type", "value": "PROJECT"}]
    nested = client.post("runs/create", tags=project)["run"]["info"]["run_id"]
    client.post("runs/set-tag", run_id=nested, key="k", value="v")  # as mlflow run does
    client.post("runs/log-parameter", run_id=nested, key="p", value="1")
    other = store.create_experiment("inner").experiment_id
    client.get("experiments/get-by-name", experiment_name="inner")
    info = client.get("runs/get", run_id=nested)["run"]["info"]
    assert info["experiment_id"] == other
    client.get("runs/get", run_id=run.run_id)
    assert moved(store, run) == "0"


def test_a_finished_run_stays(client: Client, store: TrackingStore, run: TrackedRun) -> None:
    store.create_experiment("late")
    store.update_run(run.run_id, status="FINISHED", ended=2)
    client.get("experiments/get-by-name", experiment_name="late")
    client.get("runs/get", run_id=run.run_id)
    assert moved(store, run) == "0"
