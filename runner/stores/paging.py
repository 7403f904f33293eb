"""Page tokens: start time and id of the last run shown, so that new runs shift nothing."""

from __future__ import annotations

from runner.stores.rules import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model.tracking import TrackedRun


def after(run: TrackedRun) -> str:
    """Return the token of the page that follows a run."""
    return f"{run.started or 0}:{run.run_id}"


def start(token: str) -> tuple[int, str]:
    """Return start time and id of the run that a page follows.

    Raises:
        StoreError: ``INVALID_PARAMETER_VALUE``: the token is none of ours.
    """
    started, colon, run_id = token.partition(":")
    if not colon or not run_id or not started.removeprefix("-").isdecimal():
        raise refused(f"{token!r} is no page token")
    return int(started), run_id
