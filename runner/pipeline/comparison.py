"""Two runs -> what is the same in them and what is not: outcome, parameters, metrics, artifacts."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from runner.errors import RunprojError
from runner.model.verdict import BAD, Comparison
from runner.pipeline.artifact_comparison import compared_content, compared_texts
from runner.pipeline.produced import MODELS, measured, models_of, own_names, produced
from runner.pipeline.record import FOLDER
from runner.pipeline.recorded import artifact
from runner.pipeline.tolerance import chosen, distance, same, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.model.tracking import Metric, TrackedRun
    from runner.model.verdict import Judgement, Status, Tolerance, Tolerances
    from runner.pipeline.produced import Produced
    from runner.ports import Artifacts, TrackingStore

LARGEST = 256 << 20
"""Bytes of an artifact that is still looked into when it is not the same."""
CHUNK = 1 << 20


class Side:
    """One of two runs that are compared, with the record of it."""

    def __init__(
        self, store: TrackingStore, run: TrackedRun, outcome: Mapping[str, object]
    ) -> None:
        self.store, self.run, self.outcome = store, run, outcome
        self.artifacts: Artifacts = store.artifacts(run)


def compared(
    reference: Side, now: Side, tolerances: Tolerances, varied: Iterable[str] = ()
) -> tuple[Comparison, ...]:
    """Compare two runs that have ended.

    ``varied`` are parameters that were changed on purpose, and are not judged.
    """
    found = [_outcome(reference.outcome, now.outcome)]
    found += _parameters(_params(reference), _params(now), frozenset(varied))
    found += _metrics(reference, now, tolerances.metrics)
    found += _artifacts(reference, now, tolerances.artifacts)
    if not any(c.kind in {"metric", "artifact"} and c.judgement != "ignored" for c in found):
        found += _output(reference, now)
    return tuple(found)


def status_of(comparisons: Sequence[Comparison]) -> Status:
    """Sum up: one divergence is enough for DIVERGED, one doubt for INCOMPLETE."""
    judged = {c.judgement for c in comparisons}
    if judged & BAD:
        return "DIVERGED"
    if "unknown" in judged:
        return "INCOMPLETE"
    evidence = {"metric", "artifact", "output"}
    if not any(c.kind in evidence and c.judgement != "ignored" for c in comparisons):
        return "INCOMPLETE"
    return "EQUIVALENT" if "equivalent" in judged else "IDENTICAL"


def reasons_of(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """Say in a sentence each what made the verdict."""
    status = status_of(comparisons)
    if status == "DIVERGED":
        return tuple(_sentence(c) for c in comparisons if c.judgement in BAD)
    if status == "INCOMPLETE":
        doubts = tuple(_sentence(c) for c in comparisons if c.judgement == "unknown")
        return doubts or ("the runs logged no metric and no artifact, so nothing was compared",)
    if status == "EQUIVALENT":
        return tuple(_sentence(c) for c in comparisons if c.judgement == "equivalent")
    return ()


def _sentence(comparison: Comparison) -> str:
    values = ""
    if comparison.reference is not None or comparison.now is not None:
        values = f": {comparison.reference or 'nothing'} -> {comparison.now or 'nothing'}"
    detail = f" ({comparison.detail})" if comparison.detail else ""
    return f"{comparison.kind} {comparison.name} {comparison.judgement}{values}{detail}"


def _outcome(reference: Mapping[str, object], now: Mapping[str, object]) -> Comparison:
    before, after = ending(reference), ending(now)
    if "exit_code" not in reference and "signal" not in reference:  # nobody wrote it down
        after = str(now.get("status"))
    judgement: Judgement = "identical" if before == after else "diverged"
    if judgement == "diverged" and not ran_to_its_end(now):
        judgement = "unknown"
    return Comparison(
        kind="outcome", name="status", judgement=judgement, reference=before, now=after,
        detail=str(now.get("detail") or "") if judgement != "identical" else "",
    )  # fmt: skip


def ending(outcome: Mapping[str, object]) -> str:
    """Return how a run ended: ``FINISHED``, ``FAILED, exit code 3``, ``KILLED, signal 9``."""
    code, signal = outcome.get("exit_code"), outcome.get("signal")
    why = f", exit code {code}" if code else f", signal {signal}" if signal else ""
    return f"{outcome.get('status')}{why}"


def ran_to_its_end(outcome: Mapping[str, object]) -> bool:
    """Whether the command ended by itself, so that its end tells something about the project."""
    return outcome.get("reason") == "exit"


def _params(side: Side) -> dict[str, str]:
    """Return the parameters of a run, and those of its logged models under the model's name."""
    found = dict(side.run.params)
    for name, model in models_of(side.store, side.run):
        found |= {f"{MODELS}/{name}/{key}": value for key, value in model.params.items()}
    return found


