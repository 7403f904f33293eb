"""The endpoint's life: bound, told to the command, served, closed without losing anything."""

import http.client
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from driving import API, Client

from runner.model.tracking import TrackedRun
from runner.ports import TrackingStore
from runner.serving.endpoint import LoopbackEndpoint, manners
from runner.settings import settings

SOON = timedelta(seconds=5)


def test_variables_lead_a_client_to_the_run(
    endpoint: LoopbackEndpoint, run: TrackedRun, store: TrackingStore
) -> None:
    variables = endpoint.variables
    client = Client(variables["MLFLOW_TRACKING_URI"])
    found = client.get("runs/get", run_id=variables["MLFLOW_RUN_ID"])["run"]["info"]
    client.connection.close()
    assert found["run_id"] == run.run_id
    assert found["experiment_id"] == variables["MLFLOW_EXPERIMENT_ID"] == "0"
    assert variables["RUNPROJ_TRACKING_URI"] == store.uri


def test_a_nested_runproj_sees_through_the_endpoint(
    endpoint: LoopbackEndpoint, run: TrackedRun, store: TrackingStore
) -> None:
    nested = settings({**endpoint.variables, "HOME": "/nowhere"})
    assert nested.tracking_uri == store.uri
    assert nested.parent == run.run_id
    assert nested.experiment_id is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "corp.example"}, "corp.example,127.0.0.1,localhost"),
        ({"no_proxy": "localhost, 10.0.0.1"}, "localhost,10.0.0.1,127.0.0.1"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_proxies_keep_out_of_loopback(given: dict[str, str], expected: str) -> None:
    set_ = manners(given)
    assert set_["no_proxy"] == set_["NO_PROXY"] == expected


def test_what_the_user_chose_stays() -> None:
    chosen = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "9"}
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in manners(chosen)
    assert manners({})["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"


def test_each_endpoint_has_its_own_token(store: TrackingStore, run: TrackedRun) -> None:
    one, other = (LoopbackEndpoint(store=store, run=run) for _ in range(2))
    try:
        paths = [urlsplit(endpoint.uri).path for endpoint in (one, other)]
        assert paths[0] != paths[1]
        assert all(len(path) >= len("/r/") + 32 for path in paths)
    finally:
        one.close(within=SOON)
        other.close(within=SOON)


def test_nobody_knocked(store: TrackingStore, run: TrackedRun) -> None:
    before = threading.active_count()
    endpoint = LoopbackEndpoint(store=store, run=run)
    assert select.select([endpoint], [], [], 0) == ([], [], [])
    endpoint.close(within=SOON)
    endpoint.close(within=SOON)
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", endpoint.port), timeout=60)


def test_a_client_that_waits_in_the_backlog_is_answered_at_the_end(
    store: TrackingStore, run: TrackedRun
) -> None:
    endpoint = LoopbackEndpoint(store=store, run=run)
    path = urlsplit(endpoint.uri).path + API + "runs/set-tag"
    body = json.dumps({"run_id": run.run_id, "key": "late", "value": "yes"})
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=120)
    connection.request("POST", path, body)
    endpoint.close(within=SOON)
    assert connection.getresponse().status == 200
    connection.close()
    assert store.run(run.run_id).tags["late"] == "yes"


def test_closing_waits_for_what_is_under_way(store: TrackingStore, run: TrackedRun) -> None:
    endpoint = LoopbackEndpoint(store=store, run=run)
    endpoint.serve()
    folder = store.artifacts(run)
    path = f"/api/2.0/mlflow-artifacts/artifacts/0/{run.run_id}/artifacts/slow.bin"
    client = Client(endpoint.uri)
    client.connection.putrequest("PUT", client.base + path)
    client.connection.putheader("Content-Length", "6")
    client.connection.endheaders(b"abc")
    time.sleep(0.1)
    closer = threading.Thread(target=endpoint.close, kwargs={"within": SOON})
    closer.start()
    time.sleep(0.2)
    client.connection.send(b"def")
    assert client.connection.getresponse().status == 200
    client.connection.close()
    closer.join(60)
    with folder.open("slow.bin") as file:
        assert file.read() == b"abcdef"


