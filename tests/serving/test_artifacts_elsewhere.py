"""Artifacts of a team in buckets and on other disks: through the server, streamed, whole."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from driving import PROXY, Client
from teaming import serving

from runner.errors import UsageError
from runner.model.value import RunId
from runner.ports import TrackingStore
from runner.serving.team_server import TeamServer
from runner.stores.elsewhere import with_artifacts
from runner.stores.opening import open_store

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["memory", "folder"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory://{tmp_path.name}" if request.param == "memory" else "elsewhere"


@pytest.fixture
def elsewhere(store: TrackingStore, destination: str, tmp_path: Path) -> TrackingStore:
    return with_artifacts(store, destination, directory=str(tmp_path), environ={})


@pytest.fixture
def server(elsewhere: TrackingStore) -> Iterator[TeamServer]:
    with serving(elsewhere) as made:
        yield made


@pytest.fixture
def client(server: TeamServer) -> Iterator[Client]:
    made = Client(server.uri)
    yield made
    made.connection.close()


def address(client: Client, experiment: str) -> str:
    uri = client.post("runs/create", experiment_id=experiment)["run"]["info"]["artifact_uri"]
    assert uri.startswith(f"mlflow-artifacts:/{experiment}/")
    return f"{PROXY}/{uri.partition(':/')[2]}"


def test_files_go_there_and_come_back(
    client: Client, store: TrackingStore, elsewhere: TrackingStore, tmp_path: Path
) -> None:
    experiment = client.post("experiments/create", name="e")["experiment_id"]
    where = address(client, experiment)
    run_id = where.split("/")[-2]
    content = os.urandom(3_000_000)
    assert client.raw("PUT", f"{where}/a/b.bin", content)[0] == 200
    assert client.raw("PUT", f"{where}/a/b.bin", iter([content[:5], content[5:]]))[0] == 200
    assert client.raw("PUT", f"{where}/note.txt", b"")[0] == 200
    assert client.raw("GET", f"{where}/a/b.bin") == (200, content)
    assert client.raw("GET", f"{where}/none")[0] == 404
    assert client.raw("GET", f"{where}/a")[0] == 404
    listed = client.get("artifacts/list", run_id=run_id)["files"]
    assert [(f["path"], f["is_dir"]) for f in listed] == [("a", True), ("note.txt", False)]
    listed = client.get("artifacts/list", run_id=run_id, path="a")["files"]
    assert [(f["path"], f["file_size"]) for f in listed] == [("a/b.bin", len(content))]
    assert not (tmp_path / "mlruns" / experiment / run_id / "artifacts" / "a").exists()
    assert client.raw("DELETE", f"{where}/a")[0] == 200
    assert client.raw("GET", f"{where}/a/b.bin")[0] == 404
    assert [a.path for a in elsewhere.artifacts(store.run(run_id)).list()] == ["note.txt"]  # type: ignore[arg-type]  # a run's id is a text


def test_uploads_in_parts_are_for_folders_only(client: Client, destination: str) -> None:
    """MLflow's clients send one piece when they are told so in these words."""
    experiment = client.post("experiments/create", name="e")["experiment_id"]
    where = address(client, experiment).replace("/artifacts/", "/mpu/create/", 1)
    status, answer = client.raw("POST", where, b'{"path": "a", "num_parts": 2}')
    if destination.startswith("memory:"):
        words = b"Multipart upload is not supported for the current artifact repository"
        assert (status, words in answer, b"NOT_IMPLEMENTED" in answer) == (501, True, True)
    else:
        assert status == 200


def test_nobody_climbs_out(client: Client) -> None:
    experiment = client.post("experiments/create", name="e")["experiment_id"]
    where = address(client, experiment)
    for path in ("../x", "%2e%2e/x", "a/../../x", "a%2f..%2f..%2fx", "/etc/passwd"):
        for method, body in (("PUT", b"x"), ("GET", None), ("DELETE", None)):
            assert client.raw(method, f"{where}/{path}", body)[0] in {400, 404}, path