def _parameters(
    reference: Mapping[str, str], now: Mapping[str, str], varied: frozenset[str]
) -> list[Comparison]:
    found = []
    for name in sorted(reference.keys() | now.keys()):
        before, after = reference.get(name), now.get(name)
        judgement: Judgement
        if name in varied:
            judgement = "varied"
        elif before is None:
            judgement = "extra"
        elif after is None:
            judgement = "missing"
        else:
            judgement = "identical" if before == after else "diverged"
        found.append(
            Comparison(
                kind="parameter",
                name=name,
                judgement=judgement,
                reference=before,
                now=after,
            )
        )
    return found


def _metrics(
    reference: Side, now: Side, rules: Iterable[tuple[str, Tolerance]]
) -> list[Comparison]:
    names = sorted(reference.run.metrics.keys() | now.run.metrics.keys())
    found = [_metric(name, reference, now, chosen(rules, name)) for name in names]
    ours, theirs = (measured(side.store, side.run) for side in (reference, now))
    for name in sorted(ours.keys() | theirs.keys()):
        before, after = in_order(ours.get(name, [])), in_order(theirs.get(name, []))
        tolerance = chosen(rules, name, (before or after)[0].key)
        found.append(_judged(name, before, after, tolerance))
    return found


def _metric(name: str, reference: Side, now: Side, tolerance: Tolerance) -> Comparison:
    before, after = (
        _values(side, name, whole=tolerance.history and not tolerance.ignore)
        for side in (reference, now)
    )
    return _judged(name, before, after, tolerance)


def _values(side: Side, name: str, *, whole: bool) -> list[Metric]:
    """Return the values of a metric, the last one last; only that unless all are asked for."""
    last = side.run.metrics.get(name)
    if last is None:
        return []
    history = in_order(side.store.history(side.run.run_id, name)) if whole else []
    return history or [last]


def _judged(
    name: str, before: Sequence[Metric], after: Sequence[Metric], tolerance: Tolerance
) -> Comparison:
    shown: dict[str, Any] = {
        "kind": "metric",
        "name": name,
        "reference": repr(before[-1].value) if before else None,
        "now": repr(after[-1].value) if after else None,
        "tolerance": str(tolerance),
    }
    if tolerance.ignore:
        return Comparison(judgement="ignored", **shown)
    if not before or not after:
        return Comparison(judgement="missing" if before else "extra", **shown)
    if not tolerance.history:
        before, after = before[-1:], after[-1:]
    judgement, apart, detail = judged_history(before, after, tolerance)
    return Comparison(judgement=judgement, difference=apart, detail=detail, **shown)


def histories(reference: Side, now: Side) -> dict[str, tuple[list[Metric], list[Metric]]]:
    """Return all values of the metrics that both runs have, for plots."""
    names = reference.run.metrics.keys() & now.run.metrics.keys()
    found = {
        name: (_values(reference, name, whole=True), _values(now, name, whole=True))
        for name in sorted(names)
    }
    ours, theirs = (measured(side.store, side.run) for side in (reference, now))
    for name in sorted(ours.keys() & theirs.keys()):
        found[name] = in_order(ours[name]), in_order(theirs[name])
    return found


