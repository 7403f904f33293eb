"""Runs side by side: which values differ, and which is the best."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase

from runner.cli import run_views
from runner.model.value import Value, changed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from runner.model.tracking import TrackedRun

LOWER = ("loss", "err", "rmse", "mse", "mae", "mape", "perplexity", "latency", "duration", "regret")
HIGHER = (
    *("acc", "auc", "f1", "precision", "recall", "r2", "score", "iou", "bleu", "rouge"),
    *("throughput", "reward"),
)
"""Words in the names of metrics that tell which direction is the good one."""
TOLD = frozenset(
    {
        *("mlflow.runName", "mlflow.user", "mlflow.source.name", "mlflow.source.git.commit"),
        *("mlflow.source.git.branch", "mlflow.project.entryPoint", "runproj.duration"),
        *("runproj.cpu", "runproj.peak_memory", "runproj.exit_code", run_views.NOTE),
    }
)
"""Tags whose values are shown as facts, or differ from run to run by nature."""


class Line(Value):
    """One row of a comparison: a name and a text for each run, empty where it has none.

    ``best`` are the positions of the best values, where we know what is good.
    """

    name: str
    texts: tuple[str, ...]
    best: tuple[int, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether the runs do not all have the same."""
        return len(set(self.texts)) > 1


class Section(Value):
    """Rows of one kind."""

    title: str
    lines: tuple[Line, ...]


class Goals(Value):
    """Patterns of metrics whose lowest, or highest, value is the best."""

    lower: tuple[str, ...] = ()
    higher: tuple[str, ...] = ()

    def best(self, name: str) -> Callable[[Iterable[float]], float] | None:
        """Return what picks the best of some values; None when nobody knows."""
        if any(fnmatchcase(name, pattern) for pattern in self.lower):
            return min
        if any(fnmatchcase(name, pattern) for pattern in self.higher):
            return max
        plain = name.lower()
        if any(word in plain for word in LOWER):
            return min
        return max if any(word in plain for word in HIGHER) else None


def sections(
    runs: Sequence[TrackedRun], experiments: Mapping[str, str], now: datetime, goals: Goals
) -> tuple[Section, ...]:
    """Compare some runs, value by value."""
    measured = [*_metrics(runs, goals)]
    return (
        Section(title="run", lines=tuple(_facts(runs, experiments, now))),
        Section(title="parameters", lines=tuple(_texts(runs, lambda run: run.params))),
        Section(
            title="metrics",
            lines=tuple(x for x in measured if not x.name.startswith(run_views.SYSTEM)),
        ),
        Section(
            title="tags",
            lines=tuple(
                _texts(runs, lambda run: {k: v for k, v in run.tags.items() if k not in TOLD})
            ),
        ),
        Section(
            title="system",
            lines=tuple(
                changed(x, name=x.name.removeprefix(run_views.SYSTEM), best=())
                for x in measured
                if x.name.startswith(run_views.SYSTEM)
            ),
        ),
    )


def _facts(
    runs: Sequence[TrackedRun], experiments: Mapping[str, str], now: datetime
) -> Iterator[Line]:
    readers: dict[str, Callable[[TrackedRun], str]] = {
        "name": lambda run: run.name,
        "status": run_views.shown_status,
        "exit code": lambda run: run.tags.get("runproj.exit_code", ""),
        "started": lambda run: run_views.moment(run.started),
        "took": lambda run: run_views.took(run, now),
        "experiment": lambda run: experiments.get(run.experiment_id, run.experiment_id),
        "user": run_views.user,
        "source": lambda run: run.tags.get("mlflow.source.name", ""),
        "entry point": lambda run: run.tags.get("mlflow.project.entryPoint", ""),
        "branch": lambda run: run.tags.get("mlflow.source.git.branch", ""),
        "commit": lambda run: run.tags.get("mlflow.source.git.commit", "")[:12],
    }
    for name, read in readers.items():
        texts = tuple(map(read, runs))
        if any(texts):
            yield Line(name=name, texts=texts)


def _texts(
    runs: Sequence[TrackedRun], read: Callable[[TrackedRun], Mapping[str, str]]
) -> Iterator[Line]:
    for key in sorted({key for run in runs for key in read(run)}):
        yield Line(name=key, texts=tuple(read(run).get(key, "") for run in runs))


def _metrics(runs: Sequence[TrackedRun], goals: Goals) -> Iterator[Line]:
    for key in sorted({key for run in runs for key in run.metrics}):
        found = [run.metrics.get(key) for run in runs]
        texts = tuple("" if metric is None else run_views.number(metric) for metric in found)
        values = {at: m.value for at, m in enumerate(found) if m and not math.isnan(m.value)}
        best: tuple[int, ...] = ()
        choose = goals.best(key)
        if choose and len(set(values.values())) > 1:
            top = choose(values.values())
            best = tuple(at for at, value in values.items() if value == top)
        yield Line(name=key, texts=texts, best=best)
