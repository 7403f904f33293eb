"""Calls about runs, as clients of several languages make them."""

import json
import math

import pytest
from driving import Client, new_run

from runner.model.tracking import TrackedRun
from runner.ports import TrackingStore

NOW = 1_700_000_000_000


def test_a_run_has_its_id_under_both_names(client: Client, run: TrackedRun) -> None:
    for name in ("run_id", "run_uuid"):
        info = client.get("runs/get", **{name: run.run_id})["run"]["info"]
        assert info["run_id"] == info["run_uuid"] == run.run_id
        assert info["artifact_uri"] == f"mlflow-artifacts:/0/{run.run_id}/artifacts"
        assert (info["status"], info["start_time"]) == ("RUNNING", NOW)
        assert "end_time" not in info


def test_a_run_is_made(client: Client, store: TrackingStore) -> None:
    tags = [{"key": "k", "value": "v"}, {"key": "mlflow.runName", "value": "mine"}]
    made = client.post("runs/create", experiment_id="0", start_time=str(NOW), tags=tags)["run"]
    found = store.run(made["info"]["run_id"])
    assert (found.name, found.started, found.status) == ("mine", NOW, "RUNNING")
    assert found.tags["k"] == "v"
    assert "mlflow.parentRunId" not in found.tags


def test_a_run_without_a_name_gets_one(client: Client) -> None:
    assert client.post("runs/create", experiment_id="0")["run"]["info"]["run_name"]


def test_two_names_that_differ_are_refused(client: Client) -> None:
    tags = [{"key": "mlflow.runName", "value": "one"}]
    found = client.refused("POST", "runs/create", run_name="two", tags=tags)
    assert found == (400, "INVALID_PARAMETER_VALUE")


def test_a_nested_project_run_gets_its_parent(
    client: Client, run: TrackedRun, store: TrackingStore
) -> None:
    project = [{"key": "mlflow.source.type", "value": "PROJECT"}]
    nested = client.post("runs/create", tags=project)["run"]["info"]["run_id"]
    assert store.run(nested).tags["mlflow.parentRunId"] == run.run_id
    given = [*project, {"key": "mlflow.parentRunId", "value": "other"}]
    other = client.post("runs/create", tags=given)["run"]["info"]["run_id"]
    assert store.run(other).tags["mlflow.parentRunId"] == "other"


def test_numbers_may_be_text_as_r_and_java_send_them(
    client: Client, run: TrackedRun, store: TrackingStore
) -> None:
    client.post(
        "runs/log-metric",
        run_uuid=run.run_id,
        key="m",
        value="0.5",
        timestamp=str(NOW),
        step="7",
    )
    (metric,) = store.history(run.run_id, "m")
    assert (metric.value, metric.timestamp, metric.step) == (0.5, NOW, 7)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_cannot_say(client: Client, run: TrackedRun, word: str) -> None:
    client.post("runs/log-metric", run_id=run.run_id, key="m", value=word, timestamp=1)
    found = client.get("metrics/get-history", run_id=run.run_id, metric_key="m")["metrics"]
    expected = float(word)
    actual = float(found[0]["value"])
    assert math.isnan(actual) if math.isnan(expected) else actual * expected > 1e308
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": "much"},
        {"value": True},
        {"value": None},
        {"value": 10**400},
        {"timestamp": "now"},
        {"timestamp": 2**63},
        {"timestamp": 1.5},
        {"timestamp": "1" * 1000},
        {"step": []},
        {"key": ""},
        {"key": "../x"},
        {"key": "/x"},
    ],
)
def test_wrong_metrics_are_refused(
    client: Client, run: TrackedRun, store: TrackingStore, wrong: dict[str, object]
) -> None:
    given = {"run_id": run.run_id, "key": "m", "value": 1, "timestamp": 1, **wrong}
    assert client.refused("POST", "runs/log-metric", **given) == (400, "INVALID_PARAMETER_VALUE")
    assert store.run(run.run_id).metrics == {}


