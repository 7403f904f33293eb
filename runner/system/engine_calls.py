"""Calls to a container engine (Docker Engine API), for what every run in a container does.

The docker SDK costs more to import than the rest of such a run together, so at a socket of this
machine the few calls are made by hand: HTTP/1.0, one connection a call, the answer ends where the
connection does. Engines elsewhere (``tcp:``, ``ssh:``) are reached through the SDK, which knows TLS
and ssh. The documents are those of the API either way; the API's version is the engine's own, for
what is used here has been the same since 1.40.
"""

from __future__ import annotations

import json
from _socket import AF_UNIX, socket  # what ``socket`` is made of: 0.3 ms, not 2 to 5

from runner.errors import BackendError
from runner.system.engine import EngineAddress, address, explained

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO, Any, Protocol

    from docker import DockerClient

    class Bytes(Protocol):
        """What is left of a connection after an answer's head."""

        def recv(self, count: int, /) -> bytes:
            """Return some bytes, nothing at the end."""

        def close(self) -> None:
            """Let go of the connection."""


PATIENCE = 60.0
"""Seconds that the engine may take, where its answer does not wait for a container."""
CHUNK = 1 << 16
FIRST_REFUSAL = 400
NOT_FOUND = 404


class EngineRefusal(BackendError):  # noqa: N818 - what is meant is the engine's word
    """The engine understood and refused; ``status`` is that of HTTP."""

    def __init__(self, message: str, *, status: int, where: str) -> None:
        super().__init__(message, where=where)
        self.status = status


class Engine:
    """The engine that the variables lead to; nothing is sent before the first call."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.where: EngineAddress = address(environ)
        self._client: DockerClient | None = None

    def ask(
        self,
        method: str,
        target: str,
        document: Mapping[str, Any] | None = None,
        *,
        patience: float | None = PATIENCE,
    ) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Make one call; return its answer, None where there is none.

        Raises:
            EngineRefusal: The engine said no.
            BackendError: Nobody answers.
        """
        body = None if document is None else json.dumps(document).encode()
        answer = self._exchanged(method, target, body, patience)
        return json.loads(answer) if answer.strip() else None

    def put(self, target: str, content: IO[bytes], size: int) -> None:
        """Send a file."""
        if self.where.socket is None:
            self._through_sdk("PUT", target, content, PATIENCE)
            return
        connection = self._connected(self.where.socket, None)
        try:
            head = _head("PUT", target, size, "application/x-tar")
            connection.sendall(head)
            while chunk := content.read(CHUNK):
                connection.sendall(chunk)
            self._answer(connection)
        except OSError as error:
            raise self._unreached(error) from None
        finally:
            connection.close()

    def stream(self, identity: str) -> Bytes:
        """Attach to a container's output, from its beginning to its end.

        Before the container is started: on one that has ended an attachment never ends.
        """
        target = f"/containers/{identity}/attach?stream=1&stdout=1&stderr=1"
        if self.where.socket is None:
            return SdkStream(self._answered_by_sdk("POST", target, None, None))
        connection = self._connected(self.where.socket, None)
        try:
            connection.sendall(_head("POST", target, 0))
            rest = self._start_of_answer(connection)
        except OSError as error:
            connection.close()
            raise self._unreached(error) from None
        except BaseException:
            connection.close()
            raise
        return Remainder(connection, rest)

    def close(self) -> None:
        """Let go of the SDK's connections, if there are any."""
        if self._client is not None:
            self._client.close()

    def _exchanged(
        self, method: str, target: str, body: bytes | None, patience: float | None
    ) -> bytes:
        if self.where.socket is None:
            return self._through_sdk(method, target, body, patience)
        connection = self._connected(self.where.socket, patience)
        try:
            connection.sendall(_head(method, target, len(body or b"")) + (body or b""))
            return self._answer(connection)
        except OSError as error:
            raise self._unreached(error) from None
        finally:
            connection.close()

    def _connected(self, path: str, patience: float | None) -> socket:
        connection = socket(AF_UNIX)
        try:
            connection.settimeout(patience)
            connection.connect(path)
        except OSError as error:
            connection.close()
            raise self._unreached(error) from None
        return connection

    def _answer(self, connection: socket) -> bytes:
        return self._start_of_answer(connection) + _rest(connection)

    def _start_of_answer(self, connection: socket) -> bytes:
        """Return what came of an answer's body together with its head."""
        status, start = _read_head(connection)
        if status >= FIRST_REFUSAL:
            raise self._refusal(status, start + _rest(connection))
        return start

    def _refusal(self, status: int, body: bytes) -> EngineRefusal:
        from runner.system.engine import one_line

        try:
            said = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            said = body.decode("utf-8", "replace")
        return EngineRefusal(one_line(said), status=status, where=self.where.url)

    def _unreached(self, error: OSError) -> BackendError:
        sentence, hint = explained(error, self.where)
        return BackendError(sentence, where=self.where.url, hint=hint)

    @property
    def _sdk(self) -> DockerClient:
        from runner.system.engine import connect

        if self._client is None:
            self._client = connect(self._environ)
        return self._client

    def _through_sdk(
        self, method: str, target: str, body: bytes | IO[bytes] | None, patience: float | None
    ) -> bytes:
        content: bytes = self._answered_by_sdk(method, target, body, patience).content
        return content

    def _answered_by_sdk(
        self, method: str, target: str, body: bytes | IO[bytes] | None, patience: float | None
    ) -> Any:  # noqa: ANN401 - a response of requests
        """Make a call over the SDK's session; its content is still to be read."""
        from runner.system.engine import translated

        api = self._sdk.api
        kind = (
            "application/json" if body is None or isinstance(body, bytes) else "application/x-tar"
        )
        headers = {"Content-Type": kind}
        with translated(self.where):
            answer = api.request(
                method, api.base_url + target, data=body, headers=headers, timeout=patience,
                stream=True,
            )  # fmt: skip
            if answer.status_code >= FIRST_REFUSAL:
                raise self._refusal(answer.status_code, answer.content)
        return answer


