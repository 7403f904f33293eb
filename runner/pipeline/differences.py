"""Two records -> all in which the runs differ before any result, the likeliest cause first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.model.value import changed
from runner.model.verdict import Difference
from runner.pipeline.recorded import installed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.pipeline.recorded import RecordedRun

NUMERIC = frozenset(
    {
        "numpy", "scipy", "pandas", "scikit-learn", "torch", "tensorflow", "jax", "jaxlib",
        "xgboost", "lightgbm", "catboost", "numba", "statsmodels", "keras", "transformers",
        "polars", "pyarrow",
    }
)  # fmt: skip
"""Packages that compute: another version of one of these often gives other numbers."""
TOOLS = frozenset({"pip", "setuptools", "wheel", "uv", "virtualenv"})
SEED_WORDS = ("seed", "random_state")
WEIGHTS: dict[str, tuple[float, str]] = {
    "code": (0.95, "other code computes something else"),
    "parameter": (0.9, "other values were given"),
    "seed": (0.92, "another seed draws other random numbers"),
    "input": (0.9, "other data were read"),
    "image": (0.75, "another image holds other programs and libraries"),
    "package": (0.7, "another version may compute otherwise"),
    "interpreter": (0.4, "another Python may order or round otherwise"),
    "variable": (0.5, "it changes seeds, threads or formats"),
    "hardware": (0.3, "other instructions and core counts sum up in another order"),
    "system": (0.15, "another C library rounds otherwise now and then"),
    "manager": (0.1, "the same packages, put in place by another tool"),
}
"""How likely a difference on an axis explains another result, and why."""


HOST_FACTS = (
    ("hardware", "cpu", "CPU"),
    ("hardware", "cpus", "CPU count"),
    ("hardware", "gpus", "GPUs"),
    ("hardware", "machine", "machine type"),
    ("system", "os", "kernel"),
    ("system", "distribution", "distribution"),
)
"""What the record says of the host: axis, key, name for people."""


def differences(reference: RecordedRun, now: RecordedRun) -> tuple[Difference, ...]:
    """Compare two records on every axis; only what differs, the likeliest cause first."""
    found = [
        *_code(reference.record, now.record),
        *_parameters(reference.record, now.record),
        *_inputs(reference.record, now.record),
        *_image(reference.record, now.record),
        *_environment(reference, now),
        *_host(reference.record, now.record),
    ]
    ranked = [_weighed(difference) for difference in found]
    return tuple(sorted(ranked, key=lambda d: (-d.weight, d.axis, d.name)))


def _weighed(difference: Difference) -> Difference:
    if difference.axis == "package":
        return _weighed_package(difference)
    weight, reason = WEIGHTS[difference.axis]
    return changed(difference, weight=weight, reason=reason)


def _weighed_package(difference: Difference) -> Difference:
    """Weigh a package by what it does and how far its version went."""
    weight, reason = WEIGHTS["package"]
    before, after = difference.reference, difference.now
    if difference.name in TOOLS:
        return changed(difference, weight=0.05, reason="it installs packages, and computes nothing")
    if before is None or after is None:
        return changed(difference, weight=0.6, reason="it is there in one of the runs only")
    if difference.name in NUMERIC:
        weight, reason = weight + 0.1, "it computes numbers, and its version is another"
    if before.split(".")[0] != after.split(".")[0]:
        weight, reason = weight + 0.08, f"{reason}: a new major version"
    return changed(difference, weight=weight, reason=reason)


def _code(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    one, other = before["source"], after["source"]
    found = []
    if one["tree"] and other["tree"] and one["tree"] != other["tree"]:
        found.append(_difference("code", "files", _code_name(one), _code_name(other)))
    if before["entry_point"] != after["entry_point"]:
        found.append(
            _difference("code", "entry point", before["entry_point"], after["entry_point"])
        )
    return found


def _code_name(source: Mapping[str, Any]) -> str:
    commit = str(source.get("commit") or "")[:12]
    changes = " with changes" if source.get("dirty") else ""
    return f"commit {commit}{changes}" if commit else str(source["tree"])


def _parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    found = []
    for key in ("parameters", "extra_parameters"):
        for name, one, other in _pairs(before.get(key), after.get(key)):
            seed = any(word in name.lower() for word in SEED_WORDS)
            found.append(_difference("seed" if seed else "parameter", name, one, other))
    return found


def _inputs(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    if "inputs" not in before or "inputs" not in after:
        return []
    digests = [
        {f"{i['parameter']}": " ".join(j["digest"] for j in r.get("inputs", [])
                                       if j["parameter"] == i["parameter"])
         for i in r.get("inputs", [])}
        for r in (before, after)
    ]  # fmt: skip
    return [_difference("input", name, one, other) for name, one, other in _pairs(*digests)]


def _image(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Compare the images that the commands ran in, by their ids."""
    one, other = (r.get("environment", {}).get("image") or {} for r in (before, after))
    if not one or not other or one.get("id") == other.get("id"):
        return []
    name = before["environment"].get("lock", {}).get("reference") or "image"
    return [_difference("image", str(name), one.get("id"), other.get("id"))]


def _environment(reference: RecordedRun, now: RecordedRun) -> list[Difference]:
    before, after = installed(reference), installed(now)
    if not before or not after:
        return []
    one, other = reference.record["environment"], now.record["environment"]
    found = [
        _difference("package", name, old, new)
        for name, old, new in _pairs(packages(before), packages(after))
    ]
    found += [
        _difference("interpreter", f"Python {name}", _python(before, name), _python(after, name))
        for name in ("version", "implementation")
        if _python(before, name) != _python(after, name)
    ]
    if one.get("manager") != other.get("manager"):
        found.append(
            _difference("manager", "environment manager", one.get("manager"), other.get("manager"))
        )
    return found


def packages(described: Mapping[str, Any]) -> dict[str, str]:
    """Return names and versions of what was installed, as builders describe it."""
    listed = described.get("packages") or []
    if isinstance(listed, dict):
        return {str(name): str(version) for name, version in listed.items()}
    return {str(item["name"]): str(item["version"]) for item in listed if "name" in item}


def _python(described: Mapping[str, Any], name: str) -> str | None:
    python = described.get("python")
    value = python.get(name) if isinstance(python, dict) else None
    return None if value is None else str(value)


def _host(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    one, other = before.get("host"), after.get("host")
    if not one or not other:
        return []
    found = [
        _difference("variable", name, old, new)
        for name, old, new in _pairs(one.get("variables"), other.get("variables"))
    ]
    return found + [
        _difference(axis, name, one.get(key), other.get(key))
        for axis, key, name in HOST_FACTS
        if one.get(key) != other.get(key)
    ]


def _pairs(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> Iterable[tuple[str, Any, Any]]:
    """Return what differs in two mappings; None stands for what is not there."""
    before, after = before or {}, after or {}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield name, before.get(name), after.get(name)


def _difference(axis: str, name: str, before: object, after: object) -> Difference:
    return Difference(axis=axis, name=name, reference=_text(before), now=_text(after))


def _text(value: object) -> str | None:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or None
    return None if value is None else str(value)
