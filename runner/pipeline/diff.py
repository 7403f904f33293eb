"""Two recorded runs -> what differs between them: what they were made of, and what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import RunprojError
from runner.model.value import Value
from runner.pipeline.code_diff import code_diff
from runner.pipeline.comparison import Side, compared
from runner.pipeline.differences import differences
from runner.pipeline.draft import release
from runner.pipeline.recorded import source_of

if TYPE_CHECKING:
    from runner.model.verdict import Comparison, Difference, Tolerances
    from runner.pipeline.recorded import RecordedRun
    from runner.ports import Services


class RunDiff(Value):
    """What differs: ``differences`` before any result, ``comparisons`` of results.

    ``code`` is a unified diff; ``code_trouble`` says why there is none although the code differs.
    """

    differences: tuple[Difference, ...]
    comparisons: tuple[Comparison, ...]
    code: str = ""
    code_trouble: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and all(
            c.judgement in {"identical", "ignored"} for c in self.comparisons
        )


def diff(
    before: RecordedRun,
    after: RecordedRun,
    tolerances: Tolerances,
    services: Services,
    *,
    code: bool = True,
) -> RunDiff:
    """Compare two runs; with ``code`` also line by line, for which both trees are restored."""
    sides = [Side(r.store, r.run, r.record.get("outcome") or {}) for r in (before, after)]
    text, trouble = "", ""
    if code and before.record["source"]["tree"] != after.record["source"]["tree"]:
        try:
            text = _code(before, after, services)
        except RunprojError as error:
            trouble = error.message
    return RunDiff(
        differences=differences(before, after),
        comparisons=compared(sides[0], sides[1], tolerances),
        code=text,
        code_trouble=trouble,
    )


def _code(before: RecordedRun, after: RecordedRun, services: Services) -> str:
    one = services.restorer.restore(source_of(before))
    try:
        other = services.restorer.restore(source_of(after))
        try:
            return code_diff(one.root, other.root)
        finally:
            release(other)
    finally:
        release(one)
