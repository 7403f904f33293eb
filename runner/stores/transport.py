"""HTTP to an MLflow tracking server: one connection kept alive, credentials, proxies, retries."""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import socket
import time
from _thread import RLock
from urllib.parse import quote, unquote, urlencode, urlsplit

from runner.errors import StoreError, StoreUnavailableError
from runner.model.value import Value
from runner.redaction import without_credentials
from runner.stores.access import headers, host_and_port, proxy_headers, proxy_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPConnection, HTTPResponse
    from ssl import SSLContext
    from typing import Any, BinaryIO, TypeAlias

    from runner.codec import JSON

    Send: TypeAlias = Callable[[HTTPConnection], HTTPResponse]

TIMEOUT = 30.0
"""Seconds without a byte before a request is given up; ``MLFLOW_HTTP_REQUEST_TIMEOUT``."""
RETRIES = 4
"""How often a request is tried again; ``MLFLOW_HTTP_REQUEST_MAX_RETRIES``."""
LONGEST_PAUSE = 30.0
BLOCK = 1 << 20
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which a request that may be repeated is."""
UNAVAILABLE = RETRIED | {*range(500, 600)} - {501}
"""Answers of a server, or of what stands before it, that is out of order for a while."""
NOT_BEGUN = frozenset({429, 503})
"""Answers that say that nothing has been done, so that any request may be repeated."""
REFUSED = frozenset({401, 403})
REDIRECTED = range(300, 400)
TRUE = frozenset({"1", "true", "yes", "on"})


class Request(Value):
    """One request below the server's address. ``repeatable`` ones do no harm when sent twice."""

    method: str
    path: str
    body: bytes | None = None
    repeatable: bool = True


