"""Filters and orders, evaluated on values."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, TypeVar

from runner.errors import FilterError
from runner.model.value import Value
from runner.query.filters import identifier, parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from runner.query.filters import Comparison
    from runner.query.kinds import Kind

Item = TypeVar("Item")


class Ordering(Value):
    """One clause of an order: whose value, and whether the largest comes first."""

    source: str
    key: str
    descending: bool


def searched(
    items: Iterable[Item], kind: Kind, *, filter_text: str, order: Sequence[str]
) -> Sequence[Item]:
    """Return the items that a filter lets through, in the order asked for (else as given).

    Raises:
        FilterError: The filter or the order cannot be understood; it says which part.
    """
    keys = orderings(order, kind)  # first, for it may be refused
    found = list(filter(admits(filter_text, kind), items))
    for key in reversed(keys):
        found = _sorted(found, kind, key)
    return found


def admits(filter_text: str, kind: Kind) -> Callable[[object], bool]:
    """Return what tells whether a thing passes a filter.

    Raises:
        FilterError: The filter cannot be understood; it says which part.
    """
    comparisons = parsed(filter_text, kind)
    return lambda item: all(_holds(c, kind, item) for c in comparisons)


def _holds(comparison: Comparison, kind: Kind, item: object) -> bool:
    actual = kind.read(comparison.source, comparison.key, item)
    if isinstance(actual, tuple):
        return any(_agrees(comparison, one) for one in actual or (None,))
    return _agrees(comparison, actual)


def _agrees(comparison: Comparison, actual: str | float | None) -> bool:
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


def orderings(order: Iterable[str], kind: Kind) -> tuple[Ordering, ...]:
    """Take the clauses of an order apart.

    Raises:
        FilterError: One cannot be understood.
    """
    return tuple(_ordering(clause, kind) for clause in order)


def _ordering(clause: str, kind: Kind) -> Ordering:
    words = clause.strip().split()
    descending = bool(words) and words[-1].upper() == "DESC"
    if words and words[-1].upper() in {"ASC", "DESC"}:
        words.pop()
    if not words:
        raise FilterError(f"Invalid order_by clause '{clause}'.")
    source, key = identifier(" ".join(words), kind)
    return Ordering(source=source, key=key, descending=descending)


def _sorted(items: list[Item], kind: Kind, ordering: Ordering) -> list[Item]:
    """Sort stably; things without a value come last in both directions."""
    source, key = ordering.source, ordering.key
    present: list[tuple[str | float, Item]] = []
    absent: list[Item] = []
    for item in items:
        value = kind.read(source, key, item)
        if isinstance(value, tuple):
            raise FilterError(f"Invalid order_by clause '{source}.{key}': datasets have no order.")
        if value is None or (isinstance(value, float) and math.isnan(value)):
            absent.append(item)
        else:
            present.append((value, item))
    present.sort(key=lambda pair: pair[0], reverse=ordering.descending)
    return [item for _, item in present] + absent
