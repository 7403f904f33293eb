"""Views that are drawn again and again, until Ctrl-C."""

from __future__ import annotations

import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn

    from runner.cli.output import Console


def watch(drawn: Callable[[], str], console: Console, *, every: float) -> int:
    """Draw on the terminal's second screen; on Ctrl-C leave the last picture on the first.

    The terminal is given back whatever ends us, SIGTERM and errors of the store included.
    """
    picture = drawn()  # what cannot be drawn at all is said before the terminal changes
    before = signal.signal(signal.SIGTERM, _terminated)
    console.borrow(screen=True)
    try:
        while True:
            console.redraw(picture)
            time.sleep(every)
            picture = drawn()
    except KeyboardInterrupt:
        return 0
    finally:
        console.borrow(screen=False)
        console.say(picture)
        signal.signal(signal.SIGTERM, before)


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
