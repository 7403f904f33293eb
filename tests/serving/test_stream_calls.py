"""Files outside of the artifact proxy: what MLflow's user interface downloads and uploads."""

import json

import pytest
from driving import PROXY, Client

from runner.model.tracking import TrackedRun

UPLOAD = "/ajax-api/2.0/mlflow/upload-artifact"


@pytest.fixture
def folder(client: Client, run: TrackedRun) -> str:
    address = f"{PROXY}/0/{run.run_id}/artifacts"
    client.raw("PUT", f"{address}/model/d/%C3%BC%20x.txt", b"hello")
    return address


@pytest.mark.usefixtures("folder")
def test_files_of_runs(client: Client, run: TrackedRun) -> None:
    for name in ("run_id", "run_uuid"):
        path = f"/get-artifact?path=model/d/%C3%BC%20x.txt&{name}={run.run_id}"
        assert client.raw("GET", path) == (200, b"hello")
    for path, expected in (
        ("?path=none", 400),
        (f"?run_id={run.run_id}", 400),
        (f"?run_id={run.run_id}&path=", 400),
        (f"?run_id={run.run_id}&path=none", 404),
        (f"?run_id={run.run_id}&path=model", 404),
        (f"?run_id={run.run_id}&path=../../x", 400),
        (f"?run_id={run.run_id}&path=/etc/passwd", 404),
        (f"?run_id={run.run_id}&path=%00", 400),
        (f"?run_id={run.run_id}&path=%252e%252e/x", 404),
        ("?run_id=../0&path=x", 404),
    ):
        assert client.raw("GET", f"/get-artifact{path}")[0] == expected, path


@pytest.mark.usefixtures("folder")
def test_files_of_versions_and_logged_models(client: Client, run: TrackedRun) -> None:
    client.post("registered-models/create", name="m")
    source = f"mlflow-artifacts:/0/{run.run_id}/artifacts/model"
    client.post("model-versions/create", name="m", source=source)
    client.post("model-versions/create", name="m", source="s3://bucket/model")
    file = "/model-versions/get-artifact?name=m&path=d/%C3%BC%20x.txt"
    assert client.raw("GET", f"{file}&version=1") == (200, b"hello")
    assert client.raw("GET", f"{file}&version=2")[0] == 501
    assert client.raw("GET", f"{file}&version=3")[0] == 404
    assert client.raw("GET", "/model-versions/get-artifact?name=m&version=1&path=../x")[0] == 400
    model = client.post("logged-models", experiment_id="0", name="n")["model"]["info"]
    address = model["artifact_uri"].removeprefix("mlflow-artifacts:")
    client.raw("PUT", f"{PROXY}{address}/d/MLmodel", b"flavors")
    path = f"/ajax-api/2.0/mlflow/logged-models/{model['model_id']}/artifacts/files"
    assert client.raw("GET", f"{path}?artifact_file_path=d/MLmodel") == (200, b"flavors")
    assert client.raw("GET", f"{path}?artifact_file_path=../../meta.yaml")[0] == 400
    assert client.raw("GET", path)[0] == 400


def test_uploads(client: Client, run: TrackedRun) -> None:
    path = f"{UPLOAD}?run_uuid={run.run_id}&path=a/b.txt"
    assert client.raw("POST", path, b"text") == (200, b"{}")
    assert client.raw("GET", f"/get-artifact?path=a/b.txt&run_id={run.run_id}") == (200, b"text")
    for wrong, body in (
        (path, b""),
        (path, b"x" * ((10 << 20) + 1)),
        (f"{UPLOAD}?run_uuid={run.run_id}&path=../x", b"x"),
        (f"{UPLOAD}?path=x", b"x"),
    ):
        status, answer = client.raw("POST", wrong, body)
        assert (status, json.loads(answer)["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
