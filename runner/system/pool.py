"""Folders that are made once, used by one owner at a time, and used again.

A pool is a directory with numbered folders and a lock file beside each; whoever holds the lock
owns the folder, and what is in it is for the owner to prove.
"""

from __future__ import annotations

import os

from runner.system.files import Lock, set_aside

KEPT_FOLDERS = 4
"""How many idle folders of one pool are worth keeping."""

KEPT_POOLS = 8
"""How many idle pools of one family (the commits of a repository) are worth keeping."""


def lease(pool: str) -> tuple[str, Lock]:
    """Return a folder of the pool that is ours until the lock is released; it may not exist yet."""
    os.makedirs(pool, exist_ok=True)
    os.utime(pool)
    known = _numbers(pool)
    number = 0
    while True:
        number = known.pop(0) if known else number + 1
        lock = Lock(os.path.join(pool, f"{number}.lock"))
        if lock.acquire(blocking=False):
            return os.path.join(pool, str(number)), lock


def _numbers(pool: str) -> list[int]:
    names = (name.removesuffix(".lock") for name in _listed(pool) if name.endswith(".lock"))
    return sorted(int(name) for name in names if name.isdecimal())


def prune(home: str, family: str, *, folders: int = KEPT_FOLDERS, pools: int = KEPT_POOLS) -> int:
    """Delete what is idle and too much in a family of pools; return how many folders went.

    The pools used last are kept. What somebody owns is left alone.
    """
    removed = 0
    found = [os.path.join(family, name) for name in _listed(family)]
    found = sorted(filter(os.path.isdir, found), key=os.path.getmtime, reverse=True)
    for at, pool in enumerate(found):
        for number in _numbers(pool)[folders if at < pools else 0 :]:
            removed += _removed(home, pool, number)
        if at >= pools:
            _remove_empty(pool)
    return removed


def prune_all(home: str) -> int:
    """Prune every family of pools in the cache; return how many folders went."""
    trees = os.path.join(home, "trees")
    return sum(prune(home, os.path.join(trees, name)) for name in _listed(trees))


def _remove_empty(pool: str) -> None:
    try:
        os.rmdir(pool)
    except OSError:
        return  # somebody leased from it in the meantime, or still does


def _listed(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def _removed(home: str, pool: str, number: int) -> bool:
    lock = Lock(os.path.join(pool, f"{number}.lock"))
    if not lock.acquire(blocking=False):
        return False
    try:
        set_aside(home, os.path.join(pool, str(number)))
        os.unlink(lock.path)
    finally:
        lock.release()
    return True
