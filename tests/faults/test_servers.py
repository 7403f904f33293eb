"""Servers that fail: the run goes on, nothing is lost, nothing is written twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest
from faulty_server import FaultyServer
from libraries import fresh

from runner.pipeline.store_reading import every_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runner.model.tracking import TrackedRun

PROJECT = """\
name: noop
entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.5}
    command: "echo trained {alpha}; %s"
"""
LOGGING = r"""
import json, os, sys, urllib.request

def post(call, **given):
    request = urllib.request.Request(
        os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/" + call,
        json.dumps(given).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())

run_id = os.environ["MLFLOW_RUN_ID"]
for step in range(5):
    post("runs/log-metric", run_id=run_id, key="loss", value=step / 2, timestamp=step, step=step)
post("runs/log-parameter", run_id=run_id, key="depth", value="3")
"""


class Scene:
    """A project, a caller's folder, and a server that fails."""

    def __init__(self, folder: Path, runproj: Path) -> None:
        self.folder = folder
        self.runproj = runproj
        self.project = folder / "project"
        self.project.mkdir()
        (folder / "server").mkdir()
        self.server = FaultyServer(folder / "server", fresh("9" * 32))
        self.commands("true")

    def commands(self, script: str) -> None:
        (self.project / "MLproject").write_text(PROJECT % script)

    def logs(self) -> None:
        (self.project / "train.py").write_text(textwrap.dedent(LOGGING))
        self.commands("python3 train.py")

    def call(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        quick = {
            "MLFLOW_TRACKING_URI": self.server.url,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0.01",
        }
        return subprocess.run(
            (str(self.runproj), *arguments),
            cwd=self.folder,
            env={**os.environ, **quick, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.call("run", "project", "--env-manager", "local", *arguments, **variables)

    def sync(self, *arguments: str) -> list[dict[str, Any]]:
        done = self.call("sync", "--json", *arguments)
        assert not done.stderr, done.stderr
        found = json.loads(done.stdout)
        assert isinstance(found, list)
        return found

    def runs(self) -> list[TrackedRun]:
        store = self.server.store
        return [r for e in store.experiments() for r in every_run(store, e.experiment_id)]

    def record(self, run: TrackedRun) -> dict[str, Any]:
        with self.server.store.artifacts(run).open("runproj/record.json") as file:
            found = json.loads(file.read())
        assert isinstance(found, dict)
        return found

    def output(self, run: TrackedRun) -> bytes:
        with self.server.store.artifacts(run).open("runproj/stdout.log") as file:
            return file.read()

    def complete(self, run: TrackedRun, alpha: str = "0.5") -> None:
        """The run is on the server with all that belongs to it."""
        assert (run.status, run.params["alpha"]) == ("FINISHED", alpha)
        assert run.tags["mlflow.source.type"] == "PROJECT"
        assert self.output(run) == f"trained {alpha}\n".encode()
        record = self.record(run)
        assert record["outcome"]["status"] == "FINISHED"
        assert record["environment"]["manager"] == "local"


@pytest.fixture
def scene(tmp_path: Path, runproj: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, runproj)
    yield made
    made.server.close()


def waiting(home: Path) -> list[str]:
    return sorted(path.parent.name for path in (home / "spool").glob("*/*/spool.json"))


def test_a_server_that_is_well_gets_it_all_and_nothing_is_spooled(scene: Scene, home: Path) -> None:
    done = scene.run()
    assert done.returncode == 0, done.stderr
    (run,) = scene.runs()
    scene.complete(run)
    assert not (home / "spool").exists()
    assert scene.sync() == []


@pytest.mark.parametrize(
    "fault",
    ["refuse", "hang", *(pytest.param(f, marks=pytest.mark.slow) for f in ("drop", "500", "page"))],
)
def test_a_run_that_begins_without_its_server(scene: Scene, home: Path, fault: str) -> None:
    if fault == "refuse":
        scene.server.stop()
    scene.server.always(fault)
    scene.logs()
    done = scene.run("--experiment-name", "wine", MLFLOW_HTTP_REQUEST_TIMEOUT="0.3")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "trained 0.5\n"
    assert done.stderr.count("the run goes on and is recorded on this machine") == 1
    assert "1 run waits on this machine for the tracking server" in done.stderr
    (spooled,) = waiting(home)
    (left,) = scene.sync("--dry-run")
    assert (left["run_id"], left["state"]) == (spooled, "waiting")
    if fault == "refuse":
        scene.server.start()
    scene.server.always("")
    (delivery,) = scene.sync()
    (run,) = scene.runs()
    assert delivery["state"] == "delivered"
    assert (delivery["run_id"], delivery["delivered_as"]) == (spooled, run.run_id)
    scene.complete(run)
    store = scene.server.store
    assert store.experiment(run.experiment_id).name == "wine"
    assert run.tags["runproj.spooled"] == "true"
    assert run.params["depth"] == "3"
    assert [m.value for m in store.history(run.run_id, "loss")] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert waiting(home) == []
    assert scene.sync() == []


BEFORE_THE_COMMAND = 2
"""Requests to a server before a command begins: the run is made, its parameters are logged."""
CALLS = ("experiments/get-by-name", "runs/create", "runs/log-batch", "PUT", "runs/update")
FAULTS = ("drop", "500", "page", "lose")
QUICK = {
    ("drop", "experiments/get-by-name"),
    ("lose", "runs/create"),
    ("500", "PUT"),
    ("lose", "runs/update"),
}
"""What is tried each time; the rest where slow tests are."""


@pytest.mark.parametrize(
    ("fault", "call"),
    [
        pytest.param(fault, call, marks=() if (fault, call) in QUICK else pytest.mark.slow)
        for fault in FAULTS
        for call in CALLS
    ],
)
def test_a_server_that_fails_from_some_point_on(
    scene: Scene, home: Path, fault: str, call: str
) -> None:
    """Whatever call fails first, and whether or not it was done: the run is there once, whole."""
    fallen = False

    def fail(method: str, path: str) -> str:
        nonlocal fallen
        first = call in {method, path.partition("?")[0].partition("mlflow/")[2]}
        if first and not fallen:
            fallen = True
            return fault
        return "drop" if fallen else ""

    scene.server.fault = fail
    done = scene.run("--experiment-name", "wine")
    assert fallen
    assert done.returncode == 0, done.stderr
    assert "recorded on this machine" in done.stderr
    assert len(waiting(home)) == 1
    scene.server.always("")
    (delivery,) = scene.sync()
    assert delivery["state"] == "delivered", delivery
    (run,) = scene.runs()
    scene.complete(run)
    assert delivery["delivered_as"] == run.run_id
    assert waiting(home) == []


def test_what_a_command_logs_outlives_its_server_behind_an_endpoint(
    scene: Scene, home: Path
) -> None:
    fallen = False

    def fail(_method: str, path: str) -> str:
        nonlocal fallen
        fallen = fallen or ("/log-" in path and len(scene.server.asked) > BEFORE_THE_COMMAND)
        return "500" if fallen else ""

    scene.logs()
    scene.server.fault = fail
    done = scene.run("--tracking", "endpoint")
    assert fallen
    assert done.returncode == 0, done.stderr
    assert "the run goes on and is recorded on this machine" in done.stderr
    scene.server.always("")
    (delivery,) = scene.sync()
    assert delivery["state"] == "delivered", delivery
    (run,) = scene.runs()
    scene.complete(run)
    assert run.params["depth"] == "3"
    history = scene.server.store.history(run.run_id, "loss")
    assert [m.value for m in history] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert waiting(home) == []


def test_an_endpoint_in_front_of_a_server_that_is_well_changes_nothing(scene: Scene) -> None:
    scene.logs()
    done = scene.run(RUNPROJ_TRACKING="endpoint")
    assert done.returncode == 0, done.stderr
    (run,) = scene.runs()
    scene.complete(run)
    assert run.params["depth"] == "3"
    assert len(scene.server.store.history(run.run_id, "loss")) == 5


@pytest.mark.slow
def test_a_delivery_that_is_cut_off_anywhere_is_finished_by_the_next(
    scene: Scene, home: Path
) -> None:
    """Each attempt gets a bit further; the request after the last answered one is done unheard."""
    scene.server.always("drop")
    scene.logs()
    scene.run()
    left = 1
    for allowed in range(0, 100, 3):
        before = len(scene.server.asked)

        def fail(_method: str, _path: str, last: int = before + allowed) -> str:
            asked = len(scene.server.asked)
            return "" if asked < last else "lose" if asked == last else "drop"

        scene.server.fault = fail
        scene.call("sync", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
        left = len(waiting(home))
        if not left:
            break
    assert left == 0
    (run,) = scene.runs()
    scene.complete(run)
    values = scene.server.store.history(run.run_id, "loss")
    assert len(values) == len({(m.step, m.value) for m in values}) == 5


def test_the_next_run_brings_what_was_left(scene: Scene, home: Path) -> None:
    scene.server.stop()
    assert scene.run("-P", "alpha=1.5").returncode == 0
    scene.server.start()
    done = scene.run()
    assert done.returncode == 0
    assert "delivering run " in done.stderr
    assert waiting(home) == []
    first, second = sorted(scene.runs(), key=lambda run: run.started or 0)
    scene.complete(first, "1.5")
    scene.complete(second)


def test_the_doctor_delivers(scene: Scene, home: Path) -> None:
    scene.server.stop()
    scene.run()
    doctor = scene.call("doctor", "--json", MLFLOW_TRACKING_URI="")
    states = [finding["state"] for finding in json.loads(doctor.stdout)["findings"]]
    assert (doctor.returncode, states) == (1, ["undelivered"])
    scene.server.start()
    doctor = scene.call("doctor", "--json", MLFLOW_TRACKING_URI="")
    states = [finding["state"] for finding in json.loads(doctor.stdout)["findings"]]
    assert (doctor.returncode, states) == (0, ["delivered"])
    assert waiting(home) == []


def test_whoever_requires_tracking_gets_an_error(scene: Scene, home: Path) -> None:
    scene.server.stop()
    done = scene.run("--require-tracking")
    assert done.returncode == 125
    assert "error[store]: the tracking server cannot be reached" in done.stderr
    done = scene.run(RUNPROJ_REQUIRE_TRACKING="true")
    assert done.returncode == 125
    assert not (home / "spool").exists()


def test_what_the_server_refuses_is_an_error_and_no_reason_to_spool(
    scene: Scene, home: Path
) -> None:
    done = scene.run("--experiment-id", "4711")
    assert done.returncode == 125
    assert "there is no experiment with the id '4711'" in done.stderr
    assert not (home / "spool").exists()


def test_secrets_stay_out_of_the_spool(scene: Scene, home: Path) -> None:
    address = scene.server.url.replace("http://", "http://ada:s3cr3t@")
    scene.server.stop()
    done = scene.run("--tracking-uri", address, MLFLOW_TRACKING_TOKEN="t0k3n")
    assert done.returncode == 0
    assert "s3cr3t" not in done.stderr
    kept = [path for path in (home / "spool").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        assert b"s3cr3t" not in path.read_bytes(), path
        assert b"t0k3n" not in path.read_bytes(), path
    assert (home / "spool").stat().st_mode & 0o077 == 0
    scene.server.start()
    (delivery,) = scene.sync("--tracking-uri", address)
    assert delivery["state"] == "delivered"


def test_a_failing_command_of_a_spooled_run_fails(scene: Scene) -> None:
    scene.server.stop()
    scene.commands("exit 7")
    assert scene.run().returncode == 7
    scene.server.start()
    scene.sync()
    (run,) = scene.runs()
    assert (run.status, run.tags["runproj.exit_code"]) == ("FAILED", "7")


def test_an_unreachable_experiment_keeps_its_runs_in_the_spool(scene: Scene, home: Path) -> None:
    scene.server.stop()
    scene.run("--experiment-id", "4711")
    scene.server.start()
    (delivery,) = scene.sync()
    assert delivery["state"] == "undelivered"
    assert "there is no experiment with the id '4711'" in delivery["detail"]
    assert len(waiting(home)) == 1


@pytest.mark.slow
def test_a_spooled_run_whose_runproj_was_killed_is_closed_and_delivered(
    scene: Scene, home: Path
) -> None:
    scene.server.stop()
    scene.commands(": > ready; sleep 600")
    argv = (str(scene.runproj), "run", "project", "--env-manager", "local")
    variables = {"MLFLOW_TRACKING_URI": scene.server.url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    process = subprocess.Popen(
        argv,
        cwd=scene.folder,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until((scene.project / "ready").exists)
    (busy,) = scene.sync()
    assert busy["state"] == "under-way"
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not any((home / "jobs").iterdir()))
    scene.server.start()
    (delivery,) = scene.sync()
    assert delivery["state"] == "delivered", delivery
    (run,) = scene.runs()
    assert (run.status, run.tags["runproj.reason"]) == ("KILLED", "orphaned")
    assert scene.output(run) == b"trained 0.5\n"


@pytest.mark.slow
@pytest.mark.parametrize("when", ["always", "get-history"])
def test_samples_of_the_machine_come_once_whatever_fails(
    scene: Scene, home: Path, when: str
) -> None:
    def fail(_method: str, path: str) -> str:
        return "drop" if when == "always" or when in path else ""

    scene.server.fault = fail
    samples = "$RUNPROJ_HOME/jobs/$RUNPROJ_RUN_ID/system.metrics"
    scene.commands(f"until [ -s {samples} ]; do sleep 0.05; done; sleep 0.5")
    done = scene.run(RUNPROJ_SYSTEM_METRICS="0.2")
    assert done.returncode == 0, done.stderr
    assert len(waiting(home)) == 1
    scene.server.fault = lambda _method, _path: ""
    (delivery,) = scene.sync()
    assert delivery["state"] == "delivered", delivery
    (run,) = scene.runs()
    scene.complete(run)
    history = scene.server.store.history(run.run_id, "system/disk_usage_percentage")
    assert [m.step for m in history] == [*range(len(history))]
    assert history


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
