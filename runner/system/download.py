"""Files from ``http`` and ``https`` URLs, kept and asked for again only when they changed."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, cast

from runner.errors import RunprojError
from runner.model.value import Digest, Value
from runner.redaction import without_credentials
from runner.system.files import Lock, write_whole
from runner.version import __version__

if TYPE_CHECKING:
    from http.client import HTTPMessage
    from typing import IO

TIMEOUT = 60.0
"""Seconds without an answer after which a server counts as gone."""
REDIRECTS = 10
CHUNK = 1 << 18
NAME_LIMIT = 200
"""The longest file name that is kept; file systems take 255 bytes."""
NOT_MODIFIED, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, GONE = 304, 401, 403, 404, 410


class DownloadError(RunprojError):
    """A file could not be had from its URL."""

    code = "download"


class Downloaded(Value):
    """A file that was fetched, or was there already; ``size`` in bytes."""

    path: str
    digest: Digest
    size: int
    fresh: bool


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, to web servers only, and shows credentials to their own server only."""

    max_redirections = REDIRECTS

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request that follows a redirect."""
        shown = without_credentials(newurl)
        if not newurl.startswith(("http://", "https://")):
            fp.close()
            raise DownloadError(f"redirected to {shown}, which is no web URL")
        if req.full_url.startswith("https:") and newurl.startswith("http:"):
            fp.close()
            raise DownloadError(f"redirected to {shown}, which is less safe")
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        secret = req.unredirected_hdrs.get("Authorization")
        if new is not None and secret and _origin(req.full_url) == _origin(newurl):
            new.add_unredirected_header("Authorization", secret)
        return new


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


class Watcher:
    """Is told how a download goes; this one keeps it to itself."""

    def begins(self, size: int | None) -> None:
        """Hear that the content begins to come, of so many bytes, if that is known."""

    def goes_on(self, done: int, size: int | None) -> None:
        """Hear how many bytes are there; a ``DownloadError`` raised here ends the download."""


def download(url: str, folder: str, watcher: Watcher) -> Downloaded:
    """Fetch a file into a folder of its own below ``folder``, or find it fetched and unchanged.

    The server is asked every time; what it calls unchanged (by ``ETag`` or ``Last-Modified``,
    RFC 9110) is not sent again. A file never changes once it is there: new content gets a new
    place. User and password in the URL are sent as basic authentication, and never stored.

    Args:
        url: Where the file is.
        folder: Where downloads are kept.
        watcher: Hears how it goes.

    Raises:
        DownloadError: The file cannot be had.
    """
    shown = without_credentials(url)
    try:
        address, authorization, name = _read_url(url)
        key = hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        place = os.path.join(folder, key)
        with Lock(os.path.join(place, "lock")):
            return _fetched(address, authorization, os.path.join(place, name), watcher)
    except urllib.error.HTTPError as error:
        error.close()
        raise _answer(shown, error) from None
    except urllib.error.URLError as error:
        raise _unreachable(shown, error.reason) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(shown, error) from None


def _read_url(url: str) -> tuple[str, str | None, str]:
    """Split a URL into what may be shown, the credentials as a header, and the file's name."""
    parts = urllib.parse.urlsplit(url)
    if not parts.hostname:
        raise ValueError("the URL names no host")
    user, at, host = parts.netloc.rpartition("@")
    header = None
    if at:
        pair = urllib.parse.unquote(user)
        pair = pair if ":" in pair else f"{pair}:"
        header = f"Basic {base64.b64encode(pair.encode()).decode()}"
    path = urllib.parse.quote(parts.path, safe="/%:=&~+!$,;'@()*[]")
    query = urllib.parse.quote(parts.query, safe="/%:=&~+!$,;'@()*[]?")
    address = urllib.parse.urlunsplit((parts.scheme, host, path or "/", query, ""))
    name = urllib.parse.unquote(parts.path, errors="replace").rstrip("/").rpartition("/")[2]
    name = "".join(c for c in name if c.isprintable() and c != "/")
    while len(os.fsencode(name)) > NAME_LIMIT:
        name = name[1:]
    return address, header, name if name.strip(".") else "download"


