"""The columns of listings: what can be shown of a run, as text and as a value."""

from __future__ import annotations

from fnmatch import fnmatchcase

from runner.cli import run_views
from runner.cli.table import Heading
from runner.errors import UsageError
from runner.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from typing import Any, Protocol

    from runner.codec import JSON
    from runner.model.tracking import TrackedRun

    class Keyed(Protocol):
        """What has params, metrics and tags: a run, or what is known of several."""

        @property
        def params(self) -> Mapping[str, Any]:
            """Its params by name."""

        @property
        def metrics(self) -> Mapping[str, Any]:
            """Its metrics by name."""

        @property
        def tags(self) -> Mapping[str, Any]:
            """Its tags by name."""


DEFAULT = ("run", "status", "started", "took", "experiment", "name", "source")
SOURCES = {
    "params": "params",
    "param": "params",
    "metrics": "metrics",
    "metric": "metrics",
    "tags": "tags",
    "tag": "tags",
}
"""What a column with a dot asks for; MLflow's own spellings."""


class Setting(Value):
    """What a column may have to know beside its run: experiments by id, the time, ids' width."""

    experiments: Mapping[str, str]
    now: datetime
    width: int


class Column(Value):
    """One column: its cells as text for people, and as values for programs."""

    heading: Heading
    name: str
    text: Callable[[TrackedRun, Setting], str]
    value: Callable[[TrackedRun, Setting], JSON]


def _simple(
    name: str,
    read: Callable[[TrackedRun, Setting], str],
    *,
    value: Callable[[TrackedRun, Setting], JSON] | None = None,
    **look: bool,
) -> Column:
    heading = Heading(
        name=name.upper().replace("_", " "),
        colour=run_views.status_colour if name == "status" else None,
        **look,
    )
    return Column(heading=heading, name=name, text=read, value=value or read)


def _tagged(name: str, tag: str, *, short: int | None = None) -> Column:
    return _simple(
        name,
        lambda run, _: run.tags.get(tag, "")[:short],
        value=lambda run, _: run.tags.get(tag),
        elastic=True,
    )


PLAIN = {
    column.name: column
    for column in (
        _simple("run", lambda run, at: run.run_id[: at.width], value=lambda run, _: run.run_id),
        _simple("run_id", lambda run, _: run.run_id),
        _simple("status", lambda run, _: run_views.shown_status(run)),
        _simple(
            "started",
            lambda run, _: run_views.moment(run.started),
            value=lambda run, _: run_views.instant(run.started),
        ),
        _simple(
            "ended",
            lambda run, _: run_views.moment(run.ended),
            value=lambda run, _: run_views.instant(run.ended),
        ),
        _simple(
            "took",
            lambda run, at: run_views.took(run, at.now),
            value=lambda run, at: run_views.rounded(run_views.duration(run, at.now)),
        ),
        _simple(
            "experiment",
            lambda run, at: at.experiments.get(run.experiment_id, run.experiment_id),
            elastic=True,
        ),
        _simple("name", lambda run, _: run.name, elastic=True),
        _simple("source", lambda run, _: run_views.source(run), elastic=True),
        _simple("user", lambda run, _: run_views.user(run), elastic=True),
        _simple("artifacts", lambda run, _: run.artifact_uri, elastic=True),
        _tagged("commit", "mlflow.source.git.commit", short=10),
        _tagged("branch", "mlflow.source.git.branch"),
        _tagged("entry_point", "mlflow.project.entryPoint"),
        _tagged("parent", "mlflow.parentRunId", short=8),
        _tagged("note", "mlflow.note.content"),
    )
}
"""The columns without a dot, by name."""


def columns(wanted: str | None, runs: Sequence[Keyed]) -> list[Column]:
    """Return the columns that were asked for; a ``+`` in front adds them to the usual ones.

    ``metrics.*`` stands for all metrics that the runs have.

    Raises:
        UsageError: There is no such column.
    """
    names = (wanted or "").strip()
    found: list[Column] = []
    if not names or names.startswith("+"):
        found += [PLAIN[name] for name in DEFAULT]
    for name in filter(None, (part.strip() for part in names.removeprefix("+").split(","))):
        found += _named(name, runs)
    return found


def _named(name: str, runs: Sequence[Keyed]) -> list[Column]:
    plain = name.lower().replace("-", "_").replace(" ", "_")
    if plain in PLAIN:
        return [PLAIN[plain]]
    prefix, dot, key = name.partition(".")
    source = SOURCES.get(prefix.lower())
    key = key.strip('`"')
    if not (dot and source and key):
        raise _unknown(name)
    if not any(mark in key for mark in "*?["):
        return [_keyed(source, key)]
    found_keys = {k for run in runs for k in getattr(run, source) if fnmatchcase(k, key)}
    if not key.startswith("sys"):  # '*' are the results, not what the machine was doing
        found_keys = {k for k in found_keys if not k.startswith(run_views.SYSTEM)}
    keys = sorted(found_keys)
    return [_keyed(source, found) for found in keys]


def _keyed(source: str, key: str) -> Column:
    name = f"{source}.{key}"
    if source == "metrics":
        return Column(
            heading=Heading(name=name, right=True),
            name=name,
            text=lambda run, _: run_views.short_number(run.metrics.get(key)),
            value=lambda run, _: run_views.measured(run.metrics.get(key)),
        )

    def text(run: TrackedRun, _: Setting) -> str:
        return str(getattr(run, source).get(key, ""))

    def value(run: TrackedRun, _: Setting) -> JSON:
        found: str | None = getattr(run, source).get(key)
        return found

    return Column(heading=Heading(name=name, elastic=True), name=name, text=text, value=value)


def _unknown(name: str) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), PLAIN, n=1)
    known = f"{', '.join(PLAIN)}, params.NAME, metrics.NAME, tags.NAME"
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {known}"
    return UsageError(f"there is no column {name!r}", hint=hint)
