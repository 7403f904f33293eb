"""Calls whose answer or body is a file: what MLflow serves beside its JSON calls."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from runner.model.value import RunId
from runner.serving.arguments import Arguments, asked
from runner.serving.files import download, segments
from runner.serving.messages import Refusal, json_response
from runner.serving.versions import only

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeAlias

    from runner.serving.messages import Request, Response
    from runner.serving.service import Service

    Stream: TypeAlias = Callable[[Service, Request], Response]

MOST_UPLOADED: Final = 10 << 20
"""The longest file that ``upload-artifact`` takes, as with MLflow; the proxy takes any."""


def stream(method: str, path: str) -> Stream | None:
    """Return what answers such a request, None when it is not one of these."""
    if found := STREAMS.get((method, path)):
        return found
    for prefix in AJAX:
        if path.startswith(f"{prefix}logged-models/") and path.endswith("/artifacts/files"):
            return model_file if method == "GET" else None
    if call := multipart_call(path):
        return multipart if method == ("PUT" if call == "part" else "POST") else None
    return None


def multipart_call(path: str) -> str | None:
    """Return the name of a call about an upload in parts, None for other paths."""
    for prefix in MULTIPART:
        if path.startswith(prefix):
            return path[len(prefix) :].partition("/")[0]
    return None


def run_file(service: Service, request: Request) -> Response:
    """``/get-artifact``: a file of a run."""
    given = asked(request)
    run = service.store.run(RunId(given.text("run_id", "run_uuid")))
    return download(service.store.artifacts(run), _path(given, "path"))


def version_file(service: Service, request: Request) -> Response:
    """``/model-versions/get-artifact``: a file of a registered model."""
    given = asked(request)
    version = only(service, given.text("name"), given.integer("version"))
    location = service.public_location(version.location)
    if location == version.location:
        raise Refusal("the files of this version are not on this server", "NOT_IMPLEMENTED")
    address = location.partition(":")[2].strip("/").split("/")
    folder, rest = service.files.locate(address)
    return download(folder, "/".join([*rest, _path(given, "path")]))


def model_file(service: Service, request: Request) -> Response:
    """``logged-models/<model_id>/artifacts/files``: a file of a logged model."""
    model_id = unquote(request.path.rpartition("/artifacts/files")[0].rpartition("/")[2])
    model = service.models.model(model_id)
    path = _path(asked(request), "artifact_file_path")
    return download(service.models.model_artifacts(model), path)


def upload(service: Service, request: Request) -> Response:
    """``upload-artifact``: one small file of a run."""
    given = asked(request)
    run = service.store.run(RunId(given.text("run_uuid", "run_id")))
    path = _path(given, "path")
    data = request.body.read(MOST_UPLOADED + 1)
    if not data:
        raise Refusal("Request must specify data.")
    if len(data) > MOST_UPLOADED:
        raise Refusal("Artifact size is too large. Max size is 10MB.")
    service.store.artifacts(run).put(path, data)
    return json_response({})


def multipart(service: Service, request: Request) -> Response:
    """``mpu/create|part|complete|abort``: a file in parts."""
    from runner.serving.uploads import answer

    return answer(service, request)


def described(service: Service, request: Request) -> Response:
    """``/openapi.json``: the calls of this server."""
    from runner.serving.description import served

    return served(service, request)


def _path(given: Arguments, name: str) -> str:
    """Return a path below a folder of artifacts, checked name by name."""
    parts = segments(given.text(name).replace("%", "%25"))
    if not parts:
        raise Refusal(f"Invalid path: {given.text(name)[:200]!r}")
    return "/".join(parts)


AJAX: Final = tuple(f"/{api}/{v}/mlflow/" for api in ("api", "ajax-api") for v in ("2.0", "3.0"))
MULTIPART: Final = tuple(f"/{api}/2.0/mlflow-artifacts/mpu/" for api in ("api", "ajax-api"))
STREAMS: Final[dict[tuple[str, str], Stream]] = {
    ("GET", "/openapi.json"): described,
    ("GET", "/get-artifact"): run_file,
    ("GET", "/model-versions/get-artifact"): version_file,
    ("POST", "/ajax-api/2.0/mlflow/upload-artifact"): upload,
}