def test_parameters(client: Client, run: TrackedRun, store: TrackingStore) -> None:
    client.post("runs/log-parameter", run_id=run.run_id, key="alpha", value="0.5")
    client.post("runs/log-parameter", run_id=run.run_id, key="empty", value="")
    client.post("runs/log-parameter", run_id=run.run_id, key="number", value=3)
    found = client.refused("POST", "runs/log-parameter", run_id=run.run_id, key="alpha", value="1")
    assert found == (400, "INVALID_PARAMETER_VALUE")
    assert store.run(run.run_id).params == {"alpha": "0.50", "empty": "", "number": "3"}


def test_a_batch_is_written_whole_or_not_at_all(
    client: Client, run: TrackedRun, store: TrackingStore
) -> None:
    batch = {
        "run_id": run.run_id,
        "metrics": [{"key": "m", "value": 1, "timestamp": 1}],
        "tags": [{"key": "t", "value": "v"}],
    }
    wrong = [{"key": "alpha", "value": "9"}]
    assert client.refused("POST", "runs/log-batch", **batch, params=wrong)[0] == 400
    assert store.run(run.run_id).metrics == {}
    client.post("runs/log-batch", **batch, params=[{"key": "beta", "value": "1"}])
    found = store.run(run.run_id)
    assert (found.metrics["m"].value, found.tags["t"], found.params["beta"]) == (1.0, "v", "1")


def test_a_batch_with_one_parameter_twice(client: Client, run: TrackedRun) -> None:
    twice = [{"key": "p", "value": "1"}, {"key": "p", "value": "2"}]
    assert client.refused("POST", "runs/log-batch", run_id=run.run_id, params=twice)[0] == 400
    client.post("runs/log-batch", run_id=run.run_id, params=[twice[0], twice[0]])


def test_tags_come_and_go(client: Client, run: TrackedRun, store: TrackingStore) -> None:
    client.post("runs/set-tag", run_id=run.run_id, key="t", value="ü ✓")
    assert store.run(run.run_id).tags["t"] == "ü ✓"
    client.post("runs/delete-tag", run_id=run.run_id, key="t")
    assert "t" not in store.run(run.run_id).tags
    found = client.refused("POST", "runs/delete-tag", run_id=run.run_id, key="t")
    assert found == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize(("status", "expected"), [("FINISHED", "FINISHED"), (4, "FAILED")])
def test_a_run_ends(
    client: Client, run: TrackedRun, store: TrackingStore, status: object, expected: str
) -> None:
    answer = client.post("runs/update", run_id=run.run_id, status=status, end_time=NOW + 1)
    assert answer["run_info"]["status"] == expected
    found = store.run(run.run_id)
    assert (found.status, found.ended) == (expected, NOW + 1)


def test_unknown_statuses_are_refused(client: Client, run: TrackedRun) -> None:
    found = client.refused("POST", "runs/update", run_id=run.run_id, status="HAPPY")
    assert found == (400, "INVALID_PARAMETER_VALUE")


def test_runs_are_renamed(client: Client, run: TrackedRun, store: TrackingStore) -> None:
    client.post("runs/update", run_id=run.run_id, run_name="other")
    assert store.run(run.run_id).name == "other"


def test_runs_are_deleted_and_restored(client: Client, run: TrackedRun) -> None:
    client.post("runs/delete", run_id=run.run_id)
    assert client.get("runs/get", run_id=run.run_id)["run"]["info"]["lifecycle_stage"] == "deleted"
    found = client.refused("POST", "runs/set-tag", run_id=run.run_id, key="k", value="v")
    assert found == (400, "INVALID_PARAMETER_VALUE")
    client.post("runs/restore", run_id=run.run_id)
    client.post("runs/set-tag", run_id=run.run_id, key="k", value="v")


def test_missing_runs(client: Client) -> None:
    gone = "0" * 32
    for method, name, more in (
        ("GET", "runs/get", {}),
        ("POST", "runs/update", {"status": "FINISHED"}),
        ("POST", "runs/delete", {}),
        ("POST", "runs/restore", {}),
        ("POST", "runs/set-tag", {"key": "k", "value": "v"}),
        ("POST", "runs/log-metric", {"key": "k", "value": 1, "timestamp": 1}),
        ("POST", "runs/log-batch", {}),
        ("POST", "runs/log-inputs", {}),
        ("POST", "runs/outputs", {"models": []}),
        ("POST", "runs/log-model", {"model_json": "{}"}),
        ("GET", "metrics/get-history", {"metric_key": "m"}),
        ("GET", "artifacts/list", {}),
    ):
        found = client.refused(method, name, run_id=gone, **more)
        assert found == (404, "RESOURCE_DOES_NOT_EXIST"), name


