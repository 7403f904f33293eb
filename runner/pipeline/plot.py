"""The histories of one metric in two runs -> an SVG plot with axes, for pages without scripts."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from runner.model.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model.tracking import Metric

WIDTH, HEIGHT = 460, 200
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 12, 30
"""Pixels of a plot, and of the margins for its labels."""
FEW = 40
"""A history of up to so many values has a dot for each."""
MOST = 2000
"""Of a longer history every n-th value is drawn: a screen has no more pixels."""


class Axis(Value):
    """A range of values on a range of pixels."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Return where a value lies; the middle when all values are the same."""
        if self.low == self.high:
            return (self.start + self.end) / 2
        part = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)  # halves stay finite
        return self.start + part * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """Return up to so many round values in the range; its ends where there is none."""
        span = self.high - self.low
        if not (math.isfinite(span) and span > 0):
            return sorted({self.low, self.high})
        raw = span / most
        if raw == 0 or not math.isfinite(raw):
            return [self.low, self.high]
        power = 10.0 ** math.floor(math.log10(raw))
        step = next((f * power for f in (1, 2, 2.5, 5, 10) if f * power >= raw), 0.0)
        if not step or self.low + step == self.low:  # too near for floats
            return [self.low, self.high]
        first = math.ceil(self.low / step)
        found = [(first + at) * step for at in range(most + 1)]
        return [value for value in found if value <= self.high] or [self.low, self.high]


def figure(name: str, before: Sequence[Metric], after: Sequence[Metric]) -> str:
    """Draw both histories over their steps; NaN and infinity leave gaps.

    Empty when neither has a value that can be drawn.
    """
    points = [m for m in (*before, *after) if math.isfinite(m.value)]
    if not points:
        return ""
    x = Axis(
        low=min(m.step for m in points), high=max(m.step for m in points),
        start=LEFT, end=WIDTH - RIGHT,
    )  # fmt: skip
    y = Axis(
        low=min(m.value for m in points), high=max(m.value for m in points),
        start=HEIGHT - BOTTOM, end=TOP,
    )  # fmt: skip
    lines = _line(before, x, y, "reference") + _line(after, x, y, "now")
    title = escape(name)
    about = escape(f"{name} by step: {_told(before, 'reference')}; {_told(after, 'now')}")
    return (
        f'<figure><figcaption>{title}</figcaption><svg role="img" aria-label="{about}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f"{_grid(x, y)}{lines}</svg></figure>"
    )


def _told(history: Sequence[Metric], which: str) -> str:
    if not history:
        return f"{which} without values"
    first, last = history[0], history[-1]
    if len(history) == 1:
        return f"{which} {last.value:.6g} at step {last.step}"
    return f"{which} from {first.value:.6g} to {last.value:.6g} in {len(history)} values"


def _grid(x: Axis, y: Axis) -> str:
    parts = []
    for value in y.ticks(5):
        at = y.place(value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_label(value)}</text>'
        )
    parts += [
        f'<text x="{x.place(step):.1f}" y="{HEIGHT - 10}" text-anchor="middle">{int(step)}</text>'
        for step in x.ticks(6)
        if step == int(step)
    ]
    return "".join(parts)


def _label(value: float) -> str:
    return f"{value:.4g}".replace("e+0", "e").replace("e-0", "e-")


def _line(history: Sequence[Metric], x: Axis, y: Axis, which: str) -> str:
    """Draw a history as one line for each stretch of finite values, and dots where few."""
    every = max(1, len(history) // MOST)
    shown = [m for at, m in enumerate(history) if at % every == 0 or at == len(history) - 1]
    lines, dots = [], []
    for stretch in unbroken(shown):
        places = [(x.place(m.step), y.place(m.value)) for m in stretch]
        text = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        lines.append(f'<polyline class="{which}" points="{text}"/>')
        if len(shown) <= FEW:
            radius = 3 if which == "reference" else 2
            dots += [
                f'<circle class="{which}" cx="{a:.1f}" cy="{b:.1f}" r="{radius}"/>'
                for a, b in places
            ]
    return "".join(lines + dots)


def unbroken(history: Sequence[Metric]) -> list[list[Metric]]:
    """Cut a history at the values that cannot be drawn."""
    parts: list[list[Metric]] = [[]]
    for metric in history:
        if math.isfinite(metric.value):
            parts[-1].append(metric)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]
