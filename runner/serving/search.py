"""Filters and orders, evaluated on values."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, TypeVar

from runner.serving.arguments import DIGITS
from runner.serving.filters import identifier, parsed
from runner.serving.messages import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runner.serving.arguments import Arguments
    from runner.serving.filters import Comparison
    from runner.serving.kinds import Kind

Item = TypeVar("Item")
MAX_RESULTS = 50_000


def searched(
    items: Iterable[Item], kind: Kind, *, filter_text: str, order: Sequence[str]
) -> Sequence[Item]:
    """Return the items that a filter lets through, in the order asked for (else as given).

    Raises:
        Refusal: The filter or the order cannot be understood; it says which part.
    """
    comparisons = parsed(filter_text, kind)
    found = [item for item in items if all(_holds(c, kind, item) for c in comparisons)]
    for clause in reversed(order):
        found = _sorted(found, clause, kind)
    return found


def page_of(
    items: Sequence[Item], given: Arguments, default: int = 1000, *, most: int = MAX_RESULTS
) -> tuple[Sequence[Item], str | None]:
    """Return the page that a call asks for, and the token of the next one."""
    size = given.integer("max_results", default=default)
    if not 1 <= size <= max(most, default):
        raise Refusal(
            f"Invalid value {size} for parameter 'max_results' supplied: a number from 1 to "
            f"{most} was expected."
        )
    token = given.text("page_token", default="") or "0"
    if not (token.isascii() and token.isdigit() and len(token) <= DIGITS):
        raise Refusal("Invalid page token.")
    start = int(token)
    page = items[start : start + size]
    end = start + len(page)
    return page, str(end) if page and end < len(items) else None


def _holds(comparison: Comparison, kind: Kind, item: object) -> bool:
    actual = kind.read(comparison.source, comparison.key, item)
    operator, wanted = comparison.operator, comparison.value
    if operator in {"IS NULL", "IS NOT NULL"}:
        return (actual is None) == (operator == "IS NULL")
    if actual is None:
        return False
    if isinstance(wanted, tuple):
        return (str(actual) in wanted) == (operator == "IN")
    if operator in {"LIKE", "ILIKE"}:
        flags = re.DOTALL | (re.IGNORECASE if operator == "ILIKE" else 0)
        return re.fullmatch(_like(str(wanted)), str(actual), flags) is not None
    if isinstance(actual, str) != isinstance(wanted, str):
        return operator == "!="
    return _compares(operator, actual, wanted)


def _compares(operator: str, actual: str | float, wanted: str | float | None) -> bool:
    holds: dict[str, Callable[[], bool]] = {
        "=": lambda: actual == wanted,
        "!=": lambda: actual != wanted,
        "<": lambda: actual < wanted,  # type: ignore[operator]  # of one type, as checked before
        "<=": lambda: actual <= wanted,  # type: ignore[operator]
        ">": lambda: actual > wanted,  # type: ignore[operator]
        ">=": lambda: actual >= wanted,  # type: ignore[operator]
    }
    return holds[operator]()


def _like(pattern: str) -> str:
    wild = {"%": ".*", "_": "."}
    return "".join(wild.get(character, re.escape(character)) for character in pattern)


def _sorted(items: list[Item], clause: str, kind: Kind) -> list[Item]:
    """Sort by one clause, stably; things without a value come last in both directions."""
    words = clause.strip().split()
    descending = bool(words) and words[-1].upper() == "DESC"
    if words and words[-1].upper() in {"ASC", "DESC"}:
        words.pop()
    if not words:
        raise Refusal(f"Invalid order_by clause '{clause}'.")
    source, key = identifier(" ".join(words), kind)
    present: list[tuple[str | float, Item]] = []
    absent: list[Item] = []
    for item in items:
        value = kind.read(source, key, item)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            absent.append(item)
        else:
            present.append((value, item))
    present.sort(key=lambda pair: pair[0], reverse=descending)
    return [item for _, item in present] + absent
