"""Who is let in, and that mistakes are answered in MLflow's words, never with a traceback."""

import gzip
import http.client
import json
import os
import zlib
from collections.abc import Callable

import pytest
from driving import API, PROXY, Client

from runner.model.tracking import TrackedRun
from runner.ports import TrackingStore
from runner.serving.endpoint import LoopbackEndpoint


def asked(endpoint: LoopbackEndpoint, path: str, host: str = "localhost") -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=120)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host)
    connection.putheader("Origin", "http://evil.example")
    connection.endheaders()
    response = connection.getresponse()
    found = response.status, response.read(), str(response.headers)
    connection.close()
    return found


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/version",
        API + "experiments/get?experiment_id=0",
        "/r/",
        "/r//health",
        "/r/00000000000000000000000000000000/health",
        "/r/%00/health",
        "*",
    ],
)
def test_without_the_token_there_is_nothing(endpoint: LoopbackEndpoint, path: str) -> None:
    status, body, _ = asked(endpoint, path)
    assert status == 404
    assert json.loads(body)["error_code"] == "ENDPOINT_NOT_FOUND"


def test_the_token_must_be_whole(endpoint: LoopbackEndpoint) -> None:
    token = endpoint.uri.rpartition("/")[2]
    assert asked(endpoint, f"/r/{token}/health")[0] == 200
    assert asked(endpoint, f"/r/{token[:-1]}/health")[0] == 404
    assert asked(endpoint, f"/r/{token}x/health")[0] == 404
    assert asked(endpoint, f"/r/{token.upper()}/health")[0] == (200 if token.isdigit() else 404)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:80", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:80", 200),
        ("[::1]", 200),
        ("evil.example", 404),
        ("127.0.0.1.evil.example:80", 404),
        ("localhost@evil.example", 404),
        ("", 404),
    ],
)
def test_only_loopback_names_are_served(endpoint: LoopbackEndpoint, host: str, status: int) -> None:
    path = f"/r/{endpoint.uri.rpartition('/')[2]}/health"
    assert asked(endpoint, path, host)[0] == status


def test_browsers_of_other_pages_get_no_permission(endpoint: LoopbackEndpoint) -> None:
    _, _, headers = asked(endpoint, f"/r/{endpoint.uri.rpartition('/')[2]}/health")
    assert "access-control" not in headers.lower()
    assert "nosniff" in headers


def test_unknown_calls_say_so(client: Client) -> None:
    for method, path in (
        ("GET", API + "runs/nothing"),
        ("PUT", API + "runs/get"),
        ("GET", "/api/2.0/elsewhere"),
        ("POST", "/api/3.0/mlflow/traces"),
        ("POST", "/api/2.0/mlflow/gateway-proxy"),
        ("BREW", API + "runs/get"),
        ("POST", PROXY),
        ("PATCH", API + "logged-models/m-1/unknown"),
    ):
        status, body = client.raw(method, path, "{}")
        assert (status, json.loads(body)["error_code"]) == (404, "ENDPOINT_NOT_FOUND"), path


