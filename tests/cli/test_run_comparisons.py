"""``runproj runs compare``: what differs, and which is the best."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from some_runs import STARTED, add

from runner.cli.comparing import Goals
from runner.cli.main import main

if TYPE_CHECKING:
    from runner.ports import TrackingStore


@pytest.fixture
def ids(store: TrackingStore) -> list[str]:
    return [
        add(
            store,
            name=f"run-{at}",
            started=STARTED - at,
            params={"alpha": str(at), "same": "1"},
            tags={"note": "x" if at else "y", "mlflow.source.git.commit": "c" * 40},
            metrics={
                "loss": [3.0, 2.0 - at / 10],
                "accuracy": [0.5 + at],
                "odd": [1.0] if at < 2 else [float("nan")],
                "equal": [5.0],
                "system/x": [float(at)],
            },
        ).run_id
        for at in range(3)
    ]


def test_only_what_differs(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "compare", *(i[:12] for i in ids)]) == 0
    out, err = capsys.readouterr()
    rows = {line[:8].strip(): line.split()[1:] for line in out.splitlines() if line.strip()}
    assert rows["alpha"] == ["0", "1", "2"]
    assert rows["loss"] == ["2", "1.9", "1.8", "*"]
    assert rows["accuracy"] == ["0.5", "1.5", "2.5", "*"]
    assert rows["odd"] == ["1", "1", "nan"]
    assert rows["note"] == ["y", "x", "x"]
    assert not {"same", "equal", "commit", "x"} & rows.keys()
    assert "█" in out
    assert "1 parameters" in err
    assert main(["runs", "compare", "--all", "--no-history", *ids]) == 0
    out = capsys.readouterr().out
    assert "same" in out
    assert "equal" in out
    assert "system" in out
    assert "█" not in out


def test_as_json(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "compare", "--json", *ids]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [run["run_id"] for run in found["runs"]] == ids
    assert found["parameters"] == {"alpha": ["0", "1", "2"]}
    assert found["metrics"]["loss"] == {"values": [2.0, 1.9, 1.8], "best": [ids[2]]}
    assert found["metrics"]["odd"]["values"] == [1.0, 1.0, "NaN"]


def test_chosen_by_filter_and_order(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--filter", "params.alpha != '1'", "--order-by", "metrics.loss", "--json"]
    assert main(["runs", "compare", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["run_id"] for run in found["runs"]] == [ids[2], ids[0]]


@pytest.mark.parametrize(
    "arguments",
    [[], ["ID0"], ["ID0", "ID0"], ["ID0", "--filter", "metrics.loss > 0"], ["--order-by", "x"]],
)
def test_comparisons_that_make_no_sense(
    arguments: list[str], ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "compare", *(ids[0] if a == "ID0" else a for a in arguments)]) == 2
    assert capsys.readouterr().err.startswith("error[")


def test_what_is_good() -> None:
    goals = Goals(lower=("cost/*",), higher=("my_loss",))
    best = {
        name: choose and choose([1.0, 2.0])
        for name in ("val_RMSE", "accuracy", "cost/eur", "my_loss", "depth")
        for choose in [goals.best(name)]
    }
    assert best == {
        "val_RMSE": 1.0,
        "accuracy": 2.0,
        "cost/eur": 1.0,
        "my_loss": 2.0,
        "depth": None,
    }