def test_histories_come_in_pages(client: Client, run: TrackedRun) -> None:
    metrics = [{"key": "m", "value": n, "timestamp": n, "step": n} for n in range(10)]
    client.post("runs/log-batch", run_id=run.run_id, metrics=metrics)
    found, token = [], ""
    while True:
        answer = client.get(
            "metrics/get-history",
            run_id=run.run_id,
            metric_key="m",
            max_results=4,
            page_token=token,
        )
        found += [metric["step"] for metric in answer["metrics"]]
        token = answer.get("next_page_token", "")
        if not token:
            break
    assert found == list(range(10))
    whole = client.get("metrics/get-history", run_id=run.run_id, metric_key="m")
    assert len(whole["metrics"]) == 10
    assert client.get("metrics/get-history", run_id=run.run_id, metric_key="no") == {"metrics": []}


def test_ten_thousand_metrics(client: Client, run: TrackedRun, store: TrackingStore) -> None:
    for start in range(0, 10_000, 1000):
        metrics = [
            {"key": "m", "value": n, "timestamp": NOW + n, "step": n}
            for n in range(start, start + 1000)
        ]
        client.post("runs/log-batch", run_id=run.run_id, metrics=metrics)
    assert len(store.history(run.run_id, "m")) == 10_000
    assert store.run(run.run_id).metrics["m"].value == 9999


def test_runs_are_searched(client: Client, run: TrackedRun, store: TrackingStore) -> None:
    made = [new_run(store, started=NOW + n, params={"n": str(n)}).run_id for n in range(1, 6)]
    for n, run_id in enumerate(made):
        client.post("runs/log-metric", run_id=run_id, key="m", value=n % 3, timestamp=1)

    def searched(**given: object) -> list[str]:
        found = client.post("runs/search", experiment_ids=["0"], **given)["runs"]
        return [item["info"]["run_id"] for item in found]

    newest = [*reversed(made), run.run_id]
    assert searched() == newest
    assert searched(max_results=2) == newest[:2]
    assert searched(filter="params.n = '3'") == [made[2]]
    assert searched(filter="metrics.m >= 1 and params.n != '2'") == [made[4], made[2]]
    assert searched(order_by=["metrics.m ASC", "start_time DESC"]) == [
        made[3], made[0], made[4], made[1], made[2], run.run_id,
    ]  # fmt: skip
    assert searched(run_view_type="DELETED_ONLY") == []
    client.post("runs/delete", run_id=made[0])
    assert searched(run_view_type="DELETED_ONLY") == [made[0]]
    assert len(searched(run_view_type="ALL")) == 6
    assert len(searched()) == 5


def test_search_comes_in_pages(client: Client, store: TrackingStore) -> None:
    made = {new_run(store, started=NOW + n).run_id for n in range(7)}
    found: list[str] = []
    token = ""
    while True:
        answer = client.post("runs/search", experiment_ids=["0"], max_results=3, page_token=token)
        found += [item["info"]["run_id"] for item in answer["runs"]]
        token = answer.get("next_page_token", "")
        if not token:
            break
    assert len(found) == len(set(found)) == 8
    assert made < set(found)


def test_search_in_no_experiment_finds_nothing(client: Client) -> None:
    assert client.post("runs/search")["runs"] == []
    assert client.post("runs/search", experiment_ids=["99"])["runs"] == []


@pytest.mark.parametrize(
    "given",
    [
        {"filter": "nonsense"},
        {"filter": "metrics.m = 'text'"},
        {"filter": "weather.today = 'x'"},
        {"filter": "params.a = 'b' OR params.c = 'd'"},
        {"order_by": ["weather.today"]},
        {"run_view_type": "SOME"},
        {"max_results": 0},
        {"max_results": 50_001},
        {"page_token": "x"},
    ],
)
def test_searches_that_make_no_sense(client: Client, given: dict[str, object]) -> None:
    found = client.refused("POST", "runs/search", experiment_ids=["0"], **given)
    assert found == (400, "INVALID_PARAMETER_VALUE")


