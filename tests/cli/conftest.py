"""A directory of its own for each test, and stores in it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.ports import TrackingStore


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """Be in a fresh directory, in UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setenv("PWD", str(tmp_path))
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield tmp_path
    time.tzset()


@pytest.fixture(params=["sqlite:///mlflow.db", "mlruns"])
def store(request: pytest.FixtureRequest, here: Path) -> TrackingStore:
    """Return an empty store, a database and a folder of files in turn."""
    return open_store(request.param, directory=str(here), environ={})