def test_closing_does_not_wait_for_ever(store: TrackingStore, run: TrackedRun) -> None:
    endpoint = LoopbackEndpoint(store=store, run=run)
    endpoint.serve()
    stuck = socket.create_connection(("127.0.0.1", endpoint.port))
    stuck.sendall(b"POST /r/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-")
    time.sleep(0.1)
    began = time.monotonic()
    endpoint.close(within=timedelta(seconds=0.5))
    assert time.monotonic() - began < 30
    stuck.close()


def test_nothing_is_left_after_the_end(store: TrackingStore, run: TrackedRun) -> None:
    threads = threading.active_count()
    store.run(run.run_id)
    descriptors = set(os.listdir("/proc/self/fd"))
    endpoint = LoopbackEndpoint(store=store, run=run)
    endpoint.serve()
    clients = [Client(endpoint.uri) for _ in range(5)]
    for client in clients:
        client.get("runs/get", run_id=run.run_id)
    stuck = socket.create_connection(("127.0.0.1", endpoint.port))
    stuck.sendall(b"POST /r/x HTTP/1.1\r\n")
    time.sleep(0.1)
    endpoint.close(within=timedelta(seconds=0.3))
    for client in clients:
        client.connection.close()
    stuck.close()
    assert threading.active_count() == threads
    left = {
        os.readlink(f"/proc/self/fd/{number}")
        for number in set(os.listdir("/proc/self/fd")) - descriptors
        if os.path.lexists(f"/proc/self/fd/{number}")
    }
    assert not [name for name in left if name.startswith(("socket:", "pipe:"))]


def test_idle_connections_do_not_delay_the_end(endpoint: LoopbackEndpoint, client: Client) -> None:
    assert client.raw("GET", "/health") == (200, b"OK")
    began = time.monotonic()
    endpoint.close(within=SOON)
    assert time.monotonic() - began < 30


def test_a_copy_of_the_socket_keeps_nobody_waiting(store: TrackingStore, run: TrackedRun) -> None:
    endpoint = LoopbackEndpoint(store=store, run=run)
    copy = os.dup(endpoint.fileno())  # what a forked supervisor has
    try:
        endpoint.close(within=SOON)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", endpoint.port), timeout=60)
    finally:
        os.close(copy)


def test_binding_imports_next_to_nothing() -> None:
    script = (
        "import os, sys, json, hashlib, time, select, signal, fcntl, runner.errors;"
        "import runner.model.value; before = set(sys.modules);"
        "import runner.serving.endpoint;"
        "print(' '.join(sorted(set(sys.modules) - before)))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert found.stdout.decode().split() == ["_socket", "runner.serving", "runner.serving.endpoint"]


def test_a_client_that_flushes_and_dies_loses_nothing(
    store: TrackingStore, run: TrackedRun
) -> None:
    script = """if True:
        import json, os, socket, sys
        port, path, run_id = sys.argv[1:]
        client = socket.create_connection(("127.0.0.1", int(port)))
        for step in range(200):
            body = json.dumps({"run_id": run_id, "key": "m", "value": step, "timestamp": step,
                               "step": step})
            client.sendall(f"POST {path}/api/2.0/mlflow/runs/log-metric HTTP/1.1\\r\\n"
                           f"Host: 127.0.0.1\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}"
                           .encode())
        client.shutdown(socket.SHUT_WR)
        os._exit(0)
    """
    endpoint = LoopbackEndpoint(store=store, run=run)
    path = urlsplit(endpoint.uri).path
    command = [sys.executable, "-c", script, str(endpoint.port), path, run.run_id]
    subprocess.run(command, check=True)
    endpoint.close(within=timedelta(seconds=20))
    assert len(store.history(run.run_id, "m")) == 200