def test_limits_of_a_batch(client: Client, run: TrackedRun, store: TrackingStore) -> None:
    def metrics(count: int) -> list[dict[str, object]]:
        return [{"key": f"m{n}", "value": n, "timestamp": 1} for n in range(count)]

    def pairs(count: int) -> list[dict[str, str]]:
        return [{"key": f"k{n}", "value": "v"} for n in range(count)]

    for batch in (
        {"metrics": metrics(1001)},
        {"params": pairs(101)},
        {"tags": pairs(101)},
        {"metrics": metrics(900), "params": pairs(50), "tags": pairs(51)},
    ):
        refused = client.refused("POST", "runs/log-batch", run_id=run.run_id, **batch)
        assert refused == (400, "INVALID_PARAMETER_VALUE")
    assert store.run(run.run_id).metrics == {}
    client.post("runs/log-batch", run_id=run.run_id, metrics=metrics(1000))
    client.post("runs/log-batch", run_id=run.run_id, params=pairs(100), tags=pairs(100))
    found = store.run(run.run_id)
    assert (len(found.metrics), len(found.params)) == (1000, 101)


def test_long_values_are_cut_and_long_keys_refused(
    client: Client, run: TrackedRun, store: TrackingStore
) -> None:
    client.post("runs/log-parameter", run_id=run.run_id, key="p", value="ü" * 7000)
    client.post("runs/set-tag", run_id=run.run_id, key="t", value="x" * 9000)
    pairs = [{"key": "b", "value": "y" * 9000}]
    client.post("runs/log-batch", run_id=run.run_id, params=pairs, tags=pairs)
    found = store.run(run.run_id)
    assert (len(found.params["p"]), len(found.tags["t"])) == (6000, 8000)
    assert (len(found.params["b"]), len(found.tags["b"])) == (6000, 8000)
    long = "k" * 251
    for call in ("runs/log-parameter", "runs/set-tag", "runs/log-metric"):
        given = {"run_id": run.run_id, "key": long, "value": "1", "timestamp": 1}
        assert client.refused("POST", call, **given) == (400, "INVALID_PARAMETER_VALUE"), call


def test_runs_are_found_by_their_datasets(
    client: Client, run: TrackedRun, store: TrackingStore
) -> None:
    other = new_run(store)
    tags = [{"key": "mlflow.data.context", "value": "training"}]
    for name, digest in (("wine", "d1"), ("beer", "d2")):
        dataset = {"name": name, "digest": digest, "source_type": "local", "source": "{}"}
        item = {"dataset": dataset, "tags": tags if name == "wine" else []}
        client.post("runs/log-inputs", run_id=run.run_id, datasets=[item])
    for text, expected in (
        ("dataset.name = 'wine'", {run.run_id}),
        ("datasets.digest IN ('d2', 'd3')", {run.run_id}),
        ("dataset.context = 'training' AND dataset.name = 'beer'", {run.run_id}),
        ("dataset.name LIKE 'wi%'", {run.run_id}),
        ("dataset.name = 'water'", set()),
        ("dataset.context = 'eval'", set()),
        ("attributes.run_name = 'tested'", {run.run_id, other.run_id}),
    ):
        found = client.post("runs/search", experiment_ids=["0"], filter=text)["runs"]
        assert {r["info"]["run_id"] for r in found} == expected, text
    for wrong in ("dataset.color = 'red'", "dataset.name = 5", "params.alpha = 0.5"):
        refused = client.refused("POST", "runs/search", experiment_ids=["0"], filter=wrong)
        assert refused == (400, "INVALID_PARAMETER_VALUE")
    summaries = client.post("experiments/search-datasets", experiment_ids=["0"])
    assert sorted(s["name"] for s in summaries["dataset_summaries"]) == ["beer", "wine"]
    assert {s.get("context") for s in summaries["dataset_summaries"]} == {None, "training"}
    assert client.refused("POST", "experiments/search-datasets")[0] == 400
