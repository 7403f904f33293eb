"""Which call is answered by which handler: the table of MLflow's REST API."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from runner.serving import experiments, histories, models, registry, runs, server_info, versions
from runner.serving.messages import Refusal
from runner.serving.streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeAlias

    from runner.codec import JSON
    from runner.serving.arguments import Arguments
    from runner.serving.service import Service

    Handler: TypeAlias = Callable[[Service, Arguments], JSON]

SPOKEN_VERSION: Final = "3.1.4"
"""The MLflow release whose REST API this is; clients compare it with their own at most."""
PREFIXES: Final = tuple(
    f"/{api}/{version}/mlflow/"
    for api in ("api", "ajax-api")
    for version in ("2.0", "3.0", "2.0/preview")
)
ARTIFACTS: Final = tuple(f"/{api}/2.0/mlflow-artifacts/artifacts" for api in ("api", "ajax-api"))

CALLS: Final[dict[tuple[str, str], Handler]] = {
    ("POST", "experiments/create"): experiments.create,
    ("GET", "experiments/get"): experiments.get,
    ("GET", "experiments/get-by-name"): experiments.get_by_name,
    ("POST", "experiments/update"): experiments.update,
    ("POST", "experiments/delete"): experiments.delete,
    ("POST", "experiments/restore"): experiments.restore,
    ("POST", "experiments/set-experiment-tag"): experiments.set_tag,
    ("POST", "experiments/delete-experiment-tag"): experiments.delete_tag,
    ("GET", "experiments/list"): experiments.search,
    ("GET", "experiments/search"): experiments.search,
    ("POST", "experiments/search"): experiments.search,
    ("POST", "runs/create"): runs.create,
    ("GET", "runs/get"): runs.get,
    ("POST", "runs/update"): runs.update,
    ("POST", "runs/delete"): runs.delete,
    ("POST", "runs/restore"): runs.restore,
    ("POST", "runs/search"): runs.search,
    ("POST", "runs/log-metric"): runs.log_metric,
    ("POST", "runs/log-parameter"): runs.log_parameter,
    ("POST", "runs/log-batch"): runs.log_batch,
    ("POST", "runs/set-tag"): runs.set_tag,
    ("POST", "runs/delete-tag"): runs.delete_tag,
    ("POST", "runs/log-inputs"): models.log_inputs,
    ("POST", "runs/outputs"): models.log_outputs,
    ("POST", "runs/log-model"): models.log_model,
    ("GET", "metrics/get-history"): histories.one,
    ("GET", "metrics/get-history-bulk"): histories.bulk,
    ("GET", "metrics/get-history-bulk-interval"): histories.interval,
    ("POST", "experiments/search-datasets"): runs.search_datasets,
    ("GET", "server-info"): server_info.get,
    ("GET", "artifacts/list"): runs.list_artifacts,
    ("POST", "logged-models"): models.create,
    ("POST", "logged-models/search"): models.search,
    ("POST", "registered-models/create"): registry.create,
    ("GET", "registered-models/get"): registry.get,
    ("PATCH", "registered-models/update"): registry.update,
    ("POST", "registered-models/update"): registry.update,
    ("POST", "registered-models/rename"): registry.rename,
    ("DELETE", "registered-models/delete"): registry.delete,
    ("POST", "registered-models/set-tag"): registry.set_tag,
    ("DELETE", "registered-models/delete-tag"): registry.delete_tag,
    ("GET", "registered-models/list"): registry.search,
    ("GET", "registered-models/search"): registry.search,
    ("GET", "registered-models/get-latest-versions"): registry.latest_versions,
    ("POST", "registered-models/get-latest-versions"): registry.latest_versions,
    ("GET", "registered-models/alias"): registry.by_alias,
    ("POST", "registered-models/alias"): registry.set_alias,
    ("DELETE", "registered-models/alias"): registry.delete_alias,
    ("POST", "model-versions/create"): versions.create,
    ("GET", "model-versions/get"): versions.get,
    ("PATCH", "model-versions/update"): versions.update,
    ("DELETE", "model-versions/delete"): versions.delete,
    ("POST", "model-versions/set-tag"): versions.set_tag,
    ("DELETE", "model-versions/delete-tag"): versions.delete_tag,
    ("GET", "model-versions/search"): versions.search,
    ("GET", "model-versions/get-download-uri"): versions.download_uri,
    ("POST", "model-versions/transition-stage"): versions.transition,
}
MODEL_CALLS: Final[dict[tuple[str, str], Handler]] = {
    ("GET", ""): models.get,
    ("PATCH", ""): models.finalize,
    ("DELETE", ""): models.delete,
    ("PATCH", "tags"): models.set_tags,
    ("POST", "params"): models.log_params,
    ("GET", "artifacts/directories"): models.list_artifacts,
}
"""Calls about one logged model: what follows its id."""


def artifact_path(path: str) -> str | None:
    """Return what follows the artifact proxy's address, None when the path is another one."""
    for prefix in ARTIFACTS:
        if path == prefix or path.startswith(f"{prefix}/"):
            return path[len(prefix) + 1 :]
    return None


def route(method: str, path: str) -> tuple[Handler, dict[str, str]]:
    """Find the handler of a call, and the arguments that stand in its path.

    Raises:
        Refusal: ``ENDPOINT_NOT_FOUND``.
    """
    for prefix in PREFIXES:
        name = path.removeprefix(prefix)
        if name == path:
            continue
        if handler := CALLS.get((method, name)):
            return handler, {}
        if name.startswith("logged-models/"):
            return _model_call(method, name.removeprefix("logged-models/"), path)
    raise _nothing(method, path)


def methods(path: str) -> list[str]:
    """Return the methods that a path can be asked with, none where there is nothing."""
    found = set()
    for method in ("DELETE", "GET", "PATCH", "POST", "PUT"):
        with contextlib.suppress(Refusal):
            if stream(method, path) or artifact_path(path) is not None or route(method, path):
                found.add(method)
    return sorted(found | ({"HEAD", "OPTIONS"} if "GET" in found else {"OPTIONS"})) if found else []


def _model_call(method: str, name: str, path: str) -> tuple[Handler, dict[str, str]]:
    from urllib.parse import unquote

    model_id, _, rest = name.partition("/")
    if handler := MODEL_CALLS.get((method, rest)):
        return handler, {"model_id": unquote(model_id)}
    if method == "DELETE" and rest.startswith("tags/"):
        key = unquote(rest.removeprefix("tags/"))
        return models.delete_tag, {"model_id": unquote(model_id), "tag_key": key}
    raise _nothing(method, path)


def _nothing(method: str, path: str) -> Refusal:
    return Refusal(f"There is no {method} {path[:200]} here.", "ENDPOINT_NOT_FOUND")
