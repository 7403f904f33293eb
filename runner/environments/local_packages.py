"""Packages that lie in the project: what they hold, and copies of it to build from.

A build must neither write into the user's files nor see them change: it works on a copy.
"""

from __future__ import annotations

import json
import os
import stat

from runner.hashing import sha256
from runner.model.value import Digest
from runner.system.files import cache_directory, file_digest, read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

JUNK = frozenset(
    {
        ".git", ".hg", ".svn", "__pycache__", ".venv", ".tox", ".nox", ".eggs", ".mypy_cache",
        ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", "node_modules",
        "mlruns", "mlartifacts",
    }
)  # fmt: skip
"""Folders that no package is made of: version control, caches, environments, results of runs."""
NO_SOURCES = ("mlflow.db", "pylock.", "uv.lock")
"""Starts of the names of files that no package is made of: the tracking store, locks."""
JUNK_AT_TOP = frozenset({"build", "dist"})
METADATA = (".toml", ".cfg", ".txt", ".in")
"""Files at the top of a package that may say what it depends on, besides ``setup.py``."""


def content_digest(path: str, home: str) -> Digest:
    """Return the digest of all that a package could be built from.

    It is remembered by the files' sizes, times and inodes, so that unchanged files are not read
    again.
    """
    if not os.path.isdir(path):
        return file_digest(path)
    entries = [*_entries(path, "")]
    signature = sha256(
        "\0".join(
            f"{name}\0{s.st_mode}\0{s.st_size}\0{s.st_mtime_ns}\0{s.st_ctime_ns}\0{s.st_ino}"
            for name, s in entries
        ).encode("utf-8", "surrogateescape")
    ).hexdigest()
    address = sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    note = os.path.join(home, "locks", "packages", f"{address}.json")
    try:
        remembered = json.loads(read(note))
        if remembered["signature"] == signature:
            return Digest(remembered["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest = _digest(path, entries)
    cache_directory(home, "locks", "packages")
    write_whole(note, json.dumps({"signature": signature, "digest": digest}).encode())
    return digest


def metadata_files(path: str) -> tuple[str, ...]:
    """Return the files of a package that may say what it depends on."""
    if not os.path.isdir(path):
        return (path,)
    names = sorted(os.listdir(path))
    found = (n for n in names if n == "setup.py" or n.endswith(METADATA))
    return tuple(p for n in found if os.path.isfile(p := os.path.join(path, n)))


def snapshot(path: str, digest: Digest, home: str) -> str:
    """Return a copy of a package as it is now, made when there is none of that digest.

    A ``.git`` at its top is linked, for build backends that take the version from tags.
    """
    from runner.system.files import Lock, set_aside

    if not os.path.isdir(path):
        return path
    folder = os.path.join(
        cache_directory(home, "packages"), digest.rpartition(":")[2][:32], os.path.basename(path)
    )
    done = os.path.join(os.path.dirname(folder), "complete")
    with Lock(f"{os.path.dirname(folder)}.lock"):
        if os.path.exists(done):
            return folder
        set_aside(home, os.path.dirname(folder))
        _copy(path, folder)
        write_whole(done, b"")
    return folder


def _copy(path: str, folder: str) -> None:
    import shutil

    os.makedirs(folder)
    for name, status in _entries(path, ""):
        source, target = os.path.join(path, name), os.path.join(folder, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(source), target)
        else:
            shutil.copy2(source, target)
    if os.path.exists(git := os.path.join(path, ".git")):
        os.symlink(git, os.path.join(folder, ".git"))


def _digest(path: str, entries: list[tuple[str, os.stat_result]]) -> Digest:
    whole = sha256()
    for name, status in entries:
        full = os.path.join(path, name)
        link = stat.S_ISLNK(status.st_mode)
        part = f"link:{os.readlink(full)}" if link else file_digest(full)
        executable = bool(status.st_mode & stat.S_IXUSR)
        line = f"{name}\0{part}\0{executable}\n"
        whole.update(line.encode("utf-8", "surrogateescape"))
    return Digest(f"sha256:{whole.hexdigest()}")


def _entries(root: str, below: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files and links of a package in a fixed order, with their states."""
    with os.scandir(os.path.join(root, below)) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = os.path.join(below, entry.name)
        if entry.is_dir(follow_symlinks=False):
            if not _is_junk(entry, at_top=not below):
                yield from _entries(root, name)
        elif not entry.name.endswith((".pyc", ".pyo")) and not entry.name.startswith(NO_SOURCES):
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                yield name, status


def _is_junk(entry: os.DirEntry[str], *, at_top: bool) -> bool:
    return (
        entry.name in JUNK
        or entry.name.endswith(".egg-info")
        or (at_top and entry.name in JUNK_AT_TOP)
        or os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
    )
