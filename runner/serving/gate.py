"""The way in: who may ask, which handler answers, and what a mistake looks like from outside."""

from __future__ import annotations

from hmac import compare_digest

from runner.errors import RunprojError, StoreError
from runner.serving.arguments import arguments
from runner.serving.connection import Gone
from runner.serving.messages import Refusal, Request, Response, json_response, refusal_response
from runner.serving.routes import SPOKEN_VERSION, artifact_path, methods, route
from runner.serving.streams import stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.serving.service import Service

OWN_NAMES = frozenset({"localhost", "[::1]", "host.docker.internal"})
"""Names of this machine that no stranger's name server can give away. Addresses are safe as well:
clients in containers use their gateway's."""


class Gate:
    """Lets requests through that carry the token, and turns every outcome into a response.

    Whoever lacks the token learns nothing, not even that this is a tracking server. A ``Host`` of
    another name is a browser that was lured here (DNS rebinding): it learns nothing either.
    """

    def __init__(self, *, token: str, service: Service) -> None:
        self._prefix = f"/r/{token}".encode("ascii")
        self._service = service

    def answer(self, request: Request) -> Response:
        """Answer one request."""
        path = self._admitted(request)
        if path is None:
            return refusal_response("ENDPOINT_NOT_FOUND", "there is nothing here")
        return in_words(lambda: answered(self._service, request, path), request)

    def _admitted(self, request: Request) -> str | None:
        """Return the path behind the token, None for strangers."""
        host = request.headers.get("host", "127.0.0.1").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        shown = request.path[: len(self._prefix)].encode("latin-1", "replace")
        rest = request.path[len(self._prefix) :]
        if not compare_digest(shown, self._prefix) or not _is_own(name):
            return None
        return rest if not rest or rest.startswith("/") else None


def _is_own(name: str) -> bool:
    return name in OWN_NAMES or (bool(name) and not name.strip("0123456789."))


def answered(service: Service, request: Request, path: str) -> Response:
    """Answer a request that was let in; ``path`` is what follows the server's address.

    Raises:
        RunprojError: It cannot be answered; ``in_words`` says so to the client.
    """
    method = "GET" if request.method == "HEAD" else request.method
    if method == "GET" and path in {"/health", "/version"}:
        text = b"OK" if path == "/health" else SPOKEN_VERSION.encode("ascii")
        return Response(200, text, headers={"Content-Type": "text/plain; charset=utf-8"})
    if (artifact := artifact_path(path)) is not None:
        return service.files.answer(method, artifact, request)
    if (streamed := stream(method, path)) is not None:
        return streamed(service, request)
    if method == "OPTIONS":
        allowed = ", ".join(methods(path))
        return Response(200 if allowed else 404, headers={"Allow": allowed})
    handler, names = route(method, path)
    given = arguments(request, names)
    return json_response(handler(service, given))


def in_words(answer: Callable[[], Response], request: Request) -> Response:
    """Return an answer, or what went wrong in MLflow's words."""
    try:
        return answer()
    except Refusal as refusal:
        return refusal_response(refusal.status, refusal.message, http=refusal.http)
    except StoreError as error:
        return refusal_response(error.status, error.message)
    except RunprojError as error:
        return refusal_response("INTERNAL_ERROR", error.message)
    except Gone:
        raise
    except Exception as error:  # noqa: BLE001 - the last line: a sentence, no traceback
        kind = type(error).__name__
        path = request.path.rpartition("/")[2][:100]
        return refusal_response(
            "INTERNAL_ERROR", f"runproj could not answer {request.method} {path}: {kind}"
        )
