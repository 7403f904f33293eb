from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from channel_server import Handler, serving
from conda_bench import CondaBench
from packages import Bench

from runner.environments import store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Return a project with an index of its own; leases end with the test."""
    before = {*store._LEASES}
    yield Bench(tmp_path)
    _end_leases(before)


@pytest.fixture
def conda(tmp_path: Path) -> Iterator[CondaBench]:
    """Return a project with a conda channel of its own; leases end with the test."""
    before = {*store._LEASES}
    yield CondaBench(tmp_path)
    _end_leases(before)


@pytest.fixture
def served(conda: CondaBench) -> Iterator[tuple[str, type[Handler]]]:
    """Serve the channel over HTTP; yield host and port, and the handler to set things on."""
    with serving(conda.channel.path) as found:
        yield found


def _end_leases(before: set[str]) -> None:
    for prefix in store._LEASES.keys() - before:
        store._LEASES.pop(prefix).release()
