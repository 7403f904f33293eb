"""A channel on HTTP: with a password, a token, a certificate, or as a proxy that stands for all."""

from __future__ import annotations

import base64
import ssl
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Handler(SimpleHTTPRequestHandler):
    """Serves files, and wants a password or a token for them where there is one."""

    password: str | None = None
    token: str | None = None
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        wanted = "Basic " + base64.b64encode(f"me:{self.password}".encode()).decode()
        if self.password and self.headers.get("Authorization") != wanted:
            self.send_error(401)
            return
        if self.token:
            start = f"/t/{self.token}/"
            if not self.path.startswith(start):
                self.send_error(403)
                return
            self.path = self.path.removeprefix(start[:-1])
        self.path = urlsplit(self.path).path  # a proxy is asked for whole URLs
        super().do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Says nothing when somebody hangs up."""

    def handle_error(self, *_words: object) -> None:
        """Say nothing."""


@contextmanager
def serving(
    folder: Path, certificate: tuple[Path, Path] | None = None
) -> Iterator[tuple[str, type[Handler]]]:
    """Serve a folder; yield host and port, and the handler to set things on."""
    kind = type("OwnHandler", (Handler,), {"asked": []})
    with Server(("127.0.0.1", 0), partial(kind, directory=str(folder))) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", kind
        server.shutdown()
        thread.join()
