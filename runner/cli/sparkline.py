"""Sparklines: the course of a metric in a line of small bars."""

from __future__ import annotations

import math
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.-=+*%#"
"""For terminals that do not speak UTF-8."""
NOT_A_NUMBER = ("·", "?")
INFINITE = {True: ("↑", "^"), False: ("↓", "v")}
WIDTH = 24


def sparkline(
    values: Sequence[float],
    *,
    columns: int = WIDTH,
    plain: bool = False,
    scale: tuple[float, float] | None = None,
) -> str:
    """Return the course of some values; what is no finite number has a sign of its own.

    More values than columns are put together: each column shows the last finite value of its
    share, so that the line ends where the metric ended. ``scale`` are the lowest and the highest
    value of several lines that are to be compared.
    """
    shown = [_representative(share) for share in _shares(values, columns)]
    finite = [value for value in shown if math.isfinite(value)]
    low, high = scale or (min(finite, default=0.0), max(finite, default=0.0))
    return "".join(_sign(value, low, high, plain=plain) for value in shown)


def _shares(values: Sequence[float], columns: int) -> list[Sequence[float]]:
    count = len(values)
    if count <= columns:
        return [values[at : at + 1] for at in range(count)]
    edges = [round(at * count / columns) for at in range(columns + 1)]
    return [values[start:end] for start, end in pairwise(edges)]


def _representative(share: Sequence[float]) -> float:
    finite = [value for value in share if math.isfinite(value)]
    return finite[-1] if finite else share[-1]


def _sign(value: float, low: float, high: float, *, plain: bool) -> str:
    if math.isnan(value):
        return NOT_A_NUMBER[plain]
    if math.isinf(value):
        return INFINITE[value > 0][plain]
    bars = PLAIN_BARS if plain else BARS
    half = high / 2 - low / 2  # halves, for the whole range may be more than a float holds
    share = (value / 2 - low / 2) / half if half else 0.5
    return bars[min(len(bars) - 1, int(share * len(bars)))]
