"""Runs as words, pages and JSON: values in, text out."""

from __future__ import annotations

import math
from datetime import UTC, datetime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runner.codec import JSON
    from runner.model.run import Artifact
    from runner.model.tracking import Metric, TrackedRun

SHORT_ID = 8
NOTE = "mlflow.note.content"
"""The tag that MLflow's UI shows as a run's description, in Markdown."""
COLOURS = {
    "RUNNING": "blue",
    "SCHEDULED": "blue",
    "FINISHED": "green",
    "FAILED": "red",
    "KILLED": "yellow",
    "deleted": "dim",
}
SYSTEM = "system/"
"""How the names of system metrics begin: they tell of the machine, not of the result."""
MINUTE, HOUR, DAY = 60, 3600, 86400


def id_width(ids: Sequence[str]) -> int:
    """Return how many characters tell some ids apart, eight at least."""
    width = SHORT_ID
    while len({i[:width] for i in ids}) < len(set(ids)):
        width += 1
    return width


def shown_status(run: TrackedRun) -> str:
    """Return a run's status; that it is deleted counts more than how it ended."""
    return run.status if run.lifecycle == "active" else "deleted"


def status_colour(status: str) -> str | None:
    """Return the colour that says at a glance how a run is."""
    return COLOURS.get(status)


def user(run: TrackedRun) -> str:
    """Return who ran it."""
    return run.user or run.tags.get("mlflow.user", "")


def source(run: TrackedRun) -> str:
    """Return what ran, in short: the last part of the source's name and the entry point."""
    name = run.tags.get("mlflow.source.name", "").rstrip("/")
    entry = run.tags.get("mlflow.project.entryPoint", "")
    last = name.rpartition("/")[2] or name
    return f"{last}:{entry}" if entry and entry != "main" else last


def moment(milliseconds: int | None) -> str:
    """Return a time as the clock on the wall shows it: ``2026-11-21 08:40:11``."""
    if milliseconds is None:
        return "-"
    try:
        return local(milliseconds).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)


def local(milliseconds: int) -> datetime:
    """Return a time in the local time zone."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone()


def took(run: TrackedRun, now: datetime) -> str:
    """Return how long a run took, or has been running."""
    seconds = duration(run, now)
    return "-" if seconds is None else span(seconds)


def duration(run: TrackedRun, now: datetime) -> float | None:
    """Return the seconds from a run's start to its end, or until now while it runs."""
    if run.started is None:
        return None
    if run.ended is None and run.status != "RUNNING":
        return None
    end = now.timestamp() * 1000 if run.ended is None else run.ended
    return max(0.0, (end - run.started) / 1000)


def span(seconds: float) -> str:
    """Return a duration in two units at most: ``0.8 s``, ``3 min 20 s``, ``2 d 5 h``."""
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def size(count: int) -> str:
    """Return a number of bytes: ``512 B``, ``1.2 kB``, ``3.4 GB``."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004 - a kilobyte
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def number(metric: Metric) -> str:
    """Return a measured value with as many digits as it has."""
    return f"{metric.value:.10g}"


def short_number(metric: Metric | None) -> str:
    """Return a measured value as tables show it; nothing where none was measured."""
    return "" if metric is None else f"{metric.value:.6g}"


def course(history: Sequence[Metric]) -> list[JSON]:
    """Return a metric's history as a JSON document."""
    return [
        {"step": m.step, "value": finite(m.value), "time": instant(m.timestamp)} for m in history
    ]


def extremes(history: Sequence[Metric]) -> tuple[str, str]:
    """Return the smallest and the largest value of a history; ``nan`` when there is no number."""
    values = [m.value for m in history if not math.isnan(m.value)] or [math.nan]
    return f"{min(values):.6g}", f"{max(values):.6g}"


def measured(metric: Metric | None) -> JSON:
    """Return a measured value as JSON knows it."""
    return None if metric is None else finite(metric.value)


def rounded(seconds: float | None) -> float | None:
    """Return a duration to the millisecond."""
    return None if seconds is None else round(seconds, 3)


def page(
    run: TrackedRun, experiment: str, record: Mapping[str, JSON], now: datetime
) -> Iterator[tuple[str, str]]:
    """Return what is to be known of a run before its values, as labels and texts."""
    yield "run", f"{run.name} ({run.run_id})"
    yield "experiment", f"{experiment} ({run.experiment_id})"
    yield "status", _status(run, record)
    if run.started is not None:
        yield "started", f"{moment(run.started)} ({_ago(run.started, now)})"
    if run.ended is not None:
        yield "ended", moment(run.ended)
    yield "took", took(run, now)
    if who := user(run):
        yield "user", who
    if parent := run.tags.get("mlflow.parentRunId"):
        yield "parent", parent
    yield from _origin(run, record)
    yield "artifacts in", run.artifact_uri


