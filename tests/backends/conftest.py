"""Jobs in a temporary home, and proof that nothing of them is left running."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from job_workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path, dict(os.environ))
    yield made
    for handle in made.handles:
        handle.release()
    leftovers = made.leftovers()
    for pid in leftovers:
        os.kill(pid, signal.SIGKILL)
    assert not leftovers, "processes of the test's jobs were still running"
