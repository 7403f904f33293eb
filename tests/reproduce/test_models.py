"""The models that MLflow 3 keeps beside the runs, compared with the runs that logged them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from driving import new_run

from runner.model.tracking import LoggedModel
from runner.model.verdict import Tolerances
from runner.pipeline.comparison import Side, compared
from runner.pipeline.tolerance import combined
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.model.tracking import TrackedRun
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
