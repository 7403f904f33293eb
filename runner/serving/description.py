"""The API described as OpenAPI 3.1, from the table of routes: for people, generators and fuzzers.

What a call takes is written as words: ``name!`` is required, ``step:int`` has another type than
text. A test asks the endpoint itself whether each word is true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.serving.messages import Response, json_response
from runner.serving.routes import CALLS, MODEL_CALLS, SPOKEN_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from runner.codec import JSON
    from runner.serving.messages import Request
    from runner.serving.service import Service

API: Final = "/api/2.0/mlflow/"
SEARCH: Final = "filter order_by:texts max_results:int page_token"
METRIC: Final = "key! value:number! timestamp:int! step:int model_id dataset_name dataset_digest"
VERSION: Final = "name! version:int!"

TAKES: Final[dict[str, str]] = {
    "experiments/create": "name! artifact_location tags:pairs",
    "experiments/get": "experiment_id!",
    "experiments/get-by-name": "experiment_name!",
    "experiments/update": "experiment_id! new_name",
    "experiments/delete": "experiment_id!",
    "experiments/restore": "experiment_id!",
    "experiments/set-experiment-tag": "experiment_id! key! value",
    "experiments/delete-experiment-tag": "experiment_id! key!",
    "experiments/list": f"view_type {SEARCH}",
    "experiments/search": f"view_type {SEARCH}",
    "experiments/search-datasets": "experiment_ids:texts!",
    "runs/create": "experiment_id start_time:int user_id run_name tags:pairs",
    "runs/get": "run_id!",
    "runs/update": "run_id! status end_time:int run_name",
    "runs/delete": "run_id!",
    "runs/restore": "run_id!",
    "runs/search": f"experiment_ids:texts run_view_type {SEARCH}",
    "runs/log-metric": f"run_id! {METRIC}",
    "runs/log-parameter": "run_id! key! value",
    "runs/log-batch": "run_id! metrics:metrics params:pairs tags:pairs",
    "runs/set-tag": "run_id! key! value",
    "runs/delete-tag": "run_id! key!",
    "runs/log-inputs": "run_id! datasets:inputs models:models",
    "runs/outputs": "run_id! models:models",
    "runs/log-model": "run_id! model_json!",
    "metrics/get-history": "run_id! metric_key! max_results:int page_token",
    "metrics/get-history-bulk": "run_id:texts! metric_key! max_results:int",
    "metrics/get-history-bulk-interval": (
        "run_ids:texts! metric_key! start_step:int end_step:int max_results:int"
    ),
    "artifacts/list": "run_id! path page_token",
    "logged-models": "experiment_id! name model_type source_run_id params:pairs tags:pairs",
    "logged-models/search": (
        "experiment_ids:texts datasets:measured filter order_by:orders max_results:int page_token"
    ),
    "registered-models/create": "name! description tags:pairs",
    "registered-models/get": "name!",
    "registered-models/update": "name! description",
    "registered-models/rename": "name! new_name!",
    "registered-models/delete": "name!",
    "registered-models/set-tag": "name! key! value",
    "registered-models/delete-tag": "name! key!",
    "registered-models/list": SEARCH,
    "registered-models/search": SEARCH,
    "registered-models/get-latest-versions": "name! stages:texts",
    "registered-models/alias": "name! alias!",
    "model-versions/create": "name! source! run_id run_link description tags:pairs",
    "model-versions/get": VERSION,
    "model-versions/update": f"{VERSION} description",
    "model-versions/delete": VERSION,
    "model-versions/set-tag": f"{VERSION} key! value",
    "model-versions/delete-tag": f"{VERSION} key!",
    "model-versions/search": SEARCH,
    "model-versions/get-download-uri": VERSION,
    "model-versions/transition-stage": f"{VERSION} stage! archive_existing_versions:flag",
    "server-info": "",
}
"""What each call takes, by its name."""
DIFFERS: Final[dict[tuple[str, str], str]] = {
    ("POST", "registered-models/alias"): "name! alias! version:int!",
}
"""Calls of one name that take something else with another method."""
MODEL_TAKES: Final[dict[tuple[str, str], str]] = {
    ("GET", ""): "",
    ("PATCH", ""): "status!",
    ("DELETE", ""): "",
    ("PATCH", "tags"): "tags:pairs",
    ("POST", "params"): "params:pairs",
    ("GET", "artifacts/directories"): "artifact_directory_path",
}
"""What calls about one logged model take, beside its id."""

TEXT: Final[JSON] = {"type": "string"}
INTEGER: Final[JSON] = {"type": ["integer", "string"], "format": "int64"}
NUMBER: Final[JSON] = {"type": ["number", "string"]}


def _list_of(words: str) -> dict[str, JSON]:
    return {"type": "array", "items": _object(words)}


def _object(words: str) -> dict[str, JSON]:
    """Return the schema of an object that words describe."""
    taken = list(arguments_of(words))
    found: dict[str, JSON] = {"type": "object", "properties": {n: _type(t) for n, t, _ in taken}}
    if required := [name for name, _, is_required in taken if is_required]:
        found["required"] = [*required]
    return found


def _type(word: str) -> JSON:
    types: dict[str, JSON] = {
        "text": TEXT,
        "int": INTEGER,
        "number": NUMBER,
        "flag": {"type": "boolean"},
        "texts": {"type": "array", "items": TEXT},
    }
    if word == "dataset":
        return _object(LISTS[word])
    return types[word] if word in types else _list_of(LISTS[word])


LISTS: Final[dict[str, str]] = {
    "pairs": "key! value",
    "metrics": METRIC,
    "inputs": "dataset:dataset! tags:pairs",
    "models": "model_id! step:int",
    "measured": "dataset_name! dataset_digest",
    "orders": "field_name! ascending:flag dataset_name dataset_digest",
    "dataset": "name! digest! source_type! source! schema profile",
}
"""What the objects of lists hold. ``dataset`` is a single object."""


def arguments_of(words: str) -> Iterator[tuple[str, str, bool]]:
    """Return name, type, and whether it is required, of each argument that words describe."""
    for word in words.split():
        name, _, kind = word.rstrip("!").partition(":")
        yield name, kind or "text", word.endswith("!")


def document() -> dict[str, JSON]:
    """Return the whole description."""
    paths: dict[str, dict[str, JSON]] = {}
    for (method, name), handler in CALLS.items():
        words = DIFFERS.get((method, name), TAKES[name])
        about = (handler.__doc__ or "").strip()
        paths.setdefault(API + name, {})[method.lower()] = _operation(method, words, about)
    for (method, rest), handler in MODEL_CALLS.items():
        path = f"{API}logged-models/{{model_id}}/{rest}".rstrip("/")
        operation = _operation(method, MODEL_TAKES[method, rest], (handler.__doc__ or "").strip())
        paths.setdefault(path, {"parameters": [_in_path("model_id")]})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MLflow's tracking API, served by Runproj",
            "version": SPOKEN_VERSION,
            "description": "Also below /ajax-api, /api/3.0 and /api/2.0/preview. Errors are "
            "objects with error_code and message.",
        },
        "paths": {**paths, **_of_files()},
    }


def _operation(method: str, words: str, about: str) -> dict[str, JSON]:
    found: dict[str, JSON] = {"summary": about.partition("\n")[0], "responses": _answers()}
    if method == "GET":
        found["parameters"] = [
            {"name": name, "in": "query", "required": required, "schema": _type(kind)}
            for name, kind, required in arguments_of(words)
        ]
    else:
        body: dict[str, JSON] = {"application/json": {"schema": _object(words)}}
        found["requestBody"] = {"required": bool(words), "content": body}
    return found


def _answers(kind: str = "application/json") -> dict[str, JSON]:
    error: dict[str, JSON] = {"application/json": {"schema": _object("error_code! message!")}}
    shape: JSON = {"type": "object"} if kind == "application/json" else {}
    return {
        "200": {"description": "done", "content": {kind: {"schema": shape}}},
        "default": {"description": "refused", "content": error},
    }


def _in_path(name: str) -> JSON:
    return {"name": name, "in": "path", "required": True, "schema": {**_text(1)}}


def _text(shortest: int) -> dict[str, JSON]:
    return {"type": "string", "minLength": shortest}


def _of_files() -> dict[str, dict[str, JSON]]:
    """Describe the artifact proxy and what is asked without JSON."""
    octets = "application/octet-stream"
    text: dict[str, JSON] = {"responses": _answers("text/plain; charset=utf-8")}
    path: JSON = {"name": "path", "in": "query", "required": True, "schema": TEXT}
    run: JSON = {"name": "run_id", "in": "query", "required": True, "schema": TEXT}
    return {
        "/health": {"get": text},
        "/version": {"get": text},
        "/get-artifact": {"get": {"parameters": [run, path], "responses": _answers("*/*")}},
        "/api/2.0/mlflow-artifacts/artifacts": {
            "get": {"parameters": [{**_optional("path")}], "responses": _answers()}
        },
        "/api/2.0/mlflow-artifacts/artifacts/{path}": {
            "parameters": [_in_path("path")],
            "get": {"responses": _answers("*/*")},
            "put": {
                "requestBody": {"content": {octets: {"schema": {}}}},
                "responses": _answers(),
            },
            "delete": {"responses": _answers()},
        },
    }


def _optional(name: str) -> dict[str, JSON]:
    return {"name": name, "in": "query", "schema": TEXT}


def served(_service: Service, _request: Request) -> Response:
    """``/openapi.json``."""
    return json_response(document())
