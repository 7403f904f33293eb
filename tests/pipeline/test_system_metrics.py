"""From samples in a job folder to metrics of a run, live, at the end, and after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from runner.errors import UsageError
from runner.model.tracking import TrackedRun
from runner.model.value import RunId
from runner.pipeline.system_metrics import Samples, parsed
from runner.settings import sampling
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.ports import TrackingStore

CPU = "system/cpu_utilization_percentage"
PROJECT = """\
entry_points:
  main:
    command: "until [ -e {go} ]; do sleep 0.05; done"
    parameters: {go: string}
  noticed:
    command: "until [ -s $RUNPROJ_HOME/jobs/$MLFLOW_RUN_ID/system.metrics ]; do sleep 0.05; done"
  told:
    command: "echo $RUNPROJ_SYSTEM_METRICS $MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
"""


@pytest.fixture(params=["sqlite:///mlflow.db", "mlruns"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> TrackingStore:
    return open_store(request.param, directory=str(tmp_path), environ={})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    (path / "MLproject").write_text(PROJECT)
    return path


def new_run(store: TrackingStore) -> RunId:
    fields = {"name": "", "status": "RUNNING", "started": 1, "ended": None, "artifact_uri": ""}
    return store.create_run(
        TrackedRun(run_id=RunId(""), experiment_id="0", **fields)  # type: ignore[arg-type]
    ).run_id


def line(moment: int, step: int, value: float, name: str = CPU) -> str:
    return f"{moment} {step} {name} {value!r}\n"


def until(condition: Callable[[], bool], within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_each_sample_is_logged_once(store: TrackingStore, tmp_path: Path) -> None:
    run_id = new_run(store)
    path = tmp_path / "system.metrics"
    live = Samples(store, run_id, str(tmp_path), fresh=True)
    live.deliver()  # there is no file yet
    path.write_text(line(1000, 0, 12.5) + line(2000, 1, 50.0)[:10])
    live.deliver()
    assert [m.value for m in store.history(run_id, CPU)] == [12.5]
    path.write_text(line(1000, 0, 12.5) + line(2000, 1, 50.0))
    live.deliver()
    live.deliver()
    with path.open("a") as file:
        file.write(line(3000, 2, 75.0) + "3000 2 system/disk_usa")
    Samples(store, run_id, str(tmp_path), fresh=False).deliver()
    assert [(m.timestamp, m.step, m.value) for m in store.history(run_id, CPU)] == [
        (1000, 0, 12.5),
        (2000, 1, 50.0),
        (3000, 2, 75.0),
    ]
    assert store.run(run_id).metrics.keys() == {CPU}


def test_lines_that_are_none_of_ours_are_left_out() -> None:
    lines = ["", "x", "1 0 loss 3.0", f"1 0 {CPU} nan", f"1 0 {CPU} x", f"a 0 {CPU} 1", "\0 \xff"]
    content = "\n".join([*lines, f"5 1 {CPU} 2.5"]).encode("latin-1") + b"\n"
    assert [(m.timestamp, m.step, m.value) for m in parsed(content)] == [(5, 1, 2.5)]


def call(runproj: Path, tmp_path: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [runproj, "run", "project", "--env-manager", "local", *arguments],
        cwd=tmp_path,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
    )


def the_run(tmp_path: Path) -> TrackedRun | None:
    store = open_store("sqlite:///mlflow.db", directory=str(tmp_path), environ={})
    try:
        runs = store.runs(["0"]).runs
        return runs[0] if runs else None
    finally:
        store.close()


@pytest.mark.usefixtures("project")
def test_samples_come_in_while_the_command_runs(runproj: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go_to = ("-P", f"go={go}")
    with call(runproj, tmp_path, *go_to, MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL="0.2") as process:
        until(lambda: CPU in getattr(the_run(tmp_path), "metrics", {}))
        run = the_run(tmp_path)
        assert run is not None
        assert run.status == "RUNNING"
        go.touch()
        assert process.wait(60) == 0
    ended = the_run(tmp_path)
    assert ended is not None
    assert ended.status == "FINISHED"
    assert ended.metrics["system/process/count"].value >= 1


@pytest.mark.usefixtures("project")
def test_the_end_brings_what_is_there(runproj: Path, tmp_path: Path, home: Path) -> None:
    variables = {"MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "0.1"}
    with call(runproj, tmp_path, "-e", "noticed", **variables) as process:
        assert process.wait(60) == 0
    run = the_run(tmp_path)
    assert run is not None
    assert "system/disk_usage_percentage" in run.metrics
    assert os.listdir(home / "jobs") == []


@pytest.mark.usefixtures("project")
def test_a_killed_runproj_loses_no_sample(runproj: Path, tmp_path: Path, home: Path) -> None:
    variables = {"MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "0.3"}
    with call(runproj, tmp_path, "-P", f"go={tmp_path}/never", **variables) as process:
        until(lambda: any(home.glob("jobs/*/system.metrics")))
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    until(lambda: getattr(the_run(tmp_path), "status", "") == "KILLED")
    run = the_run(tmp_path)
    assert run is not None
    assert "system/disk_usage_percentage" in run.metrics
    until(lambda: not os.listdir(home / "jobs"))


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [((), "10 false\n"), (("--no-system-metrics",), "false\n")],
)
def test_what_the_command_is_told(
    arguments: tuple[str, ...], told: str, runproj: Path, tmp_path: Path
) -> None:
    with call(runproj, tmp_path, "-e", "told", *arguments) as process:
        assert process.communicate(timeout=60)[0] == told
    run = the_run(tmp_path)
    assert run is not None
    assert run.status == "FINISHED"


@pytest.mark.parametrize(
    ("variables", "wanted", "seconds"),
    [
        ({}, None, 10.0),
        ({}, False, 0.0),
        ({"MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false"}, None, 0.0),
        ({"MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "False"}, True, 10.0),
        ({"MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true"}, None, 10.0),
        ({"MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "2.5"}, None, 2.5),
        ({"MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "2.5"}, False, 0.0),
        ({"RUNPROJ_SYSTEM_METRICS": "false"}, None, 0.0),
        ({"RUNPROJ_SYSTEM_METRICS": "5"}, None, 5.0),
        (
            {"RUNPROJ_SYSTEM_METRICS": "5", "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false"},
            None,
            5.0,
        ),
    ],
)
def test_who_decides(variables: dict[str, str], *, wanted: bool | None, seconds: float) -> None:
    assert sampling(variables, wanted) == seconds


@pytest.mark.parametrize("text", ["x", "-1", "0", "nan", "1e9"])
def test_no_interval(text: str) -> None:
    with pytest.raises(UsageError, match="seconds"):
        sampling({"MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": text}, None)
