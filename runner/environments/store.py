"""The environment store: content-addressed, built in place under a lock, committed by a marker.

    <home>/envs/<id>/               an environment; <id> are 32 hex digits of its digest
    <home>/envs/<id>/runproj.json   the marker: what is inside. Written last, by rename: without it
                                    the folder is a wreck, whatever it holds
    <home>/envs/<id>.lock           held while it is built; the tools that build it inherit the lock
    <home>/envs/<id>.use            held (shared) by whoever uses it; its time is when that was

A folder of environments can be deleted at any time; those in use are kept by ``prune`` only.
"""

from __future__ import annotations

import errno
import json
import os
import time

from runner.errors import EnvError
from runner.system.files import Lock, cache_directory, read, set_aside, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runner.model.value import Digest

    Marker = dict[str, Any]

MARKER = "runproj.json"
LAYOUT = 1
"""Enters every address: another layout is another environment."""
ID_LENGTH = 32
DAY = 86400.0
_LEASES: dict[str, Lock] = {}
"""The environments that this process uses, until it ends: a run may outlive its builder."""


def prefix_of(home: str, environment: Digest) -> str:
    """Return the folder of an environment, there or not."""
    return os.path.join(home, "envs", environment.rpartition(":")[2][:ID_LENGTH])


def marker_path(prefix: str) -> str:
    """Return the marker's path, there or not."""
    return os.path.join(prefix, MARKER)


def found(prefix: str) -> Marker | None:
    """Return the marker of an environment that can be used as it is, else None.

    Checked without a process: the marker is whole, of our layout, the interpreter is there and the
    same file that the environment was made of. A conda environment may have no interpreter at all;
    its marker then has an empty ``python``.
    """
    try:
        marker: Marker = json.loads(read(marker_path(prefix)))
        same = not marker["python"] or _is_same(os.path.join(prefix, "bin", "python"), marker)
        fits = marker["layout"] == LAYOUT and marker["prefix"] == prefix and same
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return marker if fits else None


def _is_same(path: str, marker: Marker) -> bool:
    status, python = os.stat(path), marker["python"]
    return (status.st_size, status.st_mtime_ns) == (python["size"], python["modified"])


def lease(home: str, prefix: str) -> None:
    """Keep an environment from being pruned as long as this process lives.

    A supervisor that is forked from it keeps the lease too. The time of use is noted once a day.
    A store that cannot be written to needs no lease: nobody can prune it.
    """
    if prefix in _LEASES:
        return
    lock = Lock(f"{prefix}.use", shared=True)
    try:
        cache_directory(home, "envs")
        lock.acquire(blocking=True)
        if time.time() - os.fstat(lock.descriptor).st_mtime > DAY:
            os.utime(lock.descriptor)
    except OSError:
        lock.release()
    else:
        _LEASES[prefix] = lock


def opened(home: str, environment: Digest, build: Callable[[str, Lock], Marker]) -> Marker:
    """Return an environment's marker; when there is none, have it built, by one process at a time.

    ``build`` fills the folder at the path it is given and returns what the marker is to say; the
    descriptor of the lock it is given belongs to be inherited by every tool it starts.
    """
    prefix = prefix_of(home, environment)
    cache_directory(home, "envs")
    with Lock(f"{prefix}.lock") as lock:
        if marker := found(prefix):
            return marker
        set_aside(home, prefix)
        try:
            said = build(prefix, lock)
        except BaseException:
            set_aside(home, prefix)
            raise
        marker = {"layout": LAYOUT, "environment": environment, "prefix": prefix, **said}
        text = json.dumps(marker, indent=1, ensure_ascii=False).encode("utf-8", "replace")
        write_whole(marker_path(prefix), text, durable=True)
        return marker


def disk_trouble(done: str, error: OSError, home: str) -> EnvError:
    """Say that the system kept an environment from being ``done``: locked, or built."""
    return EnvError(
        f"the environment cannot be {done}: {error.strerror or error}",
        where=error.filename if isinstance(error.filename, str) else home,
        hint="'runproj env prune' frees space" if error.errno == errno.ENOSPC else None,
    )