class Server:
    """A server's address and how to speak to it; threads take turns."""

    def __init__(
        self, url: str, environ: Mapping[str, str], *, patience: float = float("inf")
    ) -> None:
        self._patience = patience
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if not parts.hostname or port == -1:
            raise StoreError(
                f"{without_credentials(url)!r} is no address of a tracking server",
                status="INVALID_PARAMETER_VALUE",
                hint="write http://host:port",
            )
        self._secure = parts.scheme.lower() == "https"
        self._host = parts.hostname
        self._port = port or (443 if self._secure else 80)
        self._base = parts.path.rstrip("/")
        self._environ = environ
        self._headers = headers(
            unquote(parts.username or ""), unquote(parts.password or ""), environ
        )
        self._timeout = _number(environ, "MLFLOW_HTTP_REQUEST_TIMEOUT", TIMEOUT)
        self._retries = int(_number(environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES))
        self._pause = _number(environ, "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", 0.5)
        self._lock = RLock()
        self._connection: HTTPConnection | None = None
        self.url = without_credentials(f"{parts.scheme}://{parts.netloc}{self._base}")

    def get(self, address: str, /, **query: str | int | None) -> Mapping[str, JSON]:
        """Ask for a JSON document below ``/api/2.0/``."""
        given = {key: value for key, value in query.items() if value is not None}
        return self._json(Request(method="GET", path=f"{_API}{address}?{urlencode(given)}"))

    def post(
        self, path: str, document: Mapping[str, JSON], *, repeatable: bool = True
    ) -> Mapping[str, JSON]:
        """Send a JSON document and return the answer."""
        body = json.dumps(document).encode()
        return self._json(
            Request(method="POST", path=_API + path, body=body, repeatable=repeatable)
        )

    def patch(self, path: str, document: Mapping[str, JSON]) -> Mapping[str, JSON]:
        """Send a JSON document that changes a part of something."""
        body = json.dumps(document).encode()
        return self._json(Request(method="PATCH", path=_API + path, body=body))

    def delete(self, path: str, document: Mapping[str, JSON] | None = None) -> None:
        """Ask for a deletion; ``document`` says of what, where the path does not."""
        body = json.dumps(document).encode() if document else None
        self._json(Request(method="DELETE", path=f"{_API}{quote(path)}", body=body))

    def put_file(self, path: str, content: BinaryIO, size: int) -> None:
        """Upload a file of a known size; tried again from its beginning."""
        start = content.tell()

        def send(connection: HTTPConnection) -> HTTPResponse:
            content.seek(start)
            headers = {
                **self._headers,
                "Content-Type": "application/octet-stream",
                "Content-Length": str(size),
            }
            connection.request("PUT", self._target(_API + quote(path)), content, headers)
            return connection.getresponse()

        with self._lock:
            self._repeated(send, repeatable=True)

    def open_file(self, address: str, /, **query: str) -> BinaryIO:
        """Begin a download on a connection of its own, which ends with the response."""
        target = quote(address) + (f"?{urlencode(query)}" if query else "")
        connection = self._connect()
        try:
            connection.request(
                "GET", self._target(target), headers={**self._headers, "Connection": "close"}
            )
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from error
        if response.status != http.client.OK:
            try:
                raise self._refusal(response, response.read())
            finally:
                connection.close()
        return io.BufferedReader(Download(response, connection, self.url), BLOCK)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _json(self, request: Request) -> Mapping[str, JSON]:
        def send(connection: HTTPConnection) -> HTTPResponse:
            headers = {**self._headers, "Accept": "application/json"}
            if request.body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(request.method, self._target(request.path), request.body, headers)
            return connection.getresponse()

        with self._lock:
            content = self._repeated(send, repeatable=request.repeatable)
        try:
            found = json.loads(content or b"{}")
        except ValueError:
            raise self._foreign() from None
        if not isinstance(found, dict):
            raise self._foreign()
        return found

    def _repeated(self, send: Send, *, repeatable: bool) -> bytes:
        """Send until there is an answer, as often as is allowed and safe."""
        attempt = 0
        last = time.monotonic() + self._patience
        while True:
            try:
                return self._attempted(send, repeatable=repeatable)
            except _FailureError as failure:
                over = attempt >= self._retries or time.monotonic() > last
                if over or not failure.again:
                    raise failure.error from failure.__cause__
                pause = self._pause * 2**attempt * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
                time.sleep(min(max(pause, failure.pause), LONGEST_PAUSE))
            attempt += 1

    def _attempted(self, send: Send, *, repeatable: bool) -> bytes:
        """Send once, or twice when the server had closed an idle connection."""
        reused = self._connection is not None
        try:
            connection = self._connection or self._connect()
            if not reused:
                connection.connect()
                self._connection = connection
        except OSError as error:
            again = not isinstance(error, socket.gaierror) and "CERTIFICATE" not in str(error)
            raise _FailureError(self._unreachable(error), again=again) from error
        try:
            response = send(connection)
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if reused and repeatable:
                return self._attempted(send, repeatable=repeatable)
            raise _FailureError(self._unreachable(error), again=repeatable) from error
        if response.will_close:
            self.close()
        if response.status == http.client.OK:
            return content
        raise _FailureError(
            self._refusal(response, content),
            again=response.status in (RETRIED if repeatable else NOT_BEGUN),
            pause=_seconds(response.getheader("Retry-After")),
        )

    def _connect(self) -> HTTPConnection:
        proxy = proxy_of("https" if self._secure else "http", self._host, self._environ)
        host, port = (self._host, self._port) if proxy is None else host_and_port(proxy)
        if not self._secure:
            return _Connection(host, port, timeout=self._timeout)
        connection = _SecureConnection(host, port, timeout=self._timeout, context=self._tls())
        if proxy is not None:
            connection.set_tunnel(self._host, self._port, proxy_headers(proxy))
        return connection

    def _target(self, path: str) -> str:
        """Return what stands in the request line: a path, or a URL when a proxy is asked."""
        if not self._secure and proxy_of("http", self._host, self._environ):
            return f"http://{self._host}:{self._port}{self._base}{path}"
        return self._base + path

    def _tls(self) -> SSLContext:
        import ssl

        try:
            authorities = self._environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None
            context = ssl.create_default_context(
                cafile=authorities if authorities and os.path.isfile(authorities) else None,
                capath=authorities if authorities and not os.path.isfile(authorities) else None,
            )
            if own := self._environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
                context.load_cert_chain(own)
        except (OSError, ssl.SSLError) as error:
            raise StoreError(
                f"the certificates for {self.url} cannot be read: {error}",
                hint="see MLFLOW_TRACKING_SERVER_CERT_PATH and MLFLOW_TRACKING_CLIENT_CERT_PATH",
            ) from error
        if self._environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in TRUE:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _unreachable(self, error: Exception) -> StoreError:
        said = error.strerror if isinstance(error, OSError) else None
        reason = said or str(error) or type(error).__name__
        hint = "is the server running, and is the address right?"
        if "CERTIFICATE" in reason:
            hint = "name its authority: MLFLOW_TRACKING_SERVER_CERT_PATH=ca.pem"
        elif isinstance(error, TimeoutError):
            reason = f"no answer for {self._timeout:g} s"
        elif isinstance(error, socket.gaierror):
            reason = f"the host name {self._host!r} is not known"
        return StoreUnavailableError(
            f"the tracking server cannot be reached: {reason}",
            status="TEMPORARILY_UNAVAILABLE",
            where=self.url,
            hint=hint,
        )

    def _refusal(self, response: HTTPResponse, content: bytes) -> StoreError:
        status = response.status
        if status in REFUSED:
            return StoreError(
                f"the tracking server refused the credentials (HTTP {status})",
                status="PERMISSION_DENIED",
                where=self.url,
                hint="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
                "MLFLOW_TRACKING_TOKEN",
            )
        kind = StoreUnavailableError if status in UNAVAILABLE else StoreError
        try:
            said = json.loads(content)
            sentence = str(said["message"]).strip().splitlines()[0]
            return kind(sentence, status=str(said["error_code"]), where=self.url)
        except (ValueError, KeyError, TypeError, IndexError):
            pass
        if status in REDIRECTED:
            place = without_credentials(response.getheader("Location") or "somewhere else")
            return StoreError(
                f"the tracking server sends us to {place} (HTTP {status})",
                where=self.url,
                hint="give that address as tracking URI",
            )
        return kind(
            f"the tracking server answered {status} {response.reason} without a word that we "
            "understand",
            status="ENDPOINT_NOT_FOUND" if status == http.client.NOT_FOUND else "INTERNAL_ERROR",
            where=self.url,
            hint="is this the address of an MLflow tracking server?",
        )

    def _foreign(self) -> StoreError:
        return StoreUnavailableError(
            "the tracking server answered with a page that is no JSON",
            where=self.url,
            hint="is this the address of an MLflow tracking server, or of a log-in page?",
        )