@pytest.mark.parametrize(
    "prefix", ["/api/2.0/mlflow/", "/api/3.0/mlflow/", "/ajax-api/2.0/mlflow/"]
)
def test_calls_are_known_under_their_other_addresses(client: Client, prefix: str) -> None:
    status, body = client.raw("GET", prefix + "experiments/get?experiment_id=0")
    assert status == 200
    assert json.loads(body)["experiment"]["name"] == "Default"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "MALFORMED_REQUEST"),
        (b"[1]", "MALFORMED_REQUEST"),
        (b'"x"', "MALFORMED_REQUEST"),
        (b"\xff\xfe", "MALFORMED_REQUEST"),
        (b"[" * 100_000, "MALFORMED_REQUEST"),
        (b'{"a":' * 50_000, "MALFORMED_REQUEST"),
        (b"1" * 5000, "MALFORMED_REQUEST"),
        (b"", "INVALID_PARAMETER_VALUE"),
        (b"null", "INVALID_PARAMETER_VALUE"),
        (b"{}", "INVALID_PARAMETER_VALUE"),
        (b'{"run_id": 5, "key": "k", "value": {}}', "INVALID_PARAMETER_VALUE"),
        (b'{"run_id": ["a"], "key": "k", "value": "v"}', "INVALID_PARAMETER_VALUE"),
        (b'{"run_id": "a", "key": "\\ud800", "value": "v"}', "INVALID_PARAMETER_VALUE"),
    ],
)
def test_what_makes_no_sense_is_refused(client: Client, body: bytes, code: str) -> None:
    status, answer = client.raw("POST", API + "runs/set-tag", body)
    assert (status, json.loads(answer)["error_code"]) == (400, code)


def test_long_bodies_are_refused(client: Client, run: TrackedRun) -> None:
    body = json.dumps({"run_id": run.run_id, "key": "k", "value": "v" * (17 << 20)})
    status, answer = client.raw("POST", API + "runs/set-tag", body)
    assert (status, json.loads(answer)["error_code"]) == (413, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    ("coding", "packed"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_compressed_bodies(
    client: Client, run: TrackedRun, coding: str, packed: Callable[[bytes], bytes]
) -> None:
    headers = {"Content-Encoding": coding}
    body = packed(json.dumps({"run_id": run.run_id, "key": "k", "value": "v"}).encode())
    assert client.raw("POST", API + "runs/set-tag", body, headers) == (200, b"{}")
    for damaged, expected in (
        (body[:-9], 400),
        (b"{}", 400),
        (packed(b"x" * (17 << 20)), 413),
        (packed(packed(b"[")), 400),
    ):
        assert client.raw("POST", API + "runs/set-tag", damaged, headers)[0] == expected
    other = client.raw("POST", API + "runs/set-tag", body, {"Content-Encoding": "br"})
    assert (other[0], json.loads(other[1])["error_code"]) == (415, "BAD_REQUEST")


def test_what_a_path_can_be_asked_with(client: Client) -> None:
    for path, expected in (
        (API + "runs/get", "GET, HEAD, OPTIONS"),
        (API + "registered-models/alias", "DELETE, GET, HEAD, OPTIONS, POST"),
        (API + "logged-models/m-1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/get-artifact", "GET, HEAD, OPTIONS"),
        ("/nothing", ""),
    ):
        client.connection.request("OPTIONS", client.base + path)
        response = client.connection.getresponse()
        assert response.read() == b""
        assert response.status == (200 if expected else 404)
        assert response.headers["Allow"] == expected
    client.connection.request("HEAD", f"{client.base}{API}experiments/get?experiment_id=0")
    response = client.connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    assert int(response.headers["Content-Length"]) > 50


def test_what_a_server_says_about_itself(client: Client, store: TrackingStore) -> None:
    status, answer = client.raw("GET", "/api/3.0/mlflow/server-info")
    kind = "SqlStore" if store.uri.startswith("sqlite") else "FileStore"
    found = json.loads(answer)
    assert (status, found["store_type"], found["workspaces_enabled"]) == (200, kind, False)


def test_a_broken_store_is_a_sentence(
    client: Client, run: TrackedRun, store: TrackingStore
) -> None:
    store.close()
    path = store.uri.removeprefix("sqlite:///").removeprefix("file://")
    path = path if os.path.isfile(path) else f"{path}/0/{run.run_id}/meta.yaml"
    with open(path, "wb") as file:
        file.write(b"{this is no store at all" * 100)
    status, answer = client.call("GET", "runs/get", run_id=run.run_id)
    assert (status, answer["error_code"]) == (500, "INTERNAL_ERROR")
    assert "Traceback" not in answer["message"]
    assert "File " not in answer["message"]
