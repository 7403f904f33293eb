"""Find runs as people name them: by the beginning of their id."""

from __future__ import annotations

from runner.errors import StoreError
from runner.model.value import RunId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model.tracking import TrackedRun
    from runner.ports import TrackingStore

SHOWN = 5
"""How many candidates an ambiguous beginning is answered with."""


def find_run(store: TrackingStore, beginning: str) -> TrackedRun:
    """Return the one run, deleted or not, whose id begins so; a whole id always finds its run.

    Raises:
        StoreError: No id begins so, or several do.
    """
    wanted = beginning.strip()
    hint = "'runproj runs list' shows the runs"
    if not wanted.replace("-", "").replace("_", "").isalnum():
        raise StoreError(f"{beginning!r} is no run id", status="INVALID_PARAMETER_VALUE", hint=hint)
    everywhere = [experiment.experiment_id for experiment in store.experiments()]
    found = store.runs(everywhere, limit=SHOWN + 1, prefix=wanted, lifecycle="all").runs
    if len(found) == 1:
        return found[0]
    if len(found) > SHOWN or any(run.run_id == wanted for run in found):
        try:
            return store.run(RunId(wanted))
        except StoreError as error:
            if error.status != "RESOURCE_DOES_NOT_EXIST":
                raise
    if not found:
        raise StoreError(
            f"there is no run {wanted!r} in {store.uri}",
            status="RESOURCE_DOES_NOT_EXIST",
            hint=hint,
        )
    names = ", ".join(f"{run.run_id} ({run.name})" for run in found[:SHOWN])
    more = " and others" if len(found) > SHOWN else ""
    raise StoreError(
        f"several runs begin with {wanted!r}: {names}{more}",
        status="INVALID_PARAMETER_VALUE",
        hint="give more of the id",
    )
