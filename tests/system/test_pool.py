"""Leased folders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.system.pool import lease, prune, prune_all

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    pool = str(tmp_path / "pool")
    first, lock = lease(pool)
    second, other = lease(pool)
    assert first != second
    lock.release()
    again, lock = lease(pool)
    assert again == first
    third, last = lease(pool)
    assert third not in {first, second}
    for held in (lock, other, last):
        held.release()


def test_pruning_leaves_owners_alone(tmp_path: Path) -> None:
    family = tmp_path / "home" / "trees" / "repo"
    held = [lease(str(family / "commit")) for _ in range(4)]
    for path, _ in held:
        os.mkdir(path)
    for _, lock in held[:3]:
        lock.release()
    assert prune(str(tmp_path / "home"), str(family), folders=1, pools=1) == 2
    assert [os.path.isdir(path) for path, _ in held] == [True, False, False, True]
    held[3][1].release()
    assert prune(str(tmp_path / "home"), str(family), folders=0, pools=0) == 2
    assert os.listdir(family) == []


def test_the_pools_used_last_are_kept(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for number in range(12):
        path, lock = lease(str(home / "trees" / "repo" / f"c{number}"))
        os.mkdir(path)
        os.utime(home / "trees" / "repo" / f"c{number}", (number, number))
        lock.release()
    assert prune_all(str(home)) == 4
    assert sorted(os.listdir(home / "trees" / "repo")) == sorted(f"c{n}" for n in range(4, 12))
    assert prune_all(str(tmp_path / "nowhere")) == 0
