"""Text for terminals: what it shows, how wide it is, and how it is cut to fit."""

from __future__ import annotations

import unicodedata

WIDE = frozenset("WF")
ZERO = frozenset({"Mn", "Me", "Cf"})


def printable(text: str) -> str:
    """Return a text without anything that a terminal would obey, on one line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def width(text: str) -> int:
    """Return how many columns a printable text takes: East Asian characters take two."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ZERO:
        return 0
    return 2 if unicodedata.east_asian_width(character) in WIDE else 1


def clipped(text: str, limit: int) -> str:
    """Return a text without control characters, cut to so many columns."""
    shown = printable(text)
    if width(shown) <= limit:
        return shown
    kept, room = "", limit - 1
    for character in shown:
        room -= _columns(character)
        if room < 0:
            break
        kept += character
    return kept + "…"


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """Return a printable text filled up with spaces."""
    space = " " * (columns - width(text))
    return space + text if right else text + space
