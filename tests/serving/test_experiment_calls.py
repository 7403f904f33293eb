"""Calls about experiments, and the run that follows ``set_experiment``."""

import time

import pytest
from driving import Client, new_run

from runner.model.tracking import Metric, TrackedRun
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


def test_experiments_are_renamed_and_tagged(client: Client, store: TrackingStore) -> None:
    made = client.post("experiments/create", name="old")["experiment_id"]
    client.post("experiments/create", name="taken")
    assert client.post("experiments/update", experiment_id=made, new_name="new") == {}
    client.post("experiments/set-experiment-tag", experiment_id=made, key="a/b", value="1")
    client.post("experiments/set-experiment-tag", experiment_id=made, key="gone", value="1")
    client.post("experiments/delete-experiment-tag", experiment_id=made, key="gone")
    found = client.get("experiments/get-by-name", experiment_name="new")["experiment"]
    assert (found["experiment_id"], found["tags"]) == (made, [{"key": "a/b", "value": "1"}])
    assert found["last_update_time"] >= found["creation_time"]
    assert store.experiment(made).name == "new"
    for call, given, expected in (
        ("update", {"new_name": "taken"}, (400, "RESOURCE_ALREADY_EXISTS")),
        ("update", {"new_name": "x" * 501}, (400, "INVALID_PARAMETER_VALUE")),
        ("update", {"new_name": 7.5, "experiment_id": "99"}, (404, "RESOURCE_DOES_NOT_EXIST")),
        ("set-experiment-tag", {"value": "1"}, (400, "INVALID_PARAMETER_VALUE")),
        ("set-experiment-tag", {"key": "../x", "value": "1"}, (400, "INVALID_PARAMETER_VALUE")),
        (
            "set-experiment-tag",
            {"key": "k", "value": "x" * 20_001},
            (400, "INVALID_PARAMETER_VALUE"),
        ),
        ("delete-experiment-tag", {"key": "none"}, (404, "RESOURCE_DOES_NOT_EXIST")),
    ):
        full = {"experiment_id": made, **given}
        assert client.refused("POST", f"experiments/{call}", **full) == expected, (call, given)


def test_experiments_are_deleted_with_their_runs_and_come_back(
    client: Client, store: TrackingStore
) -> None:
    made = client.post("experiments/create", name="doomed")["experiment_id"]
    run_id = client.post("runs/create", experiment_id=made)["run"]["info"]["run_id"]
    assert client.post("experiments/delete", experiment_id=made) == {}
    for view, expected in (("ACTIVE_ONLY", []), ("DELETED_ONLY", ["doomed"]), ("2", ["doomed"])):
        listed = client.post("experiments/search", view_type=view, filter="name = 'doomed'")
        assert [e["name"] for e in listed["experiments"]] == expected, view
    by_name = client.get("experiments/get-by-name", experiment_name="doomed")["experiment"]
    assert by_name["lifecycle_stage"] == "deleted"
    assert client.get("runs/get", run_id=run_id)["run"]["info"]["lifecycle_stage"] == "deleted"
    assert client.post("runs/search", experiment_ids=[made])["runs"] == []
    deleted = client.post("runs/search", experiment_ids=[made], run_view_type="DELETED_ONLY")[
        "runs"
    ]
    assert [run["info"]["run_id"] for run in deleted] == [run_id]
    again = client.refused("POST", "experiments/delete", experiment_id=made)
    assert again == (404, "RESOURCE_DOES_NOT_EXIST")
    name = client.refused("POST", "experiments/create", name="doomed")
    assert name == (400, "RESOURCE_ALREADY_EXISTS")
    rename = client.refused("POST", "experiments/update", experiment_id=made, new_name="n")
    assert rename == (400, "INVALID_STATE")
    refused = client.refused("POST", "runs/create", experiment_id=made)
    assert refused == (400, "INVALID_PARAMETER_VALUE")
    client.post("experiments/restore", experiment_id=made)
    assert client.get("runs/get", run_id=run_id)["run"]["info"]["lifecycle_stage"] == "active"
    restored = client.refused("POST", "experiments/restore", experiment_id=made)
    assert restored == (404, "RESOURCE_DOES_NOT_EXIST")
    assert store.experiment(made).lifecycle == "active"


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


def test_what_the_machine_measured_does_not_hold_the_run_back(
    client: Client, store: TrackingStore, run: TrackedRun
) -> None:
    sampled = Metric(key="system/cpu_utilization_percentage", value=3.0, timestamp=1)
    store.log(run.run_id, metrics=[sampled])
    other = store.create_experiment("other").experiment_id
    client.get("experiments/get-by-name", experiment_name="other")
    client.get("runs/get", run_id=run.run_id)
    assert moved(store, run) == other
    assert store.run(run.run_id).metrics == {sampled.key: sampled}


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