class SdkStream:
    """What is left of an answer that the SDK's session got."""

    def __init__(self, answer: Any) -> None:  # noqa: ANN401 - a response of requests
        self._answer = answer  # urllib3's part of it; kept whole, for it closes when collected

    def recv(self, count: int, /) -> bytes:
        """Return some bytes, nothing at the end."""
        found: bytes = self._answer.raw.read1(count)
        return found

    def close(self) -> None:
        """Let go of the connection."""
        self._answer.close()


class Remainder:
    """A connection some of whose bytes have been read already."""

    def __init__(self, connection: socket, start: bytes) -> None:
        self._connection, self._start = connection, start

    def recv(self, count: int, /) -> bytes:
        """Return some bytes, nothing at the end."""
        if self._start:
            found, self._start = self._start[:count], self._start[count:]
            return found
        return self._connection.recv(count)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def _head(method: str, target: str, length: int, kind: str = "application/json") -> bytes:
    lines = (
        f"{method} {target} HTTP/1.0",
        "Host: engine",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        "",
        "",
    )
    return "\r\n".join(lines).encode()


def _read_head(connection: socket) -> tuple[int, bytes]:
    """Return the status of an answer, and what has come of its body."""
    found = b""
    while b"\r\n\r\n" not in found:
        chunk = connection.recv(CHUNK)
        if not chunk:
            break
        found += chunk
    head, _, rest = found.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[1].isdigit():  # noqa: PLR2004 - "HTTP/1.0 200 OK"
        raise BackendError("what answers at the socket is no container engine")
    return int(words[1]), rest


def _rest(connection: socket) -> bytes:
    chunks = []
    while chunk := connection.recv(CHUNK):
        chunks.append(chunk)
    return b"".join(chunks)
