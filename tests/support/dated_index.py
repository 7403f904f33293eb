"""A package index that knows when each file was uploaded (PEP 691 and PEP 700)."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

JSON = "application/vnd.pypi.simple.v1+json"


@contextmanager
def dated_index(uploaded: Mapping[Path, str]) -> Iterator[str]:
    """Serve wheels with their times of upload (ISO 8601); yield the URL of the index."""

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            project, _, file = self.path.strip("/").partition("/")
            if file:
                found = [path.read_bytes() for path in uploaded if path.name == file]
                self._answer(found[0] if found else None, "application/octet-stream")
                return
            rows = [
                {"filename": path.name, "url": f"/{project}/{path.name}", "upload-time": when,
                 "hashes": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}}
                for path, when in uploaded.items() if path.name.split("-")[0] == project
            ]  # fmt: skip
            about = {"meta": {"api-version": "1.1"}, "name": project, "files": rows}
            self._answer(json.dumps(about).encode() if rows else None, JSON)

        def _answer(self, content: bytes | None, kind: str) -> None:
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content or b"")

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
