"""From the supervisor's samples of the machine to metrics of the run.

Samples lie in the job folder (``runner.backends.sample``), whole lines at its end or not; they
are brought into the store while the command runs, and once more when the record is closed, by
whoever closes it. What the store has already is not sent again.
"""

from __future__ import annotations

import math
import os

from runner.model.tracking import Metric
from runner.pipeline.closing import SAMPLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.model.value import RunId
    from runner.ports import TrackingStore

PREFIX = "system/"


class Samples:
    """The samples of one job. ``fresh`` says that the store can have none of them yet."""

    def __init__(self, store: TrackingStore, run_id: RunId, folder: str, *, fresh: bool) -> None:
        self._store, self._run_id = store, run_id
        self._path = os.path.join(folder, SAMPLES)
        self._offset = 0
        self._since: int | None = -1 if fresh else None

    def deliver(self) -> None:
        """Log what was added since the last time.

        Raises:
            StoreError: The store did not take it; nothing of it counts as delivered.
        """
        content = self._added()
        metrics = list(parsed(content))
        if metrics and self._since is None:
            history = self._store.history(self._run_id, metrics[0].key)
            self._since = max((m.timestamp for m in history), default=-1)
        news = [m for m in metrics if m.timestamp > (self._since or -1)]
        if news:
            self._store.log(self._run_id, metrics=news)
        self._offset += len(content)

    def _added(self) -> bytes:
        """Return the whole lines behind those that are delivered."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return b""
        return content[: content.rfind(b"\n") + 1]


def parsed(content: bytes) -> Iterator[Metric]:
    """Read samples; a line that is none of ours is left out."""
    for line in content.decode("utf-8", "replace").splitlines():
        try:
            moment, step, name, value = line.split(" ")
            metric = Metric(key=name, value=float(value), timestamp=int(moment), step=int(step))
        except ValueError:
            continue
        if name.startswith(PREFIX) and math.isfinite(metric.value):
            yield metric
