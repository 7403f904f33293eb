"""A tracking server that keeps nothing: it answers what a run asks and writes down each request.

    python tracking_server.py FOLDER

prints its port, and appends ``<connection> <method> <path>`` to ``FOLDER/requests.log`` for each
request. Artifacts of its runs are local folders below ``FOLDER``.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from typing import Any, ClassVar

API = "/api/2.0/mlflow/"


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder: ClassVar[Path]
    connections: ClassVar[int] = 0
    runs: ClassVar[dict[str, dict[str, Any]]] = {}
    lock: ClassVar[threading.Lock] = threading.Lock()

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        with self.lock:
            Handler.connections += 1
            self.number = Handler.connections

    def do_GET(self) -> None:
        """Answer a question."""
        parts = urlsplit(self.path)
        self._answer(parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()})

    def do_POST(self) -> None:
        """Take note of something."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(self.path, json.loads(body or b"{}"))

    def _answer(self, path: str, asked: dict[str, Any]) -> None:
        with self.lock, (self.folder / "requests.log").open("a") as log:
            log.write(f"{self.number} {self.command} {path}\n")
        found = self._found(path.removeprefix(API), asked)
        missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"no {path}"}
        content = json.dumps(missing if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _found(self, verb: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        if verb == "runs/create":
            return {"run": self._created(asked)}
        run = self.runs.get(str(asked.get("run_id")))
        if run is None:
            return None
        if verb == "runs/get":
            return {"run": run}
        if verb == "runs/update":
            run["info"].update({k: asked[k] for k in ("status", "end_time") if k in asked})
            return {"run_info": run["info"]}
        return {} if verb in {"runs/log-batch", "runs/set-tag", "runs/log-parameter"} else None

    def _created(self, asked: dict[str, Any]) -> dict[str, Any]:
        run_id = f"{len(self.runs):032x}"
        experiment = str(asked.get("experiment_id", "0"))
        info = {
            "run_id": run_id,
            "run_uuid": run_id,
            "run_name": asked.get("run_name") or f"run-{len(self.runs)}",
            "experiment_id": experiment,
            "user_id": asked.get("user_id", ""),
            "status": "RUNNING",
            "start_time": asked.get("start_time", 0),
            "lifecycle_stage": "active",
            "artifact_uri": str(self.folder / experiment / run_id / "artifacts"),
        }
        data = {"tags": asked.get("tags", []), "params": [], "metrics": []}
        self.runs[run_id] = {"info": info, "data": data}
        return self.runs[run_id]

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until killed."""
    Handler.folder = Path(sys.argv[1]).resolve()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
