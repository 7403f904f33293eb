"""Uploads that come in parts, for a folder of artifacts.

Parts are kept in a hidden folder beside the artifacts, where nobody lists them, one folder for
each upload. Only the whole file gets its name. An upload that nobody ends is forgotten after a day.
"""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

from runner.errors import StoreError
from runner.stores.rules import missing, refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO, Final

    from runner.stores.artifacts import FolderArtifacts

STAGING: Final = ".runproj-uploads"
MOST_PARTS: Final = 10_000
"""As S3 allows."""
FORGOTTEN_SECONDS: Final = 86_400
CHUNK: Final = 1 << 20
_ID: Final = re.compile(r"[0-9a-f]{32}")


class FolderParts:
    """Implements ``runner.ports.Parts`` for files below ``root``."""

    def __init__(self, artifacts: FolderArtifacts, root: str) -> None:
        self._artifacts = artifacts
        self._staging = os.path.join(os.path.dirname(root.rstrip("/")), STAGING)

    def begin(self, path: str, count: int) -> str:
        """Expect a file in so many parts; return the upload's unguessable id."""
        if not 1 <= count <= MOST_PARTS:
            raise refused(f"an upload has 1 to {MOST_PARTS:,} parts, not {count:,}")
        self._artifacts.check(path)
        self._forget_old()
        upload = os.urandom(16).hex()
        folder = os.path.join(self._staging, upload)
        try:
            _made(folder)
            with open(os.path.join(folder, "upload.json"), "x", encoding="utf-8") as file:
                json.dump({"path": path, "parts": count}, file)
        except OSError as error:
            raise _undone(error) from error
        return upload

    def put(self, upload: str, number: int, content: BinaryIO) -> str:
        """Keep one part, whole or not at all; return its entity tag. A later one replaces it."""
        import hashlib

        folder = self._folder(upload)
        if not 1 <= number <= self._announced(folder)[1]:
            raise refused(f"this upload has no part {number}")
        partial = os.path.join(folder, f"{os.urandom(6).hex()}.partial")
        digest = hashlib.sha256()
        try:
            with open(partial, "xb") as file:
                while chunk := content.read(CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
            os.replace(partial, os.path.join(folder, f"{number}.{digest.hexdigest()}"))
        except FileNotFoundError:
            raise _no_upload(upload) from None
        except OSError as error:
            _discard(partial)
            raise _undone(error) from error
        except BaseException:
            _discard(partial)
            raise
        return digest.hexdigest()

    def complete(
        self, upload: str, path: str, tags: Mapping[int, str], *, limit: int | None = None
    ) -> None:
        """Make the file of all its parts, which must have these entity tags."""
        folder = self._folder(upload)
        taken = f"{folder}.taken"
        try:
            os.rename(folder, taken)  # one of several that complete or abort it wins
        except FileNotFoundError:
            raise _no_upload(upload) from None
        try:
            self._artifacts.put(path, _Joined(self._checked(taken, path, tags, limit)))  # type: ignore[arg-type]  # read() is used
        except BaseException:
            os.rename(taken, folder)
            raise
        self._remove(taken)

    def abort(self, upload: str) -> None:
        """Forget an upload; no error when it is not there."""
        self._remove(os.path.join(self._staging, self._valid(upload)))

    def _checked(
        self, folder: str, path: str, tags: Mapping[int, str], limit: int | None
    ) -> list[str]:
        """Return the files of all parts in their order."""
        begun, count = self._announced(folder)
        if begun != path:
            raise refused(f"this upload is not for {path!r}")
        if sorted(tags) != list(range(1, count + 1)):
            raise refused(f"the upload of {path!r} has {count} parts, {len(tags)} were named")
        there = set(os.listdir(folder))
        found = []
        for number in range(1, count + 1):
            name = f"{number}.{tags[number]}"
            if name not in there:
                raise refused(f"part {number} of {path!r} is not here, or has another entity tag")
            found.append(os.path.join(folder, name))
        if limit is not None and sum(os.path.getsize(part) for part in found) > limit:
            raise refused(f"{path!r} is longer than {limit:,} bytes, the limit of this server")
        return found

    def _valid(self, upload: str) -> str:
        if not _ID.fullmatch(upload):
            raise _no_upload(upload)
        return upload

    def _folder(self, upload: str) -> str:
        folder = os.path.join(self._staging, self._valid(upload))
        if not os.path.isdir(folder):
            raise _no_upload(upload)
        return folder

    def _announced(self, folder: str) -> tuple[str, int]:
        try:
            with open(os.path.join(folder, "upload.json"), encoding="utf-8") as file:
                document = json.load(file)
            return str(document["path"]), int(document["parts"])
        except (OSError, ValueError, KeyError, TypeError):
            raise _no_upload(os.path.basename(folder)) from None

    def _forget_old(self) -> None:
        """Remove what nobody has ended."""
        since = time.time() - FORGOTTEN_SECONDS
        for folder in _entries(self._staging):
            if folder.stat(follow_symlinks=False).st_mtime < since:
                self._remove(folder.path)

    def _remove(self, folder: str) -> None:
        from runner.system.files import remove_tree

        if os.path.isdir(folder):
            remove_tree(folder)
        try:
            os.rmdir(self._staging)
        except OSError:  # there are others
            return


class _Joined:
    """Files, read as one."""

    def __init__(self, parts: list[str]) -> None:
        self._chunks = _read(parts)

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002 - pieces of our own size
        """Return the next piece, nothing at the end."""
        return next(self._chunks, b"")


def _read(parts: list[str]) -> Iterator[bytes]:
    for part in parts:
        with open(part, "rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _made(folder: str) -> None:
    for _ in range(99):
        try:
            os.makedirs(folder)
        except FileNotFoundError:  # another upload ended, and took the empty folder above with it
            continue
        return
    os.makedirs(folder)


def _discard(partial: str) -> None:
    try:
        os.unlink(partial)
    except OSError:  # it was never made, or the disk is gone: the cause is reported
        return


def _no_upload(upload: str) -> StoreError:
    return missing(f"there is no upload {upload[:40]!r} under way")


def _undone(error: OSError) -> StoreError:
    return StoreError(f"the upload could not be kept: {error.strerror}")
