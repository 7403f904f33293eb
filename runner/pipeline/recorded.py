"""A run that was recorded -> all that is needed to run it again."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from runner.codec import sha256
from runner.errors import StoreError
from runner.model.lock import RecordedLock
from runner.model.project import (
    Changes,
    Omission,
    ProjectReference,
    Provenance,
    RecordedSource,
)
from runner.model.run import ENDED
from runner.model.value import Commit, Digest, Value
from runner.pipeline.foreign import foreign_record, is_foreign
from runner.pipeline.record import FOLDER, RECORD_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.codec import JSON
    from runner.model.tracking import TrackedRun
    from runner.ports import Artifacts, TrackingStore

ABSENT = "RESOURCE_DOES_NOT_EXIST"


class RecordedRun(Value):
    """A run, the store it is in, and what Runproj recorded of it (``runproj/record.json``).

    ``source_archive`` holds all files of the project, where the run came in a bundle, and
    ``packages`` names the folder of its packages, where they are in it.
    """

    run: TrackedRun
    store: TrackingStore
    record: Mapping[str, Any]
    source_archive: bytes = b""
    packages: str = ""

    @property
    def artifacts(self) -> Artifacts:
        """The run's files."""
        return self.store.artifacts(self.run)

    @property
    def is_foreign(self) -> bool:
        """Whether another program made the run, so that the record is what its tags tell."""
        return is_foreign(self.record)

    @property
    def lock_entry(self) -> Mapping[str, Any]:
        """What the record says of the lock; empty when there was none."""
        return self.record.get("environment", {}).get("lock") or {}


def recorded_run(store: TrackingStore, run: TrackedRun) -> RecordedRun:
    """Read the record of a run that has ended; of one that MLflow made, what its tags tell.

    Raises:
        StoreError: The run is under way, or nothing that can be read says how it was made.
    """
    if run.status not in ENDED:
        raise StoreError(
            f"run {run.run_id} has not ended: it is {run.status}",
            hint="wait for it; 'runproj doctor' closes the records of killed runs",
        )
    content = artifact(store.artifacts(run), f"{FOLDER}/record.json")
    if content is None:
        return RecordedRun(run=run, store=store, record=foreign_record(run))
    try:
        record = json.loads(content)
        version = record["version"]
        if version != RECORD_VERSION:
            raise StoreError(
                f"the record of run {run.run_id} is of version {version}, "
                f"and this runproj reads version {RECORD_VERSION}",
                hint="use the runproj that made it, or a newer one",
            )
        _ = record["source"]["tree"], record["entry_point"], record["parameters"]
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"the record of run {run.run_id} is damaged") from None
    return RecordedRun(run=run, store=store, record=record)


def artifact(artifacts: Artifacts, path: str) -> bytes | None:
    """Return one file of a run, None when it is not there."""
    try:
        with artifacts.open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None
    except StoreError as error:
        if error.status == ABSENT:
            return None
        raise


def source_of(recorded: RecordedRun) -> RecordedSource:
    """Return where the run's files came from, and what they held beyond the commit."""
    source = recorded.record["source"]
    committed = source.get("committed")
    return RecordedSource(
        provenance=Provenance(
            reference=ProjectReference(
                location=source["location"],
                revision=source.get("revision"),
                subdirectory=source.get("subdirectory", ""),
            ),
            tree=Digest(source["tree"]),
            commit=Commit(source["commit"]) if source.get("commit") else None,
            committed=datetime.fromisoformat(committed) if committed else None,
            branch=source.get("branch"),
            repository=source.get("repository"),
            dirty=bool(source.get("dirty")),
            patch=_digest(source.get("patch")),
            untracked=_digest(source.get("untracked")),
            omitted=tuple(
                Omission(path=o["path"], reason=o["reason"], size=o.get("size"))
                for o in source.get("omitted", [])
            ),
        ),
        changes=Changes(
            patch=_checked(recorded, "source.patch", source.get("patch")),
            untracked=_checked(recorded, "untracked.tar.gz", source.get("untracked")),
        ),
        project=source.get("project", ""),
        archive=recorded.source_archive,
    )


def lock_of(recorded: RecordedRun) -> RecordedLock | None:
    """Return the lock that the run's environment was installed from; None if it had none.

    Raises:
        StoreError: The record speaks of a lock, and its file is gone or is another.
    """
    entry = recorded.lock_entry
    name = entry.get("name")
    if not name:
        return None
    content = _checked(recorded, name, entry["digest"])
    if not content:
        raise StoreError(f"the lock {FOLDER}/{name} of run {recorded.run.run_id} is gone")
    return RecordedLock(
        content=content,
        digest=Digest(entry["digest"]),
        name=name,
        python=entry.get("python", ""),
        in_project=entry.get("origin") == "project",
    )


def timeout_of(recorded: RecordedRun) -> timedelta | None:
    """Return the limit that the command had."""
    seconds = recorded.record.get("request", {}).get("timeout")
    return timedelta(seconds=seconds) if seconds else None


def inputs_of(recorded: RecordedRun) -> dict[str, list[Mapping[str, Any]]]:
    """Return the recorded inputs of each parameter, in the order in which they were given."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for item in recorded.record.get("inputs", []):
        found.setdefault(item["parameter"], []).append(item)
    return found


def original_root(recorded: RecordedRun) -> str | None:
    """Return where the run's tree lay on the machine that ran it; None when it was fetched."""
    source = recorded.record["source"]
    location = str(source["location"])
    if not os.path.isabs(location):
        return None
    project = os.path.normpath(os.path.join(location, source.get("subdirectory", "")))
    inside = str(source.get("project", ""))
    if not inside:
        return project
    ending = os.sep + inside
    return project[: -len(ending)] if project.endswith(ending) else None


def installed(recorded: RecordedRun) -> Mapping[str, JSON]:
    """Return what was installed (``runproj/environment.json``); empty where nobody looked."""
    content = artifact(recorded.artifacts, f"{FOLDER}/environment.json")
    try:
        found = json.loads(content) if content else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _digest(text: str | None) -> Digest | None:
    return Digest(text) if text else None


def _checked(recorded: RecordedRun, name: str, digest: str | None) -> bytes:
    """Return an artifact whose digest is recorded; nothing when none is, or it is gone."""
    if not digest:
        return b""
    content = artifact(recorded.artifacts, f"{FOLDER}/{name}")
    if content is not None and sha256(content) != digest:
        raise StoreError(
            f"{FOLDER}/{name} of run {recorded.run.run_id} is not what was recorded",
            where=f"recorded {digest}, found {sha256(content)}",
        )
    return content or b""