def _status(run: TrackedRun, record: Mapping[str, JSON]) -> str:
    outcome = _part(record, "outcome")
    words = []
    if "exit_code" in outcome:
        words.append(f"exit code {outcome['exit_code']}")
    if "signal" in outcome:
        words.append(f"signal {outcome['signal']}")
    if outcome.get("phase") not in {None, "command"}:
        words.append(f"in phase {outcome['phase']}")
    if outcome.get("reason") not in {None, "exit", "signal"}:
        words.append(str(outcome["reason"]))
    detail = f": {outcome['detail']}" if outcome.get("detail") else ""
    deleted = "" if run.lifecycle == "active" else ", deleted"
    return run.status + deleted + (f" ({', '.join(words)})" if words else "") + detail


def _origin(run: TrackedRun, record: Mapping[str, JSON]) -> Iterator[tuple[str, str]]:
    """Say what ran: from the record, else from MLflow's tags."""
    origin = _part(record, "source")
    tags = run.tags
    if where := origin.get("location") or tags.get("mlflow.source.name"):
        inside = f"#{origin['subdirectory']}" if origin.get("subdirectory") else ""
        yield "source", f"{where}{inside}"
    if commit := origin.get("commit") or tags.get("mlflow.source.git.commit"):
        branch = origin.get("branch") or tags.get("mlflow.source.git.branch")
        dirty = origin.get("dirty") or tags.get("mlflow.source.git.dirty") == "true"
        notes = [f"branch {branch}"] * bool(branch) + ["with changes"] * bool(dirty)
        yield "commit", f"{commit}" + (f" ({', '.join(notes)})" if notes else "")
    if origin.get("tree"):
        yield "tree", str(origin["tree"])
    if entry := record.get("entry_point") or tags.get("mlflow.project.entryPoint"):
        yield "entry point", str(entry)
    if script := _part(record, "command").get("script"):
        yield "command", str(script)
    environment = _part(record, "environment")
    if manager := environment.get("manager") or tags.get("mlflow.project.env"):
        lock = _part(environment, "lock")
        python = f", Python {lock['python']}" if lock.get("python") else ""
        file = f", {lock['name']} {lock['digest']}" if lock.get("name") else ""
        yield "environment", f"{manager}{python}{file}"
    usage = _part(_part(record, "outcome"), "usage")
    if usage:
        cpu = sum(float(str(usage.get(kind, 0))) for kind in ("user", "system"))
        yield "used", f"{cpu:.1f} s CPU, {size(int(str(usage.get('peak_memory', 0))))} memory"


def _part(document: Mapping[str, JSON], name: str) -> Mapping[str, JSON]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _ago(milliseconds: int, now: datetime) -> str:
    seconds = now.timestamp() - milliseconds / 1000
    return f"{span(seconds)} ago" if seconds >= 0 else "in the future"


def summary(run: TrackedRun, experiment: str, now: datetime) -> dict[str, JSON]:
    """Return a run as a JSON document; times are ISO 8601 in UTC."""
    return {
        "run_id": run.run_id,
        "name": run.name,
        "experiment_id": run.experiment_id,
        "experiment": experiment,
        "status": run.status,
        "lifecycle": run.lifecycle,
        "started": instant(run.started),
        "ended": instant(run.ended),
        "duration": rounded(duration(run, now)),
        "user": user(run),
        "artifact_uri": run.artifact_uri,
        "params": dict(run.params),
        "metrics": {
            key: {"value": finite(m.value), "step": m.step, "time": instant(m.timestamp)}
            for key, m in run.metrics.items()
        },
        "tags": dict(run.tags),
    }


def listing(artifacts: Iterable[Artifact]) -> list[JSON]:
    """Return files as a JSON document."""
    return [{"path": artifact.path, "size": artifact.size} for artifact in artifacts]


def instant(milliseconds: int | None) -> str | None:
    """Return a time as ISO 8601 in UTC."""
    if milliseconds is None:
        return None
    try:
        exact = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return exact.isoformat(timespec="milliseconds")


def finite(value: float) -> JSON:
    """Return a number as JSON knows it; the others as text, like MLflow's REST API."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
