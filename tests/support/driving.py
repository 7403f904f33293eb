"""A client for tests, with nothing of MLflow's in it."""

import http.client
import json
import os
from typing import Any
from urllib.parse import urlencode, urlsplit

from runner.model.tracking import TrackedRun
from runner.model.value import RunId
from runner.ports import TrackingStore

API = "/api/2.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


def new_run(store: TrackingStore, **given: Any) -> TrackedRun:
    defaults: dict[str, Any] = {
        "run_id": RunId(os.urandom(16).hex()),
        "experiment_id": "0",
        "name": "tested",
        "status": "RUNNING",
        "started": 1_700_000_000_000,
        "ended": None,
        "artifact_uri": "",
    }
    return store.create_run(TrackedRun(**{**defaults, **given}))


class Client:
    """Speaks to an endpoint like MLflow's clients: one connection, kept alive."""

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self.base = parts.path
        self.address = (parts.hostname or "", parts.port or 0)
        self.connection = http.client.HTTPConnection(*self.address, timeout=120)

    def raw(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        self.connection.request(method, self.base + path, body, headers or {})
        response = self.connection.getresponse()
        return response.status, response.read()

    def call(self, method: str, name: str, /, **given: Any) -> tuple[int, dict[str, Any]]:
        path, body = API + name, None
        if method == "GET":
            path += "?" + urlencode(given, doseq=True)
        else:
            body = json.dumps(given)
        status, content = self.raw(method, path, body)
        return status, json.loads(content)

    def get(self, name: str, /, **given: Any) -> dict[str, Any]:
        status, answer = self.call("GET", name, **given)
        assert status == 200, answer
        return answer

    def post(self, name: str, /, **given: Any) -> dict[str, Any]:
        status, answer = self.call("POST", name, **given)
        assert status == 200, answer
        return answer

    def patch(self, name: str, /, **given: Any) -> dict[str, Any]:
        status, answer = self.call("PATCH", name, **given)
        assert status == 200, answer
        return answer

    def delete(self, name: str, /, **given: Any) -> dict[str, Any]:
        status, answer = self.call("DELETE", name, **given)
        assert status == 200, answer
        return answer

    def refused(self, method: str, name: str, /, **given: Any) -> tuple[int, str]:
        status, answer = self.call(method, name, **given)
        assert answer["message"], answer
        return status, answer["error_code"]
