"""A server for a team without accounts: names, origins, sizes, counts, its end."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from driving import API, PROXY, Client, new_run
from teaming import serving

from runner.errors import BackendError, UsageError
from runner.model.server import ServerOptions
from runner.ports import TrackingStore
from runner.serving.team_server import TeamServer
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from typing import Any


@pytest.fixture
def server(store: TrackingStore) -> Iterator[TeamServer]:
    with serving(store, allowed_hosts=("*.example.org",), allowed_origins=("https://ui",)) as made:
        yield made


@pytest.fixture
def client(server: TeamServer) -> Iterator[Client]:
    made = Client(server.uri)
    yield made
    made.connection.close()


def test_both_addresses_of_the_api_are_served(client: Client) -> None:
    assert client.get("experiments/get", experiment_id="0")["experiment"]["name"] == "Default"
    status, body = client.raw("GET", "/ajax-api/2.0/mlflow/experiments/get?experiment_id=0")
    assert (status, json.loads(body)["experiment"]["name"]) == (200, "Default")


def test_runs_belong_to_nobody(client: Client) -> None:
    run = client.post("runs/create", experiment_id="0")["run"]["info"]
    client.post("runs/log-metric", run_id=run["run_id"], key="m", value=1.5, timestamp=1)
    client.post("runs/update", run_id=run["run_id"], status="FINISHED", end_time=2)
    found = client.get("runs/get", run_id=run["run_id"])["run"]
    assert found["info"]["status"] == "FINISHED"
    assert found["data"]["metrics"][0]["value"] == 1.5


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:5000", 200),
        ("[::1]:5000", 200),
        ("10.1.2.3", 200),
        ("localhost", 200),
        ("mlflow.example.org", 200),
        ("example.org.evil", 403),
        ("evil.com:80", 403),
        ("xexample.org", 403),
        ("", 403),
    ],
)
def test_only_own_names_are_answered(client: Client, host: str, status: int) -> None:
    assert client.raw("GET", "/version", headers={"Host": host})[0] == status
    assert client.raw("GET", "/health", headers={"Host": host})[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "https://evil.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://ui"}, 200),
        ({"Origin": "http://localhost:1", "Host": "localhost:1"}, 200),
        ({"Origin": "http://localhost:2", "Host": "localhost:1"}, 403),
    ],
)
def test_strange_pages_cannot_write(client: Client, headers: dict[str, str], status: int) -> None:
    found, _ = client.raw("POST", API + "runs/create", '{"experiment_id": "0"}', headers)
    assert found == status


def test_pages_that_are_allowed_may_read(server: TeamServer) -> None:
    found = {}
    for origin in ("https://ui", "https://evil.com"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        connection.request("OPTIONS", API + "runs/create", headers=asked)
        response = connection.getresponse()
        response.read()
        found[origin] = (
            response.status,
            response.getheader("Access-Control-Allow-Origin"),
            "POST" in response.getheader("Access-Control-Allow-Methods", ""),
        )
        connection.close()
    assert found["https://ui"] == (204, "https://ui", True)
    assert found["https://evil.com"] == (204, None, False)


def test_bodies_have_a_limit(store: TrackingStore) -> None:
    run = new_run(store)
    tag = json.dumps({"run_id": run.run_id, "key": "k", "value": "v" * 1000}).encode()
    file = f"{PROXY}/0/{run.run_id}/artifacts/"
    asked: list[tuple[str, str, Any, int]] = [
        ("POST", API + "runs/set-tag", tag, 413),
        ("POST", API + "runs/set-tag", iter([tag]), 413),
        ("PUT", file + "fits", b"x" * 2000, 200),
        ("PUT", file + "long", b"x" * 2001, 413),
        ("PUT", file + "chunks", iter([b"x" * 2001]), 413),
    ]
    with serving(store, max_body=1000, max_upload=2000) as server:
        for method, path, body, status in asked:
            client = Client(server.uri)
            assert client.raw(method, path, body)[0] == status
            client.connection.close()
    assert [a.path for a in store.artifacts(run).list()] == ["fits"]


def test_requests_are_counted(client: Client) -> None:
    client.get("experiments/get", experiment_id="0")
    client.refused("GET", "experiments/get", experiment_id="none")
    client.raw("GET", "/api/2.0/mlflow/" + "x" * 50)
    client.raw("GET", "/" + "y" * 50)
    status, body = client.raw("GET", "/metrics")
    text = body.decode()
    assert status == 200
    name = 'runproj_http_requests_total{method="GET",call='
    assert f'{name}"experiments/get",status="200"}} 1\n' in text
    assert f'{name}"experiments/get",status="404"}} 1\n' in text
    assert f'{name}"other",status="404"}} 2\n' in text
    assert 'runproj_http_request_seconds_bucket{call="experiments/get",le="+Inf"} 2\n' in text
    assert "runproj_http_requests_in_flight 1\n" in text
    for line in text.splitlines():
        assert line.startswith("#") or float(line.rpartition(" ")[2]) >= 0


def test_the_log_tells_what_was_asked_and_no_secret(store: TrackingStore, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with serving(store, access_log=str(log)) as server:
        client = Client(server.uri)
        headers = {"Authorization": "Bearer hidden"}
        client.raw("GET", API + "experiments/get?experiment_id=0&token=hidden", headers=headers)
        log.rename(tmp_path / "old.log")
        server.reopen_log()
        client.raw("GET", "/evil%0d%0aline", headers=headers)
        client.connection.close()
    first, second = (tmp_path / "old.log").read_text(), log.read_text()
    assert f"127.0.0.1 - GET {API}experiments/get 200" in first
    assert "/evil%0d%0aline 404" in second
    assert "hidden" not in first + second
    assert (first + second).count("\n") == 2


def test_the_end_finishes_what_is_under_way_and_refuses_who_comes(store: TrackingStore) -> None:
    run = new_run(store)
    server = TeamServer(store, ServerOptions(port=0, grace=60.0))
    server.start()
    client, idle = Client(server.uri), Client(server.uri)
    assert idle.raw("GET", "/health")[0] == 200
    path = f"{PROXY}/0/{run.run_id}/artifacts/slow.bin"
    client.connection.putrequest("PUT", path)
    client.connection.putheader("Content-Length", "6")
    client.connection.putheader("Expect", "100-continue")
    client.connection.endheaders()
    assert client.connection.sock is not None
    assert client.connection.sock.recv(100).startswith(b"HTTP/1.1 100")  # it is under way
    closer = threading.Thread(target=server.close)
    closer.start()
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=30).close()
        except ConnectionRefusedError:
            break
        except ConnectionResetError:
            continue
    client.connection.send(b"abcdef")
    response = client.connection.getresponse()
    assert (response.status, response.getheader("Connection")) == (200, "close")
    assert response.read() == b"{}"
    client.connection.close()
    idle.connection.close()
    closer.join(60)
    assert not closer.is_alive()
    with store.artifacts(run).open("slow.bin") as file:
        assert file.read() == b"abcdef"


def test_folders_of_the_server_are_not_for_artifacts(client: Client, tmp_path: Path) -> None:
    for location in ("/etc", f"file://{tmp_path}/elsewhere", f"{tmp_path}/mlruns/../elsewhere"):
        given = {"name": location, "artifact_location": location}
        assert client.refused("POST", "experiments/create", **given) == (
            400,
            "INVALID_PARAMETER_VALUE",
        )
    assert not (tmp_path / "elsewhere").exists()
    client.post("experiments/create", name="cloud", artifact_location="s3://bucket/path")


def test_mistakes_are_found_at_the_start(store: TrackingStore, tmp_path: Path) -> None:
    with serving(store) as server, pytest.raises(BackendError, match="cannot listen"):
        TeamServer(store, ServerOptions(port=server.port))
    with pytest.raises(UsageError, match="certificate"):
        TeamServer(store, ServerOptions(port=0, certificate=str(tmp_path / "none.pem")))
    with pytest.raises(UsageError, match="accounts cannot be read"):
        TeamServer(store, ServerOptions(port=0, users=str(tmp_path / "none.json")))
    remote = open_store("http://127.0.0.1:1", directory=str(tmp_path), environ={})
    with pytest.raises(UsageError, match="is a server already"):
        TeamServer(remote, ServerOptions(port=0))