class Download(io.RawIOBase):
    """An answer that is read as it comes, on a connection that ends with it."""

    def __init__(self, response: HTTPResponse, connection: HTTPConnection, where: str) -> None:
        self._response = response
        self._connection = connection
        self._where = where

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Read some bytes; an answer that ends too early is an error, not an end."""
        try:
            count = self._response.readinto(buffer)
        except (OSError, http.client.HTTPException) as error:
            raise self._broken() from error
        if not count and len(buffer) and self._response.length:
            raise self._broken()
        return count

    def close(self) -> None:
        """End the connection."""
        if not self.closed:
            self._response.close()
            self._connection.close()
        super().close()

    def _broken(self) -> StoreError:
        return StoreUnavailableError(
            "the tracking server broke off in the middle of a file",
            status="TEMPORARILY_UNAVAILABLE",
            where=self._where,
            hint="try again",
        )


class _FailureError(Exception):
    """One attempt went wrong; ``again`` says whether another one makes sense."""

    def __init__(self, error: StoreError, *, again: bool, pause: float = 0.0) -> None:
        super().__init__(error.message)
        self.error = error
        self.again = again
        self.pause = pause


class _Connection(http.client.HTTPConnection):
    """Sends small requests at once (without Nagle's wait of 40 ms for a second packet)."""

    def connect(self) -> None:
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _SecureConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


_API = "/api/2.0/"


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    try:
        return max(0.0, float(environ.get(name) or default))
    except ValueError:
        raise StoreError(
            f"{name} is {environ[name]!r}, which is no number", hint=f"unset {name}"
        ) from None


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdecimal() else 0.0
