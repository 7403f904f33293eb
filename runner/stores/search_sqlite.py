"""Filters over runs as SQL: what ``runner.query.search`` says of values, said to SQLite.

The newest runs that pass are found without reading all that do: runs are put in order first and
tested one after the other until the page is full. Another order needs all that pass.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from runner.query.filters import Comparison
    from runner.query.search import Ordering

NEWEST: Final = "r.start_time DESC, r.run_uuid DESC"
"""As an index has it; what never started comes last."""
TEXTS: Final = {
    "run_id": "r.run_uuid",
    "run_name": "coalesce(r.name, '')",
    "status": "r.status",
    "user_id": "coalesce(r.user_id, '')",
    "artifact_uri": "coalesce(r.artifact_uri, '')",
    "experiment_id": "CAST(r.experiment_id AS TEXT)",
}
NUMBERS: Final = {"start_time": "r.start_time", "created": "r.start_time", "end_time": "r.end_time"}
TABLES: Final = {"param": "params", "tag": "tags", "metric": "latest_metrics"}
KNOWN: Final = frozenset({"attribute", *TABLES})
LONGEST_PATTERN: Final = 10_000
_GLOB: Final = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


class Question:
    """A statement that finds the ids of runs, with the values for its marks."""

    def __init__(self, experiment_ids: Iterable[str], lifecycle: str) -> None:
        ids = [int(i) for i in experiment_ids if i.isascii() and i.isdecimal()]
        self._own = ["r.experiment_id IN (SELECT value FROM json_each(?))"]
        self._own_values: list[object] = [json.dumps(ids)]
        if len(ids) == 1:  # an index knows their order
            self._own, self._own_values = ["r.experiment_id = ?"], [*ids]
        self._others: list[str] = []
        self._other_values: list[object] = []
        if lifecycle != "all":
            self._own.append("r.lifecycle_stage = ?")
            self._own_values.append(lifecycle)

    def where(self, comparison: Comparison) -> None:
        """Add a condition."""
        if comparison.source == "attribute":
            column = TEXTS.get(comparison.key) or NUMBERS[comparison.key]
            text, values = _condition(column, comparison, is_text=comparison.key in TEXTS)
            self._own.append(text)
            self._own_values += values
            return
        operator = comparison.operator
        inner, values = "1", []
        if operator not in {"IS NULL", "IS NOT NULL"}:
            inner, values = _of_row(comparison)
        negation = "NOT " if operator == "IS NULL" else ""
        self._others.append(
            f"{negation}EXISTS (SELECT 1 FROM {TABLES[comparison.source]} o"  # noqa: S608 - our own names
            f" WHERE o.key = ? AND o.run_uuid = r.run_uuid AND {inner})"
        )
        self._other_values += [comparison.key, *values]

    def newest(self) -> tuple[str, list[object]]:
        """Return what finds the newest first; the caller adds ``LIMIT ? OFFSET ?``."""
        # The inner LIMIT keeps SQLite from testing every run before it sorts.
        text = (
            "SELECT r.run_uuid FROM (SELECT r.run_uuid FROM runs r"  # noqa: S608 - our own names
            f" WHERE {' AND '.join(self._own)} ORDER BY {NEWEST} LIMIT -1) r"
        )
        if self._others:
            text += f" WHERE {' AND '.join(self._others)}"
        return text, [*self._own_values, *self._other_values]

    def ordered(self, order: Sequence[Ordering]) -> tuple[str, list[object]]:
        """Return what finds all that pass in an order, the newest first among equals."""
        columns, values, keys = [], [], []
        for at, ordering in enumerate(order):
            column, marks = _sortable(ordering)
            columns.append(f"{column} AS o{at}")
            values += marks
            keys.append(f"o{at} IS NULL, o{at} {'DESC' if ordering.descending else 'ASC'}")
        text = (
            f"SELECT r.run_uuid, {', '.join(columns)} FROM runs r"  # noqa: S608 - our own names
            f" WHERE {' AND '.join([*self._own, *self._others])}"
            f" ORDER BY {', '.join([*keys, NEWEST])}"
        )
        return text, [*values, *self._own_values, *self._other_values]


def can_answer(comparisons: Iterable[Comparison], order: Iterable[Ordering]) -> bool:
    """Whether SQL says exactly what these mean; datasets and texts of numbers are not for it."""
    return all(o.source in KNOWN for o in order) and all(_is_simple(c) for c in comparisons)


def _is_simple(comparison: Comparison) -> bool:
    source, operator, wanted = comparison.source, comparison.operator, comparison.value
    if source not in KNOWN or operator == "ILIKE":
        return False
    if operator == "LIKE" and not (isinstance(wanted, str) and len(wanted) < LONGEST_PATTERN):
        return False
    if isinstance(wanted, str) and "\0" in wanted:
        return False
    is_number = source == "metric" or (source == "attribute" and comparison.key in NUMBERS)
    return not (is_number and (operator == "LIKE" or isinstance(wanted, tuple)))


def _of_row(comparison: Comparison) -> tuple[str, list[object]]:
    """Return the condition for a row of a parameter, a tag or a metric."""
    if comparison.source != "metric":
        return _condition("coalesce(o.value, '')", comparison, is_text=True)
    text, values = _condition("o.value", comparison, is_text=False)
    joined = "(o.is_nan OR" if comparison.operator == "!=" else "(NOT o.is_nan AND"
    return f"{joined} {text})", values


def _condition(column: str, comparison: Comparison, *, is_text: bool) -> tuple[str, list[object]]:
    operator, wanted = comparison.operator, comparison.value
    if operator in {"IS NULL", "IS NOT NULL"}:
        return f"{column} {operator}", []
    if isinstance(wanted, tuple):
        members = "(SELECT value FROM json_each(?))"
        return f"{column} {operator} {members}", [json.dumps(wanted)]
    if operator == "LIKE":
        return f"{column} GLOB ?", [str(wanted).translate(_GLOB)]
    if isinstance(wanted, str) != is_text:
        return (f"{column} IS NOT NULL" if operator == "!=" else "0"), []
    return f"{column} {operator} ?", [wanted]


def _sortable(ordering: Ordering) -> tuple[str, list[object]]:
    if ordering.source == "attribute":
        return TEXTS.get(ordering.key) or NUMBERS[ordering.key], []
    value = "coalesce(o.value, '')"
    if ordering.source == "metric":
        value = "CASE WHEN o.is_nan THEN NULL ELSE o.value END"
    table = TABLES[ordering.source]
    return (
        f"(SELECT {value} FROM {table} o WHERE o.key = ? AND o.run_uuid = r.run_uuid)",  # noqa: S608 - our own names
        [ordering.key],
    )
