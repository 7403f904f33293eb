"""What goes over the wire: requests, responses, and MLflow's way of saying no."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runner.errors import RunprojError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO, ClassVar

    from runner.codec import JSON

STATUS = {
    "INVALID_PARAMETER_VALUE": 400,
    "MALFORMED_REQUEST": 400,
    "BAD_REQUEST": 400,
    "INVALID_STATE": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "TEMPORARILY_UNAVAILABLE": 503,
    "NOT_IMPLEMENTED": 501,
    "INTERNAL_ERROR": 500,
}
"""MLflow's error codes with their HTTP status (``mlflow.exceptions``); others are 500."""


class Refusal(RunprojError):  # noqa: N818 - named for what it is, not how Python carries it
    """A request that cannot be answered; ``status`` is MLflow's error code."""

    code: ClassVar[str] = "request"

    def __init__(
        self, message: str, status: str = "INVALID_PARAMETER_VALUE", *, http: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.http = http if http is not None else STATUS.get(status, 500)


def missing(what: str) -> Refusal:
    """Say that something is not there."""
    return Refusal(what, "RESOURCE_DOES_NOT_EXIST")


class Request:
    """One request. ``path`` is still percent-encoded; header names are in lower case.

    ``peer`` is the address of the client and ``user`` who it is, ``""`` where nobody asks for it;
    ``upload_limit`` says how many bytes a file may have.
    """

    __slots__ = (
        "body",
        "headers",
        "method",
        "path",
        "peer",
        "query",
        "scheme",
        "upload_limit",
        "user",
    )

    def __init__(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        body: BinaryIO,
        peer: str = "",
        scheme: str = "http",
    ) -> None:
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body = body
        self.peer = peer
        self.scheme = scheme
        self.upload_limit: int | None = None
        self.user = ""


class Response:
    """One answer: bytes, or an open file of a known size that is sent and closed."""

    __slots__ = ("content", "headers", "size", "status")

    def __init__(
        self,
        status: int,
        content: bytes | BinaryIO = b"",
        *,
        headers: Mapping[str, str] | None = None,
        size: int | None = None,
    ) -> None:
        self.status = status
        self.content = content
        self.headers = dict(headers or {})
        self.size = len(content) if isinstance(content, bytes) else size or 0


def json_response(answer: JSON, *, status: int = 200) -> Response:
    """Send a JSON document."""
    content = json.dumps(answer, separators=(",", ":")).encode("ascii")
    return Response(status, content, headers={"Content-Type": "application/json"})


def refusal_response(code: str, message: str, *, http: int | None = None) -> Response:
    """Send an error in the form that MLflow's clients understand."""
    return json_response(
        {"error_code": code, "message": message}, status=http or STATUS.get(code, 500)
    )