def _fetched(address: str, authorization: str | None, target: str, watcher: Watcher) -> Downloaded:
    known = _known(target)
    request = urllib.request.Request(address)  # noqa: S310 - only called for http and https
    request.add_header("User-Agent", f"runproj/{__version__}")
    request.add_header("Accept-Encoding", "identity")
    if authorization:
        request.add_unredirected_header("Authorization", authorization)
    for header, field in (("If-None-Match", "etag"), ("If-Modified-Since", "modified")):
        if known and known.get(field):
            request.add_header(header, known[field])
            break
    opener = urllib.request.build_opener(_Redirects())
    try:
        with opener.open(request, timeout=TIMEOUT) as response:
            return _stored(cast("http.client.HTTPResponse", response), target, watcher)
    except urllib.error.HTTPError as error:
        if error.code != NOT_MODIFIED or not known:
            raise
        error.close()
        return Downloaded(
            path=known["path"], digest=Digest(known["digest"]), size=known["size"], fresh=False
        )


def _known(target: str) -> dict[str, Any] | None:
    """Return what is noted about the file that was fetched last, if it is still there, whole."""
    try:
        with open(_note(target), "rb") as file:
            known = json.load(file)
        known["path"] = os.path.join(os.path.dirname(target), known["path"])
        whole = os.path.getsize(known["path"]) == known["size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known if whole and (known.get("etag") or known.get("modified")) else None


def _note(target: str) -> str:
    return os.path.join(os.path.dirname(target), "download.json")


def _stored(response: http.client.HTTPResponse, target: str, watcher: Watcher) -> Downloaded:
    """Write a response to disk, under a name that its content decides."""
    folder, name = os.path.split(target)
    length = response.headers.get("Content-Length", "")
    expected = int(length) if length.isdigit() else None
    watcher.begins(expected)
    partial = os.path.join(folder, f"{os.urandom(8).hex()}.partial")
    try:
        size, hexdigest = _copied(response, partial, expected, watcher)
        if expected is not None and size != expected:
            raise OSError(f"the connection broke after {size} of {expected} bytes")
        inside = os.path.join(hexdigest[:24], name)
        os.makedirs(os.path.join(folder, hexdigest[:24]), exist_ok=True)
        os.replace(partial, os.path.join(folder, inside))
    finally:
        if os.path.exists(partial):
            os.unlink(partial)
    note = {
        "path": inside,
        "size": size,
        "digest": f"sha256:{hexdigest}",
        "etag": response.headers.get("ETag"),
        "modified": response.headers.get("Last-Modified"),
    }
    write_whole(_note(target), json.dumps(note).encode())
    path = os.path.join(folder, inside)
    return Downloaded(path=path, digest=Digest(f"sha256:{hexdigest}"), size=size, fresh=True)


def _copied(
    response: http.client.HTTPResponse, partial: str, expected: int | None, watcher: Watcher
) -> tuple[int, str]:
    content, size = hashlib.sha256(), 0
    with open(partial, "wb") as file:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            content.update(chunk)
            size += len(chunk)
            watcher.goes_on(size, expected)
    return size, content.hexdigest()


def _answer(shown: str, error: urllib.error.HTTPError) -> DownloadError:
    hint = None
    if error.code in {UNAUTHORIZED, FORBIDDEN}:
        hint = "credentials can be part of the URL: https://USER:PASSWORD@HOST/..."
    elif error.code in {NOT_FOUND, GONE}:
        hint = "is the URL spelled right?"
    reason = " ".join(str(error.reason).split())[:200]
    return DownloadError(f"the server answered {error.code} ({reason})", where=shown, hint=hint)


def _unreachable(shown: str, reason: object) -> DownloadError:
    if isinstance(reason, TimeoutError):
        return DownloadError(f"the server did not answer within {TIMEOUT:g} s", where=shown)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return DownloadError(
            f"the server's certificate is not trusted: {reason.verify_message}",
            where=shown,
            hint="SSL_CERT_FILE can name a file of certificates to trust",
        )
    if isinstance(reason, ssl.SSLError):
        return DownloadError(f"no secure connection: {reason.reason or reason}", where=shown)
    if isinstance(reason, OSError) and reason.strerror:
        return DownloadError(f"it cannot be fetched: {reason.strerror}", where=shown)
    return DownloadError(f"it cannot be fetched: {reason}", where=shown)
