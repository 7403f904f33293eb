"""A recorded run, packed with all that is needed to run it again, and unpacked elsewhere.

``run.json``
    the run as the store knows it, with the whole history of its metrics;
``artifacts/``
    its files, the record and the lock among them;
``models/<id>/``
    the files of the models that it logged (MLflow 3);
``source.tar.gz``
    the project's files as they ran;
``inputs/<digest>/``
    the files that its parameters named, up to a size;
``ro-crate-metadata.json``
    what it all is, with the size and the sha256 of each file (``runner.pipeline.crate``);
    ``ro-crate-metadata.json.sig`` is its signature, where it is signed.
"""

from __future__ import annotations

import json
import os
import zipfile
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from runner.codec import document, pretty
from runner.errors import RunprojError, StoreError
from runner.model.event import Warned
from runner.model.spec import Problem
from runner.model.tracking import LoggedModel, Metric, TrackedRun
from runner.model.value import RunId, Value, changed
from runner.pipeline.crate import METADATA, Packed, crate, listed
from runner.pipeline.draft import release
from runner.pipeline.produced import models_of
from runner.pipeline.record import FOLDER
from runner.pipeline.recorded import RecordedRun, recorded_run, source_of
from runner.system.files import Lock, cache_directory, file_digest, set_aside, write_whole
from runner.system.packing import packed
from runner.system.signing import signed, signer
from runner.system.trees import left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from runner.ports import Artifacts, Services, TrackingStore
    from runner.system.signing import Signer

BUNDLE_VERSION = 1
LARGEST_INPUT = 100 << 20
"""Bytes of an input that is packed unless another limit is asked for."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every file in a bundle, so that the same run makes the same bundle."""
SOURCE = "source.tar.gz"
SIGNATURE = f"{METADATA}.sig"
"""A signature of the metadata, and so of all files that they list (``runner.system.signing``)."""
CHUNK = 1 << 20


class Damage(Value):
    """What is wrong with one file of a bundle."""

    path: str
    reason: str


def export(
    recorded: RecordedRun,
    path: str,
    services: Services,
    *,
    largest_input: int = LARGEST_INPUT,
    key: str | None = None,
) -> tuple[Packed, ...]:
    """Write the bundle of a run, signed with an SSH key where one is given; return what is in it.

    Raises:
        UsageError: There is no such key.
        RunprojError: The project's files cannot be brought back, or the bundle not be written.
    """
    if recorded.is_foreign:
        raise StoreError(
            f"run {recorded.run.run_id} has no record of runproj, so it cannot be packed",
            hint="reproduce it first, and pack the new run",
        )
    partial = f"{path}.{os.urandom(4).hex()}.partial"
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            writer = _Writer(archive)
            writer.add("run.json", pretty(_run_document(recorded)), "record")
            writer.add(SOURCE, _source(recorded, services), "source")
            _add_inputs(recorded, writer, services, largest_input)
            _add_artifacts(recorded, writer)
            files = tuple(writer.files)
            project = recorded.record.get("project") or "a project"
            user = recorded.record.get("user") or "unknown"
            metadata = pretty(crate(recorded.run, files, project=project, user=user))
            writer.add(METADATA, metadata, "")
            if key:
                writer.add(SIGNATURE, signed(metadata, key, services.environ), "")
        os.replace(partial, path)
    except OSError as error:
        raise RunprojError(f"the bundle cannot be written: {error.strerror}", where=path) from None
    finally:
        if os.path.exists(partial):
            os.unlink(partial)
    return files


