"""A process that is killed while it writes to a store: what was acknowledged is there, whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from libraries import fresh

from runner.model.tracking import Metric
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from runner.model.value import RunId
    from runner.ports import TrackingStore

ROOT = Path(__file__).parents[2]
BATCH = 40
WRITER = f"""
import sys
from runner.model.tracking import Metric
from runner.stores.opening import open_store
store = open_store(sys.argv[1], directory=sys.argv[2], environ={{}})
step = int(sys.argv[4])
while True:
    batch = [Metric(key="loss", value=step / 7, timestamp=i, step=step) for i in range({BATCH})]
    params = {{f"p{{step}}": str(step)}}
    store.log(sys.argv[3], metrics=batch, params=params, tags={{"t": str(step)}})
    print(step, flush=True)
    step += 1
"""


def killed_after(acknowledged: int, uri: str, folder: Path, run_id: str, first: int) -> int:
    """Let a process write and kill it; return the last step that it was told is written."""
    writer = subprocess.Popen(
        (sys.executable, "-c", WRITER, uri, str(folder), run_id, str(first)),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    for _ in range(acknowledged):
        assert writer.stdout.readline()
    writer.kill()
    said = [int(line) for line in writer.stdout.read().splitlines() if line]
    writer.stdout.close()
    writer.wait()
    return max([first + acknowledged - 1, *said])


@pytest.mark.parametrize("uri", ["sqlite:///t.db", "files"])
def test_a_killed_writer_leaves_whole_values(uri: str, tmp_path: Path) -> None:
    store: TrackingStore = open_store(uri, directory=str(tmp_path), environ={})
    run_id = store.create_run(fresh("7" * 32)).run_id
    first = 0
    for acknowledged in (1, 3, 8):
        last = killed_after(acknowledged, uri, tmp_path, run_id, first)
        check(store, run_id, last)
        first = last + 2
    store.log(run_id, metrics=[Metric(key="loss", value=1.0, timestamp=1, step=10**6)])
    store.update_run(run_id, status="KILLED", ended=5)
    assert store.run(run_id).status == "KILLED"
    store.close()


def check(store: TrackingStore, run_id: RunId, last: int) -> None:
    run = store.run(run_id)
    steps: dict[int, int] = {}
    for metric in store.history(run_id, "loss"):
        assert metric.value == metric.step / 7
        steps[metric.step] = steps.get(metric.step, 0) + 1
    assert steps[last] == BATCH
    assert run.params[f"p{last}"] == str(last)
    if store.uri.startswith("sqlite:"):  # a transaction is there or not
        assert set(steps.values()) == {BATCH}
    assert int(run.tags["t"]) >= last
