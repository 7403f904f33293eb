"""Flight -> its end: serve the endpoint, wait, close the record."""

from __future__ import annotations

import select
import signal

from runner.codec import document
from runner.errors import BackendError, StoreError
from runner.model.event import Ended as RunEnded
from runner.model.event import Warned
from runner.model.value import Value
from runner.pipeline.closing import close
from runner.pipeline.draft import release
from runner.pipeline.launch import unkept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from runner.codec import JSON
    from runner.model.run import Outcome
    from runner.model.tracking import TrackedRun
    from runner.pipeline.launch import Flight
    from runner.pipeline.system_metrics import Samples
    from runner.ports import Endpoint, RunHandle, Services

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHORTEST_PAUSE = 1.0
"""Seconds between two deliveries of samples at least."""
FLUSH_SECONDS = 30
"""How long requests that are under way when the command ends may take to finish."""


class Ended(Value):
    """A run that is over."""

    run: TrackedRun
    outcome: Outcome
    tracking_uri: str

    @property
    def summary(self) -> dict[str, JSON]:
        """What a program wants to know of a run that has ended."""
        return {
            "run_id": self.run.run_id,
            "run_name": self.run.name,
            "experiment_id": self.run.experiment_id,
            "tracking_uri": self.tracking_uri,
            "artifact_uri": self.run.artifact_uri,
            "outcome": document(self.outcome),
        }


def follow(flight: Flight, services: Services, *, signals: Iterable[int] = ()) -> Ended:
    """Wait for the command's end and close the record.

    ``signals`` came while the command was starting, and are handed on to it first; an iterable
    that may still grow until our own handlers are in place.
    """
    handle, endpoint = flight.handle, flight.endpoint
    with Forwarding(handle.cancel):
        for number in signals:
            handle.cancel(number)
        outcome = awaited(handle, endpoint, Live(flight, services))
        visited = False
        if endpoint:
            from datetime import timedelta

            visited = endpoint.close(within=timedelta(seconds=FLUSH_SECONDS))
        settle(flight, outcome, services, visited=visited)
    services.reporter.report(RunEnded(run_id=flight.run.run_id, outcome=outcome))
    return Ended(run=flight.run, outcome=outcome, tracking_uri=services.store.uri)


class Live:
    """Brings what the supervisor measures into the store while the command runs."""

    def __init__(self, flight: Flight, services: Services) -> None:
        self._flight, self._services = flight, services
        self._samples: Samples | None = None
        seconds = services.sampling(flight.opening.draft.request.system_metrics)
        self.every = max(seconds, SHORTEST_PAUSE) if seconds else None
        """Seconds from one delivery to the next; None when there is nothing (more) to bring."""

    def deliver(self) -> None:
        """Log the samples; a store that does not take them now gets them at the end."""
        if self._samples is None:
            from runner.pipeline.system_metrics import Samples

            opening = self._flight.opening
            folder = opening.job.path
            self._samples = Samples(self._services.store, opening.run.run_id, folder, fresh=True)
        try:
            self._samples.deliver()
        except StoreError:
            self.every = None


def awaited(handle: RunHandle, endpoint: Endpoint | None, live: Live) -> Outcome:
    """Wait until the job has ended; let the endpoint answer from the first knock on."""
    poller = select.poll()
    poller.register(handle.fileno(), select.POLLIN)
    knocking = endpoint.fileno() if endpoint else -1
    if endpoint:
        poller.register(knocking, select.POLLIN)
    while True:
        ready = poller.poll(live.every and live.every * 1000)
        if not ready:
            live.deliver()
        for descriptor, _ in ready:
            if descriptor == knocking and endpoint:
                poller.unregister(knocking)
                endpoint.serve()
            elif (outcome := handle.poll()) is not None:
                return outcome
            else:
                raise BackendError("the job has ended, and its backend does not know how")


def settle(flight: Flight, outcome: Outcome, services: Services, *, visited: bool) -> None:
    """Close the record; a store that does not take it now gets it later, from the job folder.

    A command that has ``visited`` the endpoint may have moved its run to another experiment.
    """
    opening = flight.opening
    known = None if visited else opening.run
    try:
        close(services.store, flight.run.run_id, outcome, job=opening.job, known=known)
    except StoreError as trouble:
        services.reporter.report(Warned(problem=unkept(trouble)))
    finally:
        flight.handle.release()
        release(opening.draft.tree)
    uri = services.store.uri
    if uri.startswith(("http:", "https:")) and services.spool.waits_for(uri):
        from runner.pipeline.delivery import deliver_by_the_way

        deliver_by_the_way(services)


class Forwarding:
    """Hands the signals that end a program on to the command, instead of ending us.

    Only the main thread can do that; in another one the program's own handlers stay.
    """

    def __init__(self, cancel: Callable[[int], None]) -> None:
        self._cancel = cancel
        self._before: dict[int, object] = {}

    def __enter__(self) -> None:
        try:
            for number in ENDING_SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup: it stays ignored
                    self._before[number] = signal.signal(number, self._forward)
        except ValueError:  # another thread's signals are not ours to take
            return

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        self._cancel(number)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() returned
