"""A bundle -> its run in a store of its own, from which it is reproduced like any other."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from runner.errors import StoreError
from runner.model.tracking import LoggedModel, Metric, ModelMetric, TrackedRun
from runner.model.value import RunId, changed
from runner.pipeline.bundle import BUNDLE_VERSION, PACKAGES, SOURCE, damage, opened_bundle
from runner.pipeline.recorded import RecordedRun, recorded_run
from runner.system.files import Lock, cache_directory, file_digest, set_aside, write_whole

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Callable, Iterator

    from runner.ports import Artifacts, TrackingStore


def imported(path: str, home: str, opened: Callable[[str], TrackingStore]) -> RecordedRun:
    """Unpack a bundle into a store of its own in the cache, and return its run.

    Raises:
        StoreError: It is no bundle, or a damaged one.
    """
    wrong = damage(path)
    if wrong:
        raise StoreError(
            f"the bundle is damaged: {wrong[0].path} {wrong[0].reason}",
            where=path,
            hint="'runproj verify' tells everything that is wrong with it",
        )
    identity = file_digest(path).rpartition(":")[2][:32]
    place = os.path.join(cache_directory(home, "bundles"), identity)
    with Lock(f"{place}.lock"), opened_bundle(path) as archive:
        store = opened(f"sqlite:///{os.path.join(place, 'mlflow.db')}")
        try:
            run_id = _unpacked(archive, place, home, store)
            run = store.run(run_id)
            found = recorded_run(store, run)
        except (KeyError, ValueError, TypeError) as error:
            raise StoreError(f"the bundle is malformed: {error}", where=path) from None
        record = {**found.record, "inputs": [*_here(found.record.get("inputs", []), place)]}
        packages = os.path.join(place, PACKAGES)
        return changed(
            found, record=record, source_archive=archive.read(SOURCE),
            packages=packages if os.path.isdir(packages) else "",
        )  # fmt: skip


def _unpacked(archive: zipfile.ZipFile, place: str, home: str, store: TrackingStore) -> RunId:
    """Fill the store of a bundle, unless that was done before."""
    described = json.loads(archive.read("run.json"))
    if described["version"] != BUNDLE_VERSION:
        raise ValueError(f"it is of version {described['version']}")
    run_id = RunId(str(described["run_id"]))
    done = os.path.join(place, "complete")
    if os.path.exists(done):
        return run_id
    set_aside(home, place)
    os.makedirs(place)
    run = store.create_run(_tracked(described, run_id))
    store.log(run_id, metrics=[*_metrics(described["metrics"])])
    artifacts = store.artifacts(run)
    models = {str(m["model_id"]): _model(store, run_id, m) for m in described.get("models", [])}
    for name in archive.namelist():
        kind, _, rest = name.partition("/")
        owner, _, inside = rest.partition("/")
        if kind == "models" and owner in models and inside:
            models[owner].put(inside, archive.read(name))
        if kind == "artifacts" and rest:
            artifacts.put(rest, archive.read(name))
        elif kind == "inputs" and rest:
            _put(os.path.join(place, "inputs"), rest, archive.read(name))
        elif kind == PACKAGES and rest:
            _put(os.path.join(place, PACKAGES), rest, archive.read(name))
    write_whole(done, b"")
    return run_id


def _tracked(described: dict[str, Any], run_id: RunId) -> TrackedRun:
    return TrackedRun(
        run_id=run_id,
        experiment_id="0",
        name=described["name"],
        status=described["status"],
        started=described.get("started"),
        ended=described.get("ended"),
        artifact_uri="",
        user=described.get("user", ""),
        params=described["params"],
        tags=described["tags"],
    )


def _model(store: TrackingStore, run_id: RunId, described: dict[str, Any]) -> Artifacts:
    """Add a logged model; return where its files go."""
    models = store.model_store
    if models is None:
        raise ValueError("the store has no place for models")
    points = [
        ModelMetric(
            model_id=described["model_id"],
            run_id=run_id,
            dataset_name=name,
            dataset_digest=digest,
            metric=Metric(key=key, value=float(value), timestamp=timestamp, step=step),
        )
        for key, step, timestamp, value, name, digest in described.get("metrics", ())
    ]
    made = models.create_model(
        LoggedModel(
            experiment_id="0", source_run_id=run_id, updated=described["created"],
            **{k: v for k, v in described.items() if k != "metrics"},
        )
    )  # fmt: skip
    if store.lineage_store:
        store.lineage_store.log_model_metrics(points)
    return models.model_artifacts(made)


def _metrics(histories: dict[str, list[list[Any]]]) -> Iterator[Metric]:
    for key, values in histories.items():
        for step, timestamp, value in values:
            yield Metric(key=key, value=float(value), timestamp=timestamp, step=step)


def _put(root: str, name: str, content: bytes) -> None:
    target = os.path.normpath(os.path.join(root, name))
    if not target.startswith(root + os.sep):
        raise ValueError(f"{name!r} leads out of the bundle")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    write_whole(target, content)


def _here(inputs: list[dict[str, Any]], place: str) -> Iterator[dict[str, Any]]:
    """Return inputs with the paths that they have now, where they were packed."""
    for item in inputs:
        digest = str(item["digest"]).rpartition(":")[2]
        path = os.path.join(place, "inputs", digest, os.path.basename(str(item["path"])))
        yield {**item, "path": path} if os.path.exists(path) else item