class _Writer:
    """Adds files to a zip archive and takes note of what they are."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.files: list[Packed] = []

    def add(self, path: str, content: bytes, role: str) -> None:
        entry = zipfile.ZipInfo(path, EPOCH)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        self._archive.writestr(entry, content)
        self.files.append(
            Packed(path=path, size=len(content), sha256=sha256(content).hexdigest(), role=role)
        )


def _run_document(recorded: RecordedRun) -> dict[str, Any]:
    run, store = recorded.run, recorded.store
    histories = {
        name: [[m.step, m.timestamp, repr(m.value)] for m in store.history(run.run_id, name)]
        for name in sorted(run.metrics)
    }
    described = document(changed(run, metrics={}, artifact_uri=""))
    assert isinstance(described, dict)  # noqa: S101 - a Value is always written as an object
    models = [
        {
            "model_id": model.model_id,
            "name": model.name,
            "status": model.status,
            "model_type": model.model_type,
            "created": model.created,
            "params": dict(model.params),
            "tags": dict(model.tags),
        }
        for _, model in models_of(store, run)
    ]
    return {"version": BUNDLE_VERSION, **described, "metrics": histories, "models": models}


def _source(recorded: RecordedRun, services: Services) -> bytes:
    """Pack the files that ran; those of a plain folder without what is no part of it."""
    recorded_source = source_of(recorded)
    origin = recorded_source.provenance
    tree = services.restorer.restore(recorded_source)
    try:
        if os.path.exists(os.path.join(tree.root, ".gitmodules")):
            raise StoreError("projects with submodules cannot be packed yet", where=tree.root)
        whole = bool(origin.commit or origin.patch or origin.untracked)
        return packed(tree.root, sorted(_files(tree.root, whole=whole), key=os.fsencode))
    finally:
        release(tree)


def _files(root: str, *, whole: bool) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            is_folder = name in folders and not os.path.islink(path)
            unwanted = name == ".git" if whole else left_out(path, folder=is_folder) is not None
            if unwanted and is_folder:
                folders.remove(name)
            elif not unwanted and not is_folder:
                yield os.path.relpath(path, root)


def _add_inputs(recorded: RecordedRun, writer: _Writer, services: Services, largest: int) -> None:
    """Pack the inputs that are files, still what they were, and not too large; tell of the rest."""
    done: set[str] = set()
    for item in recorded.record.get("inputs", []):
        path, digest = str(item["path"]), str(item["digest"])
        place = f"inputs/{digest.rpartition(':')[2]}/{os.path.basename(path)}"
        if place in done:
            continue
        why = _unfit(path, digest, item["size"], largest)
        if why:
            message = f"the input {item['given']!r} is not packed: {why}"
            problem = Problem(severity="warning", rule="input-not-packed", message=message)
            services.reporter.report(Warned(problem=problem))
            continue
        done.add(place)
        with open(path, "rb") as file:
            writer.add(place, file.read(), "input")


def _unfit(path: str, digest: str, size: int, largest: int) -> str | None:
    if size > largest:
        return f"it has {size} bytes, more than {largest}"
    if not os.path.isfile(path):
        return "it is no file" if os.path.exists(path) else "it is not there any more"
    return None if file_digest(path) == digest else "it has changed since the run"


def _add_artifacts(recorded: RecordedRun, writer: _Writer) -> None:
    artifacts = recorded.artifacts
    for item in sorted(artifacts.list(), key=lambda a: a.path):
        role = "record" if item.path.startswith(f"{FOLDER}/") else "result"
        with artifacts.open(item.path) as file:
            writer.add(f"artifacts/{item.path}", file.read(), role)
    models = recorded.store.model_store
    for _, model in models_of(recorded.store, recorded.run) if models else ():
        files = models.model_artifacts(model) if models else artifacts
        for item in sorted(files.list(), key=lambda a: a.path):
            with files.open(item.path) as file:
                writer.add(f"models/{model.model_id}/{item.path}", file.read(), "result")


# --- reading


def damage(path: str) -> tuple[Damage, ...]:
    """Check every file of a bundle against its metadata; nothing when all is well.

    Raises:
        StoreError: It is no bundle.
    """
    with _opened(path) as archive:
        files = {file.path: file for file in _listed(archive, path)}
        there = {i.filename: i for i in archive.infolist() if not i.is_dir()}
        found = [Damage(path=p, reason="is missing") for p in files if p not in there]
        found += [
            Damage(path=p, reason="is not listed")
            for p in there
            if p not in files and p not in {METADATA, SIGNATURE}
        ]
        for name in sorted(files.keys() & there.keys()):
            if reason := _wrong(archive, files[name], there[name].file_size):
                found.append(Damage(path=name, reason=reason))
    return tuple(found)


def signature(path: str, allowed: str | None, variables: Mapping[str, str]) -> Signer | str | None:
    """Return who signed a bundle, why the signature does not count, or None where there is none.

    Raises:
        StoreError: It is no bundle.
        UsageError: There is no file of ``allowed`` signers of that name.
    """
    with _opened(path) as archive:
        _listed(archive, path)
        if SIGNATURE not in archive.namelist():
            return None
        metadata, made = archive.read(METADATA), archive.read(SIGNATURE)
    return signer(metadata, made, allowed, variables)


def _wrong(archive: zipfile.ZipFile, file: Packed, size: int) -> str | None:
    if size != file.size:
        return f"has {size} bytes, not {file.size}"
    hasher = sha256()
    try:
        with archive.open(file.path) as content:
            while chunk := content.read(CHUNK):
                hasher.update(chunk)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        return f"cannot be read: {error}"
    return None if hasher.hexdigest() == file.sha256 else "has another sha256"


def _opened(path: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise StoreError(f"the bundle cannot be read: {error.strerror}", where=path) from None
    except zipfile.BadZipFile:
        raise StoreError("this is no bundle: no zip file", where=path) from None


def _listed(archive: zipfile.ZipFile, path: str) -> tuple[Packed, ...]:
    try:
        return listed(json.loads(archive.read(METADATA)))
    except (KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"this is no bundle: {METADATA} cannot be read",
            where=path,
            hint="'runproj export RUN' makes bundles",
        ) from error


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
    with Lock(f"{place}.lock"), _opened(path) as archive:
        store = opened(f"sqlite:///{os.path.join(place, 'mlflow.db')}")
        try:
            run_id = _unpacked(archive, place, home, store)
            run = store.run(run_id)
            found = recorded_run(store, run)
        except (KeyError, ValueError, TypeError) as error:
            raise StoreError(f"the bundle is malformed: {error}", where=path) from None
        record = {**found.record, "inputs": [*_here(found.record.get("inputs", []), place)]}
        return changed(found, record=record, source_archive=archive.read(SOURCE))


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
            _put_input(place, rest, archive.read(name))
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
    made = models.create_model(
        LoggedModel(
            experiment_id="0", source_run_id=run_id, updated=described["created"], **described
        )
    )
    return models.model_artifacts(made)


def _metrics(histories: dict[str, list[list[Any]]]) -> Iterator[Metric]:
    for key, values in histories.items():
        for step, timestamp, value in values:
            yield Metric(key=key, value=float(value), timestamp=timestamp, step=step)


def _put_input(place: str, name: str, content: bytes) -> None:
    root = os.path.join(place, "inputs")
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
