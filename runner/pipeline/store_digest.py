"""What a tracking store holds, as digests that are the same in every kind of store.

Left out is what stores choose themselves: where files lie, ids that a server made (the origin
stands for them), and the times that a server gives to models. Digests are taken over canonical
JSON, one for each part of a run or model, so that a difference can be named.
"""

from __future__ import annotations

from functools import partial

from runner.codec import digest, document
from runner.hashing import sha256
from runner.model.value import Value
from runner.pipeline.origins import COPIED_FROM, model_origin_of, origin_of, translated
from runner.pipeline.store_reading import RUN_NAME_TAG, every_run, listed, measured, name_of, point
from runner.pipeline.transfer_registry import plain, replaced, version_origin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runner.codec import JSON
    from runner.model.tracking import Experiment, Lineage, LoggedModel, TrackedRun
    from runner.model.value import Digest
    from runner.pipeline.tally import Scope
    from runner.ports import Artifacts, TrackingStore

    Parts = dict[str, Digest]

MODEL_VERSIONS = "mlflow.modelVersions"
"""The tag in which MLflow 3's servers note, beside the registry, how a model is registered."""
BLOCK = 1 << 20


class Comparison(Value):
    """How the contents of two stores compare; ``differences`` are sentences."""

    things: int
    digest: Digest
    other: Digest
    differences: tuple[str, ...]


def compare(
    source: TrackingStore, target: TrackingStore, *, scope: Scope, whole: bool = False
) -> Comparison:
    """Compare what two stores hold; the target may hold more, unless ``whole`` is asked for.

    Raises:
        StoreError: One of them cannot be read.
    """
    here = contents(source, scope)
    there = contents(target, scope, only=None if whole else frozenset(here))
    differences = [f"{name} is not in {target.uri}" for name in here if name not in there]
    differences += [f"{name} is not in {source.uri}" for name in there if name not in here]
    for name, parts in here.items():
        other = there.get(name, parts)
        if wrong := [part for part in parts if parts[part] != other.get(part)]:
            differences.append(f"{name} differs in its {', '.join(wrong)}")
    return Comparison(
        things=len(here),
        digest=digest(document(here)),
        other=digest(document(there)),
        differences=tuple(differences),
    )


def contents(
    store: TrackingStore, scope: Scope, *, only: frozenset[str] | None = None
) -> dict[str, Parts]:
    """Return the digests of all that a store holds, by what they are of.

    ``only`` leaves out what is named otherwise.
    """
    reading = Reading(store)
    experiments = [
        experiment
        for experiment in store.experiments()
        if (not scope.experiments or experiment.name in scope.experiments)
        and (only is None or f"experiment {experiment.name}" in only)
    ]
    reading.learn([experiment.experiment_id for experiment in experiments])
    things = [thing for experiment in experiments for thing in reading.things(experiment)]
    found = {name: parts() for name, parts in things if only is None or name in only}
    if scope.registry:
        found |= {n: p for n, p in reading.registered() if only is None or n in only}
    return dict(sorted(found.items()))


