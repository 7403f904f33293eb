"""A cache, a caller and a repository for each test of the sources."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from git_repositories import Repo, Watcher, make_repo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.model.project import WorkingTree


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path / "home")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The caller's variables, with a home directory of our own."""
    own = tmp_path / "user"
    own.mkdir()
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "TMPDIR"}}
    return {**kept, "HOME": str(own), "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return make_repo(tmp_path / "project", {"MLproject": "name: p\n", "train.py": "print(1)\n"})


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def released() -> Iterator[list[WorkingTree]]:
    """Trees whose leases are given up when the test is over."""
    trees: list[WorkingTree] = []
    yield trees
    for tree in trees:
        if tree.lease is not None:
            os.close(tree.lease)
