"""MLflow's filter language: ``metrics.rmse < 1 AND params.model = 'tree'`` becomes conditions.

Grammar: comparisons joined by ``AND``; each an identifier (``attributes.``, ``metrics.``,
``params.``, ``tags.``, ``dataset.``; no prefix means an attribute), an operator and a value; keys
with other characters stand in backticks or double quotes. Source: MLflow's documentation, "Search
Runs".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runner.errors import FilterError
from runner.model.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.query.kinds import Kind

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*')
    | (?P<quoted>"[^"]*")
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<operator><=|>=|!=|<>|=|<|>)
    | (?P<mark>[(),])
    | (?P<name>[A-Za-z_][\w/:\-]*(?:\.(?:[\w/:\-]+|`[^`]*`|"[^"]*"))*|`[^`]*`)
    )""",
    re.VERBOSE,
)
_PREFIXES = {
    "attributes": "attribute",
    "attribute": "attribute",
    "attr": "attribute",
    "run": "attribute",
    "metrics": "metric",
    "metric": "metric",
    "params": "param",
    "parameters": "param",
    "param": "param",
    "parameter": "param",
    "tags": "tag",
    "tag": "tag",
    "dataset": "dataset",
    "datasets": "dataset",
}
_OF_DATASETS = frozenset({"name", "digest", "context"})


class Comparison(Value):
    """One condition of a filter. ``value`` is a list for ``IN``, None for ``IS NULL``."""

    source: str
    key: str
    operator: str
    value: str | float | tuple[str, ...] | None


ORDERINGS = frozenset({"=", "!=", "<", "<=", ">", ">="})


class Reader:
    """The tokens of one filter, taken from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = _tokens(text)
        self._at = 0

    @property
    def is_over(self) -> bool:
        """Whether all tokens are taken."""
        return self._at == len(self._tokens)

    def take(self) -> tuple[str, str]:
        """Return the sort and the text of the next token."""
        if self.is_over:
            raise self.wrong("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def word(self) -> str:
        """Return the text of the next token in capitals."""
        return self.take()[1].upper()

    def wrong(self, why: str) -> FilterError:
        """Say what is wrong with the filter."""
        return FilterError(f"Invalid filter {self.text!r}: {why}.")


def parsed(text: str, kind: Kind) -> list[Comparison]:
    """Take a filter apart.

    Raises:
        FilterError: It is no filter, or asks for something that is not there to be asked.
    """
    reader = Reader(text)
    comparisons: list[Comparison] = []
    while not reader.is_over:
        if comparisons and (word := reader.word()) != "AND":
            raise reader.wrong(f"AND was expected, not {word!r}")
        comparisons.append(_comparison(reader, kind))
    return comparisons


def _tokens(text: str) -> Sequence[tuple[str, str]]:
    found, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.end() > end:
            raise FilterError(
                f"Invalid filter {text!r}: {text[position:].strip()[:40]!r} is unclear."
            )
        found.append((match.lastgroup or "", match.group(match.lastgroup or 0)))
        position = match.end()
    return found


def _comparison(reader: Reader, kind: Kind) -> Comparison:
    sort, name = reader.take()
    if sort not in {"name", "quoted"}:
        raise reader.wrong(f"{name!r} is no identifier")
    source, key = identifier(name, kind)
    operator = _operator(reader)
    value: str | float | tuple[str, ...] | None
    if operator in {"IS NULL", "IS NOT NULL"}:
        value = None
    elif operator in {"IN", "NOT IN"}:
        value = _members(reader)
    else:
        value = _literal(reader, source, key)
    return Comparison(source=source, key=key, operator=operator, value=value)


def _operator(reader: Reader) -> str:
    operator = reader.word()
    if operator in {"NOT", "IS"}:
        operator = f"{operator} {reader.word()}"
    if operator == "IS NOT":
        operator = f"{operator} {reader.word()}"
    operator = "!=" if operator == "<>" else operator
    if operator not in {*ORDERINGS, "LIKE", "ILIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL"}:
        raise reader.wrong(f"there is no operator {operator!r}")
    return operator


def _literal(reader: Reader, source: str, key: str) -> str | float:
    sort, literal = reader.take()
    if sort == "number":
        if source in {"param", "tag", "dataset"}:
            raise reader.wrong(f"the {source} {key!r} is a text: write '{literal}' in quotes")
        return float(literal)
    if sort not in {"text", "quoted"} or source == "metric":
        raise reader.wrong(f"{literal!r} is no value for the {source} {key!r}")
    return _unquoted(literal)


def _members(reader: Reader) -> tuple[str, ...]:
    members = []
    if reader.take() != ("mark", "("):
        raise reader.wrong("IN needs a list in parentheses")
    while True:
        sort, literal = reader.take()
        if sort not in {"text", "quoted"}:
            raise reader.wrong(f"{literal!r} is no text in quotes")
        members.append(_unquoted(literal))
        mark = reader.take()
        if mark == ("mark", ")"):
            return tuple(members)
        if mark != ("mark", ","):
            raise reader.wrong("the list is not closed")


def _unquoted(literal: str) -> str:
    return literal[1:-1].replace("''", "'") if literal[0] == "'" else literal[1:-1]


def identifier(name: str, kind: Kind) -> tuple[str, str]:
    """Return what a name asks for: the sort of thing, and its key.

    Raises:
        FilterError: Nothing of that name can be asked for.
    """
    prefix, dot, rest = name.partition(".")
    quoted = name[:1] in {"`", '"'}
    source = _PREFIXES.get(prefix.lower()) if dot and not quoted else "attribute"
    if source is None:
        raise FilterError(
            f"Invalid entity type '{prefix}' in the filter: one of attributes, metrics, params, "
            "tags was expected."
        )
    key = (rest if dot and not quoted else name).strip('`"')
    attribute = key.replace(" ", "_").lower()
    if source == "attribute" and attribute in kind.attributes:
        return source, attribute
    if source == "dataset" and key not in _OF_DATASETS:
        raise FilterError(
            f"Invalid dataset key '{key}': one of name, digest, context was expected."
        )
    if source == "attribute" or not kind.reads(source):
        raise FilterError(
            f"Invalid {source} key '{key}' in the filter: it cannot be asked for here."
        )
    return source, key
