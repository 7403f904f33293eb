"""Artifacts of a team in buckets and on other disks: through the server, streamed, whole."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import API, PROXY, Client
from teaming import serving

from runner.errors import StoreError, UsageError
from runner.ports import TrackingStore
from runner.serving.team_server import TeamServer
from runner.stores.elsewhere import with_artifacts


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


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that speaks S3, with a bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request("PUT", "/bucket")
                assert connection.getresponse().status == 200
                break
            except ConnectionRefusedError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            finally:
                connection.close()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # aiohttp's connector, at its collection
def test_a_bucket(store: TrackingStore, tmp_path: Path, s3: str) -> None:
    environ = {"MLFLOW_S3_ENDPOINT_URL": s3}
    bucket = with_artifacts(store, "s3://bucket/team", directory=str(tmp_path), environ=environ)
    with serving(bucket) as server:
        client = Client(server.uri)
        experiment = client.post("experiments/create", name="e")["experiment_id"]
        where = address(client, experiment)
        content = os.urandom(20_000_000)  # three parts
        assert client.raw("PUT", f"{where}/a/b.bin", content)[0] == 200
        assert client.raw("GET", f"{where}/a/b.bin") == (200, content)
        assert client.raw("PUT", f"{where}/small.txt", b"text")[0] == 200
        run = store.run(where.split("/")[-2])  # type: ignore[arg-type]  # a run's id is a text
        files = bucket.artifacts(run)
        assert run.artifact_uri.startswith("s3://bucket/team/")
        assert [(a.path, a.size) for a in files.list()] == [
            ("a/b.bin", len(content)),
            ("small.txt", 4),
        ]

        class Broken:
            """A client that leaves in the middle, after two parts."""

            def __init__(self) -> None:
                self.left = 20

            def read(self, size: int) -> bytes:
                self.left -= 1
                if not self.left:
                    raise ConnectionResetError
                return b"x" * size

        with pytest.raises((ConnectionResetError, StoreError)):
            files.put("broken.bin", Broken())  # type: ignore[arg-type]  # read() is all that is used
        with pytest.raises((ConnectionResetError, StoreError)):
            files.put("small.txt", Broken())  # type: ignore[arg-type]  # read() is all that is used
        assert [a.path for a in files.list()] == ["a/b.bin", "small.txt"]
        assert client.raw("GET", f"{where}/small.txt") == (200, b"text")
        assert client.raw("DELETE", f"{where}/a")[0] == 200
        assert client.raw("GET", f"{where}/a/b.bin")[0] == 404
        assert client.raw("GET", API + "artifacts/list?run_id=" + run.run_id)[0] == 200
        client.connection.close()
