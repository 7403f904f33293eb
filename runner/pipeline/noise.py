"""How much the metrics of one run vary when nothing changes, and what to tolerate for that."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runner.model.value import Value
from runner.model.verdict import Tolerance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MARGIN = 2.0
"""Few repetitions see less than the whole spread: so much more is tolerated."""


class Noise(Value):
    """The last values of a metric in the reference and in each repetition.

    ``spread`` is the largest difference of two of them, infinite when one is not finite or absent;
    ``tolerance`` is what to write down, None when nothing varies or nothing finite would do.
    """

    name: str
    values: tuple[float, ...]
    spread: float
    tolerance: Tolerance | None = None


def noise(samples: Sequence[Mapping[str, float]]) -> tuple[Noise, ...]:
    """Measure the spread of each metric over the runs; the reference is one of the samples."""
    names = sorted({name for sample in samples for name in sample})
    return tuple(_measured(name, [sample.get(name) for sample in samples]) for name in names)


def _measured(name: str, values: Sequence[float | None]) -> Noise:
    found = tuple(value for value in values if value is not None)
    if len(found) < len(values):
        return Noise(name=name, values=found, spread=math.inf)
    if all(math.isnan(value) for value in found):
        return Noise(name=name, values=found, spread=0.0)
    if not all(map(math.isfinite, found)):
        spread = 0.0 if len(set(found)) == 1 else math.inf
        return Noise(name=name, values=found, spread=spread)
    spread = max(found) - min(found)
    proposed = Tolerance(absolute=_rounded_up(MARGIN * spread)) if spread else None
    return Noise(name=name, values=found, spread=spread, tolerance=proposed)


def _rounded_up(number: float) -> float:
    """Return the next larger number with two digits."""
    exponent = math.floor(math.log10(number)) - 1
    return float(f"{math.ceil(number / 10**exponent)}e{exponent}")
