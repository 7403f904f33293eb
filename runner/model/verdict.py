"""Whether a run was reproduced: what was compared, how it was judged, what may be the cause."""

from __future__ import annotations

from runner.model.value import EMPTY, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal, TypeAlias

    from runner.model.value import RunId

    Status: TypeAlias = Literal["IDENTICAL", "EQUIVALENT", "DIVERGED", "INCOMPLETE"]
    Judgement: TypeAlias = Literal[
        "identical", "equivalent", "diverged", "missing", "extra", "unknown", "varied", "ignored"
    ]
    Kind: TypeAlias = Literal["outcome", "metric", "parameter", "artifact", "output"]

BAD = frozenset({"diverged", "missing", "extra"})
"""The judgements that make a verdict DIVERGED."""


class Tolerance(Value):
    """How far a number may be from its reference: ``absolute + relative * |reference|``.

    ``history`` says that every logged value counts, not only the last; ``ignore`` that nothing is
    judged.
    """

    absolute: float = 0.0
    relative: float = 0.0
    history: bool = True
    ignore: bool = False

    def __str__(self) -> str:
        if self.ignore:
            return "ignore"
        words = [f"{self.absolute:g}"] if self.absolute else []
        words += [f"{self.relative * 100:g}%"] if self.relative else []
        words += [] if self.history else ["last"]
        return ",".join(words) or "0"


class Tolerances(Value):
    """Tolerances by glob pattern; the first pattern that matches counts, the last ones are ours."""

    metrics: tuple[tuple[str, Tolerance], ...] = ()
    artifacts: tuple[tuple[str, Tolerance], ...] = ()


class Comparison(Value):
    """One thing that both runs have, or should have.

    ``reference`` and ``now`` are texts for people (numbers with all their digits); ``difference``
    is the largest absolute difference of numbers, and ``detail`` one sentence.
    """

    kind: Kind
    name: str
    judgement: Judgement
    reference: str | None = None
    now: str | None = None
    difference: float | None = None
    tolerance: str | None = None
    detail: str = ""


class Difference(Value):
    """One thing in which two runs differ before any result: a possible cause.

    ``axis`` is ``code``, ``image``, ``package``, ``interpreter``, ``parameter``, ``input``,
    ``variable``, ``hardware``, ``system``, ``manager`` or ``seed``; ``weight`` ranks it, the
    likeliest highest, and ``reason`` says why it is ranked so.
    """

    axis: str
    name: str
    reference: str | None
    now: str | None
    weight: float = 0.0
    reason: str = ""


class Bisection(Value):
    """What running again with parts of the changes has shown.

    ``names`` is the smallest set of packages that makes the run diverge, or the first commit (more
    than one when some could not be tried); it is empty when ``detail`` says why there is none.
    ``detail`` of a commit is its subject. ``trials`` is the number of runs that it took.
    """

    kind: Literal["env", "code"]
    names: tuple[str, ...] = ()
    trials: int
    detail: str = ""


class Verdict(Value):
    """What became of the attempt to reproduce a run.

    ``reproduction`` is the new run, ``None`` when there was none. ``reasons`` say in one sentence
    each why the verdict is what it is; ``varied`` are parameters that were given other values on
    purpose; ``differences`` are ranked, the likeliest cause first.
    """

    status: Status
    reference: RunId
    reference_store: str
    reproduction: RunId | None = None
    store: str | None = None
    reasons: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    differences: tuple[Difference, ...] = ()
    varied: Mapping[str, str] = EMPTY
    warnings: tuple[str, ...] = ()
    bisection: Bisection | None = None

    @property
    def is_variation(self) -> bool:
        """Whether parameters were changed on purpose, so that other results are to be expected."""
        return bool(self.varied)
