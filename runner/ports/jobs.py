"""Running commands, and watching them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

    from runner.model.event import Event
    from runner.model.plan import Draft
    from runner.model.run import Job, Outcome


class RunHandle(Protocol):
    """A live job."""

    @property
    def locator(self) -> str:
        """What to give to ``Backend.attach`` to get this handle again."""

    def poll(self) -> Outcome | None:
        """Return how the job ended, or None while it has not; never waits."""

    def wait(self, timeout: timedelta | None = None) -> Outcome | None:
        """Wait for the end, at most so long; None when the time is over first."""

    def cancel(self, signal: int = 15) -> None:
        """Ask the job to end, by a signal where it knows signals; repeating it insists."""

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the job has ended: time to ``poll``."""

    def release(self) -> None:
        """Let go of a job whose record is closed; until then somebody watches over both."""


class Backend(Protocol):
    """One place where jobs run."""

    def refusal(self, draft: Draft) -> str | None:
        """Say why this backend cannot run the draft, or None if it can."""

    def submit(self, job: Job) -> RunHandle:
        """Start the job and return at once."""

    def attach(self, locator: str) -> RunHandle:
        """Find a job again that another process submitted."""

    def clear(self, *, dry_run: bool = False) -> Iterator[str]:
        """Remove what is left of jobs that nobody can attach to; return a word about each."""


class Endpoint(Protocol):
    """MLflow's REST API on a loopback socket, for the command of one run."""

    @property
    def variables(self) -> Mapping[str, str]:
        """What the command needs in its environment to find the endpoint."""

    def fileno(self) -> int:
        """The listening socket; readable when the first client knocks."""

    def serve(self) -> None:
        """Start answering, in threads; called once, when the socket became readable."""

    def close(self, *, within: timedelta) -> bool:
        """Finish requests under way and waiting, then stop; say whether anybody was answered."""


class Reporter(Protocol):
    """Whoever watches."""

    def report(self, event: Event) -> None:
        """Take note of what happened."""
