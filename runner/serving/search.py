"""Pages of what a search has found."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from runner.serving.arguments import DIGITS
from runner.serving.messages import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.serving.arguments import Arguments

Item = TypeVar("Item")
MAX_RESULTS = 50_000


def page_of(
    items: Sequence[Item], given: Arguments, default: int = 1000, *, most: int = MAX_RESULTS
) -> tuple[Sequence[Item], str | None]:
    """Return the page that a call asks for, and the token of the next one."""
    start, size = place_of(given, default, most=most)
    page = items[start : start + size]
    end = start + len(page)
    return page, str(end) if page and end < len(items) else None


def place_of(given: Arguments, default: int = 1000, *, most: int = MAX_RESULTS) -> tuple[int, int]:
    """Return where the page that a call asks for begins, and how long it is at most."""
    size = given.integer("max_results", default=default)
    if not 1 <= size <= max(most, default):
        raise Refusal(
            f"Invalid value {size} for parameter 'max_results' supplied: a number from 1 to "
            f"{most} was expected."
        )
    token = given.text("page_token", default="") or "0"
    if not (token.isascii() and token.isdigit() and len(token) <= DIGITS):
        raise Refusal("Invalid page token.")
    return int(token), size
