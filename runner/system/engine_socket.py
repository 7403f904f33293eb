"""Questions to a container engine over its socket, without the SDK.

The docker SDK costs a quarter of a second to import; a warm run asks one question, which takes a
millisecond so. HTTP/1.0 keeps it simple: the answer ends where the connection does.
"""

from __future__ import annotations

import json
from _socket import AF_UNIX, socket  # what ``socket`` is made of: 0.3 ms, ``socket`` 2 to 5

from runner.errors import BackendError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PATIENCE = 60.0
"""Seconds that the engine may take for an answer."""
OK = 200
NOT_FOUND = 404


def question(path: str, target: str) -> dict[str, Any] | None:
    """Return the JSON object at ``target`` of the engine at a socket; None when there is none.

    Raises:
        OSError: Nobody answers at the socket, or it is not for us.
        BackendError: The engine answered, and not as engines do.
    """
    status, body = _asked(path, target)
    if status == NOT_FOUND:
        return None
    try:
        answer: dict[str, Any] = json.loads(body)
    except ValueError:
        raise BackendError(f"what answers at {path} is no container engine") from None
    if status != OK:
        raise BackendError(f"the container engine says: {answer.get('message', status)}")
    return answer


def _asked(path: str, target: str) -> tuple[int, bytes]:
    connection = socket(AF_UNIX)
    try:
        connection.settimeout(PATIENCE)
        connection.connect(path)
        connection.sendall(f"GET {target} HTTP/1.0\r\nHost: engine\r\n\r\n".encode())
        chunks = []
        while chunk := connection.recv(1 << 16):
            chunks.append(chunk)
    finally:
        connection.close()
    head, _, body = b"".join(chunks).partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():  # noqa: PLR2004 - "HTTP/1.0 200 OK"
        raise BackendError(f"what answers at {path} is no container engine")
    return int(words[1]), body
