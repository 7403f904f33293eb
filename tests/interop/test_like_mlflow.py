"""The same requests to a real ``mlflow server`` and to our endpoint: the same answers.

Status, error code and what is found, call by call; ``OURS`` says where we differ on purpose.
"""

from __future__ import annotations

import http.client
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import pytest
from mlflow_server import mlflow_server

from runner.serving.endpoint import LoopbackEndpoint
from tests.interop.test_clients_on_endpoint import new_run, new_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def pairs(**given: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in given.items()]


def metrics(count: int) -> list[dict[str, object]]:
    return [{"key": f"m{n}", "value": n, "timestamp": n, "step": 0} for n in range(count)]


def numbered(count: int, length: int = 1) -> list[dict[str, str]]:
    return [{"key": f"k{n}", "value": "v" * length} for n in range(count)]


RUN = {"run_id": "$run"}
VERSION = {"name": "wine", "version": "1"}
STEPS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "experiments/create", {"name": "one", "tags": pairs(a="b")}),
    ("POST", "experiments/create", {"name": "two"}),
    ("POST", "experiments/create", {"name": "one"}),
    ("POST", "experiments/create", {}),
    ("POST", "experiments/create", {"name": ""}),
    ("POST", "experiments/create", {"name": "x" * 501}),
    ("POST", "experiments/create", {"name": {"x": 1}}),
    ("GET", "experiments/get", {"experiment_id": "$one"}),
    ("GET", "experiments/get", {"experiment_id": "4711"}),
    ("GET", "experiments/get", {}),
    ("GET", "experiments/get-by-name", {"experiment_name": "two"}),
    ("GET", "experiments/get-by-name", {"experiment_name": "none"}),
    ("POST", "experiments/update", {"experiment_id": "$one", "new_name": "uno"}),
    ("POST", "experiments/update", {"experiment_id": "4711", "new_name": "x"}),
    ("POST", "experiments/set-experiment-tag", {"experiment_id": "$one", "key": "k", "value": "v"}),
    ("POST", "experiments/set-experiment-tag", {"experiment_id": "$one", "key": "../k"}),
    ("POST", "experiments/set-experiment-tag", {"experiment_id": "4711", "key": "k", "value": "v"}),
    ("POST", "experiments/delete-experiment-tag", {"experiment_id": "$one", "key": "k"}),
    ("POST", "experiments/delete-experiment-tag", {"experiment_id": "$one", "key": "k"}),
    ("GET", "experiments/get", {"experiment_id": "$one"}),
    ("POST", "experiments/search", {"order_by": ["name ASC"], "max_results": 10}),
    ("POST", "experiments/search", {"order_by": ["name DESC"], "max_results": 2}),
    ("POST", "experiments/search", {"filter": "name LIKE 'u%'", "max_results": 10}),
    ("POST", "experiments/search", {"filter": "tags.a = 'b'", "max_results": 10}),
    ("POST", "experiments/search", {"filter": "shoe = 'x'", "max_results": 10}),
    ("POST", "experiments/search", {"max_results": 50_001}),
    ("POST", "experiments/search", {"max_results": 0}),
    ("POST", "experiments/search", {"order_by": ["shoe ASC"], "max_results": 10}),
    ("POST", "runs/create", {"experiment_id": "$one", "run_name": "alpha", "start_time": 10}),
    ("POST", "runs/create", {"experiment_id": "$one", "run_name": "beta", "start_time": 20}),
    ("POST", "runs/create", {"experiment_id": "4711"}),
    (
        "POST",
        "runs/create",
        {"experiment_id": "$one", "run_name": "a", "tags": pairs(**{"mlflow.runName": "b"})},
    ),
    ("GET", "runs/get", RUN),
    ("GET", "runs/get", {"run_id": "f" * 32}),
    ("GET", "runs/get", {}),
    ("POST", "runs/log-parameter", {**RUN, "key": "p", "value": "1"}),
    ("POST", "runs/log-parameter", {**RUN, "key": "p", "value": "1"}),
    ("POST", "runs/log-parameter", {**RUN, "key": "p", "value": "two"}),
    ("POST", "runs/log-parameter", {**RUN, "key": "../p", "value": "2"}),
    ("POST", "runs/log-parameter", {**RUN, "key": "a" * 251, "value": "2"}),
    ("POST", "runs/log-parameter", {**RUN, "key": "long", "value": "x" * 6001}),
    ("POST", "runs/log-parameter", {**RUN, "value": "2"}),
    ("POST", "runs/log-metric", {**RUN, "key": "m", "value": 1.5, "timestamp": 5, "step": 1}),
    ("POST", "runs/log-metric", {**RUN, "key": "m", "value": "NaN", "timestamp": 6, "step": 2}),
    ("POST", "runs/log-metric", {**RUN, "key": "m", "value": 1.5}),
    ("POST", "runs/log-metric", {**RUN, "key": "m", "timestamp": 5}),
    ("POST", "runs/log-metric", {**RUN, "key": "m", "value": "much", "timestamp": 5}),
    ("POST", "runs/log-metric", {**RUN, "key": "m", "value": 1, "timestamp": "now"}),
    ("POST", "runs/log-metric", {**RUN, "key": "..", "value": 1, "timestamp": 5}),
    ("POST", "runs/log-metric", {"key": "m", "value": 1, "timestamp": 5}),
    ("POST", "runs/set-tag", {**RUN, "key": "t", "value": "v"}),
    ("POST", "runs/set-tag", {**RUN, "key": "long", "value": "x" * 8001}),
    ("POST", "runs/set-tag", {**RUN, "key": "a" * 251, "value": "v"}),
    ("POST", "runs/delete-tag", {**RUN, "key": "t"}),
    ("POST", "runs/delete-tag", {**RUN, "key": "t"}),
    ("POST", "runs/log-batch", {**RUN, "metrics": metrics(1001)}),
    ("POST", "runs/log-batch", {**RUN, "params": numbered(101)}),
    ("POST", "runs/log-batch", {**RUN, "tags": numbered(101)}),
    ("POST", "runs/log-batch", {**RUN, "metrics": metrics(901), "params": numbered(100)}),
    ("POST", "runs/log-batch", {**RUN, "metrics": [{"key": "m", "value": 1}]}),
    ("POST", "runs/log-batch", {**RUN, "metrics": "m"}),
    (
        "POST",
        "runs/log-batch",
        {**RUN, "params": [{"key": "d", "value": "1"}, {"key": "d", "value": "2"}]},
    ),
    ("POST", "runs/log-batch", {**RUN, "metrics": metrics(3), "tags": pairs(b="c")}),
    ("POST", "runs/log-batch", {"metrics": metrics(1)}),
    ("GET", "metrics/get-history", {**RUN, "metric_key": "m"}),
    ("GET", "metrics/get-history", {**RUN, "metric_key": "m", "max_results": 1}),
    ("GET", "metrics/get-history", {**RUN, "metric_key": "none"}),
    ("GET", "metrics/get-history", RUN),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "order_by": ["start_time ASC"]}),
    ("POST", "runs/search", {"experiment_ids": ["$one"]}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "max_results": 1}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "filter": "metrics.m0 < 1"}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "filter": "params.p = '1'"}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "filter": "params.p = 1"}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "filter": "metrics.m = 'x'"}),
    (
        "POST",
        "runs/search",
        {"experiment_ids": ["$one"], "filter": "attributes.status = 'RUNNING'"},
    ),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "filter": "run_name ILIKE 'ALP%'"}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "filter": "tags.b != 'x'"}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "filter": "nonsense"}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "filter": "a.b = 'c'"}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "max_results": 50_001}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "page_token": "?"}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "order_by": ["metrics.m0 DESC"]}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "order_by": ["shoe"]}),
    ("POST", "runs/update", {**RUN, "status": "FINISHED", "end_time": 30}),
    ("POST", "runs/update", {**RUN, "run_name": "renamed"}),
    ("POST", "runs/update", {"run_id": "f" * 32, "status": "FINISHED"}),
    ("POST", "runs/delete", RUN),
    ("POST", "runs/delete", {"run_id": "f" * 32}),
    ("POST", "runs/log-parameter", {**RUN, "key": "q", "value": "1"}),
    ("POST", "runs/update", {**RUN, "status": "FAILED"}),
    ("POST", "runs/search", {"experiment_ids": ["$one"], "run_view_type": "DELETED_ONLY"}),
    ("POST", "runs/restore", RUN),
    ("GET", "runs/get", RUN),
    ("POST", "experiments/delete", {"experiment_id": "$one"}),
    ("POST", "experiments/delete", {"experiment_id": "$one"}),
    ("GET", "experiments/get", {"experiment_id": "$one"}),
    ("GET", "runs/get", RUN),
    ("POST", "experiments/update", {"experiment_id": "$one", "new_name": "x"}),
    ("POST", "experiments/create", {"name": "uno"}),
    ("POST", "runs/create", {"experiment_id": "$one"}),
    ("POST", "experiments/search", {"view_type": "DELETED_ONLY", "max_results": 10}),
    ("POST", "experiments/restore", {"experiment_id": "$one"}),
    ("POST", "experiments/restore", {"experiment_id": "$one"}),
    ("GET", "runs/get", RUN),
    ("POST", "registered-models/create", {"name": "wine", "tags": pairs(a="b")}),
    ("POST", "registered-models/create", {"name": "wine"}),
    ("POST", "registered-models/create", {"name": "a/b"}),
    ("POST", "registered-models/create", {"name": ""}),
    ("POST", "registered-models/create", {}),
    ("GET", "registered-models/get", {"name": "none"}),
    ("PATCH", "registered-models/update", {"name": "wine", "description": "d"}),
    ("PATCH", "registered-models/update", {"name": "none", "description": "d"}),
    ("POST", "registered-models/set-tag", {"name": "wine", "key": "k", "value": "v"}),
    ("POST", "registered-models/set-tag", {"name": "none", "key": "k", "value": "v"}),
    ("DELETE", "registered-models/delete-tag", {"name": "wine", "key": "k"}),
    ("DELETE", "registered-models/delete-tag", {"name": "wine", "key": "k"}),
    ("POST", "model-versions/create", {"name": "wine", "source": "s3://bucket/m"}),
    ("POST", "model-versions/create", {"name": "wine", "source": "s3://bucket/m"}),
    ("POST", "model-versions/create", {"name": "none", "source": "s3://bucket/m"}),
    ("POST", "model-versions/create", {"name": "wine", "source": "/etc"}),
    ("POST", "model-versions/create", {"name": "wine", "source": "file:///etc"}),
    ("POST", "model-versions/create", {"name": "wine", "source": "s3://bucket/../m"}),
    ("POST", "model-versions/create", {"name": "wine"}),
    ("GET", "model-versions/get", VERSION),
    ("GET", "model-versions/get", {"name": "wine", "version": "9"}),
    ("GET", "model-versions/get", {"name": "wine", "version": "one"}),
    ("PATCH", "model-versions/update", {**VERSION, "description": "d"}),
    ("POST", "model-versions/set-tag", {**VERSION, "key": "k", "value": "v"}),
    ("DELETE", "model-versions/delete-tag", {**VERSION, "key": "k"}),
    ("POST", "model-versions/transition-stage", {**VERSION, "stage": "production"}),
    (
        "POST",
        "model-versions/transition-stage",
        {"name": "wine", "version": "2", "stage": "Production", "archive_existing_versions": True},
    ),
    ("POST", "model-versions/transition-stage", {**VERSION, "stage": "Odd"}),
    (
        "POST",
        "model-versions/transition-stage",
        {**VERSION, "stage": "None", "archive_existing_versions": True},
    ),
    ("GET", "registered-models/get", {"name": "wine"}),
    ("POST", "registered-models/get-latest-versions", {"name": "wine"}),
    ("POST", "registered-models/get-latest-versions", {"name": "wine", "stages": ["Production"]}),
    ("POST", "registered-models/get-latest-versions", {"name": "wine", "stages": ["Odd"]}),
    ("POST", "registered-models/alias", {**VERSION, "alias": "best"}),
    ("POST", "registered-models/alias", {**VERSION, "alias": "v1"}),
    ("POST", "registered-models/alias", {**VERSION, "alias": "latest"}),
    ("POST", "registered-models/alias", {"name": "wine", "version": "9", "alias": "a"}),
    ("GET", "registered-models/alias", {"name": "wine", "alias": "best"}),
    ("GET", "registered-models/alias", {"name": "wine", "alias": "none"}),
    ("DELETE", "registered-models/alias", {"name": "wine", "alias": "best"}),
    ("DELETE", "registered-models/alias", {"name": "wine", "alias": "best"}),
    ("GET", "model-versions/search", {"filter": "name = 'wine'"}),
    ("GET", "model-versions/search", {"filter": "name = 'wine'", "max_results": 1}),
    ("GET", "model-versions/search", {"filter": "shoe = 'x'"}),
    ("GET", "model-versions/search", {"max_results": 200_001}),
    ("GET", "registered-models/search", {"filter": "name ILIKE 'WI%'"}),
    ("GET", "registered-models/search", {"filter": "params.x = 'y'"}),
    ("GET", "registered-models/search", {"max_results": 1001}),
    ("GET", "model-versions/get-download-uri", VERSION),
    ("DELETE", "model-versions/delete", {"name": "wine", "version": "2"}),
    ("DELETE", "model-versions/delete", {"name": "wine", "version": "2"}),
    ("POST", "model-versions/create", {"name": "wine", "source": "s3://bucket/m"}),
    ("POST", "registered-models/rename", {"name": "wine", "new_name": "beer"}),
    ("POST", "registered-models/rename", {"name": "none", "new_name": "x"}),
    ("POST", "registered-models/rename", {"name": "beer", "new_name": ""}),
    ("GET", "registered-models/get", {"name": "beer"}),
    ("DELETE", "registered-models/delete", {"name": "beer"}),
    ("DELETE", "registered-models/delete", {"name": "beer"}),
    ("POST", "logged-models", {"experiment_id": "$one", "name": "m", "params": pairs(a="1")}),
    ("POST", "logged-models", {"experiment_id": "4711", "name": "m"}),
    ("POST", "logged-models", {"experiment_id": "$one", "name": "a/b"}),
    ("GET", "logged-models/m-none", {}),
    ("POST", "logged-models/search", {"experiment_ids": ["$one"]}),
    ("POST", "logged-models/search", {"experiment_ids": ["$one"], "filter": "name = 'x'"}),
    ("POST", "runs/nothing", {}),
]
SHOWN = (
    "name", "run_name", "lifecycle_stage", "status", "current_stage", "version", "description",
    "key", "value", "step", "timestamp", "start_time", "end_time", "alias", "next_page_token",
    "artifact_uri",
)  # fmt: skip


