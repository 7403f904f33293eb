"""The artifact proxy: files of runs and logged models over HTTP, streamed.

Clients address files as ``<experiment>/<run>/artifacts/<path>`` or
``<experiment>/models/<model>/artifacts/<path>``. The ids are looked up in the store, which says
where the folder really is: a client cannot name any other place, and a run that has moved to
another experiment is still found under its old address.
"""

from __future__ import annotations

import mimetypes
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

from runner.model.value import RunId
from runner.serving.messages import Refusal, Response, json_response, missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.codec import JSON
    from runner.ports import Artifacts, TrackingStore
    from runner.serving.messages import Request

_ODD = re.compile(r"/\.|%")
"""What makes a path mean something else than it says."""


class Files:
    """The artifacts of a store, by the addresses that clients use."""

    def __init__(self, store: TrackingStore) -> None:
        self._store = store
        root = store.artifact_root
        self._root = None if root is None else os.path.realpath(root)
        self._remote: str | None = getattr(store, "remote_root", None)

    def serves(self, location: str) -> bool:
        """Whether artifacts at this location travel through us."""
        return self._relative(location) is not None

    def shows(self, location: str) -> bool:
        """Whether clients are given an address of ours; a plain path below the root needs no disk.

        A folder that is a link to elsewhere is found out when its files are asked for.
        """
        root, path = self._root, location.removeprefix("file://")
        if root is not None and path.startswith(f"{root}/") and not _ODD.search(path):
            return True
        return self.serves(location)

    def _relative(self, location: str) -> str | None:
        """Return the path of a location below one of our roots, None when it is elsewhere."""
        if self._remote is not None and _is_inside(location, self._remote):
            return location[len(self._remote) :].strip("/")
        path = local_path(location)
        if path is None or self._root is None:
            return None
        real = os.path.realpath(path)
        return os.path.relpath(real, self._root) if _is_inside(real, self._root) else None

    def address(self, location: str) -> str | None:
        """Return the address that ``locate`` finds a place by; None when it has none."""
        parts = (self._relative(location) or "").split("/")
        match parts:
            case [_, "models", _, "artifacts", *_] | [_, _, "artifacts", *_]:
                return "/".join(parts)
            case _:
                return None

    def locate(self, parts: Sequence[str]) -> tuple[Artifacts, list[str]]:
        """Return the folder that an address lies in, and the rest of the address."""
        files, _, rest = self._place(parts)
        return files, rest

    def location(self, parts: Sequence[str]) -> str:
        """Return where the files at an address really are, as a path or a URL."""
        _, location, rest = self._place(parts)
        path = local_path(location)
        return "/".join([(location if path is None else path).rstrip("/"), *rest])

    def _place(self, parts: Sequence[str]) -> tuple[Artifacts, str, list[str]]:
        address = "/".join(parts)
        rest: list[str]
        match parts:
            case [_, "models", model_id, "artifacts", *rest]:
                models = self._store.model_store
                if models is None:
                    raise missing(f"there is no artifact at {address!r}")
                model = models.model(model_id)
                if self.serves(model.artifact_uri):
                    return models.model_artifacts(model), model.artifact_uri, rest
            case [_, run_id, "artifacts", *rest]:
                run = self._store.run(RunId(run_id))
                if self.serves(run.artifact_uri):
                    return self._store.artifacts(run), run.artifact_uri, rest
            case _:
                pass
        raise missing(f"there is no artifact at {address!r}")

    def answer(self, method: str, address: str, request: Request) -> Response:
        """Answer a request for one file, or the list of a folder."""
        parts = segments(address)
        if method == "GET" and not parts:
            wanted = parse_qs(request.query).get("path", [""])[0]
            folder, rest = self.locate(checked(wanted.strip("/").split("/"), wanted))
            return json_response({"files": listed(folder, "/".join(rest), prefix=False)})
        if method not in {"GET", "PUT", "DELETE"} or not parts:
            raise Refusal(f"There is no {method} for artifacts here.", "ENDPOINT_NOT_FOUND")
        folder, rest = self.locate(parts)
        path = "/".join(rest)
        if method == "GET" and path:
            return download(folder, path)
        if method == "PUT" and path:
            folder.put(path, request.body)
            return json_response({})
        if method == "DELETE" and path:
            folder.delete(path)
            return json_response({})
        raise Refusal(f"'{address}' names no file.")


def segments(address: str) -> list[str]:
    """Split a percent-encoded path into checked names; an encoded slash is a slash, too.

    Raises:
        Refusal: A name leads out of its folder, or is no name.
    """
    try:
        decoded = unquote_to_bytes(address).decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal("an artifact path must be UTF-8") from None
    stripped = decoded.strip("/")
    return checked(stripped.split("/"), decoded) if stripped else []


def checked(parts: list[str], shown: str) -> list[str]:
    """Return names of folders and files, after refusing those that lead elsewhere."""
    for part in parts:
        if part in {"", ".", ".."} or "\0" in part or "\\" in part:
            raise Refusal(f"Invalid path: {shown!r}")
    return parts


def local_path(location: str) -> str | None:
    """Return the path of a ``file:`` URI or a plain path; None for other schemes."""
    if location.startswith("file:"):
        parts = urlsplit(location)
        if parts.netloc not in {"", "localhost"}:
            return None
        return os.fsdecode(unquote_to_bytes(parts.path))
    return location if os.path.isabs(location) else None


def _is_inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def listed(folder: Artifacts, path: str, *, prefix: bool = True) -> list[JSON]:
    """List one level of a folder as MLflow does: folders without, files with a size.

    With ``prefix`` paths are relative to the root of the artifacts, without to the folder itself.
    """
    start = f"{path.strip('/')}/" if path.strip("/") else ""
    sizes: dict[str, int | None] = {}
    for artifact in folder.list(path.strip("/")):
        if not artifact.path.startswith(start):
            continue
        name, deeper, _ = artifact.path[len(start) :].partition("/")
        sizes[name] = None if deeper else artifact.size
    before = start if prefix else ""
    found: list[JSON] = []
    for name in sorted(sizes):
        size = sizes[name]
        entry: dict[str, JSON] = {"path": before + name, "is_dir": size is None}
        if size is not None:
            entry["file_size"] = size
        found.append(entry)
    return found


def download(folder: Artifacts, path: str) -> Response:
    """Send one file, as an attachment: what a run wrote must not act in a browser."""
    file = folder.open(path)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    name = path.rpartition("/")[2].encode("ascii", "replace").decode("ascii").replace('"', "'")
    headers = {
        "Content-Type": kind,
        "Content-Disposition": f'attachment; filename="{"".join(c for c in name if c >= " ")}"',
    }
    return Response(200, file, headers=headers, size=size)
