"""Whatever comes in: an answer in MLflow's words, never a 500, never a file out of place."""

import contextlib
import json
import socket
from pathlib import Path
from typing import Any

from driving import API, Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.model.tracking import TrackedRun
from runner.serving.endpoint import LoopbackEndpoint
from runner.serving.routes import CALLS, MODEL_CALLS

RELAXED = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None
)
NAMES = [
    "run_id", "run_uuid", "key", "value", "timestamp", "step", "metrics", "params", "tags",
    "experiment_id", "experiment_ids", "experiment_name", "name", "filter", "order_by",
    "max_results", "page_token", "status", "end_time", "start_time", "run_view_type", "view_type",
    "path", "metric_key", "models", "datasets", "model_id", "model_json", "run_name",
    "artifact_location", "new_name", "alias", "version", "stage", "stages", "source", "run_ids",
    "start_step", "end_step", "description", "archive_existing_versions", "dataset_name",
]  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["RUN", "0", "1", "NaN", "../x", "DELETED_ONLY", "FINISHED", "m-1", "m"])
    | st.sampled_from(["models:/m/1", "models:/m@a", "runs:/RUN/../x", "file:///etc", "Production"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=8,
)


def aimed(value: Any, run_id: str) -> Any:
    """Put the id of a run that exists where the word RUN stands."""
    if isinstance(value, dict):
        return {key: aimed(item, run_id) for key, item in value.items()}
    if isinstance(value, list):
        return [aimed(item, run_id) for item in value]
    return run_id if value == "RUN" else value


@settings(RELAXED, max_examples=60)
@given(
    call=st.sampled_from(sorted(CALLS)),
    body=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6),
    own=st.booleans(),
)
def test_calls(
    client: Client, run: TrackedRun, call: tuple[str, str], body: dict[str, Any], *, own: bool
) -> None:
    method, name = call
    given_ = aimed(body, run.run_id)
    if own:
        given_["run_id"] = run.run_id
    status, answer = client.raw(method, API + name, json.dumps(given_))
    assert status < 500, (name, given_, answer)
    assert isinstance(json.loads(answer), dict)


@settings(RELAXED, max_examples=60)
@given(
    call=st.sampled_from(sorted(MODEL_CALLS)),
    body=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
)
def test_calls_about_models(client: Client, call: tuple[str, str], body: dict[str, Any]) -> None:
    made = client.post("logged-models", experiment_id="0")["model"]["info"]["model_id"]
    method, rest = call
    path = f"{API}logged-models/{made}/{rest}".rstrip("/")
    status, answer = client.raw(method, path, json.dumps(body))
    assert status < 500, (method, path, body, answer)


@RELAXED
@given(data=st.binary(max_size=400), whole=st.booleans())
def test_bytes_on_the_socket(endpoint: LoopbackEndpoint, data: bytes, *, whole: bool) -> None:
    head = f"POST /r/{endpoint.uri.rpartition('/')[2]}{API}runs/set-tag HTTP/1.1\r\nHost: localhost"
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=120) as client:
        client.sendall(head.encode() + b"\r\n" + data if whole else data)
        client.shutdown(socket.SHUT_WR)
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while more := client.recv(65536):
                found += more
    assert b" 500 " not in found.partition(b"\r\n")[0]


@settings(RELAXED, max_examples=40)
@given(path=st.text(alphabet="/.%2ef5c\\0abR&=+", max_size=30))
def test_other_files(client: Client, run: TrackedRun, tmp_path: Path, path: str) -> None:
    asked = f"path={path.replace('R', run.run_id)}"
    for method, address in (
        ("GET", f"/get-artifact?run_id={run.run_id}&{asked}"),
        ("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run.run_id}&{asked}"),
        ("GET", f"{API}artifacts/list?run_id={run.run_id}&{asked}"),
        ("GET", f"/model-versions/get-artifact?name=m&version=1&{asked}"),
    ):
        status, _ = client.raw(method, address, b"x" if method == "POST" else None)
        assert status < 500, address
    outside = [
        p for p in tmp_path.iterdir() if p.name.partition(".")[0] not in {"mlflow", "mlruns"}
    ]
    assert outside == []


@RELAXED
@given(path=st.text(alphabet="/.%2ef5c\\0abR", max_size=40), method=st.sampled_from(["GET", "PUT"]))
def test_addresses(client: Client, run: TrackedRun, tmp_path: Path, path: str, method: str) -> None:
    address = f"/api/2.0/mlflow-artifacts/artifacts/{path.replace('R', run.run_id + '/artifacts/')}"
    status, _ = client.raw(method, address, b"x" if method == "PUT" else None)
    assert status < 500
    outside = [
        p for p in tmp_path.iterdir() if p.name.partition(".")[0] not in {"mlflow", "mlruns"}
    ]
    assert outside == []
