"""Histories of metrics: of one run in pages, of many at once, thinned out for charts."""

import pytest
from driving import Client, new_run

from runner.model.tracking import Metric, TrackedRun
from runner.ports import TrackingStore


@pytest.fixture
def runs(store: TrackingStore) -> list[TrackedRun]:
    made = [new_run(store) for _ in range(2)]
    for run, steps in zip(made, (range(0, 1000, 2), range(5, 50)), strict=True):
        metrics = [Metric(key="m", value=float(s), timestamp=s + 1, step=s) for s in steps]
        store.log(run.run_id, metrics=metrics)
    return made


def test_a_history_in_pages(client: Client, runs: list[TrackedRun]) -> None:
    given = {"run_id": runs[0].run_id, "metric_key": "m"}
    assert len(client.get("metrics/get-history", **given)["metrics"]) == 500
    steps, token = [], ""
    while True:
        page = client.get("metrics/get-history", **given, max_results=200, page_token=token)
        steps += [metric["step"] for metric in page["metrics"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert steps == [*range(0, 1000, 2)]
    assert client.get("metrics/get-history", run_id=runs[0].run_id, metric_key="x") == {
        "metrics": []
    }
    for wrong in ({"max_results": 0}, {"max_results": "x"}, {"page_token": "?"}):
        refused = client.refused("GET", "metrics/get-history", **given, **wrong)
        assert refused == (400, "INVALID_PARAMETER_VALUE")
    refused = client.refused("GET", "metrics/get-history", run_id="none", metric_key="m")
    assert refused == (404, "RESOURCE_DOES_NOT_EXIST")


def test_histories_of_many_runs(client: Client, runs: list[TrackedRun]) -> None:
    ids = [run.run_id for run in runs]
    found = client.get("metrics/get-history-bulk", run_id=ids, metric_key="m")["metrics"]
    assert len(found) == 545
    assert [metric["run_id"] for metric in found] == sorted(m["run_id"] for m in found)
    of_second = [m["step"] for m in found if m["run_id"] == ids[1]]
    assert of_second == [*range(5, 50)]
    few = client.get("metrics/get-history-bulk", run_id=ids, metric_key="m", max_results=3)
    assert len(few["metrics"]) == 3
    for wrong in (
        {"metric_key": "m"},
        {"run_id": ids},
        {"run_id": [str(n) for n in range(101)], "metric_key": "m"},
    ):
        refused = client.refused("GET", "metrics/get-history-bulk", **wrong)
        assert refused == (400, "INVALID_PARAMETER_VALUE")


def test_histories_for_charts(client: Client, runs: list[TrackedRun]) -> None:
    ids = [run.run_id for run in runs]
    call = "metrics/get-history-bulk-interval"
    given = {"run_ids": ids, "metric_key": "m"}
    found = client.get(call, **given, max_results=10)["metrics"]
    first, second = ([m["step"] for m in found if m["run_id"] == run_id] for run_id in ids)
    assert {0, 998} <= set(first)
    assert {5, 49} <= set(second)
    assert first == sorted(first)
    assert len(first) <= 14
    part = client.get(call, **given, start_step=10, end_step=20)["metrics"]
    assert {m["step"] for m in part if m["run_id"] == ids[0]} == {10, 12, 14, 16, 18, 20}
    assert {m["step"] for m in part if m["run_id"] == ids[1]} == {*range(10, 21)}
    assert client.get(call, run_ids=ids, metric_key="none") == {"metrics": []}
    for wrong in (
        {"start_step": 1},
        {"end_step": 1},
        {"start_step": 3, "end_step": 1},
        {"max_results": 0},
        {"max_results": 2501},
    ):
        refused = client.refused("GET", call, **given, **wrong)
        assert refused == (400, "INVALID_PARAMETER_VALUE"), wrong
    assert client.refused("GET", call, metric_key="m")[0] == 400
