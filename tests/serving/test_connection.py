"""HTTP/1.1 on the socket: what clients do, and what attackers do."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from driving import API, PROXY, Client

from runner.model.tracking import TrackedRun
from runner.ports import TrackingStore
from runner.serving import connection as connections
from runner.serving.endpoint import LoopbackEndpoint


@contextlib.contextmanager
def connected(endpoint: LoopbackEndpoint) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=120) as client:
        yield client


def everything(client: socket.socket) -> bytes:
    """Read to the end of the connection."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            found += data
    return found


def prefix(endpoint: LoopbackEndpoint) -> str:
    return "/r/" + endpoint.uri.rpartition("/")[2]


def test_connections_are_kept_alive(client: Client) -> None:
    for _ in range(20):
        assert client.raw("GET", "/health") == (200, b"OK")
    first = client.connection.sock
    client.raw("GET", "/version")
    assert client.connection.sock is first


def test_answers_come_without_nagle_delays(client: Client, run: TrackedRun) -> None:
    client.get("runs/get", run_id=run.run_id)
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        client.get("runs/get", run_id=run.run_id)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.030  # a delayed acknowledgement costs each of them 40 ms


def test_pipelined_requests_are_answered_in_order(endpoint: LoopbackEndpoint) -> None:
    base = prefix(endpoint)
    text = "".join(f"GET {base}{path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in ("/a", "/b"))
    last = f"GET {base}/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with connected(endpoint) as client:
        client.sendall((text + last).encode())
        found = everything(client)
    assert [int(part[:3]) for part in found.split(b"HTTP/1.1 ")[1:]] == [404, 404, 200]


def test_head_has_no_body(client: Client) -> None:
    client.connection.request("HEAD", client.base + "/health")
    response = client.connection.getresponse()
    assert (response.status, response.getheader("Content-Length")) == (200, "2")
    assert response.read() == b""
    assert client.raw("GET", "/health") == (200, b"OK")


def test_http_1_0_clients_are_served_and_hung_up_on(endpoint: LoopbackEndpoint) -> None:
    with connected(endpoint) as client:
        client.sendall(f"GET {prefix(endpoint)}/health HTTP/1.0\r\n\r\n".encode())
        found = everything(client)
    assert found.startswith(b"HTTP/1.1 200 OK")
    assert found.endswith(b"\r\n\r\nOK")


def test_a_body_is_asked_for_only_when_it_is_wanted(
    endpoint: LoopbackEndpoint, run: TrackedRun, store: TrackingStore
) -> None:
    path = f"{prefix(endpoint)}{PROXY}/0/{run.run_id}/artifacts/e.txt"
    head = "PUT %s HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    with connected(endpoint) as client:
        client.sendall((head % path).encode())
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"data")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
        client.sendall((head % "/elsewhere").encode())
        assert everything(client).startswith(b"HTTP/1.1 404")
    with store.artifacts(run).open("e.txt") as file:
        assert file.read() == b"data"


def test_chunked_uploads(client: Client, run: TrackedRun, store: TrackingStore) -> None:
    blocks = [b"x" * 100_000, b"y", b"z" * 300_000]
    path = f"{PROXY}/0/{run.run_id}/artifacts/chunked.bin"
    client.connection.request("PUT", client.base + path, iter(blocks), encode_chunked=True)
    assert client.connection.getresponse().read() == b"{}"
    with store.artifacts(run).open("chunked.bin") as file:
        assert file.read() == b"".join(blocks)
    assert client.raw("GET", "/health") == (200, b"OK")


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"5\r\nabcdeXX",
        b"ffffffffffffffffff\r\n",
        b"5;" + b"x" * 5000,
        b"\r\n",
    ],
)
def test_broken_chunks_leave_nothing(
    endpoint: LoopbackEndpoint, run: TrackedRun, store: TrackingStore, chunks: bytes
) -> None:
    path = f"{prefix(endpoint)}{PROXY}/0/{run.run_id}/artifacts/broken.bin"
    head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connected(endpoint) as client:
        client.sendall(head.encode() + b"3\r\nabc\r\n" + chunks)
        client.shutdown(socket.SHUT_WR)
        assert b" 200 " not in everything(client)
    assert store.artifacts(run).list() == ()


