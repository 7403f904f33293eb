"""Collecting everything that is wrong with a document, instead of stopping at the first thing."""

from __future__ import annotations

import re

from runner.model.spec import Problem
from runner.redaction import without_credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from runner.model.spec import Place


class Findings:
    """The problems found so far, each once, in the order of their places."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], Problem] = {}

    def add(self, problem: Problem) -> None:
        """Take note of a problem; the same one at the same place counts once."""
        key = (problem.rule, problem.message, str(problem.place))
        self._found.setdefault(key, problem)

    def error(
        self,
        rule: str,
        message: str,
        place: Place | None,
        *,
        hint: str | None = None,
        entry_point: str | None = None,
    ) -> None:
        """Take note of something that cannot be used as it is."""
        self._note("error", rule, message, (place, hint, entry_point))

    def warn(
        self,
        rule: str,
        message: str,
        place: Place | None,
        *,
        hint: str | None = None,
        entry_point: str | None = None,
    ) -> None:
        """Take note of something that works and is probably not meant."""
        self._note("warning", rule, message, (place, hint, entry_point))

    def note(self, rule: str, message: str, place: Place | None) -> None:
        """Take note of something that is fine, and does not do what some may think."""
        self._note("note", rule, message, (place, None, None))

    def _note(
        self,
        severity: Literal["error", "warning", "note"],
        rule: str,
        message: str,
        about: tuple[Place | None, str | None, str | None],
    ) -> None:
        place, hint, entry_point = about
        problem = Problem(
            severity=severity,
            rule=rule,
            message=showable(message),
            place=place,
            hint=showable(hint) if hint else None,
            entry_point=entry_point,
        )
        self.add(problem)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them, file by file and line by line; files in the order they were read."""
        files = list(dict.fromkeys(p.place.file if p.place else "" for p in self._found.values()))
        return tuple(sorted(self._found.values(), key=lambda p: _position(p, files)))

    @property
    def fatal(self) -> bool:
        """Whether an error concerns the whole project."""
        return any(p.severity == "error" and not p.entry_point for p in self._found.values())


def _position(problem: Problem, files: list[str]) -> tuple[int, int, int]:
    place = problem.place
    if place is None:
        return (files.index(""), 0, 0)
    return (files.index(place.file), place.line, place.column)


def public(text: str) -> str:
    """Take the credentials out of all URLs in a text."""
    if "://" not in text:
        return text
    return re.sub(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]+", lambda m: without_credentials(m[0]), text)


def showable(text: str) -> str:
    """Make a text fit for one line of a terminal: no credentials, no control characters."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in public(text)
    )


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that a misspelt one was probably meant to be."""
    from difflib import get_close_matches

    by_folded = {name.lower().replace("-", "_"): name for name in known}
    near = get_close_matches(word.lower().replace("-", "_"), by_folded, n=1, cutoff=0.7)
    return by_folded[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return a hint for a misspelt word, None when nothing is near."""
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else None
