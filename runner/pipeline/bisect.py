"""The smallest change that flips a verdict, found by running again with parts of the changes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from runner.codec import sha256
from runner.errors import UsageError
from runner.model.value import Value, changed
from runner.model.verdict import Bisection
from runner.pipeline.recorded import lock_of, recorded_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal, TypeAlias

    from runner.model.lock import RecordedLock
    from runner.model.verdict import Difference, Verdict
    from runner.pipeline.reproduce import Reproduction
    from runner.ports import LockMixer, Services

    Answer: TypeAlias = Literal["good", "bad", "unclear"]

FOUND = "found by bisection: with nothing but this changed the run diverges"

NOT_THE_PACKAGES = "the run diverges with the recorded packages, too: they are not the cause"
THE_COMMITS = (
    "with the files of the run the changed packages make no difference: the commits are the cause "
    "(--bisect code), or both together"
)


class Smallest(Value):
    """A set of changes that is bad and of which no part that was tried is; ``trials`` counts."""

    changes: tuple[str, ...]
    trials: int


def smallest(changes: Sequence[str], answer: Callable[[frozenset[str]], Answer]) -> Smallest:
    """Reduce a bad set of changes to one that cannot lose any single member and stay bad.

    Nothing changed must be good. Source: Zeller and Hildebrandt, Simplifying and Isolating
    Failure-Inducing Input, IEEE TSE 28(2), 2002: ``ddmin``.
    """
    known: dict[frozenset[str], Answer] = {}

    def is_bad(part: Sequence[str]) -> bool:
        key = frozenset(part)
        if key not in known:
            known[key] = answer(key)
        return known[key] == "bad"

    current, parts = list(changes), 2
    known[frozenset(current)] = "bad"
    while len(current) > 1:
        chunks = _split(current, parts)
        rests = [[c for c in current if c not in chunk] for chunk in chunks]
        if (chunk := next(filter(is_bad, chunks), None)) is not None:
            current, parts = chunk, 2
        elif parts > 2 and (rest := next(filter(is_bad, rests), None)) is not None:  # noqa: PLR2004 - halves
            current, parts = rest, parts - 1
        elif parts < len(current):
            parts = min(len(current), 2 * parts)
        else:
            break
    return Smallest(changes=tuple(current), trials=len(known) - 1)


def _split(items: list[str], parts: int) -> list[list[str]]:
    size, more = divmod(len(items), parts)
    ends = [at * size + min(at, more) for at in range(parts + 1)]
    return [items[a:b] for a, b in pairwise(ends)]


def bisected(
    asked: Reproduction,
    verdict: Verdict,
    run_again: Callable[[Reproduction], Verdict],
    *,
    services: Services,
    mixer: LockMixer,
) -> Verdict:
    """Find the packages that make a reproduction diverge; each trial is a run of its own.

    The files are those of the run in every trial, whatever commit is asked for.

    Raises:
        UsageError: The two runs do not differ in packages that come from locks.
    """
    before = lock_of(asked.reference)
    after = None
    if verdict.status == "DIVERGED" and verdict.reproduction:
        after = lock_of(recorded_run(services.store, services.store.run(verdict.reproduction)))
    if before is None or after is None:
        raise UsageError(
            f"there is nothing to bisect: the verdict is {verdict.status}"
            if verdict.status != "DIVERGED"
            else "there is nothing to bisect: one of the runs has no lock",
            hint="'--refresh --bisect env' asks which of today's packages changes the result",
        )
    names = mixer.differing(before.content, after.content)
    if not names:
        raise UsageError("there is nothing to bisect: both runs had the same packages")

    def answer(part: frozenset[str]) -> Answer:
        content = mixer.mixed(before.content, after.content, part)
        again = changed(
            asked, lock=_lock(content, before), commit=None, refresh=False, as_of=None, probe=True
        )
        return {"DIVERGED": "bad", "INCOMPLETE": "unclear"}.get(run_again(again).status, "good")  # type: ignore[return-value]  # literals

    if answer(frozenset()) != "good":
        found = Bisection(kind="env", trials=1, detail=NOT_THE_PACKAGES)
        return changed(verdict, bisection=found)
    if asked.commit and answer(frozenset(names)) != "bad":
        found = Bisection(kind="env", trials=2, detail=THE_COMMITS)
        return changed(verdict, bisection=found)
    least = smallest(names, answer)
    trials = least.trials + (2 if asked.commit else 1)
    found = Bisection(kind="env", names=least.changes, trials=trials)
    return changed(
        verdict, bisection=found, differences=_first(verdict.differences, frozenset(least.changes))
    )


def _lock(content: bytes, before: RecordedLock) -> RecordedLock:
    return changed(before, content=content, digest=sha256(content))


def _first(differences: Sequence[Difference], names: frozenset[str]) -> tuple[Difference, ...]:
    """Put the packages that were found before everything else."""
    proven = [
        changed(d, weight=1.0, reason=FOUND if len(names) == 1 else f"{FOUND} and its companions")
        for d in differences
        if d.axis == "package" and d.name in names
    ]
    rest = [d for d in differences if d.axis != "package" or d.name not in names]
    return (*proven, *rest)
