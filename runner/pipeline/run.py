"""The whole line."""

from __future__ import annotations

import signal

from runner.pipeline.draft import draft
from runner.pipeline.follow import follow
from runner.pipeline.launch import launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from runner.model.plan import RunRequest
    from runner.pipeline.follow import Ended
    from runner.ports import Services


class Interrupted(SystemExit):
    """A signal asked us to stop while there was no command yet to hand it on to."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = number


class Interruption:
    """What signals that ask us to stop do on the way to the command.

    They end the line, until a command is about to start; from then on they are held, for the
    command to be told.
    """

    def __init__(self) -> None:
        self.held: list[int] | None = None

    def hold(self) -> None:
        """Keep what comes from now on."""
        self.held = []

    def __iter__(self) -> Iterator[int]:
        """Yield what is held."""
        return iter(self.held or ())

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.held is None:
            raise Interrupted(number)
        self.held.append(number)


def run(request: RunRequest, services: Services) -> Ended:
    """Draft, launch, follow; a signal on the way closes the record before we go."""
    interruption = heed_signals()
    flight = launch(draft(request, services), services, submitting=interruption.hold)
    return follow(flight, services, signals=interruption)


def heed_signals() -> Interruption:
    """Let the signals that end a program close the record before we go."""
    interruption = Interruption()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, interruption)
    return interruption
