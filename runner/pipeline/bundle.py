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
from runner.model.value import Value, changed
from runner.pipeline.crate import METADATA, Packed, crate, listed
from runner.pipeline.draft import release
from runner.pipeline.produced import models_of
from runner.pipeline.record import FOLDER
from runner.pipeline.recorded import RecordedRun, lock_of, source_of
from runner.system.files import file_digest
from runner.system.packing import packed
from runner.system.signing import signed, signer
from runner.system.trees import left_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.model.tracking import ModelMetric
    from runner.ports import Services
    from runner.system.signing import Signer

BUNDLE_VERSION = 1
LARGEST_INPUT = 100 << 20
"""Bytes of an input that is packed unless another limit is asked for."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every file in a bundle, so that the same run makes the same bundle."""
SOURCE = "source.tar.gz"
PACKAGES = "packages"
"""The folder of what the environment is installed from, where that is packed."""
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
    with_packages: bool = False,
) -> tuple[Packed, ...]:
    """Write the bundle of a run, signed with an SSH key where one is given; return what is in it.

    ``with_packages`` adds what the environment is installed from, so that it can be built offline.

    Raises:
        UsageError: There is no such key, or the kind of environment has no files to pack.
        EnvError: A package cannot be had.
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
            if with_packages:
                _add_packages(recorded, writer, services)
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
            "metrics": [_point(m) for m in model.metrics if m.run_id == run.run_id],
        }
        for _, model in models_of(store, run)
    ]
    return {"version": BUNDLE_VERSION, **described, "metrics": histories, "models": models}


def _point(measured: ModelMetric) -> list[Any]:
    metric = measured.metric
    dataset = measured.dataset_name, measured.dataset_digest
    return [metric.key, metric.step, metric.timestamp, repr(metric.value), *dataset]


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


def _add_packages(recorded: RecordedRun, writer: _Writer, services: Services) -> None:
    manager = str(recorded.record.get("environment", {}).get("manager"))
    packages = services.package_files(manager)
    lock = lock_of(recorded)
    if lock is None:
        raise StoreError(f"run {recorded.run.run_id} has no lock, so its packages are not known")
    for name, path in sorted(packages.files(lock)):
        with open(path, "rb") as file:
            writer.add(f"{PACKAGES}/{name}", file.read(), "package")


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
    with opened_bundle(path) as archive:
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
    with opened_bundle(path) as archive:
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


def opened_bundle(path: str) -> zipfile.ZipFile:
    """Open a bundle to read it.

    Raises:
        StoreError: There is none, or it is no zip file.
    """
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
