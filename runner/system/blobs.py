"""Digests of large files, remembered until the file system says that a file was touched."""

from __future__ import annotations

import json
import os
import time

from runner.hashing import sha256
from runner.system.files import cache_directory, read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LARGE = 1 << 20
"""Bytes from which remembering a file is cheaper than reading it."""

RECENT = 2.0
"""Seconds in which a file may change again without a new time stamp."""


class BlobMemory:
    """What the large files of one folder hold, as git blob ids, from one run to the next."""

    def __init__(self, home: str, root: str) -> None:
        self._home = home
        name = sha256(os.fsencode(root)).hexdigest()[:40]
        self._path = os.path.join(home, "blobs", f"{name}.json")
        self._known: dict[str, list[Any]] | None = None
        self._seen: dict[str, list[Any]] = {}

    def recall(self, path: str, status: os.stat_result) -> bytes | None:
        """Return the blob id of a file, if it is the one that was seen before."""
        if status.st_size < LARGE:
            return None
        if self._known is None:
            self._known = self._loaded()
        entry = self._known.get(path)
        if not entry or entry[:-1] != _stamp(status):
            return None
        self._seen[path] = entry
        return bytes.fromhex(entry[-1])

    def note(self, path: str, status: os.stat_result, identity: bytes) -> None:
        """Remember a file that was read, unless it may still be being written."""
        changed = max(status.st_mtime, status.st_ctime)
        if status.st_size >= LARGE and time.time() - changed > RECENT:
            self._seen[path] = [*_stamp(status), identity.hex()]

    def keep(self) -> None:
        """Write down what was seen, for the next run."""
        if self._seen == (self._known or {}):
            return
        try:
            cache_directory(self._home, "blobs")
            write_whole(self._path, json.dumps(self._seen).encode())
        except OSError:
            return  # a full or read-only disk costs the next run time, no more

    def _loaded(self) -> dict[str, list[Any]]:
        try:
            known = json.loads(read(self._path))
            return {
                str(path): [*map(int, entry[:-1]), str(entry[-1])] for path, entry in known.items()
            }
        except (OSError, ValueError, TypeError, AttributeError, IndexError):
            return {}


def _stamp(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
