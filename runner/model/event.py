"""What happens along the line, for whoever watches."""

from __future__ import annotations

from runner.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from runner.model.run import Outcome
    from runner.model.spec import Problem
    from runner.model.value import RunId


class Step(Value):
    """Something slow begins: fetching, locking, building. ``verb`` is a present participle."""

    verb: str
    subject: str


class Progress(Value):
    """A tool that a step started has said something."""

    line: str


class StepDone(Value):
    """The step of that verb is over, after so many seconds."""

    verb: str
    subject: str
    seconds: float


class Warned(Value):
    """Something is odd, and the run goes on."""

    problem: Problem


class Noted(Value):
    """Runproj has decided something that whoever watches should know; nothing is odd."""

    message: str


class Opened(Value):
    """The run has a record from now on."""

    run_id: RunId
    run_name: str
    experiment_id: str


class Started(Value):
    """The command is running; ``script`` has its secrets masked."""

    run_id: RunId
    script: str


class Ended(Value):
    """The run has ended and its record is closed."""

    run_id: RunId
    outcome: Outcome


if TYPE_CHECKING:
    Event: TypeAlias = Step | Progress | StepDone | Warned | Noted | Opened | Started | Ended