def test_experiments_that_were_there_keep_their_place(client: Client, tmp_path: Path) -> None:
    where = address(client, "0")
    assert client.raw("PUT", f"{where}/a.txt", b"text")[0] == 200
    assert client.raw("GET", f"{where}/a.txt") == (200, b"text")
    assert len(list(tmp_path.glob("mlruns/0/*/artifacts/a.txt"))) == 1


def test_models_are_registered_under_their_real_place(
    client: Client, store: TrackingStore, elsewhere: TrackingStore
) -> None:
    experiment = client.post("experiments/create", name="e")["experiment_id"]
    given = {"experiment_id": experiment, "name": "m"}
    model = client.post("logged-models", **given)["model"]["info"]
    public = model["artifact_uri"]
    assert public == f"mlflow-artifacts:/{experiment}/models/{model['model_id']}/artifacts"
    path = f"{PROXY}/{public.partition(':/')[2]}"
    assert client.raw("PUT", f"{path}/MLmodel", b"flavors: {}")[0] == 200
    assert client.raw("GET", f"{path}/MLmodel") == (200, b"flavors: {}")
    client.post("registered-models/create", name="r")
    made = client.post("model-versions/create", name="r", source=public)["model_version"]
    assert made["source"].startswith("mlflow-artifacts:/")
    registry = store.registry_store
    assert registry is not None
    root: str = elsewhere.remote_root  # type: ignore[attr-defined]
    assert registry.versions("r")[0].location.startswith(root)
    uri = client.get("model-versions/get-download-uri", name="r", version="1")["artifact_uri"]
    assert client.raw("GET", f"{PROXY}/{uri.partition(':/')[2]}/MLmodel")[0] == 200


@pytest.mark.parametrize(
    ("url", "message"),
    [("gs://bucket", "package that is not installed"), ("nothing://x", "cannot be kept")],
)
def test_what_is_missing_is_told(
    store: TrackingStore, tmp_path: Path, url: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        with_artifacts(store, url, directory=str(tmp_path), environ={})


@contextmanager
def started(command: list[str], folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def make_bucket(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("PUT", "/bucket")
            assert connection.getresponse().status == 200
        except ConnectionRefusedError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return
        finally:
            connection.close()


def leave_in_the_middle(client: Client, path: str) -> None:
    """Send two parts of an upload, then hang up, and wait until the server has noticed."""
    with socket.create_connection(client.address, timeout=60) as gone:
        head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
        gone.sendall(head.encode() + os.urandom(20_000_000))
    deadline = time.monotonic() + 60
    noticed = b'call="mlflow-artifacts",status="499"} 1'
    while noticed not in client.raw("GET", "/metrics")[1]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_bucket(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    access = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    moto = [sys.executable, "-m", "moto.server", "-p", str(port)]
    ours = [sys.executable, "-m", "runner", "server", "--port", "0"]
    ours += ["--artifacts-destination", "s3://bucket/team"]
    with started(moto, tmp_path) as s3:
        make_bucket(port, s3)
        with started(ours, tmp_path, **access) as server:
            assert server.stdout is not None
            client = Client(server.stdout.readline().split()[2])
            client.connection.timeout = 120
            experiment = client.post("experiments/create", name="e")["experiment_id"]
            where = address(client, experiment)
            run_id = where.split("/")[-2]
            content = os.urandom(20_000_000)  # three parts
            assert client.raw("PUT", f"{where}/a/b.bin", content)[0] == 200
            assert client.raw("GET", f"{where}/a/b.bin") == (200, content)
            assert client.raw("PUT", f"{where}/small.txt", b"text")[0] == 200
            leave_in_the_middle(client, f"{where}/small.txt")
            assert client.raw("GET", f"{where}/small.txt") == (200, b"text")
            listed = client.get("artifacts/list", run_id=run_id)["files"]
            assert [(f["path"], f.get("file_size")) for f in listed] == [
                ("a", None),
                ("small.txt", 4),
            ]
            assert client.raw("DELETE", f"{where}/a")[0] == 200
            assert client.raw("GET", f"{where}/a/b.bin")[0] == 404
            client.connection.close()
    store = open_store(None, directory=str(tmp_path), environ={})
    assert store.run(RunId(run_id)).artifact_uri.startswith("s3://bucket/team/")
    store.close()
