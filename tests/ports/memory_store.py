"""A tracking store in memory: the port's contract in its plainest form, for fast tests."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

from runner.model.run import Artifact
from runner.model.tracking import Experiment, Metric, RunPage, TrackedRun
from runner.model.value import changed
from runner.stores import paging, rules
from runner.stores.artifacts import plain_path
from runner.stores.rules import completed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runner.model.run import RunStatus
    from runner.model.value import RunId


class MemoryArtifacts:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def folder(self) -> None:
        return None

    def put(self, path: str, content: BinaryIO | bytes) -> None:
        plain = plain_path(path)
        if not plain:
            raise rules.refused("an artifact needs a name")
        above = {plain[:at] for at, letter in enumerate(plain) if letter == "/"}
        if above & self.files.keys() or any(name.startswith(f"{plain}/") for name in self.files):
            raise rules.refused("both a file and a folder")
        self.files[plain] = content if isinstance(content, bytes) else b"".join(_chunks(content))

    def open(self, path: str) -> BinaryIO:
        plain = plain_path(path)
        if plain not in self.files:
            raise rules.missing(f"there is no artifact {path!r}")
        return io.BytesIO(self.files[plain])

    def list(self, path: str = "") -> tuple[Artifact, ...]:
        start = plain_path(path)
        return tuple(
            Artifact(path=name, size=len(content))
            for name, content in sorted(self.files.items())
            if not start or name == start or name.startswith(f"{start}/")
        )

    def delete(self, path: str) -> None:
        for artifact in self.list(path):
            del self.files[artifact.path]


def _chunks(content: BinaryIO) -> Iterator[bytes]:
    while chunk := content.read(1 << 20):
        yield chunk


class MemoryStore:
    """Implements ``runner.ports.TrackingStore``."""

    uri = "memory:"
    own_ids: None = None
    artifact_root: None = None
    model_store: None = None
    lineage_store: None = None
    registry_store: None = None

    def __init__(self) -> None:
        self._experiments = {
            "0": Experiment(experiment_id="0", name="Default", artifact_location="memory:0")
        }
        self._runs: dict[str, TrackedRun] = {}
        self._histories: dict[tuple[str, str], list[Metric]] = {}
        self._files: dict[str, MemoryArtifacts] = {}

    def close(self) -> None:
        pass

    def experiment(self, experiment_id: str) -> Experiment:
        if experiment_id not in self._experiments:
            raise rules.no_experiment(experiment_id)
        return self._experiments[experiment_id]

    def experiment_named(self, name: str) -> Experiment | None:
        return next((e for e in self._experiments.values() if e.name == name), None)

    def experiments(self) -> tuple[Experiment, ...]:
        return tuple(self._experiments.values())

    def create_experiment(
        self, name: str, *, artifact_location: str | None = None, tags: Mapping[str, str] = {}
    ) -> Experiment:
        rules.check_experiment(name, tags)
        if self.experiment_named(name):
            raise rules.taken(f"there is an experiment named {name!r} already")
        number = str(len(self._experiments))
        made = Experiment(
            experiment_id=number,
            name=name,
            artifact_location=artifact_location or f"memory:{number}",
            created=len(self._experiments),
            updated=len(self._experiments),
            tags=dict(tags),
        )
        self._experiments[number] = made
        return made

    def update_experiment(
        self, experiment_id: str, *, name: str | None = None, tags: Mapping[str, str] = {}
    ) -> Experiment:
        rules.check_experiment("unchanged" if name is None else name, tags)
        experiment = self.experiment(experiment_id)
        rules.check_changeable(experiment)
        namesake = None if name is None else self.experiment_named(name)
        if namesake and namesake is not experiment:
            raise rules.taken("the name is taken")
        made = changed(experiment, name=name or experiment.name, tags={**experiment.tags, **tags})
        self._experiments[experiment_id] = made
        return made

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        experiment = self.experiment(experiment_id)
        rules.check_changeable(experiment)
        if key not in experiment.tags:
            raise rules.no_experiment_tag(experiment_id, key)
        kept = {name: value for name, value in experiment.tags.items() if name != key}
        self._experiments[experiment_id] = changed(experiment, tags=kept)

    def delete_experiment(self, experiment_id: str) -> None:
        self._set_lifecycle(experiment_id, "deleted")

    def restore_experiment(self, experiment_id: str) -> None:
        self._set_lifecycle(experiment_id, "active")

    def _set_lifecycle(self, experiment_id: str, lifecycle: str) -> None:
        experiment = self.experiment(experiment_id)
        if experiment.lifecycle == lifecycle:
            raise rules.no_experiment(experiment_id)
        self._experiments[experiment_id] = changed(experiment, lifecycle=lifecycle)
        for run_id, run in self._runs.items():
            if run.experiment_id == experiment_id:
                self._runs[run_id] = changed(run, lifecycle=lifecycle)

    def create_run(self, run: TrackedRun) -> TrackedRun:
        run = completed(run)
        params = {key: rules.storable(value) for key, value in run.params.items()}
        tags = {key: rules.storable(value) for key, value in run.tags.items()}
        run = changed(run, params=params, tags=tags)
        experiment = self.experiment(run.experiment_id)
        if experiment.lifecycle != "active":
            raise rules.not_active("experiment", experiment.name)
        location = experiment.artifact_location
        if run.run_id in self._runs:
            raise rules.taken(f"there is a run {run.run_id!r} already")
        run = changed(run, artifact_uri=run.artifact_uri or f"{location}/{run.run_id}/artifacts")
        self._runs[run.run_id] = run
        self._files[run.run_id] = MemoryArtifacts()
        return run

    def run(self, run_id: RunId) -> TrackedRun:
        if run_id not in self._runs:
            raise rules.no_run(run_id)
        return self._runs[run_id]

    def _active(self, run_id: RunId) -> TrackedRun:
        run = self.run(run_id)
        if run.lifecycle != "active":
            raise rules.not_active("run", run_id)
        return run

    def update_run(
        self,
        run_id: RunId,
        *,
        status: RunStatus | None = None,
        ended: int | None = None,
        name: str | None = None,
        tags: Mapping[str, str] = {},
    ) -> TrackedRun:
        rules.check_run(run_id, name or "", status)
        run = self._active(run_id)
        tags = {**tags, rules.RUN_NAME_TAG: name} if name else tags
        rules.check_tags(tags)
        self._runs[run_id] = changed(
            run,
            status=status or run.status,
            ended=run.ended if ended is None else ended,
            name=tags.get(rules.RUN_NAME_TAG, run.name),
            tags={**run.tags, **tags},
        )
        return self._runs[run_id]

    def log(
        self,
        run_id: RunId,
        *,
        metrics: Iterable[Metric] = (),
        params: Mapping[str, str] = {},
        tags: Mapping[str, str] = {},
    ) -> None:
        metrics = tuple(metrics)
        rules.check_metrics(metrics)
        rules.check_params(params)
        run = self._active(run_id)
        for key, value in params.items():
            rules.check_again(run_id, key, run.params.get(key, value), value)
        latest = dict(run.metrics)
        for metric in metrics:
            self._histories.setdefault((run_id, metric.key), []).append(metric)
            known = latest.get(metric.key, metric)
            latest[metric.key] = max(known, metric, key=lambda m: (m.step, m.timestamp, m.value))
        self._runs[run_id] = changed(run, params={**params, **run.params}, metrics=latest)
        self.update_run(run_id, tags=tags)

    def delete_tag(self, run_id: RunId, key: str) -> None:
        run = self._active(run_id)
        if key not in run.tags:
            raise rules.no_tag(run_id, key)
        kept = {name: value for name, value in run.tags.items() if name != key}
        self._runs[run_id] = changed(run, tags=kept)

    def history(self, run_id: RunId, key: str) -> tuple[Metric, ...]:
        self.run(run_id)
        found = self._histories.get((run_id, key), [])
        return tuple(sorted(found, key=lambda m: (m.timestamp, m.step)))

    def runs(
        self,
        experiment_ids: Iterable[str],
        *,
        limit: int = 100,
        page: str | None = None,
        prefix: str = "",
        lifecycle: str = "active",
    ) -> RunPage:
        rules.check_lifecycle(lifecycle)
        wanted = set(experiment_ids)
        before = paging.start(page) if page else (1 << 62, "")
        found = [
            run
            for run in self._runs.values()
            if run.experiment_id in wanted
            and lifecycle in {"all", run.lifecycle}
            and run.run_id.startswith(prefix)
            and (run.started or 0, run.run_id) < before
        ]
        found.sort(key=lambda run: (run.started or 0, run.run_id), reverse=True)
        shown = tuple(found[:limit])
        return RunPage(runs=shown, next_page=paging.after(shown[-1]) if found[limit:] else None)

    def move_run(self, run_id: RunId, experiment_id: str) -> TrackedRun:
        location = self.experiment(experiment_id).artifact_location
        self._runs[run_id] = changed(
            self._active(run_id),
            experiment_id=experiment_id,
            artifact_uri=f"{location}/{run_id}/artifacts",
        )
        return self._runs[run_id]

    def artifacts(self, run: TrackedRun) -> MemoryArtifacts:
        return self._files[run.run_id]

    def delete_run(self, run_id: RunId) -> None:
        self._runs[run_id] = changed(self.run(run_id), lifecycle="deleted")

    def restore_run(self, run_id: RunId) -> None:
        self._runs[run_id] = changed(self.run(run_id), lifecycle="active")
