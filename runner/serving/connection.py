"""HTTP/1.1 on one socket (RFC 9112): requests in, responses out, nothing trusted.

The standard library's server costs the first client 25 ms of imports and parses headers as mail;
this one needs only ``socket`` and knows the part of the protocol that clients of an API use.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
import time

from runner.serving.messages import Refusal, Request, Response, refusal_response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext
    from typing import Final, TypeAlias

    Answer: TypeAlias = Callable[[Request], Response]

HEAD_LIMIT: Final = 65_536
HEAD_SECONDS: Final = 10.0
"""A request's head must be here within this time."""
STALL_SECONDS: Final = 60.0
"""No byte of a body for so long ends the connection."""
BODY_GRACE: Final = 60.0
BODY_RATE: Final = 1024.0
"""After the grace in seconds, a body must come with so many bytes a second on average: whoever
drips would hold a thread for days."""
DRAIN_LIMIT: Final = 16 << 20
"""An unread body of at most this size is read away, so that the client hears our answer."""
DRAIN_SECONDS: Final = 5.0
"""For so long at most: the rest of a body that nobody wants must not hold a thread."""
CHUNK: Final = 1 << 18
HEAD_CHUNK: Final = 1 << 16
"""What is read at once of a head; larger buffers would be mapped and unmapped each time."""
DIGITS: Final = 15
"""The longest length that is believed, in decimal or hexadecimal digits."""
REASONS: Final = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
_TLS_WAITS: Final = frozenset({"SSLWantReadError", "SSLWantWriteError"})
_TOKEN: Final = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


class Gone(Exception):  # noqa: N818 - not an error: clients leave
    """The client has left, or was too slow."""


