"""Digests of inputs, remembered: a warm run does not read gigabytes again."""

from __future__ import annotations

import os
import stat
import time

from runner.hashing import sha256
from runner.model.value import Digest
from runner.system.files import cache_directory, file_digest, read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = 1 << 20
"""Bytes; less than this is read faster than remembered."""
SETTLED = 2.0
"""Seconds. What changed more recently may change again within one tick of the file system's clock,
and is not remembered (as git does: "racy git")."""


def file_input(path: str, home: str) -> tuple[Digest, int]:
    """Return the sha256 of a file, and its size in bytes.

    The digest of a large file is remembered by real path, size, inode and times, so that any
    change of the file is seen.

    Raises:
        OSError: The file cannot be read.
    """
    found = os.stat(path)
    if found.st_size < SMALL:
        return file_digest(path), found.st_size
    signature = sha256(_signature(os.path.realpath(path), found)).hexdigest()
    known = _remembered(home, signature)
    if known is None:
        known = file_digest(path)
        if _settled(found) and _same(found, os.stat(path)):
            _remember(home, signature, known)
    return known, found.st_size


def folder_input(path: str, home: str) -> tuple[Digest, int]:
    """Return the ``swh:1:dir:`` of everything in a folder, and its size in bytes.

    The digest is remembered by the names, sizes, inodes and times of all files.

    Raises:
        OSError: The folder or something in it cannot be read.
    """
    real = os.path.realpath(path)
    signature, size, newest = _walked(real)
    known = _remembered(home, signature)
    if known is None:
        from runner.system.trees import directory_digest

        tree = directory_digest(real, everything=True)
        if tree.omitted:
            first = tree.omitted[0]
            raise OSError(f"{first.path}: {first.reason}")
        known = tree.digest
        if time.time() - newest > SETTLED and _walked(real)[0] == signature:
            _remember(home, signature, known)
    return known, size


def _signature(name: str, found: os.stat_result) -> bytes:
    numbers = (found.st_mode, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    return os.fsencode(f"{name}\0{numbers}\n")


def _settled(found: os.stat_result) -> bool:
    return time.time() - max(found.st_mtime, found.st_ctime) > SETTLED


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return _signature("", one) == _signature("", other)


def _walked(root: str) -> tuple[str, int, float]:
    """Return a signature of a whole folder, its size, and the time of its latest change."""
    summary = sha256(os.fsencode(root) + b"\0tree\n")
    size, newest = 0, 0.0
    for name, found in _entries(root):
        summary.update(_signature(name, found))
        newest = max(newest, found.st_mtime, found.st_ctime)
        if stat.S_ISREG(found.st_mode):
            size += found.st_size
    return summary.hexdigest(), size, newest


def _entries(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield everything below a folder in one order, links not followed."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(root, onerror=fail):
        folders.sort()
        if ".git" in folders:
            folders.remove(".git")
        for name in sorted((*folders, *files)):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, root), os.lstat(path)


def _remembered(home: str, signature: str) -> Digest | None:
    try:
        text = read(os.path.join(home, "digests", signature)).decode("ascii", "replace")
    except OSError:
        return None
    return Digest(text) if text.startswith(("sha256:", "swh:1:dir:")) else None


def _remember(home: str, signature: str, digest: Digest) -> None:
    folder = cache_directory(home, "digests")
    write_whole(os.path.join(folder, signature), digest.encode())
