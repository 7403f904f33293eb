"""Tables as lines of text: as wide as they need to be, and no wider than the terminal."""

from __future__ import annotations

from runner.cli.text import clipped, padded, printable, width
from runner.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GAP = 2
NARROWEST = 8
"""Columns that may be cut keep at least so many characters."""


class Heading(Value):
    """The head of a column: whether its cells may be cut and where they stand."""

    name: str
    elastic: bool = False
    right: bool = False
    colour: Callable[[str], str | None] | None = None


def lines(
    headings: Sequence[Heading],
    rows: Sequence[Sequence[str]],
    *,
    room: int | None,
    styled: Callable[[str, str | None], str],
) -> Iterator[str]:
    """Return the lines of a table, its head first.

    ``room`` is the width of the terminal, None when nobody minds; ``styled`` colours a text.
    """
    body = [[printable(cell) for cell in row] for row in rows]
    natural = [
        max([width(heading.name), *(width(row[at]) for row in body)])
        for at, heading in enumerate(headings)
    ]
    widths = fitted(natural, [heading.elastic for heading in headings], room)
    head = [
        padded(clipped(heading.name, columns), columns, right=heading.right)
        for heading, columns in zip(headings, widths, strict=True)
    ]
    yield styled((" " * GAP).join(head).rstrip(), "bold")
    for row in body:
        cells = []
        for heading, cell, columns in zip(headings, row, widths, strict=True):
            text = padded(clipped(cell, columns), columns, right=heading.right)
            cells.append(styled(text, heading.colour(cell)) if heading.colour else text)
        yield (" " * GAP).join(cells).rstrip()


def fitted(natural: Sequence[int], elastic: Sequence[bool], room: int | None) -> list[int]:
    """Return widths whose sum fits, taken from the widest of the elastic columns."""
    widths = list(natural)
    if room is None:
        return widths
    surplus = sum(widths) + GAP * (len(widths) - 1) - room
    while surplus > 0:
        candidates = [at for at, soft in enumerate(elastic) if soft and widths[at] > NARROWEST]
        if not candidates:
            break
        widest = max(candidates, key=lambda at: widths[at])
        widths[widest] -= 1
        surplus -= 1
    return widths
