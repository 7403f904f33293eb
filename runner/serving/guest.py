"""The run whose endpoint this is, and how its command is spared MLflow's sharp edges.

* ``mlflow.set_experiment("x")`` in a project that runs inside a run raises in every MLflow client
  ("Cannot start run ... because active run ID does not match", upstream issues 673, 799, 2227,
  2735). Here the run moves: an experiment that the client looks up or makes by name, before it
  has begun to log, is where the run is found when the client asks for it next.
* A nested ``mlflow run`` gets the parent that it does not know of.
"""

from __future__ import annotations

import threading

from runner.errors import StoreError
from runner.model.value import changed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from runner.model.tracking import TrackedRun
    from runner.ports import TrackingStore

PARENT: Final = "mlflow.parentRunId"
SOURCE_TYPE: Final = "mlflow.source.type"
MACHINE: Final = "system/"
"""How the metrics begin that are sampled beside the command, from its first seconds on."""


class Guest:
    """What we know of the clients of one run: the run itself, and nested project runs.

    ``run`` None is a server that belongs to no run: nothing here applies then.
    """

    def __init__(self, store: TrackingStore, *, run: TrackedRun | None) -> None:
        self._store = store
        self._run_id = run.run_id if run else None
        self._waiting = {str(run.run_id)} if run else set()
        self._wish: str | None = None
        self._lock = threading.Lock()

    def chose(self, experiment_id: str) -> None:
        """Note that a client looked up an experiment, perhaps to put its run there."""
        with self._lock:
            self._wish = experiment_id

    def searched(self) -> None:
        """Note that a client searches: the experiment was looked up for reading."""
        with self._lock:
            self._wish = None

    def began(self, run_id: str) -> None:
        """Note that a client has begun its work in a run: from now on it stays where it is.

        Parameters and tags do not count: a nested ``mlflow run`` writes them for its command.
        """
        self._waiting.discard(run_id)

    def found(self, run: TrackedRun) -> TrackedRun:
        """Return a run that a client asked for, moved where the client wants to find it."""
        if not self._waiting:
            return run
        with self._lock:
            wish = self._wish
            if wish is None or str(run.run_id) not in self._waiting:
                return run
            self._wish = None
            if wish == run.experiment_id or run.status != "RUNNING" or _has_begun(run):
                return run
            return self._moved(run, wish)

    def _moved(self, run: TrackedRun, experiment_id: str) -> TrackedRun:
        try:
            return self._store.move_run(run.run_id, experiment_id)
        except StoreError as error:
            if error.status != "NOT_IMPLEMENTED":
                raise
            return run  # a server behind us moves no runs: the client says what it always says

    def adopted(self, run: TrackedRun) -> TrackedRun:
        """Give a project run that is about to be made its parent, when it names none."""
        if self._run_id is None or run.tags.get(SOURCE_TYPE) != "PROJECT":
            return run
        self._waiting.add(str(run.run_id))
        if PARENT in run.tags or run.run_id == self._run_id:
            return run
        return changed(run, tags={**run.tags, PARENT: self._run_id})


def _has_begun(run: TrackedRun) -> bool:
    """Whether a client has measured something in the run, not we."""
    return not all(key.startswith(MACHINE) for key in run.metrics)