class Connection:
    """One client. Used by one thread at a time."""

    def __init__(
        self,
        client: socket.socket,
        *,
        answer: Answer,
        peer: str = "",
        tls: SSLContext | None = None,
    ) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(0)
        self.peer = peer
        self.since = time.monotonic()
        self.deadline: float | None = None
        """When a head that has begun must be complete."""
        self.closing = False
        """Whether the next answer is the last one."""
        self._answer = answer
        self._buffer = bytearray()
        self._deaf = False
        self._shaken = tls is None
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            client = tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        self.socket = client

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self.socket.fileno()

    def is_late(self, now: float) -> bool:
        """Whether a head that has begun should be complete by now."""
        return self.deadline is not None and now > self.deadline

    def gather(self) -> bool | None:
        """Take what has arrived, without waiting, until a whole head is here.

        True means that ``serve_one`` will find a request (or a reason to refuse one), False that
        more must come, None that the client has left.
        """
        self.socket.settimeout(0)
        while not self._has_head():
            try:
                if not self._shaken:
                    self._shake()
                data = self.socket.recv(HEAD_CHUNK)
            except OSError as error:
                return False if _is_early(error) else None
            if not data:
                return None
            self._buffer += data
            if self.deadline is None:
                self.deadline = time.monotonic() + HEAD_SECONDS
        return True

    def arrives(self, within: float) -> bool:
        """Wait until something can be read, at most so many seconds."""
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        return bool(poller.poll(within * 1000))

    def _shake(self) -> None:
        if self.deadline is None:
            self.deadline = time.monotonic() + HEAD_SECONDS
        self.socket.do_handshake()  # type: ignore[attr-defined]  # a socket that was wrapped
        self._shaken = True
        self.deadline = None

    def _has_head(self) -> bool:
        while self._buffer[:2] == b"\r\n":  # RFC 9112, 2.2: empty lines before a request
            del self._buffer[:2]
        return len(self._buffer) > HEAD_LIMIT or b"\r\n\r\n" in self._buffer

    def serve_one(self) -> bool:
        """Read one request and answer it; False when the connection is over."""
        try:
            try:
                head = self._head()
                if not head:
                    return False
                request, body, keep = self._request(head)
            except Refusal as refusal:
                self._send(refusal_response(refusal.status, refusal.message, http=refusal.http))
                self._linger()
                return False
            response = self._answer(request)
            try:
                keep = body.finished() and keep and not self.closing
                self._send(response, keep=keep, bare=request.method == "HEAD")
            finally:
                if not isinstance(response.content, bytes):
                    response.content.close()
            if not keep:
                self._linger()
        except (Gone, OSError):
            return False
        self.since, self.deadline = time.monotonic(), None
        return keep

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def interrupt(self) -> None:
        """End the conversation from another thread, whatever it is waiting for."""
        with contextlib.suppress(OSError):  # the client was faster
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)  # of TLS: the socket below it

    def _head(self) -> bytes:
        """Return the bytes before the empty line; none when the client hung up between requests."""
        deadline = time.monotonic() + HEAD_SECONDS
        scanned = 0
        while True:
            end = self._buffer.find(b"\r\n\r\n", max(0, scanned - 3))
            scanned = len(self._buffer)
            if (scanned if end < 0 else end) > HEAD_LIMIT:
                raise Refusal("the headers are too long", "BAD_REQUEST", http=431)
            if end >= 0:
                head = bytes(self._buffer[:end])
                del self._buffer[: end + 4]
                return head
            data = self._receive(HEAD_CHUNK, timeout=deadline - time.monotonic())
            if not data:
                if self._buffer:
                    raise Gone
                return b""
            self._buffer += data

    def _receive(self, size: int, *, timeout: float) -> bytes:
        if timeout <= 0:
            raise Gone
        self.socket.settimeout(timeout)
        try:
            return self.socket.recv(size)
        except TimeoutError:
            raise Gone from None

    def _request(self, head: bytes) -> tuple[Request, Body, bool]:
        """Take a head apart, strictly: what two readers could understand differently is refused."""
        start, *lines = head.decode("latin-1").split("\r\n")
        method, target, version = _start_line(start)
        headers = _headers(lines)
        if version == "HTTP/1.1" and "host" not in headers:
            raise Refusal("a request needs a Host header", "BAD_REQUEST")
        wishes = headers.get("connection", "").lower()
        keep = "close" not in wishes if version == "HTTP/1.1" else "keep-alive" in wishes
        body = self._body(headers)
        if target.startswith("http://"):  # absolute form, as proxies send it
            target = "/" + target.partition("://")[2].partition("/")[2]
        stream = io.BufferedReader(body)
        request = Request(method, target, headers, body=stream, peer=self.peer, scheme=self._scheme)
        return request, body, keep

    def _body(self, headers: dict[str, str]) -> Body:
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        expects = headers.get("expect", "").lower() == "100-continue"
        if coding is not None:
            if length is not None:
                raise Refusal("Content-Length and Transfer-Encoding exclude each other")
            if coding.strip().lower() != "chunked":
                raise Refusal(f"no transfer coding {coding!r}", "NOT_IMPLEMENTED")
            return Body(self, size=None, expects=expects)
        text = "0" if length is None else length.strip()
        if not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
            raise Refusal(f"Content-Length is no length: {length!r}")
        return Body(self, size=int(text), expects=expects)

    def _send(self, response: Response, *, keep: bool = False, bare: bool = False) -> None:
        lines = [f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines += [
            f"Content-Length: {response.size}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            f"Connection: {'keep-alive' if keep else 'close'}",
        ]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        content = response.content
        if bare:
            self._say(head)
        elif isinstance(content, bytes):
            self._say(head + content)
        else:
            self._say(head)
            remaining = response.size
            while remaining and not self._deaf:
                block = content.read(min(CHUNK, remaining))
                if not block:  # the file shrank under us: the promise is broken, so hang up
                    raise Gone
                self._say(block)
                remaining -= len(block)

    def _say(self, data: bytes) -> None:
        """Send bytes. A client that has died is answered no more, but what it sent still counts."""
        if self._deaf:
            return
        self.socket.settimeout(STALL_SECONDS)
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self._deaf = True
        except TimeoutError:
            raise Gone from None

    def _linger(self) -> None:
        """Let the client read our last words before the socket vanishes (RFC 9112, 9.6)."""
        self.socket.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline and self._receive(
            CHUNK, timeout=deadline - time.monotonic()
        ):
            pass

    def take(self, size: int, *, timeout: float = STALL_SECONDS) -> bytes:
        """Return some bytes of a body, at least one; the client is given time for each."""
        if self._buffer:
            data = bytes(self._buffer[:size])
            del self._buffer[:size]
            return data
        data = self._receive(size, timeout=timeout)
        if not data:
            raise Gone
        return data

    def line(self, limit: int) -> bytes:
        """Return a line of a chunked body without its end."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > limit:
                raise Gone
            data = self._receive(CHUNK, timeout=STALL_SECONDS)
            if not data:
                raise Gone
            self._buffer += data
        found = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return found

    def invite(self) -> None:
        """Tell a client that waits with its body that we want it."""
        self._say(b"HTTP/1.1 100 Continue\r\n\r\n")


class Body(io.RawIOBase):
    """The body of one request, read as it comes; ``size`` None means chunked."""

    def __init__(self, connection: Connection, *, size: int | None, expects: bool) -> None:
        super().__init__()
        self._connection = connection
        self._chunked = size is None
        self._remaining = size or 0
        self._over = size == 0
        self._expects = expects and not self._over
        self._began = time.monotonic()
        self._taken = 0
        self._patience = STALL_SECONDS

    def readable(self) -> bool:
        """Bodies can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # our callers give this
        """Read at most so much; 0 at the end."""
        if self._expects:
            self._expects = False
            self._connection.invite()
        if self._chunked and not self._remaining and not self._over:
            self._next_chunk()
        if self._over:
            return 0
        data = self._connection.take(min(len(buffer), self._remaining), timeout=self._patience)
        self._check_pace(len(data))
        buffer[: len(data)] = data
        self._remaining -= len(data)
        if not self._remaining:
            if self._chunked:
                if self._connection.line(2):
                    raise Gone
            else:
                self._over = True
        return len(data)

    def _check_pace(self, arrived: int) -> None:
        self._taken += arrived
        elapsed = time.monotonic() - self._began
        if elapsed > BODY_GRACE and self._taken < elapsed * BODY_RATE:
            raise Gone

    def _next_chunk(self) -> None:
        text = self._connection.line(1024).partition(b";")[0].strip()
        if not text or len(text) > DIGITS or text.strip(b"0123456789abcdefABCDEF"):
            raise Gone
        self._remaining = int(text, 16)
        if not self._remaining:
            for _ in range(64):  # trailers say nothing that we use
                if not self._connection.line(HEAD_LIMIT):
                    self._over = True
                    return
            raise Gone

    def finished(self) -> bool:
        """Read away what the handler left, when that is little; whether the end was reached."""
        if self._over:
            return True
        if self._expects:
            return False
        if not self._chunked and self._remaining > DRAIN_LIMIT:
            return False
        scratch = memoryview(bytearray(65_536))
        until = time.monotonic() + DRAIN_SECONDS
        for _ in range(DRAIN_LIMIT // len(scratch)):
            self._patience = until - time.monotonic()
            try:
                if not self.readinto(scratch):
                    return True
            except Gone:  # or too slow: it is still told what we had to say
                return False
        return self._over


def _is_early(error: OSError) -> bool:
    """Whether there is nothing to read yet; TLS has its own names for it, not imported here."""
    return isinstance(error, BlockingIOError) or type(error).__name__ in _TLS_WAITS


def _start_line(line: str) -> tuple[str, str, str]:
    method, _, rest = line.partition(" ")
    target, _, version = rest.partition(" ")
    if not method or not _TOKEN.issuperset(method) or not version:
        raise Refusal("this is no HTTP request", "BAD_REQUEST")
    if version not in {"HTTP/1.1", "HTTP/1.0"}:
        raise Refusal("only HTTP/1.1 is spoken here", "BAD_REQUEST", http=505)
    if not target.startswith(("/", "http://")) and target != "*":
        raise Refusal("a request's target is a path", "BAD_REQUEST")
    return method, target, version


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or not _TOKEN.issuperset(name):
            raise Refusal("a header line makes no sense", "BAD_REQUEST")
        key = name.lower()
        if key in headers and key in {"host", "content-length", "transfer-encoding"}:
            raise Refusal(f"the header {name} is there twice", "BAD_REQUEST")
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return headers
