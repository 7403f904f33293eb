"""Tolerances: from the words of users, and what they allow."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from runner.errors import UsageError
from runner.model.value import changed
from runner.model.verdict import Tolerance, Tolerances

if TYPE_CHECKING:
    from collections.abc import Iterable

EXAMPLE = "for example accuracy=0.01, 'loss=1e-6,0.1%', 'val_*=last,1%' or epoch_time=ignore"
DEFAULT = Tolerance(absolute=1e-9, relative=1e-6)
"""What is taken for the same result when nobody says otherwise: single precision summed in another
order differs by less."""
DEFAULTS = Tolerances(
    metrics=(("system/*", Tolerance(ignore=True)), ("*", DEFAULT)),
    artifacts=(("*", DEFAULT),),
)
"""MLflow's system metrics tell of the machine, not of the result."""


def parsed_tolerance(text: str, where: str) -> Tolerance:
    """Read a tolerance: numbers (absolute), percentages (relative), ``last``, ``ignore``.

    Raises:
        UsageError: It is none.
    """
    found = Tolerance()
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word == "ignore":
            found = changed(found, ignore=True)
        elif word == "last":
            found = changed(found, history=False)
        else:
            found = _with_number(found, word, where)
    if not text.strip(" ,"):
        raise UsageError(f"{where}: a tolerance is empty", hint=EXAMPLE)
    return found


def _with_number(found: Tolerance, word: str, where: str) -> Tolerance:
    relative = word.endswith("%")
    try:
        number = float(word.removesuffix("%"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise UsageError(f"{where}: {word!r} is no tolerance", hint=EXAMPLE)
    return changed(found, relative=number / 100) if relative else changed(found, absolute=number)


def from_flags(texts: Iterable[str]) -> Tolerances:
    """Read ``--tolerance NAME=VALUE``; a name with a dot or slash also means artifacts.

    Raises:
        UsageError: One of them is malformed.
    """
    rules = []
    for text in texts:
        name, equals, value = text.rpartition("=")
        if not equals or not name:
            raise UsageError(f"--tolerance {text!r} is not NAME=VALUE", hint=EXAMPLE)
        rules.append((name, parsed_tolerance(value, f"--tolerance {text!r}")))
    return Tolerances(metrics=tuple(rules), artifacts=tuple(rules))


def from_document(document: object, where: str) -> Tolerances:
    """Read ``{metrics: {NAME: VALUE}, artifacts: {NAME: VALUE}}``, of a file or an MLproject.

    Raises:
        UsageError: It is something else.
    """
    if not isinstance(document, dict):
        raise UsageError(f"{where}: 'metrics' and 'artifacts' are expected")
    unknown = [str(key) for key in document if key not in {"metrics", "artifacts"}]
    if unknown:
        raise UsageError(
            f"{where}: {unknown[0]!r} is unknown", hint="there are 'metrics' and 'artifacts'"
        )
    return Tolerances(
        metrics=_rules(document.get("metrics"), f"{where}: metrics"),
        artifacts=_rules(document.get("artifacts"), f"{where}: artifacts"),
    )


def _rules(values: object, where: str) -> tuple[tuple[str, Tolerance], ...]:
    if values is None:
        return ()
    if not isinstance(values, dict):
        raise UsageError(f"{where} maps no names to tolerances", hint=EXAMPLE)
    return tuple(
        (str(name), parsed_tolerance(str(value), f"{where}.{name}"))
        for name, value in values.items()
    )


def combined(*layers: Tolerances) -> Tolerances:
    """Put tolerances one before the other; ours come last."""
    everything = (*layers, DEFAULTS)
    return Tolerances(
        metrics=tuple(rule for layer in everything for rule in layer.metrics),
        artifacts=tuple(rule for layer in everything for rule in layer.artifacts),
    )


def chosen(rules: Iterable[tuple[str, Tolerance]], *names: str) -> Tolerance:
    """Return the tolerance for what has these names: that of the first pattern that matches."""
    return next((t for pattern, t in rules if any(_means(pattern, n) for n in names)), DEFAULT)


def _means(pattern: str, name: str) -> bool:
    return pattern == name or fnmatchcase(name, pattern)


def same(reference: float, now: float) -> bool:
    """Whether two numbers are one: NaN is itself, zeros have no sign."""
    return reference == now or (math.isnan(reference) and math.isnan(now))


def distance(reference: float, now: float) -> float:
    """Return how far apart numbers are: infinitely, where one of two is not finite."""
    if same(reference, now):
        return 0.0
    if not (math.isfinite(reference) and math.isfinite(now)):
        return math.inf
    return abs(now - reference)


def within(reference: float, now: float, tolerance: Tolerance) -> bool:
    """Whether a number is near enough; no tolerance reaches from a number to NaN or infinity."""
    apart = distance(reference, now)
    if apart == 0.0:
        return True
    allowed = tolerance.absolute + tolerance.relative * abs(reference)
    return math.isfinite(apart) and apart <= allowed
