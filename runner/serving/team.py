"""The way into a server for a team: hosts, people, sizes, counts, and the log of what was asked."""

from __future__ import annotations

import time

from runner.serving.gate import answered, in_words
from runner.serving.gauges import KIND
from runner.serving.messages import Refusal, Response
from runner.serving.routes import CALLS, PREFIXES, artifact_path
from runner.serving.streams import multipart_call
from runner.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from runner.serving.access_log import AccessLog
    from runner.serving.admission import Admission
    from runner.serving.doors import Door
    from runner.serving.gauges import Gauges
    from runner.serving.messages import Request

GREETING: Final = (
    f"runproj {__version__}: MLflow's tracking API. Set MLFLOW_TRACKING_URI to this.\n"
)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OPEN: Final = frozenset({"/", "/health", "/version"})
"""What everybody may read: load balancers have no password."""
_NAMES: Final = frozenset(name for _, name in CALLS)
LEFT: Final = 499
"""What is counted for a client that left in the middle, as web servers do."""


class TeamGate:
    """Lets requests in by the rules of a team's server, and turns every outcome into a response."""

    def __init__(
        self, *, admission: Admission, door: Door, gauges: Gauges, log: AccessLog | None = None
    ) -> None:
        self._admission = admission
        self._door = door
        self._gauges = gauges
        self._log = log
        self.max_body = 16 << 20
        self.max_upload: int | None = None

    def answer(self, request: Request) -> Response:
        """Answer one request."""
        began = time.perf_counter()
        self._gauges.begin()
        status, sent = LEFT, 0
        try:
            response = in_words(lambda: self._answer(request), request)
            self._admission.permit(request, response)
            if response.status == 401:  # noqa: PLR2004 - HTTP's own number
                response.headers["WWW-Authenticate"] = 'Basic realm="runproj", charset="UTF-8"'
            status, sent = response.status, response.size
            return response
        finally:
            seconds = time.perf_counter() - began
            method = request.method if request.method in METHODS else "other"
            call = call_name(request.path)
            size = (_length(request) or 0, sent)
            self._gauges.end((method, call), status, seconds=seconds, size=size)
            if self._log is not None:
                self._log.write(request, status, sent=sent, seconds=seconds)

    def _answer(self, request: Request) -> Response:
        if request.path == "/health":  # by any name: those who probe know the address only
            return _text("OK")
        self._admission.check(request)
        preflight = self._admission.preflight(request)
        if preflight is not None:
            return preflight
        if request.path in OPEN and request.method in {"GET", "HEAD"}:
            return _text(GREETING) if request.path == "/" else self._passed(request)
        visit = self._door.enter(request)
        if request.path == "/metrics":
            return _text(self._gauges.text(), kind=KIND)
        self._limit(request)
        own = visit.own_call(request)
        if own is not None:
            return own
        return answered(visit.service, request, request.path)

    def _passed(self, request: Request) -> Response:
        return answered(self._door.public, request, request.path)

    def _limit(self, request: Request) -> None:
        """Refuse a body that is too long, before it is read or while it is."""
        request.upload_limit = self.max_upload
        limit = self.max_upload if is_file(request.path) else self.max_body
        if limit is None:
            return
        length = _length(request)
        if length is None:
            request.body = Limited(request.body, limit)  # type: ignore[assignment]  # read() is used
        elif length > limit:
            raise too_long(limit)


def is_file(path: str) -> bool:
    """Whether the body of a request to a path is a file, or a part of one."""
    return artifact_path(path) is not None or multipart_call(path) == "part"


class Limited:
    """A body of unknown length that must not become too long."""

    def __init__(self, body: Readable, limit: int) -> None:
        self._body = body
        self._left = limit
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        """Read at most so much."""
        data = self._body.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise too_long(self._limit)
        return data


if TYPE_CHECKING:
    from typing import Protocol

    class Readable(Protocol):
        """What can be read."""

        def read(self, size: int = -1, /) -> bytes:
            """Read at most so much."""


def too_long(limit: int) -> Refusal:
    """Say that a body is too long."""
    return Refusal(
        f"the request is longer than {limit:,} bytes, which is the limit of this server",
        "INVALID_PARAMETER_VALUE",
        http=413,
    )


def call_name(path: str) -> str:
    """Return the name that a path is counted under: there are few, whatever clients ask for."""
    if artifact_path(path) is not None or multipart_call(path) is not None:
        return "mlflow-artifacts"
    if path in OPEN or path == "/metrics":
        return path
    for prefix in PREFIXES:
        name = path.removeprefix(prefix)
        if name != path:
            if name in _NAMES:
                return name
            first = name.partition("/")[0]
            return first if first in {"logged-models", "users"} else "other"
    return "other"


def _length(request: Request) -> int | None:
    """Return the announced length of a body, None when it comes in chunks."""
    if "transfer-encoding" in request.headers:
        return None
    return int(request.headers.get("content-length", "0").strip() or 0)


def _text(text: str, *, kind: str = "text/plain; charset=utf-8") -> Response:
    return Response(200, text.encode(), headers={"Content-Type": kind})


def unauthenticated(why: str) -> Refusal:
    """Say that somebody must log in."""
    return Refusal(why, "UNAUTHENTICATED")
