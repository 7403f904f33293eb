"""Canonical bytes of documents, and the digests taken over them."""

from __future__ import annotations

import json

from runner.hashing import sha256 as sha256_of
from runner.model.value import Digest, Value, fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    JSON: TypeAlias = "str | int | float | bool | None | list[JSON] | dict[str, JSON]"


def canonical(document: JSON) -> bytes:
    """Write a document the one way that digests are taken over."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def digest(document: JSON) -> Digest:
    """Address a document by its content."""
    return sha256(canonical(document))


def sha256(content: bytes) -> Digest:
    """Address bytes by their content."""
    return Digest(f"sha256:{sha256_of(content).hexdigest()}")


def pretty(document: JSON) -> bytes:
    """Write a document for people and their editors, one way only: two levels, a line an entry.

    (``json.dumps`` with an indent is written in Python and takes eight times as long.)
    """
    return f"{_lines(document, 2)}\n".encode("utf-8", "replace")


def _lines(document: JSON, levels: int, margin: str = "") -> str:
    if not levels or not isinstance(document, dict) or not document:
        return json.dumps(document, ensure_ascii=False)
    inner = margin + "  "
    entries = (
        f"{inner}{json.dumps(key, ensure_ascii=False)}: {_lines(value, levels - 1, inner)}"
        for key, value in document.items()
    )
    return "{\n" + ",\n".join(entries) + f"\n{margin}}}"


def parsed(content: bytes) -> JSON:
    """Read a JSON document; ValueError when it is none."""
    result: JSON = json.loads(content)
    return result


def document(value: object) -> JSON:  # noqa: PLR0911 - one line a kind
    """Write a value, and whatever it holds, as a JSON document.

    Times become ISO 8601 in UTC, durations seconds, sets sorted lists; fields that hold their
    type's ``None`` are left out.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Value):
        return {k: document(v) for k, v in fields(value).items() if v is not None}
    if isinstance(value, frozenset | set):
        return [*sorted(str(item) for item in value)]
    if isinstance(value, tuple | list):
        return [document(item) for item in value]
    if hasattr(value, "items"):
        return {str(k): document(v) for k, v in value.items()}
    if hasattr(value, "isoformat"):
        return str(value.isoformat(timespec="milliseconds"))
    if hasattr(value, "total_seconds"):
        return float(value.total_seconds())
    message = f"{type(value).__name__} has no document form"
    raise TypeError(message)
