"""The workflow of three steps, each a run of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.conftest import Caller

MULTISTEP = str(Path(__file__).parents[2] / "example_projects/multistep")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_steps_are_linked_to_the_main_run_and_to_each_other(caller: Caller) -> None:
    ended = caller("run", MULTISTEP, "-P", "seed=1")
    assert "g = 9." in ended.stdout + ended.stderr
    runs = {
        run["tags"]["mlflow.project.entryPoint"]: run
        for run in (
            caller.json("runs", "show", listed["run_id"]) for listed in caller.json("runs", "list")
        )
    }
    assert set(runs) == {"main", "load", "transform", "train"}
    assert {run["status"] for run in runs.values()} == {"FINISHED"}
    main = runs.pop("main")["run_id"]
    assert {run["tags"]["mlflow.parentRunId"] for run in runs.values()} == {main}
    assert runs["train"]["metrics"]["g"]["value"] == pytest.approx(9.81, abs=0.1)

    source = f"runs:/{runs['load']['run_id']}/falls.csv"
    assert runs["transform"]["params"] == {"falls": source}
    (record,) = caller.folder.rglob(f"{runs['transform']['run_id']}/artifacts/runproj/record.json")
    (found,) = json.loads(record.read_text())["inputs"]
    assert found["given"] == source
    assert found["digest"].startswith("sha256:")


def test_the_same_seed_gives_the_same_answer(caller: Caller) -> None:
    for _ in range(2):
        caller("run", MULTISTEP, "-e", "load", "-P", "seed=3")
    first, second = caller.folder.rglob("artifacts/falls.csv")
    assert first.read_bytes() == second.read_bytes()


def test_a_failing_step_fails_the_main_run(caller: Caller) -> None:
    caller("run", MULTISTEP, "-e", "transform", "-P", "falls=absent.csv", code=2)
    assert not (caller.folder / "mlflow.db").exists()
