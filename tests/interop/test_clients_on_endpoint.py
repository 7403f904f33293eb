"""Real clients, of MLflow 1.30 to 3.17 and without MLflow, log through the endpoint.

Each is the command of a run, started with the endpoint's variables and nothing else to tell it
where to log; all share one store.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.model.tracking import TrackedRun
from runner.model.value import RunId
from runner.ports import TrackingStore
from runner.serving.endpoint import LoopbackEndpoint
from runner.stores.opening import open_store
from tests.mlflow_clients import CLIENTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
HERE = Path(__file__).parent
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "http_proxy", "https_proxy")
MODEL_CLIENTS = ("2.22.5", "3.17.2")


def surroundings(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    return {**kept, **quiet, "PYTHONIOENCODING": "utf-8", **more}


def new_store(kind: str, folder: Path) -> TrackingStore:
    uri = f"sqlite:///{folder}/mlflow.db" if kind == "sqlite" else str(folder / "mlruns")
    return open_store(uri, directory=str(folder), environ={})


def new_run(store: TrackingStore) -> TrackedRun:
    return store.create_run(
        TrackedRun(
            run_id=RunId(os.urandom(16).hex()),
            experiment_id="0",
            name="outer",
            status="RUNNING",
            started=time.time_ns() // 1_000_000,
            ended=None,
            artifact_uri="",
            params={"alpha": "0.50"},
            tags={"mlflow.source.type": "PROJECT"},
        )
    )


def followed(store: TrackingStore, run: TrackedRun, command: Sequence[str], folder: Path) -> str:
    """Run a command as Runproj does: bound before, served when it knocks, closed after it."""
    environ = surroundings()
    endpoint = LoopbackEndpoint(store=store, run=run, environ=environ)
    variables = {**environ, **endpoint.variables}
    with (
        (folder / "errors.txt").open("w") as errors,
        subprocess.Popen(
            command, env=variables, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as child,
    ):
        while child.poll() is None:
            if select.select([endpoint], [], [], 0.05)[0]:
                endpoint.serve()
                break
        output, _ = child.communicate()
    endpoint.close(within=timedelta(seconds=30))
    assert child.returncode == 0, (folder / "errors.txt").read_text()
    return output


def last_line(output: str) -> Any:
    """Return the answer of a script; MLflow 2 prints where its user interface would be before."""
    return json.loads(output.splitlines()[-1])


@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_clients_of_all_versions_share_one_store(
    kind: str, tmp_path: Path, mlflow_python: Callable[[str], str]
) -> None:
    store = new_store(kind, tmp_path)
    answers: dict[str, dict[str, Any]] = {}
    for version in CLIENTS:
        run = new_run(store)
        command = [mlflow_python(version), str(HERE / "client_session.py")]
        answers[version] = found = last_line(followed(store, run, command, tmp_path))
        assert found.pop("run_id") == run.run_id
        check_stored(store, run.run_id, version)
        assert found["params"].pop("client") == version
    first = answers["1.30.1"]
    assert first["same"]
    assert first["params"] == {"alpha": "0.50", "text": "naïve ✓", "none": "None"}
    assert first["history"] == [[step, 1.0 / (step + 1)] for step in range(20)]
    assert first["sizes"] == {"one.bin": 7000, "two.bin": 7000}
    assert first["files"] == ["d.json", "many", "texts"]
    assert (first["nan"], first["inner"], first["status"]) == ("nan", [3.0], "FINISHED")
    for version, found in answers.items():
        assert found == first, version
    experiments = [experiment.name for experiment in store.experiments()]
    assert sorted(experiments) == ["Default", "shared"]
    store.close()


def check_stored(store: TrackingStore, run_id: RunId, version: str) -> None:
    shared = store.experiment_named("shared")
    assert shared is not None
    run = store.run(run_id)
    assert run.experiment_id == shared.experiment_id
    assert run.params["client"] == version
    assert run.tags["kind"] == "interop"
    assert "gone" not in run.tags
    assert [m.value for m in store.history(run_id, "loss")] == [1.0 / n for n in range(1, 21)]
    with store.artifacts(run).open("texts/a b.txt") as file:
        assert file.read() == b"hello"
    (inner,) = (
        other
        for other in store.runs([shared.experiment_id]).runs
        if other.tags.get("mlflow.parentRunId") == run_id
    )
    assert (inner.name, inner.metrics["score"].value) == ("inner", 3.0)


@pytest.mark.parametrize("kind", ["sqlite", "files"])
@pytest.mark.parametrize("version", MODEL_CLIENTS)
def test_models_are_logged_and_loaded_during_and_after_the_run(
    kind: str, version: str, tmp_path: Path, mlflow_python: Callable[[str], str]
) -> None:
    store = new_store(kind, tmp_path)
    run = store.create_run(
        TrackedRun(
            run_id=RunId(os.urandom(16).hex()),
            experiment_id="0",
            name="outer",
            status="RUNNING",
            started=time.time_ns() // 1_000_000,
            ended=None,
            artifact_uri="",
        )
    )
    python = mlflow_python(version)
    logged = last_line(followed(store, run, [python, str(HERE / "model_session.py")], tmp_path))
    assert logged["run_id"] == run.run_id
    store.close()
    if kind == "sqlite" and version.startswith("2."):
        return  # a client that is older than the database refuses it, as MLflow's clients do
    uri = store.uri
    reader = subprocess.run(
        [python, str(HERE / "model_reader.py"), uri, run.run_id],
        env=surroundings(MLFLOW_ALLOW_FILE_STORE="true"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert reader.returncode == 0, reader.stderr
    read = last_line(reader.stdout)
    assert read["predictions"] == pytest.approx(logged["predictions"])
    assert read["params"]["alpha"] == "0.01"
    assert "training_score" in read["metrics"]
    assert read["datasets"] >= 1
    assert read["outputs"] == (2 if version.startswith("3.") else 0)


def test_curl(tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("there is no curl here")
    store = new_store("sqlite", tmp_path)
    run = new_run(store)
    (tmp_path / "big.bin").write_bytes(os.urandom(3_000_000))
    script = """
        set -e
        api=$MLFLOW_TRACKING_URI/api/2.0
        files=$api/mlflow-artifacts/artifacts/$MLFLOW_EXPERIMENT_ID/$MLFLOW_RUN_ID/artifacts
        say() {
            curl -sSf -X POST "$api/mlflow/runs/$1" -H 'Content-Type: application/json' \\
                -d "{\\"run_id\\": \\"$MLFLOW_RUN_ID\\", $2}"
        }
        say log-parameter '"key": "p", "value": "1"'
        say log-metric '"key": "m", "value": 2, "timestamp": 1'
        curl -sSf -T big.bin "$files/big.bin"
        cat big.bin | curl -sSf -T - "$files/piped.bin"
        curl -sSf "$api/mlflow/runs/get?run_id=$MLFLOW_RUN_ID" > answer.json
    """
    followed(store, run, ["bash", "-c", script], tmp_path)
    answer = json.loads((tmp_path / "answer.json").read_text())["run"]
    assert {"key": "p", "value": "1"} in answer["data"]["params"]
    assert answer["data"]["metrics"][0]["value"] == 2
    for name in ("big.bin", "piped.bin"):
        with store.artifacts(run).open(name) as file:
            assert file.read() == (tmp_path / "big.bin").read_bytes()
    store.close()


def test_a_large_artifact_does_not_enter_memory(tmp_path: Path) -> None:
    script = """if True:
        import sys, time
        from datetime import timedelta
        from pathlib import Path
        from tests.interop.test_clients_on_endpoint import new_run, new_store
        from runner.serving.endpoint import LoopbackEndpoint
        store = new_store("sqlite", Path(sys.argv[1]))
        run = new_run(store)
        endpoint = LoopbackEndpoint(store=store, run=run)
        endpoint.serve()
        print(endpoint.uri, run.run_id, flush=True)
        sys.stdin.readline()
        peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
        print(peak.split()[1], flush=True)
        endpoint.close(within=timedelta(seconds=5))
    """
    size = 1 << 30
    with (tmp_path / "zeros").open("wb") as file:
        file.truncate(size)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        uri, run_id = server.stdout.readline().split()
        address = f"{uri}/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/zeros"
        for command in (["-T", str(tmp_path / "zeros")], ["-o", str(tmp_path / "back")]):
            subprocess.run(["curl", "-sSf", *command, address], check=True)
        server.stdin.write("\n")
        server.stdin.flush()
        peak = int(server.stdout.readline())
    assert (tmp_path / "back").stat().st_size == size
    assert peak < 150_000, f"{peak} kB"


def test_a_nested_mlflow_run_has_its_parent_and_its_own_experiment(
    tmp_path: Path, mlflow_python: Callable[[str], str]
) -> None:
    python = mlflow_python("3.17.2")
    inner = tmp_path / "inner"
    inner.mkdir()
    command = f"{python} script.py"
    (inner / "MLproject").write_text(f"entry_points:\n  main:\n    command: '{command}'\n")
    (inner / "script.py").write_text(
        "import mlflow\n"
        "mlflow.set_experiment('inner')\n"
        "with mlflow.start_run():\n"
        "    mlflow.log_metric('m', 1)\n"
    )
    store = new_store("sqlite", tmp_path)
    run = new_run(store)
    mlflow = str(Path(python).with_name("mlflow"))
    followed(store, run, [mlflow, "run", str(inner), "--env-manager", "local"], tmp_path)
    experiment = store.experiment_named("inner")
    assert experiment is not None
    (nested,) = store.runs([experiment.experiment_id]).runs
    assert nested.tags["mlflow.parentRunId"] == run.run_id
    assert (nested.status, nested.metrics["m"].value) == ("FINISHED", 1.0)
    assert store.run(run.run_id).experiment_id == "0"
    store.close()