def test_a_client_that_leaves_in_the_middle_leaves_nothing(
    endpoint: LoopbackEndpoint, run: TrackedRun, store: TrackingStore
) -> None:
    path = f"{prefix(endpoint)}{PROXY}/0/{run.run_id}/artifacts/half.bin"
    with connected(endpoint) as client:
        head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
        client.sendall(head.encode() + b"half")
        client.shutdown(socket.SHUT_WR)
        assert everything(client) == b""
    folder = store.artifacts(run).folder()
    assert folder is not None
    assert store.artifacts(run).list() == ()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"G\xc3\xa4T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET example HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused(
    endpoint: LoopbackEndpoint, request_: bytes, status: int
) -> None:
    with connected(endpoint) as client:
        client.sendall(request_)
        found = everything(client)
    head, _, body = found.partition(b"\r\n\r\n")
    assert int(head.split(b" ")[1]) == status
    assert json.loads(body)["error_code"]


def test_an_answer_is_heard_although_the_body_was_not_wanted(client: Client) -> None:
    status, body = client.raw("PUT", PROXY + "/nowhere", b"x" * 5_000_000)
    assert status == 404
    assert json.loads(body)["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_slow_heads_do_not_hold_the_endpoint(
    endpoint: LoopbackEndpoint, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(endpoint)) for _ in range(64)]
        for one in slow:
            one.sendall(b"GET / HTTP/1.1\r\nHost: ")
        began = time.monotonic()
        assert client.raw("GET", "/health") == (200, b"OK")
        assert time.monotonic() - began < 30
        assert all(everything(one) == b"" for one in slow)


def test_many_idle_clients_cost_no_threads(endpoint: LoopbackEndpoint) -> None:
    with contextlib.ExitStack() as stack:
        clients = [Client(endpoint.uri) for _ in range(100)]
        for one in clients:
            stack.callback(one.connection.close)
            assert one.raw("GET", "/health") == (200, b"OK")
        workers = [t for t in threading.enumerate() if t.name == "endpoint worker"]
        assert len(workers) <= 32
        assert all(one.raw("GET", "/health") == (200, b"OK") for one in clients)


def test_64_threads_lose_nothing(
    endpoint: LoopbackEndpoint, store: TrackingStore, run: TrackedRun
) -> None:
    failures: list[object] = []

    def work(number: int) -> None:
        client = Client(endpoint.uri)
        try:
            for step in range(5):
                metrics = [
                    {"key": f"m{number}", "value": step, "timestamp": at, "step": step}
                    for at in range(31)
                ]
                client.post("runs/log-batch", run_id=run.run_id, metrics=metrics)
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)
        finally:
            client.connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(len(store.history(run.run_id, f"m{n}")) for n in range(64)) == 64 * 5 * 31


def test_absolute_targets_are_understood(endpoint: LoopbackEndpoint) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=120)
    connection.request("GET", f"{endpoint.uri}{API}experiments/get?experiment_id=0")
    assert connection.getresponse().status == 200
    connection.close()


def test_bodies_that_drip_are_given_up(
    endpoint: LoopbackEndpoint,
    run: TrackedRun,
    store: TrackingStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "BODY_GRACE", 0.0)
    monkeypatch.setattr(connections, "BODY_RATE", 1e12)
    path = f"{prefix(endpoint)}{PROXY}/0/{run.run_id}/artifacts/drip.bin"
    with connected(endpoint) as client:
        head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
        client.sendall(head.encode() + b"drop")
        assert everything(client) == b""
    assert store.artifacts(run).list() == ()


def test_a_body_that_does_not_come_keeps_no_answer_back(
    endpoint: LoopbackEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "DRAIN_SECONDS", 0.1)
    with connected(endpoint) as client:
        path = f"{prefix(endpoint)}{PROXY}/nowhere"
        head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
        client.sendall(head.encode())
        assert everything(client).startswith(b"HTTP/1.1 404 ")


def test_heads_that_come_in_pieces_are_put_together(endpoint: LoopbackEndpoint) -> None:
    request = f"GET {prefix(endpoint)}/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    with connected(endpoint) as client:
        for byte in f"\r\n{request}\r\n".encode():
            client.sendall(bytes([byte]))
        assert everything(client).endswith(b"\r\n\r\nOK")
