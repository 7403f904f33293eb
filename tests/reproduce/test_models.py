"""The models that MLflow 3 keeps beside the runs, compared with the runs that logged them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from driving import new_run

from runner.model.tracking import LoggedModel, Metric, ModelMetric
from runner.model.value import RunId
from runner.model.verdict import Tolerance, Tolerances
from runner.pipeline.comparison import Side, compared, histories
from runner.pipeline.tolerance import combined
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.model.tracking import TrackedRun
    from runner.model.verdict import Comparison
    from runner.ports import TrackingStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TrackingStore]:
    made = open_store(f"sqlite:///{tmp_path}/mlflow.db", directory=str(tmp_path), environ={})
    yield made
    made.close()


def logged(
    store: TrackingStore, number: int, alpha: str = "0.5", weights: str = "1.0"
) -> TrackedRun:
    """Return a run that logged two models of one name, whose files tell their ids."""
    run = new_run(store, status="FINISHED", ended=1_700_000_000_001)
    models = store.model_store
    assert models is not None
    for again in range(2):
        identity = f"m-{number}{again}" + "0" * 28
        model = models.create_model(
            LoggedModel(
                model_id=identity, experiment_id="0", name="forest", source_run_id=run.run_id,
                created=again, updated=again, params={"alpha": alpha},
            )
        )  # fmt: skip
        files = models.model_artifacts(model)
        files.put(
            "MLmodel", f"model_id: {identity}\nrun_id: {run.run_id}\nflavors: {{}}\n".encode()
        )
        files.put("note.txt", f"model {identity} of {run.run_id}\n".encode())
        files.put("weights.json", f'{{"w": {weights}}}'.encode())
    return run


def judgements(store: TrackingStore, one: TrackedRun, other: TrackedRun) -> dict[str, str]:
    outcome = {"status": "FINISHED", "reason": "exit", "exit_code": 0}
    found = compared(Side(store, one, outcome), Side(store, other, outcome), combined(Tolerances()))
    return {c.name: c.judgement for c in found}


def test_models_of_two_runs_are_the_same_but_for_their_ids(store: TrackingStore) -> None:
    found = judgements(store, logged(store, 1), logged(store, 2))
    for name in ("forest", "forest#2"):
        assert found.pop(f"models/{name}/alpha") == "identical"
        assert found.pop(f"models/{name}/MLmodel") == "equivalent"
        assert found.pop(f"models/{name}/note.txt") == "equivalent"
        assert found.pop(f"models/{name}/weights.json") == "identical"
    assert found == {"status": "identical"}


def test_another_model_and_a_missing_one_diverge(store: TrackingStore) -> None:
    reference = logged(store, 1)
    found = judgements(store, reference, logged(store, 2, alpha="0.6", weights="1.5"))
    assert found["models/forest/alpha"] == "diverged"
    assert found["models/forest/weights.json"] == "diverged"
    found = judgements(store, reference, new_run(store, status="FINISHED"))
    assert found["models/forest#2/MLmodel"] == "missing"


def test_the_same_output_has_no_remark(store: TrackingStore) -> None:
    one, same, other = (new_run(store, status="FINISHED") for _ in range(3))
    for run, text in ((one, "done"), (same, "done"), (other, "done ")):
        store.artifacts(run).put("runproj/stdout.log", f"{text}\n".encode())
    outcome = {"status": "FINISHED", "reason": "exit", "exit_code": 0}
    for run, judgement, remark in ((same, "identical", ""), (other, "equivalent", "only")):
        sides = Side(store, one, outcome), Side(store, run, outcome)
        (_, output) = compared(*sides, combined(Tolerances()))
        assert (output.judgement, output.detail[:4]) == (judgement, remark)


def measure(
    store: TrackingStore, run: TrackedRun, number: int, values: list[float], by: str = ""
) -> None:
    """Log a metric of a run's first model at each step, as measured on a dataset by a run."""
    assert store.lineage_store is not None
    store.lineage_store.log_model_metrics(
        ModelMetric(
            model_id=f"m-{number}0" + "0" * 28, run_id=RunId(by or run.run_id), dataset_name="test",
            metric=Metric(key="accuracy", value=value, timestamp=1 + step, step=step),
            dataset_digest="d",
        )
        for step, value in enumerate(values)
    )  # fmt: skip


def judged(
    store: TrackingStore, one: TrackedRun, other: TrackedRun, tolerance: Tolerance
) -> Comparison:
    outcome = {"status": "FINISHED", "reason": "exit", "exit_code": 0}
    rules = combined(Tolerances(metrics=(("accuracy", tolerance),)))
    found = compared(Side(store, one, outcome), Side(store, other, outcome), rules)
    (comparison,) = [c for c in found if c.kind == "metric"]
    assert comparison.name == "models/forest/accuracy on test"
    return comparison


def test_metrics_of_models_are_compared_with_their_histories(store: TrackingStore) -> None:
    reference, again, other = (logged(store, number) for number in (1, 2, 3))
    measure(store, reference, 1, [0.5, 0.75])
    measure(store, again, 2, [0.5, 0.75])
    measure(store, other, 3, [0.625, 0.75])
    measure(store, reference, 1, [0.1], by=other.run_id)  # of another run, and so no result of this
    exact = Tolerance()
    assert judged(store, reference, again, exact).judgement == "identical"
    found = judged(store, reference, other, exact)
    assert (found.judgement, found.difference) == ("diverged", 0.125)
    assert found.detail == "first at step 0: 0.5 -> 0.625"
    assert judged(store, reference, other, Tolerance(history=False)).judgement == "identical"
    assert judged(store, reference, other, Tolerance(absolute=0.2)).judgement == "equivalent"
    assert judged(store, reference, other, Tolerance(ignore=True)).judgement == "ignored"
    assert judged(store, reference, logged(store, 4), exact).judgement == "missing"
    plotted = histories(Side(store, reference, {}), Side(store, again, {}))
    assert [m.value for m in plotted["models/forest/accuracy on test"][0]] == [0.5, 0.75]
