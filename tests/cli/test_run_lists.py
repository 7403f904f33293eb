"""``runproj runs list`` and ``export``: which runs, which columns, which form."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from some_runs import STARTED, add

from runner.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    from runner.ports import TrackingStore

NAN = float("nan")


@pytest.fixture
def filled(store: TrackingStore) -> TrackingStore:
    """Three runs, of which the last one began first."""
    wine = store.create_experiment("wine")
    for at, (alpha, loss) in enumerate([("0.1", 3.0), ("0.2", NAN), ("0.3", 1.0)]):
        add(
            store,
            name=f"run-{at}",
            started=STARTED - at * 1000,
            ended=STARTED + 500,
            status="FAILED" if at == 1 else "FINISHED",
            experiment_id=wine.experiment_id if at == 2 else "0",
            params={"alpha": alpha, "same": "yes"},
            tags={"team": f"blue, {at}\n"},
            metrics={"loss": [9.0, loss], "system/x": [1.0]},
        )
    return store


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str, code: int = 0) -> str:
        assert main(["runs", *arguments]) == code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return err if code else out

    return call


def names(document: str) -> str:
    return " ".join(run["name"] for run in json.loads(document))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "run-0 run-1 run-2"),
        (("--filter", "metrics.loss < 2"), "run-2"),
        (("--filter", "params.alpha = '0.2' and attributes.status = 'FAILED'"), "run-1"),
        (("--filter", "params.alpha IN ('0.1', '0.3')"), "run-0 run-2"),
        (("--filter", "attributes.run_name LIKE 'RUN%'"), ""),
        (("--filter", "attributes.run_name ILIKE 'RUN%'", "-n", "2"), "run-0 run-1"),
        (("--order-by", "metrics.loss"), "run-2 run-0 run-1"),
        (("--order-by", "metrics.loss DESC", "-n", "1"), "run-0"),
        (("--order-by", "params.same", "--order-by", "start_time"), "run-2 run-1 run-0"),
        (("--experiment", "wine"), "run-2"),
        (("--experiment", "wine", "--experiment", "0"), "run-0 run-1 run-2"),
    ],
)
@pytest.mark.usefixtures("filled")
def test_which_runs(options: tuple[str, ...], expected: str, told: Any) -> None:
    assert names(told("list", "--json", *options)) == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--filter", "metrics.loss <"), "Invalid filter"),
        (("--filter", "colour = 'red'"), "colour"),
        (("--order-by", "DESC"), "order_by"),
        (("--columns", "nmae"), "did you mean 'name'?"),
        (("--columns", "params."), "params."),
        (("--columns", "things.x"), "there are: run,"),
        (("--watch",), "needs a terminal"),
        (("--watch", "0"), "0.1 to 86400"),
        (("--watch", "--json"), "--watch"),
        (("--csv", "--json"), "contradict"),
        (("--limit", "0"), "--all"),
    ],
)
@pytest.mark.usefixtures("filled")
def test_what_makes_no_sense(options: tuple[str, ...], words: str, told: Any) -> None:
    err = told("list", *options, code=2)
    assert err.startswith("error[")
    assert words in err


@pytest.mark.usefixtures("filled")
def test_columns(told: Any) -> None:
    out = told("list", "--columns", "name, metrics.*, params.alpha, tags.team, took")
    head, *body = out.splitlines()
    assert head.split() == ["NAME", "metrics.loss", "params.alpha", "tags.team", "TOOK"]
    assert [row.split()[:3] for row in body] == [
        ["run-0", "3", "0.1"],
        ["run-1", "nan", "0.2"],
        ["run-2", "1", "0.3"],
    ]
    assert "blue, 0\\n" in body[0]
    assert "system/x" in told("list", "--columns", "metrics.sys*")
    more = told("list", "--columns", "+metrics.loss").splitlines()[0].split()
    assert more == [
        *("RUN", "STATUS", "STARTED", "TOOK", "EXPERIMENT", "NAME", "SOURCE", "metrics.loss")
    ]


@pytest.mark.usefixtures("filled")
def test_values_for_programs(told: Any) -> None:
    options = ("list", "--columns", "name,started,took,metrics.loss,params.none,experiment")
    rows = [*csv.reader(io.StringIO(told(*options, "--csv")))]
    assert rows[0] == ["name", "started", "took", "metrics.loss", "params.none", "experiment"]
    assert rows[1] == ["run-0", "2026-11-21T07:19:07.000+00:00", "0.5", "3.0", "", "Default"]
    assert rows[2][3] == "NaN"
    found = json.loads(told(*options, "--json"), parse_constant=pytest.fail)
    assert found[1]["metrics.loss"] == "NaN"
    assert found[2] == {
        "name": "run-2",
        "started": "2026-11-21T07:19:05.000+00:00",
        "took": 2.5,
        "metrics.loss": 1.0,
        "params.none": None,
        "experiment": "wine",
    }


@pytest.mark.usefixtures("filled")
def test_export_to_text(told: Any, here: Path) -> None:
    told("export", "all.csv", "--columns", "name,tags.*")
    rows = [*csv.DictReader(io.StringIO((here / "all.csv").read_text()))]
    assert [row["name"] for row in rows] == ["run-0", "run-1", "run-2"]
    assert rows[2]["tags.team"] == "blue, 2\n"
    told("export", "all.json")
    whole = json.loads((here / "all.json").read_text())
    assert whole[0]["params"] == {"alpha": "0.1", "same": "yes"}
    told("export", "some.jsonl", "--filter", "metrics.loss < 5", "--order-by", "params.alpha DESC")
    lines = (here / "some.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["run-2", "run-0"]
    assert told("export", "-", "--format", "csv", "-n", "1").count("\n") == 2
    told("export", "none.json", "--filter", "params.alpha = 'x'")
    assert json.loads((here / "none.json").read_text()) == []
    assert sorted(p.name for p in here.iterdir() if "partial" in p.name) == []


@pytest.mark.usefixtures("filled")
def test_export_to_parquet(told: Any, here: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    told("export", "all.parquet")
    table = parquet.read_table(here / "all.parquet")
    assert table.column_names[:4] == ["run_id", "name", "experiment", "status"]
    assert table["metrics.loss"].type == "double"
    assert str(table["started"].type) == "timestamp[ms, tz=UTC]"
    assert table["metrics.loss"].to_pylist()[::2] == [3.0, 1.0]
    assert table["params.alpha"].to_pylist() == ["0.1", "0.2", "0.3"]
    assert table["started"].to_pylist()[0].timestamp() * 1000 == STARTED


@pytest.mark.usefixtures("filled")
def test_parquet_without_pyarrow(told: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "runproj[parquet]" in told("export", "all.parquet", code=125)
    assert not list(here.glob("all*"))


@pytest.mark.parametrize(
    "arguments", [["x"], ["x.txt"], ["-"], ["-", "--format", "parquet"], ["x.csv", "-n", "0"], []]
)
@pytest.mark.usefixtures("here")
def test_exports_that_make_no_sense(arguments: list[str], told: Any) -> None:
    assert told("export", *arguments, code=2).startswith("error[usage]")


@pytest.mark.usefixtures("filled")
def test_an_export_that_fails_leaves_the_old_file(told: Any, here: Path) -> None:
    (here / "all.csv").write_text("old")
    told("export", "all.csv", "--filter", "bogus", code=2)
    assert (here / "all.csv").read_text() == "old"
    assert "nowhere" in told("export", "nowhere/all.csv", code=125)


def test_many_runs_are_read_as_they_are_needed(here: Path, told: Any) -> None:
    from runner.pipeline import lookup
    from runner.stores.opening import open_store

    store = open_store("sqlite:///mlflow.db", directory=str(here), environ={})
    for at in range(30):
        add(store, name=f"run-{at}", started=STARTED + at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookup, "PAGE", 7)
        patch.setattr("runner.cli.selection.PAGE", 7)
        assert len(json.loads(told("list", "--json", "--all"))) == 30
        out = told("list", "--json", "--filter", "attributes.run_name LIKE '%5'")
        assert names(out) == "run-25 run-15 run-5"


def test_a_terminal_that_knows_only_ascii(here: Path, runproj: Path) -> None:
    from runner.stores.opening import open_store

    store = open_store("sqlite:///mlflow.db", directory=str(here), environ={})
    run = add(store, name="Größe", metrics={"loss": [3.0, 1.0, NAN]})
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [runproj, "runs", "show", run.run_id], capture_output=True, check=True, env=environ
    )
    assert b"Gr\\xf6\\xdfe" in done.stdout
    assert b"#_?" in done.stdout
