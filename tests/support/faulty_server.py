"""A tracking server that can be told to fail, in all the ways in which servers do."""

from __future__ import annotations

import http.client
import socket
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

from runner.serving.endpoint import LoopbackEndpoint
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.model.tracking import TrackedRun

    Fault = Callable[[str, str], str]

PAGE = b"<!doctype html><title>Sign in</title>"
HOP = frozenset({"connection", "host", "keep-alive", "transfer-encoding", "content-length"})


class FaultyServer:
    """Our endpoint on a SQLite store, behind a proxy that fails as ``fault`` says.

    ``fault`` is given method and path of a request and returns ``""`` (answer), ``drop`` (close
    the connection unread), ``500``, ``page`` (HTML, status 200), ``hang``, or ``lose`` (do what
    was asked and drop the answer).
    """

    def __init__(self, folder: Path, guest: TrackedRun) -> None:
        self.store = open_store("sqlite:///server.db", directory=str(folder), environ={})
        self._endpoint = LoopbackEndpoint(store=self.store, run=guest)
        self._endpoint.serve()
        self.fault: Fault = lambda _method, _path: ""
        self.asked: list[str] = []
        self.end = threading.Event()
        self._proxy: _Proxy | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def behind(self) -> str:
        """The address of what is behind the proxy."""
        return self._endpoint.uri

    def always(self, fault: str) -> None:
        self.fault = lambda _method, _path: fault

    def start(self) -> None:
        """Listen (again), on the same port as before."""
        self._proxy = _Proxy(
            ("127.0.0.1", self.port), type("Handler", (_Handler,), {"faulty": self})
        )
        self.port = self._proxy.server_port
        self._thread = threading.Thread(target=self._proxy.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections, and break those that there are."""
        if self._proxy:
            self._proxy.shutdown()
            self._proxy.break_all()
            self._proxy.server_close()
            self._thread.join()
            self._proxy = None

    def close(self) -> None:
        self.end.set()
        self.stop()
        self._endpoint.close(within=timedelta(seconds=30))
        self.store.close()


class _Handler(BaseHTTPRequestHandler):
    faulty: ClassVar[FaultyServer]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.faulty.asked.append(f"{self.command} {self.path.partition('?')[0]}")
        fault = self.faulty.fault(self.command, self.path)
        if fault == "hang":
            self.faulty.end.wait()
        if fault in {"drop", "hang"}:
            self._drop()
        elif fault == "500":
            self._say(500, b"Internal Server Error", "text/plain")
        elif fault == "page":
            self._say(200, PAGE, "text/html")
        else:
            self._forward(body, answering=fault != "lose")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815 - http.server's names

    def _forward(self, body: bytes, *, answering: bool) -> None:
        host, _, base = self.faulty.behind.removeprefix("http://").partition("/")
        upstream = http.client.HTTPConnection(host, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
        upstream.request(self.command, f"/{base}{self.path}", body or None, headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        if answering:
            self._say(answer.status, content, answer.getheader("Content-Type") or "")
        else:
            self._drop()

    def _say(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _drop(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # the client was faster
            return


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *given: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*given)

    def handle_error(self, *_: object) -> None:
        """A client went away, or we broke with it: both are what this is for."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def break_all(self) -> None:
        for connection in [*self._open]:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
