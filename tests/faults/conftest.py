"""A theatre for every test, empty when the test is over."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from theatre import Theatre

from runner.backends import supervise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def theatre(tmp_path: Path) -> Iterator[Theatre]:
    made = Theatre(tmp_path)
    yield made
    leftovers = []
    for run_id, follower in made.followers.items():
        if follower.poll() is None:
            follower.send_signal(signal.SIGKILL)
        follower.wait(timeout=120)
        if follower.stdout:
            follower.stdout.close()
        leftovers += supervise.tree(run_id, everyone=True)
        supervise.sweep(run_id)
    assert not leftovers, "processes of the test's runs were still running"