class Side:
    """One server, and what it called the things that were made."""

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._base = f"{parts.path}/api/2.0/mlflow/"
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._names: dict[str, str] = {}

    def ask(self, method: str, call: str, given: dict[str, Any]) -> tuple[int, Any]:
        text = json.dumps(given)
        for name, value in self._names.items():
            text = text.replace(f"${name}", value)
        path, body = self._base + call, None
        if method == "GET":
            path += f"?{urlencode(json.loads(text), doseq=True)}"
        else:
            body = text
        self.connection.request(method, path, body, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        content = response.read()
        try:
            answer = json.loads(content)
        except ValueError:
            answer = {}
        if response.status == 200:
            self._note(call, given, answer)
        return response.status, answer

    def _note(self, call: str, given: dict[str, Any], answer: Any) -> None:
        if call == "experiments/create":
            self._names.setdefault(given["name"], answer["experiment_id"])
        if call == "runs/create":
            self._names.setdefault("run", answer["run"]["info"]["run_id"])


def seen(status: int, answer: Any) -> tuple[object, ...]:
    """Return what must be the same on both sides."""
    if status != 200:
        return status, answer.get("error_code")
    facts = [*_facts(answer)]
    order = [value for key, value in facts if key in {"name", "run_name", "version"}]
    return status, order, sorted(map(str, facts))


def _facts(found: Any) -> Iterator[tuple[str, object]]:
    if isinstance(found, list):
        for item in found:
            yield from _facts(item)
    if not isinstance(found, dict):
        return
    if str(found.get("key", "")).startswith("mlflow."):
        return
    for key, value in found.items():
        if isinstance(value, dict | list):
            yield from _facts(value)
        elif key == "next_page_token":
            yield key, bool(value)
        elif key in SHOWN and value != "" and "artifacts" not in str(value):
            yield key, str(value)


OURS: dict[str, tuple[object, ...]] = {
    # MLflow fails inside for these; we say what is wrong
    '["POST", "experiments/update", {"experiment_id": "$one", "new_name": "x"}]': (
        400,
        "INVALID_STATE",
    ),
    '["POST", "model-versions/transition-stage", {"name": "wine", "version": "1", '
    '"stage": "None", "archive_existing_versions": true}]': (400, "INVALID_PARAMETER_VALUE"),
    # MLflow sends a page of HTML
    '["POST", "runs/nothing", {}]': (404, "ENDPOINT_NOT_FOUND"),
}
"""What we answer otherwise on purpose."""


def test_the_same_answers(tmp_path: Path, mlflow_python: Callable[[str], str]) -> None:
    store = new_store("sqlite", tmp_path)
    endpoint = LoopbackEndpoint(store=store, run=new_run(store))
    endpoint.serve()
    different = []
    with mlflow_server(mlflow_python("3.17.2"), tmp_path / "theirs") as uri:
        theirs, ours = sides = Side(uri), Side(endpoint.uri)
        for step in STEPS:
            expected, actual = seen(*theirs.ask(*step)), seen(*ours.ask(*step))
            expected = OURS.get(json.dumps(step), expected)
            if expected != actual:
                different.append(f"{step!s:.150}\n  MLflow {expected}\n  ours   {actual}")
        for side in sides:
            side.connection.close()
    endpoint.close(within=timedelta(seconds=10))
    store.close()
    assert different == [], "\n".join(different)
