"""One line a request: who asked for what, when, and what came of it; never a secret.

Queries and headers are left out, because tokens and filters may stand there.
"""

from __future__ import annotations

import os
import threading
import time

from runner.errors import BackendError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.serving.messages import Request

STDERR = "-"
LONGEST = 300
"""Characters of a path that are logged."""


class AccessLog:
    """A file that lines are appended to, each by one write; ``-`` is standard error."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor = self._opened()

    def _opened(self) -> int:
        if self._path == STDERR:
            return os.dup(2)
        try:
            return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise BackendError(
                f"the access log cannot be written: {error.strerror}", where=self._path
            ) from error

    def reopen(self) -> None:
        """Open the file anew: the old one was moved away (``logrotate``)."""
        new = self._opened()
        with self._lock:
            old, self._descriptor = self._descriptor, new
            os.close(old)

    def write(self, request: Request, status: int, *, sent: int, seconds: float) -> None:
        """Write a line; a full disk does not stop the server."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        path = ascii(request.path[:LONGEST])[1:-1].replace(" ", "%20")
        line = (
            f"{moment} {request.peer or '-'} {request.user or '-'} {request.method} {path}"
            f" {status} {sent} {seconds * 1000:.1f}ms\n"
        )
        with self._lock:
            try:
                os.write(self._descriptor, line.encode("ascii", "replace"))
            except OSError:
                return

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            os.close(self._descriptor)