class Reading:
    """A store that is being read, with the origins of its runs and models."""

    def __init__(self, store: TrackingStore) -> None:
        self._store = store
        self._models = store.model_store
        self._lineages = store.lineage_store
        self.ids: dict[str, str] = {}
        self._places: dict[str, str] = {}

    def learn(self, experiment_ids: list[str]) -> None:
        """Find out which run is which."""
        for experiment_id in experiment_ids:
            for run in every_run(self._store, experiment_id):
                origin = self.ids[run.run_id] = origin_of(self._store, run)
                self._places[plain(run.artifact_uri)] = f"run:{origin}"
        for model in self.models(experiment_ids):
            origin = self.ids[model.model_id] = model_origin_of(self._store, model)
            self._places[plain(model.artifact_uri)] = f"model:{origin}"

    def things(self, experiment: Experiment) -> Iterator[tuple[str, Callable[[], Parts]]]:
        """Yield what an experiment holds by name, with what reads it."""
        yield (
            f"experiment {experiment.name}",
            lambda: {
                "tags": digest(document(experiment.tags)),
                "lifecycle": digest(experiment.lifecycle),
            },
        )
        for run in every_run(self._store, experiment.experiment_id):
            yield f"run {self.ids[run.run_id]}", partial(self.run, run, experiment.name)
        for model in self.models([experiment.experiment_id]):
            name = f"logged model {self.ids[model.model_id]}"
            yield name, partial(self.model, model, experiment.name)

    def models(self, experiment_ids: list[str]) -> tuple[LoggedModel, ...]:
        """Return the logged models of some experiments."""
        return self._models.models(experiment_ids) if self._models else ()

    def run(self, run: TrackedRun, experiment: str) -> Parts:
        """Return the digests of a run's parts."""
        facts: dict[str, JSON] = {
            "experiment": experiment,
            "name": name_of(run),
            "status": run.status,
            "started": run.started,
            "ended": run.ended,
            "user": run.user,
            "lifecycle": run.lifecycle,
        }
        points = {point(m) for m in measured(self._store, run)}
        lineage = self._lineages.lineage(run.run_id) if self._lineages else None
        return {
            "facts": digest(facts),
            "parameters": digest(document(run.params)),
            "tags": digest(self._texts(run.tags)),
            "metrics": digest(_sorted(points)),
            "inputs and outputs": digest(self._lineage(lineage)),
            "files": _files(self._store.artifacts(run)),
        }

    def model(self, model: LoggedModel, experiment: str) -> Parts:
        """Return the digests of a logged model's parts."""
        facts: dict[str, JSON] = {
            "experiment": experiment,
            "name": model.name,
            "status": model.status,
            "type": model.model_type,
            "run": self.ids.get(model.source_run_id, model.source_run_id),
        }
        points = {
            (self.ids.get(m.run_id, m.run_id), *point(m.metric), m.dataset_name, m.dataset_digest)
            for m in model.metrics
        }
        assert self._models is not None  # noqa: S101 - it gave us the model
        return {
            "facts": digest(facts),
            "parameters": digest(document(model.params)),
            "tags": digest(self._texts(model.tags)),
            "metrics": digest(_sorted(points)),
            "files": _files(self._models.model_artifacts(model)),
        }

    def registered(self) -> Iterator[tuple[str, Parts]]:
        """Yield the digests of each registered model and of each of its versions."""
        registry = self._store.registry_store
        for model in registry.registered_models() if registry else ():
            versions = registry.versions(model.name) if registry else ()
            numbers = {version.version: version_origin(version) for version in versions}
            aliases = {alias: numbers.get(n, str(n)) for alias, n in model.aliases.items()}
            yield (
                f"registered model {model.name}",
                {
                    "description": digest(model.description),
                    "tags": digest(document(model.tags)),
                    "aliases": digest(document(aliases)),
                },
            )
            for version in versions:
                facts: dict[str, JSON] = {
                    "stage": version.stage,
                    "status": version.status,
                    "description": version.description,
                    "run": self.ids.get(version.run_id, version.run_id),
                    "source": self._place(version.source),
                }
                yield (
                    f"version {numbers[version.version]} of {model.name}",
                    {"facts": digest(facts), "tags": digest(self._texts(version.tags))},
                )

    def _place(self, uri: str) -> str:
        if uri.startswith(("runs:/", "models:/")):
            return translated(uri, self.ids)
        return replaced(uri, self._places)

    def _texts(self, tags: Mapping[str, str]) -> JSON:
        ours = {RUN_NAME_TAG, COPIED_FROM, MODEL_VERSIONS}
        return {k: translated(v, self.ids) for k, v in tags.items() if k not in ours}

    def _lineage(self, lineage: Lineage | None) -> JSON:
        if lineage is None:
            return [[], [], []]
        datasets = sorted((document(d) for d in lineage.datasets), key=digest)
        models = sorted(self.ids.get(m, m) for m in lineage.models)
        outputs = sorted((self.ids.get(o.model_id, o.model_id), o.step) for o in lineage.outputs)
        return [[*datasets], [*models], [[*output] for output in outputs]]


def _sorted(points: set[tuple[object, ...]]) -> JSON:
    return document(sorted(([*map(_plain, p)] for p in points), key=repr))


def _plain(value: object) -> object:
    return float(value) if isinstance(value, float) else value


def _files(artifacts: Artifacts) -> Digest:
    """Return the digest over the paths, sizes and contents of files; none that we cannot read."""
    found: list[JSON] = []
    for artifact in listed(artifacts) or ():
        hashed = sha256()
        with artifacts.open(artifact.path) as content:
            while block := content.read(BLOCK):
                hashed.update(block)
        found.append([artifact.path, artifact.size, hashed.hexdigest()])
    return digest(found)
