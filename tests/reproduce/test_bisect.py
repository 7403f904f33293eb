"""The smallest set of changes that is bad."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from runner.pipeline.bisect import smallest

if TYPE_CHECKING:
    from runner.pipeline.bisect import Answer

NAMES = [f"p{number}" for number in range(24)]


@given(st.integers(1, 24), st.data())
def test_the_culprits_are_found_and_nothing_else(count: int, data: st.DataObject) -> None:
    names = NAMES[:count]
    culprits = data.draw(st.sets(st.sampled_from(names), min_size=1, max_size=3))

    def answer(part: frozenset[str]) -> Answer:
        return "bad" if culprits <= part else "good"

    assert set(smallest(names, answer).changes) == culprits


@given(st.integers(2, 24), st.data())
def test_one_culprit_costs_few_runs(count: int, data: st.DataObject) -> None:
    names = NAMES[:count]
    culprit = data.draw(st.sampled_from(names))
    asked: list[frozenset[str]] = []

    def answer(part: frozenset[str]) -> Answer:
        asked.append(part)
        return "bad" if culprit in part else "good"

    found = smallest(names, answer)
    assert found.changes == (culprit,)
    assert found.trials == len(asked) == len(set(asked))
    assert len(asked) <= 2 * count.bit_length()


@given(st.data())
def test_what_is_unclear_is_never_taken_for_bad(data: st.DataObject) -> None:
    names = NAMES[:8]
    needed = data.draw(st.sets(st.sampled_from(names), min_size=2, max_size=4))
    culprit = data.draw(st.sampled_from(sorted(needed)))

    def answer(part: frozenset[str]) -> Answer:
        if part & needed and not needed <= part:
            return "unclear"  # half of what belongs together does not even start
        return "bad" if culprit in part else "good"

    found = set(smallest(names, answer).changes)
    assert culprit in found
    assert answer(frozenset(found)) == "bad"
