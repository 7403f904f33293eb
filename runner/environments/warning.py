"""Telling the caller of something that works and is probably not meant."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.ports import Reporter


def warn(reporter: Reporter | None, rule: str, message: str, *, hint: str | None = None) -> None:
    """Report a warning, if there is anybody to report to; ``rule`` is its stable name."""
    if reporter is None:
        return
    from runner.model.event import Warned
    from runner.model.spec import Problem

    problem = Problem(severity="warning", rule=rule, message=message, hint=hint)
    reporter.report(Warned(problem=problem))
