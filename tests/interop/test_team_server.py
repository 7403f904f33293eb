"""Real clients work on a server with users and TLS; a real MLflow UI then opens what it stored."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from driving import PROXY, Client
from mlflow_server import mlflow_server
from serving_certificates import certificate
from teaming import serving

from runner.serving.accounts import Accounts
from runner.stores.opening import open_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SESSION = Path(__file__).parent / "client_session.py"
PASSWORD = "a long password"
Session = Callable[[str, dict[str, str]], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def session(tmp_path: Path, mlflow_python: Callable[[str], str]) -> Session:
    def session(version: str, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        python = mlflow_python(version)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONIOENCODING": "utf-8",
            "PYTHONWARNINGS": "ignore",
            "GIT_PYTHON_REFRESH": "quiet",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
            **variables,
        }
        command = [python, str(SESSION)]
        return subprocess.run(
            command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    return session


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    accounts = Accounts(str(tmp_path / "users.json"))
    for name in ("ann", "bob"):
        accounts.add(name, PASSWORD)
    return accounts


def test_clients_log_in_and_a_real_ui_shows_their_runs(
    tmp_path: Path, accounts: Accounts, session: Session, mlflow_python: Callable[[str], str]
) -> None:
    cert, key = certificate(tmp_path)
    store = open_store(f"sqlite:///{tmp_path}/s.db", directory=str(tmp_path), environ={})
    with serving(store, users=accounts.path, certificate=cert, key=key) as server:
        common = {
            "MLFLOW_TRACKING_URI": f"https://localhost:{server.port}",
            "MLFLOW_TRACKING_SERVER_CERT_PATH": cert,
        }
        password = {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        done = [session("1.30.1", {**common, **password})]
        experiment = store.experiment_named("shared")
        assert done[0].returncode == 0, done[0].stderr
        assert experiment is not None
        token = {"MLFLOW_TRACKING_TOKEN": accounts.add_token("bob", "test")}
        refused = session("3.17.2", {**common, **token})
        assert "Permission denied: you may not edit the experiment" in refused.stderr
        accounts.grant("bob", "experiment", experiment.experiment_id, level="EDIT")
        done.append(session("3.17.2", {**common, **token}))
    store.close()
    told = []
    for one in done:
        assert one.returncode == 0, one.stderr
        told.append(json.loads(one.stdout))
        assert told[-1]["status"] == "FINISHED"
        assert told[-1]["sizes"] == {"one.bin": 7000, "two.bin": 7000}
        assert told[-1]["inner"] == [3.0]
    with mlflow_server(mlflow_python("3.17.2"), tmp_path) as uri:
        assert b"<!doctype html" in asked(uri, "/").lower()
        body = {"experiment_ids": [experiment.experiment_id], "filter": "tags.kind = 'interop'"}
        found = json.loads(asked(uri, "/ajax-api/2.0/mlflow/runs/search", body))["runs"]
        assert {run["info"]["run_id"] for run in found} == {one["run_id"] for one in told}
        for one in told:
            path = f"/get-artifact?run_uuid={one['run_id']}&path=texts%2Fa+b.txt"
            assert asked(uri, path) == b"hello"
            history = f"/ajax-api/2.0/mlflow/metrics/get-history?run_id={one['run_id']}"
            points = json.loads(asked(uri, f"{history}&metric_key=loss"))["metrics"]
            assert [[p["step"], p["value"]] for p in points] == one["history"]


@pytest.mark.parametrize(("version", "pieces"), [("2.9.2", 0), ("2.22.5", 11), ("3.17.2", 11)])
def test_clients_send_big_files_in_parts(
    version: str,
    pieces: int,
    tmp_path: Path,
    accounts: Accounts,
    mlflow_python: Callable[[str], str],
) -> None:
    """Wished for by variable: several parts at a time, each with the client's own credentials.

    2.9 names a wrong address when there is a folder, is told so, and sends one piece.
    """
    store = open_store(f"sqlite:///{tmp_path}/s.db", directory=str(tmp_path), environ={})
    accounts.grant("ann", "experiment", "0", level="MANAGE")
    (tmp_path / "big.bin").write_bytes(content := os.urandom(1_000_001))
    program = """if True:
        import mlflow
        client = mlflow.MlflowClient()
        run = client.create_run("0")
        client.log_artifact(run.info.run_id, "big.bin", "in/here")
        print(client.list_artifacts(run.info.run_id, "in/here")[0].file_size, run.info.run_id)
    """
    log = tmp_path / "access.log"
    with serving(store, users=accounts.path, access_log=str(log)) as server:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONWARNINGS": "ignore",
            "GIT_PYTHON_REFRESH": "quiet",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACKING_URI": server.uri,
            "MLFLOW_TRACKING_TOKEN": accounts.add_token("ann", "test"),
            "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
            "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "1000",
            "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "100000",
        }
        command = [mlflow_python(version), "-c", program]
        done = subprocess.run(
            command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    size, run_id = done.stdout.split()
    assert int(size) == len(content)
    file = tmp_path / "mlruns" / "0" / run_id / "artifacts" / "in" / "here" / "big.bin"
    assert file.read_bytes() == content
    assert log.read_text().count("PUT /api/2.0/mlflow-artifacts/mpu/part/") == pieces
    assert sorted(path.name for path in file.parents[3].iterdir()) == ["artifacts"]
    store.close()


@pytest.mark.parametrize(("version", "kind"), [("2.22.5", "sqlite"), ("3.17.2", "files")])
def test_a_real_ui_of_other_versions_and_stores_shows_what_we_stored(
    version: str, kind: str, tmp_path: Path, mlflow_python: Callable[[str], str]
) -> None:
    """A database of MLflow 2.22 stays one; a new one would be too new for it."""
    python = mlflow_python(version)
    uri = f"sqlite:///{tmp_path}/s.db" if kind == "sqlite" else f"{tmp_path}/mlruns"
    if kind == "sqlite":
        program = "import sys, mlflow; mlflow.MlflowClient(sys.argv[1]).search_experiments()"
        made = [python, "-c", program, uri]
        subprocess.run(made, check=True, cwd=tmp_path, capture_output=True)
    store = open_store(uri, directory=str(tmp_path), environ={})
    with serving(store) as server:
        client = Client(server.uri)
        experiment = client.post("experiments/create", name="shown")["experiment_id"]
        run = client.post("runs/create", experiment_id=experiment, run_name="ours")["run"]["info"]
        points = [{"key": "loss", "value": n / 4, "timestamp": n, "step": n} for n in range(3)]
        tags = [{"key": "kind", "value": "interop"}]
        client.post("runs/log-batch", run_id=run["run_id"], metrics=points, tags=tags)
        path = f"{PROXY}/{experiment}/{run['run_id']}/artifacts/a.txt"
        assert client.raw("PUT", path, b"hello") == (200, b"{}")
        client.post("runs/update", run_id=run["run_id"], status="FINISHED", end_time=5)
        client.connection.close()
    store.close()
    with mlflow_server(python, tmp_path, uri) as theirs:
        assert b"<!doctype html" in asked(theirs, "/").lower()
        body = {"experiment_ids": [experiment], "filter": "tags.kind = 'interop'"}
        (found,) = json.loads(asked(theirs, "/ajax-api/2.0/mlflow/runs/search", body))["runs"]
        assert (found["info"]["run_name"], found["info"]["status"]) == ("ours", "FINISHED")
        history = f"/ajax-api/2.0/mlflow/metrics/get-history?run_id={run['run_id']}&metric_key=loss"
        seen = json.loads(asked(theirs, history))["metrics"]
        assert [(p["step"], p["value"]) for p in seen] == [(0, 0.0), (1, 0.25), (2, 0.5)]
        assert asked(theirs, f"/get-artifact?run_uuid={run['run_id']}&path=a.txt") == b"hello"


def asked(uri: str, path: str, body: object = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 - http
        uri + path, data, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - http
        content: bytes = answer.read()
    return content


def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    """Four threads log while the server is killed; every answer that was heard was true."""
    script = Path(__file__).parents[1] / "support" / "hammering.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