def in_order(history: Iterable[Metric]) -> list[Metric]:
    """Sort logged values by step, those of one step by time: threads may log out of order."""
    return sorted(history, key=lambda m: (m.step, m.timestamp))


def judged_history(
    reference: Sequence[Metric], now: Sequence[Metric], tolerance: Tolerance
) -> tuple[Judgement, float | None, str]:
    """Judge a metric by its values: judgement, largest difference, the first step that is off."""
    before, after = [m.step for m in reference], [m.step for m in now]
    if before != after:
        if len(before) != len(after):
            detail = f"{len(before)} values were logged, now {len(after)}"
        else:
            at = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
            detail = f"value {at + 1} was logged at step {before[at]}, now at {after[at]}"
        return "diverged", None, detail
    pairs = [(a, b) for a, b in zip(reference, now, strict=True) if not same(a.value, b.value)]
    if not pairs:
        return "identical", 0.0, ""
    apart = max(distance(a.value, b.value) for a, b in pairs)
    for a, b in pairs:
        if not within(a.value, b.value, tolerance):
            of_many = f"first at step {a.step}: {a.value!r} -> {b.value!r}"
            return "diverged", apart, of_many if len(before) > 1 else ""
    return "equivalent", apart, ""


def _artifacts(
    reference: Side, now: Side, rules: Iterable[tuple[str, Tolerance]]
) -> list[Comparison]:
    try:
        before = produced(reference.store, reference.run)
        after = produced(now.store, now.run)
    except (RunprojError, OSError) as error:
        return [Comparison(kind="artifact", name="*", judgement="unknown", detail=str(error))]
    names = {
        **own_names(reference.store, reference.run),
        **own_names(now.store, now.run),
    }
    found = []
    for path in sorted(before.keys() | after.keys()):
        tolerance = chosen(rules, path)
        one, other = before.get(path), after.get(path)
        judgement: Judgement
        detail = ""
        if tolerance.ignore:
            judgement = "ignored"
        elif other is None:
            judgement = "missing"
        elif one is None:
            judgement = "extra"
        else:
            judgement, detail = _content(path, one, other, tolerance, names)
        found.append(
            Comparison(
                kind="artifact",
                name=path,
                judgement=judgement,
                reference=_bytes(one),
                now=_bytes(other),
                tolerance=str(tolerance),
                detail=detail,
            )
        )
    return found


def _bytes(file: Produced | None) -> str | None:
    return None if file is None else f"{file.size} bytes"


def _content(
    path: str, one: Produced, other: Produced, tolerance: Tolerance, names: Mapping[str, str]
) -> tuple[Judgement, str]:
    try:
        if _digest(one) == _digest(other):
            return "identical", ""
        before, after = _whole(one), _whole(other)
    except (RunprojError, OSError) as error:
        return "unknown", str(error)
    if before is None or after is None:
        return "diverged", "other bytes; too large to look into"
    return compared_content(path, before, after, tolerance, names=names)


def _digest(file: Produced) -> str:
    hasher = sha256()
    with file.artifacts.open(file.path) as content:
        while chunk := content.read(CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def _whole(file: Produced) -> bytes | None:
    with file.artifacts.open(file.path) as opened:
        content = opened.read(LARGEST + 1)
    return content if len(content) <= LARGEST else None


def _output(reference: Side, now: Side) -> list[Comparison]:
    """Compare what was printed, where a run has no other result."""
    name = f"{FOLDER}/stdout.log"
    before, after = artifact(reference.artifacts, name), artifact(now.artifacts, name)
    if not before and not after:
        return []
    names: dict[str, str] = {reference.run.run_id: "<run>", now.run.run_id: "<run>"}
    judgement: Judgement = "identical"
    detail = ""
    if before != after:
        judgement, detail = compared_texts(before or b"", after or b"", names=names)
    return [Comparison(kind="output", name="stdout", judgement=judgement, detail=detail)]
