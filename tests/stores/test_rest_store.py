"""The REST client and the ways in which servers and networks fail."""

from __future__ import annotations

import base64
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import StoreError
from runner.model.tracking import Metric, TrackedRun
from runner.model.value import RunId
from runner.stores import wire
from runner.stores.access import proxy_of
from runner.stores.rest import RestStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = {
    "info": {"run_id": "r1", "experiment_id": "0", "status": "RUNNING", "artifact_uri": "s3://b"}
}
QUICK = {"MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0.01", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}


class Script:
    """A server that says what it is told to say, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, bytes, dict[str, str]] | None] = []
        self.connections = 0
        self.drop_next_idle = False
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                script.connections += 1

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                script.asked.append((self.command, self.path, {**self.headers}, body))
                answer = script.answers.pop(0) if script.answers else script.usual(self.path)
                if answer is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, content, headers = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                if script.drop_next_idle:
                    script.drop_next_idle = False
                    self.close_connection = True

            do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names of http.server

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def usual(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        if path.endswith("runs/create") or "runs/get" in path:
            return 200, json.dumps({"run": RUN}).encode(), {}
        return 200, b"{}", {}

    def say(self, status: int, document: Any, **headers: str) -> None:
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answers.append((status, content, {k.replace("_", "-"): v for k, v in headers.items()}))

    def paths(self) -> list[str]:
        return [
            path.partition("?")[0].removeprefix("/api/2.0/mlflow/") for _, path, _, _ in self.asked
        ]


@pytest.fixture
def server() -> Iterator[Script]:
    script = Script()
    yield script
    script.server.shutdown()
    script.server.server_close()
    script.thread.join()


@pytest.fixture
def opened(server: Script) -> Iterator[Callable[..., RestStore]]:
    stores: list[RestStore] = []

    def open_it(url: str | None = None, **environ: str) -> RestStore:
        store = RestStore(url or server.url, directory="/d", environ={**QUICK, **environ})
        stores.append(store)
        return store

    yield open_it
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[..., RestStore]) -> RestStore:
    return opened()


def fresh(**given: object) -> TrackedRun:
    fields: dict[str, object] = {
        "run_id": RunId(""),
        "experiment_id": "0",
        "name": "n",
        "status": "RUNNING",
        "started": 1,
        "ended": None,
        "artifact_uri": "",
    }
    return TrackedRun(**{**fields, **given})  # type: ignore[arg-type]


def refusal(action: Callable[[], object]) -> StoreError:
    with pytest.raises(StoreError) as caught:
        action()
    assert "\n" not in caught.value.message
    return caught.value


def test_a_plain_run_is_three_requests_on_one_connection(store: RestStore, server: Script) -> None:
    run = store.create_run(fresh(params={f"p{i}": "1" for i in range(100)}, tags={"a": "b"}))
    done = store.update_run(run.run_id, status="FINISHED", ended=5)
    assert server.paths() == ["runs/create", "runs/log-batch", "runs/update"]
    assert server.connections == 1
    assert (done.status, done.ended, done.run_id) == ("FINISHED", 5, "r1")
    sent = [json.loads(body) for *_, body in server.asked]
    assert sent[0]["tags"] == [
        {"key": "a", "value": "b"},
        {"key": "mlflow.runName", "value": "n"},
    ]
    assert len(sent[1]["params"]) == 100
    assert sent[2] == {"run_id": "r1", "run_uuid": "r1", "status": "FINISHED", "end_time": 5}


def test_a_run_without_parameters_is_two_requests(store: RestStore, server: Script) -> None:
    store.update_run(store.create_run(fresh()).run_id, status="FAILED")
    assert server.paths() == ["runs/create", "runs/update"]


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("http://ada:s%3Ac@H", {}, "Basic " + base64.b64encode(b"ada:s:c").decode()),
        (
            "http://H",
            {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "pä"},
            "Basic " + base64.b64encode("ada:pä".encode()).decode(),
        ),
        ("http://H", {"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
        (
            "http://H",
            {"MLFLOW_TRACKING_TOKEN": "t", "MLFLOW_TRACKING_USERNAME": "u"},
            "Basic " + base64.b64encode(b"u:").decode(),
        ),
        ("http://H", {}, None),
    ],
)
def test_credentials(
    url: str,
    environ: dict[str, str],
    expected: str | None,
    server: Script,
    opened: Callable[..., RestStore],
) -> None:
    store = opened(url.replace("H", server.url.removeprefix("http://")), **environ)
    store.update_run(RunId("r1"), status="FAILED")
    assert all(headers.get("Authorization") == expected for _, _, headers, _ in server.asked)
    assert store.uri == server.url


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials(status: int, server: Script, opened: Callable[..., RestStore]) -> None:
    store = opened(server.url.replace("//", "//ada:s3cret@"))
    server.say(status, b"<html>You shall not pass</html>")
    error = refusal(lambda: store.run(RunId("r1")))
    assert error.status == "PERMISSION_DENIED"
    assert "MLFLOW_TRACKING_USERNAME" in str(error.hint)
    assert "s3cret" not in f"{error} {error.where} {error.hint}"


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (200, b"<html><body>Log in</body></html>", "no JSON"),
        (200, b"[1, 2]", "no JSON"),
        (404, b"<html>nginx</html>", "404"),
        (400, b'{"message": 5}', "400"),
        (418, b"", "418"),
    ],
)
def test_servers_that_are_no_tracking_servers(
    status: int, content: bytes, words: str, server: Script, store: RestStore
) -> None:
    server.say(status, content)
    error = refusal(lambda: store.run(RunId("r1")))
    assert words in error.message
    assert error.where == server.url
    assert "MLflow tracking server" in str(error.hint)


def test_a_redirection_is_told_not_followed(server: Script, store: RestStore) -> None:
    server.say(302, b"", Location="https://user:pw@login.example/")
    error = refusal(lambda: store.run(RunId("r1")))
    assert "https://login.example/" in error.message
    assert len(server.asked) == 1


def test_the_server_s_own_words(server: Script, store: RestStore) -> None:
    server.say(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No run\n[SQL: SELECT]"})
    error = refusal(lambda: store.run(RunId("r1")))
    assert (error.message, error.status) == ("No run", "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize("trouble", [500, 502, 503, 504, 429, 408, None])
def test_passing_trouble_is_waited_out(
    trouble: int | None, server: Script, store: RestStore
) -> None:
    for _ in range(3):
        if trouble is None:
            server.answers.append(None)
        else:
            server.say(trouble, b"busy")
    assert store.run(RunId("r1")).run_id == "r1"
    assert len(server.asked) == 4


def test_lasting_trouble_is_told(server: Script, opened: Callable[..., RestStore]) -> None:
    store = opened(MLFLOW_HTTP_REQUEST_MAX_RETRIES="2")
    for _ in range(9):
        server.say(503, b"down for maintenance")
    assert "503" in refusal(lambda: store.run(RunId("r1"))).message
    assert len(server.asked) == 3


@pytest.mark.parametrize("trouble", [500, 502, None])
def test_a_run_is_not_made_twice(trouble: int | None, server: Script, store: RestStore) -> None:
    """After these answers nobody knows whether the run was made: it must not be asked again."""
    if trouble is None:
        server.answers.append(None)
    else:
        server.say(trouble, b"")
    refusal(lambda: store.create_run(fresh()))
    assert server.paths() == ["runs/create"]


def test_a_run_that_was_not_begun_is_asked_for_again(server: Script, store: RestStore) -> None:
    server.say(429, b"", Retry_After="0")
    server.say(503, b"")
    assert store.create_run(fresh()).run_id == "r1"
    assert server.paths() == ["runs/create"] * 3


def test_an_idle_connection_that_was_closed(
    server: Script, opened: Callable[..., RestStore]
) -> None:
    """The usual case after a long command: not the server's failure, so no retry is used up."""
    store = opened(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    server.drop_next_idle = True
    run = store.create_run(fresh())
    assert store.update_run(run.run_id, status="FINISHED").status == "FINISHED"
    assert server.connections == 2


def test_nobody_listens(opened: Callable[..., RestStore]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = opened(f"http://me:pw@127.0.0.1:{port}", MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")
    error = refusal(lambda: store.run(RunId("r1")))
    assert error.message == "the tracking server cannot be reached: Connection refused"
    assert error.where == f"http://127.0.0.1:{port}"
    assert error.status == "TEMPORARILY_UNAVAILABLE"


def test_an_unknown_host(opened: Callable[..., RestStore]) -> None:
    store = opened("http://no-such-host.invalid", MLFLOW_HTTP_REQUEST_MAX_RETRIES="9")
    assert "no-such-host.invalid" in refusal(lambda: store.run(RunId("r1"))).message


def test_a_server_that_hangs(opened: Callable[..., RestStore]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        store = opened(
            f"http://127.0.0.1:{listener.getsockname()[1]}",
            MLFLOW_HTTP_REQUEST_TIMEOUT="0.1",
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
        )
        assert "no answer for 0.1 s" in refusal(lambda: store.run(RunId("r1"))).message


def test_odd_settings_are_told(opened: Callable[..., RestStore]) -> None:
    error = refusal(lambda: opened(MLFLOW_HTTP_REQUEST_TIMEOUT="soon"))
    assert "'soon'" in error.message


def test_certificates_that_are_not_there(opened: Callable[..., RestStore]) -> None:
    store = opened(
        "https://127.0.0.1:1",
        MLFLOW_TRACKING_SERVER_CERT_PATH="/no/ca.pem",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )
    refusal(lambda: store.run(RunId("r1")))
    store = opened("https://127.0.0.1:1", MLFLOW_TRACKING_CLIENT_CERT_PATH="/no/me.pem")
    assert "certificates" in refusal(lambda: store.run(RunId("r1"))).message


def test_numbers_of_other_languages(server: Script, store: RestStore) -> None:
    """Java and R write 64 bit integers as texts; protobuf writes NaN as one."""
    metrics = [{"key": "m", "value": "NaN", "timestamp": "12", "step": "3"}]
    info = {**RUN["info"], "start_time": "1700000000000", "end_time": ""}
    server.say(200, {"run": {"info": info, "data": {"metrics": metrics}}})
    run = store.run(RunId("r1"))
    assert (run.started, run.ended) == (1700000000000, None)
    assert (run.metrics["m"].timestamp, run.metrics["m"].step) == (12, 3)
    assert run.metrics["m"].value != run.metrics["m"].value


def test_odd_numbers_are_sent_as_texts(server: Script, store: RestStore) -> None:
    values = [float("nan"), float("inf"), float("-inf"), 1.5]
    store.log(RunId("r1"), metrics=[Metric(key="m", value=v, timestamp=1) for v in values])
    sent = json.loads(server.asked[0][3])["metrics"]
    assert [m["value"] for m in sent] == ["NaN", "Infinity", "-Infinity", 1.5]


def test_batches_fit() -> None:
    params = {f"p{i}": "é" * 6000 for i in range(120)}
    tags = {f"t{i}": "x" for i in range(250)}
    metrics = tuple(Metric(key="m", value=i, timestamp=i) for i in range(2500))
    batches = list(wire.batches(metrics, params, tags))
    for batch in batches:
        sizes = {kind: len(items) for kind, items in batch.items() if isinstance(items, list)}
        assert sizes.get("params", 0) <= 100
        assert sizes.get("tags", 0) <= 100
        assert sum(sizes.values()) <= 1000
        assert len(json.dumps(batch)) < 1_000_000
    sent: dict[str, list[Any]] = {"params": [], "tags": [], "metrics": []}
    for batch in batches:
        for kind, items in batch.items():
            assert isinstance(items, list)
            sent[kind] += items
    assert [p["key"] for p in sent["params"]] == [*params]
    assert [t["key"] for t in sent["tags"]] == [*tags]
    assert [m["timestamp"] for m in sent["metrics"]] == [*range(2500)]
    assert list(wire.batches((), {}, {})) == []


@pytest.mark.parametrize(
    ("host", "environ", "proxy"),
    [
        ("h", {"http_proxy": "http://p:1"}, "http://p:1"),
        ("h", {"http_proxy": "p:1"}, "http://p:1"),
        ("h", {"all_proxy": "http://p:1"}, "http://p:1"),
        ("h", {"HTTP_PROXY": "http://p:1"}, None),  # a CGI program's header, see httpoxy.org
        ("127.0.0.1", {"http_proxy": "http://p:1"}, None),
        ("localhost", {"http_proxy": "http://p:1"}, None),
        ("::1", {"http_proxy": "http://p:1"}, None),
        ("a.b.c", {"http_proxy": "http://p:1", "no_proxy": "x, .b.c"}, None),
        ("a.b.c", {"http_proxy": "http://p:1", "NO_PROXY": "b.c:80"}, None),
        ("ab.c", {"http_proxy": "http://p:1", "no_proxy": "b.c"}, "http://p:1"),
        ("h", {"http_proxy": "http://p:1", "no_proxy": "*"}, None),
        ("h", {"http_proxy": "socks5://p:1"}, None),
        ("h", {}, None),
    ],
)
def test_proxies(host: str, environ: dict[str, str], proxy: str | None) -> None:
    assert proxy_of("http", host, environ) == proxy


def test_a_proxy_is_asked_for_the_whole_address(
    server: Script, opened: Callable[..., RestStore]
) -> None:
    store = opened("http://tracking.invalid:5000/base", http_proxy=server.url)
    store.update_run(RunId("r1"), status="FAILED")
    asked = server.asked[0][1]
    assert asked == "http://tracking.invalid:5000/base/api/2.0/mlflow/runs/update"


def test_artifacts_that_only_the_server_reaches(server: Script, store: RestStore) -> None:
    run = store.create_run(fresh())
    artifacts = store.artifacts(run)
    assert artifacts.folder() is None
    error = refusal(lambda: artifacts.put("a", b"x"))
    assert error.status == "NOT_IMPLEMENTED"
    assert "s3://b" in error.message
    files = [{"path": "d", "is_dir": True}, {"path": "a", "is_dir": False, "file_size": "3"}]
    server.say(200, {"root_uri": "s3://b", "files": files})
    server.say(200, {"files": [{"path": "d/e", "is_dir": False, "file_size": 1}]})
    assert [(a.path, a.size) for a in artifacts.list()] == [("a", 3), ("d/e", 1)]
    server.say(200, b"content")
    with artifacts.open("d/e") as file:
        assert file.read() == b"content"
    assert server.asked[-1][1] == "/get-artifact?path=d%2Fe&run_uuid=r1"


def test_a_download_that_breaks_off_is_no_file(store: RestStore) -> None:
    run = store.create_run(fresh())
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def half() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

        thread = threading.Thread(target=half)
        thread.start()
        store._server._port = listener.getsockname()[1]
        with store.artifacts(run).open("a") as file:
            assert "broke off" in refusal(file.read).message
        thread.join()


def test_local_artifacts_of_a_server(
    server: Script, store: RestStore, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("artifacts")
    local = {"info": {**RUN["info"], "artifact_uri": folder.as_uri()}}
    server.say(200, {"run": local})
    run = store.create_run(fresh())
    store.artifacts(run).put("a", b"x")
    assert (folder / "a").read_bytes() == b"x"
