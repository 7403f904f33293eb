"""Runs made for tests, straight in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.model.tracking import Metric, TrackedRun
from runner.model.value import RunId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.ports import TrackingStore

STARTED = 1_795_245_547_000
"""2026-11-21 07:19:07 in UTC."""


def add(
    store: TrackingStore, *, metrics: dict[str, Sequence[float]] | None = None, **given: Any
) -> TrackedRun:
    """Add a run; ``metrics`` are histories by name."""
    fields: dict[str, Any] = {
        "run_id": RunId(""),
        "experiment_id": "0",
        "name": "",
        "status": "RUNNING",
        "started": STARTED,
        "ended": None,
        "artifact_uri": "",
    }
    run = store.create_run(TrackedRun(**{**fields, **given}))
    logged = [
        Metric(key=key, value=value, timestamp=STARTED + step, step=step)
        for key, values in (metrics or {}).items()
        for step, value in enumerate(values)
    ]
    if logged:
        store.log(run.run_id, metrics=logged)
    store.close()
    return run
