"""The commit that flips a verdict, found by running commits between the run's and another one.

As with ``git bisect``, but judged by verdicts, with the packages of the run held where they were,
and in work trees of our own. It also looks backwards: from a commit before the run's it finds the
one since which the results are as in the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import UsageError
from runner.model.value import changed
from runner.model.verdict import Bisection, Difference
from runner.pipeline.verdict import SHORT, SINCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, TypeAlias

    from runner.model.verdict import Verdict
    from runner.pipeline.reproduce import Reproduction
    from runner.ports import CommitHistory

    Answer: TypeAlias = Literal["good", "bad", "unclear"]

FIRST_BAD = "found by bisection: with this commit the run diverges, and not with the one before"
FIRST_GOOD = "found by bisection: since this commit the results are those of the run"


class Span:
    """The commits after one end up to the other, of which the first has an answer to be found.

    ``answer`` runs a commit; commits with the same files are run once. ``flipped`` is the answer
    of the newer end, and of the commit that is looked for.
    """

    def __init__(
        self, history: CommitHistory, answer: Callable[[str], Answer], flipped: Answer = "bad"
    ) -> None:
        self._history = history
        self._answer = answer
        self._flipped = flipped
        self._known: dict[str, Answer] = {}

        self.trials = 0

    def know(self, commit: str, answer: Answer) -> None:
        """Take an answer as given, so that nothing is run for it."""
        self._known[self._history.tree(commit)] = answer

    def answer(self, commit: str) -> Answer:
        """Run a commit, unless one with the same files was."""
        tree = self._history.tree(commit)
        if tree not in self._known:
            self._known[tree] = self._answer(commit)
            self.trials += 1
        return self._known[tree]

    def first(self, old: str, new: str) -> tuple[str, ...]:
        """Return the first commit after ``old`` up to ``new`` that answers as ``new`` does.

        Several when those between could not be tried, the newest first.
        """
        unclear: set[str] = set()
        while (middle := self._history.middle(old, new, unclear)) is not None:
            answer = self.answer(middle)
            if answer == "unclear":
                unclear.add(middle)
            elif answer == self._flipped:
                new = middle
            else:
                old = middle
        return self._history.between(old, new)


def bisected_code(
    asked: Reproduction,
    verdict: Verdict,
    run_again: Callable[[Reproduction], Verdict],
    history: CommitHistory,
) -> Verdict:
    """Find the commit that makes a reproduction diverge; each trial is a run of its own.

    Raises:
        UsageError: Nothing diverged, or the run has no commit, or that very commit was run.
    """
    ours = asked.reference.record["source"].get("commit")
    theirs = asked.commit
    if verdict.status != "DIVERGED":
        raise UsageError(f"there is nothing to bisect: the verdict is {verdict.status}")
    if not ours or not theirs or ours == theirs:
        raise UsageError(
            "there are no commits to bisect: the run was made of "
            + (f"commit {ours[:SHORT]}, too" if ours else "no commit"),
            hint="--version names the branch, tag or commit that diverges",
        )

    def answer(commit: str) -> Answer:
        again = changed(asked, commit=commit, refresh=False, as_of=None, lock=None, probe=True)
        return ANSWERS.get(run_again(again).status, "unclear")

    backwards = history.common_ancestor(ours, theirs) == theirs
    span = Span(history, answer, flipped="good" if backwards else "bad")
    if not asked.refresh and asked.lock is None:
        span.know(theirs, "bad")
    found = _found(span, ours, theirs, history)
    if not found.names:
        return changed(verdict, bisection=found)
    reason = FIRST_GOOD if found.detail.startswith(SINCE) else FIRST_BAD
    if len(found.names) > 1:
        reason = "found by bisection: one of these, for those between could not be run"
    proven = Difference(
        axis="code",
        name="commit " + ", ".join(name[:SHORT] for name in found.names),
        reference=None,
        now=found.detail,
        weight=1.0,
        reason=reason,
    )
    return changed(verdict, bisection=found, differences=(proven, *verdict.differences))


ANSWERS: dict[str, Answer] = {"DIVERGED": "bad", "IDENTICAL": "good", "EQUIVALENT": "good"}


def _found(span: Span, ours: str, theirs: str, history: CommitHistory) -> Bisection:
    """Prove both ends, and search between them."""
    base = history.common_ancestor(ours, theirs)
    if base is None:
        return Bisection(kind="code", trials=0, detail="the two commits share no history")
    reason = _unproven(span, ours, theirs)
    if not reason and base not in {ours, theirs} and span.answer(base) != "good":
        reason = (
            f"it diverges already at {base[:SHORT]}, where the two histories part: the run's own "
            "branch has changed the results since"
        )
    if reason:
        return Bisection(kind="code", trials=span.trials, detail=reason)
    if base == theirs:
        return _result(span.first(theirs, ours), span, history, before=SINCE)
    return _result(span.first(base, theirs), span, history)


def _unproven(span: Span, ours: str, theirs: str) -> str:
    """Say why the commits cannot be the cause; nothing when they are."""
    if span.answer(ours) != "good":
        return (
            f"the run diverges with its own commit {ours[:SHORT]}, too: later commits are not the "
            "cause (changes that were in no commit may be)"
        )
    if span.answer(theirs) != "bad":
        return (
            f"commit {theirs[:SHORT]} does not make the run diverge with the recorded packages: "
            "the packages are the cause (--bisect env)"
        )
    return ""


def _result(
    names: tuple[str, ...], span: Span, history: CommitHistory, before: str = ""
) -> Bisection:
    subjects = "; ".join(history.subject(name) for name in names)
    return Bisection(kind="code", names=names, trials=span.trials, detail=before + subjects)
