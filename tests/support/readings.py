"""What every reading of a mistaken project must be like."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.documents.remembered import Reading

FOREIGN_WORDS = ("is not of type", "Additional properties", "valid under", "while parsing")
"""Words of the libraries that find mistakes; ours are for people."""


def said(reading: Reading) -> tuple[str, ...]:
    """Return place, severity and rule of each problem, in the order in which they are told."""
    return tuple(f"{p.place} {p.severity} {p.rule}" for p in reading.problems)


def check_places(reading: Reading, expected: tuple[str, ...]) -> None:
    """Check that these are the problems; only an error of the whole file costs the spec."""
    assert said(reading) == expected
    concerns_all = [p for p in reading.problems if p.severity == "error" and not p.entry_point]
    assert (reading.spec is None) == bool(concerns_all)


def check_words(reading: Reading) -> None:
    """Check that each message is one sentence, in our own words, fit for a terminal."""
    for problem in reading.problems:
        line = str(problem)
        assert line.isprintable()
        assert not problem.message.endswith(".")
        for foreign in FOREIGN_WORDS:
            assert foreign not in line
