"""What copies, comparisons and deliveries of runs read alike, whatever the store."""

from __future__ import annotations

from runner.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from runner.model.run import Artifact
    from runner.model.tracking import Metric, TrackedRun
    from runner.model.value import RunId
    from runner.ports import Artifacts, TrackingStore

OUT_OF_REACH = "NOT_IMPLEMENTED"
"""What a store says whose files lie where we cannot read or write."""
RUN_NAME_TAG = "mlflow.runName"
LARGEST = 1.7976931348623157e308
"""What SQL stores keep for infinity."""


def every_run(store: TrackingStore, experiment_id: str) -> Iterator[TrackedRun]:
    """Yield all runs of an experiment, deleted ones too, newest first."""
    page: str | None = None
    while True:
        found = store.runs([experiment_id], limit=1000, page=page, lifecycle="all")
        yield from found.runs
        page = found.next_page
        if page is None:
            return


def measured(
    store: TrackingStore, run: TrackedRun, keys: Container[str] | None = None
) -> tuple[Metric, ...]:
    """Return every logged value of a run; at once where the store can give that.

    ``keys`` are the metrics that are wanted; others may be among them.
    """
    wanted = [key for key in run.metrics if keys is None or key in keys]
    if not wanted:
        return ()
    histories: Callable[[RunId], tuple[Metric, ...]] | None = getattr(store, "histories", None)
    if histories is not None:
        return histories(run.run_id)
    return tuple(metric for key in wanted for metric in store.history(run.run_id, key))


def listed(artifacts: Artifacts) -> tuple[Artifact, ...] | None:
    """Return the files of a run or model; None when they lie where we cannot read."""
    try:
        return artifacts.list()
    except StoreError as error:
        if error.status != OUT_OF_REACH:
            raise
        return None


def name_of(run: TrackedRun) -> str:
    """Return a run's name; MLflow 1 leaves runs without one."""
    return run.name or run.tags.get(RUN_NAME_TAG, "") or f"run-{run.run_id[:8]}"


def point(metric: Metric) -> tuple[object, ...]:
    """Return what tells one measured number from another, as every store keeps it.

    SQL stores keep the infinities as the largest numbers, and no negative zero.
    """
    value: object = metric.value + 0.0
    if metric.value != metric.value:
        value = "NaN"
    elif abs(metric.value) >= LARGEST:
        value = "Infinity" if metric.value > 0 else "-Infinity"
    return metric.key, metric.step, metric.timestamp, value
