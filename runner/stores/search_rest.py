"""Searches over runs, put to a tracking server in MLflow's own words.

Only what servers of MLflow 2 and 3 understand is asked of them, and of which they leave nothing
out that ``runner.query`` lets through; else the caller reads all runs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from runner.codec import JSON
    from runner.model.tracking import RunSearch
    from runner.query.filters import Comparison
    from runner.query.search import Ordering

MOST: Final = 1000
"""Runs that are asked for at once; servers take more, but answer late."""
COMPARED: Final = frozenset({"=", "!=", "<", "<=", ">", ">="})
OPERATORS: Final = {
    "metric": COMPARED,
    "param": frozenset({"=", "!=", "LIKE", "ILIKE"}),
    "tag": frozenset({"=", "!=", "LIKE", "ILIKE"}),
}
TEXTS: Final = frozenset({"status", "artifact_uri"})
NUMBERS: Final = frozenset({"start_time", "end_time"})
SPECIAL: Final = frozenset("'\"`\\\0")
"""Characters in values that servers quote in ways of their own."""


def question(search: RunSearch, view: str) -> dict[str, JSON] | None:
    """Return the request for a page of runs; None when servers may understand it otherwise."""
    if search.limit > MOST or not search.experiment_ids:
        return None
    conditions = [_condition(comparison) for comparison in search.comparisons]
    orders = [_order(ordering) for ordering in search.order]
    if None in conditions or None in orders:
        return None
    return {
        "experiment_ids": [*search.experiment_ids],
        "run_view_type": view,
        "max_results": search.limit,
        "filter": " AND ".join(map(str, conditions)),
        "order_by": [*orders, "attributes.start_time DESC"],
    }


def _condition(comparison: Comparison) -> str | None:
    source, key, operator = comparison.source, comparison.key, comparison.operator
    value = comparison.value
    if isinstance(value, float):
        is_asked = source == "metric" or (source == "attribute" and key in NUMBERS)
        number = int(value) if source == "attribute" and value.is_integer() else value
        known = is_asked and operator in COMPARED
        return f"{_name(source, key)} {operator} {number!r}" if known else None
    if not isinstance(value, str) or SPECIAL & {*value, *key}:
        return None
    if source == "attribute":
        known = key in TEXTS and operator in {"=", "!="}
    else:
        known = source != "metric" and operator in OPERATORS.get(source, ())
    return f"{_name(source, key)} {operator} '{value}'" if known else None


def _order(ordering: Ordering) -> str | None:
    source, key = ordering.source, ordering.key
    known = key in NUMBERS if source == "attribute" else source in OPERATORS
    if not known or SPECIAL & {*key}:
        return None
    return f"{_name(source, key)} {'DESC' if ordering.descending else 'ASC'}"


def _name(source: str, key: str) -> str:
    return f"attributes.{key}" if source == "attribute" else f"{source}s.`{key}`"
