"""Inputs that are named by a URL: ``file:``, ``http(s):`` and ``runs:/ID/artifact/path``."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import urllib.parse
from typing import TYPE_CHECKING

from runner.errors import StoreError
from runner.model.event import Step, StepDone
from runner.model.run import ENDED
from runner.model.value import RunId
from runner.redaction import without_credentials
from runner.system.download import Watcher, download
from runner.system.files import Lock, remove_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model.run import Artifact
    from runner.ports import Artifacts, Reporter, Services

VERB = "downloading"
UNITS = ("B", "kB", "MB", "GB", "TB")


def path_of_file_url(url: str) -> str:
    """Return the local path that a ``file:`` URL names (RFC 8089).

    Raises:
        ValueError: The URL names another machine, or no absolute path.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.netloc not in {"", "localhost"}:
        raise ValueError(f"is on another machine ({without_credentials('//' + parts.netloc)[2:]})")
    # what looks like a query or a fragment is a part of a file's name
    tail = f"?{parts.query}" if parts.query else ""
    tail += f"#{parts.fragment}" if parts.fragment else ""
    path = urllib.parse.unquote(parts.path + tail, errors="surrogateescape")
    if not path.startswith("/"):
        raise ValueError("names no absolute path: file:///path/to/file does")
    if "\0" in path:
        raise ValueError("holds a NUL character")
    return os.path.normpath(path)


def of_web(url: str, storage: str, services: Services, title: str | None = None) -> str:
    """Return the local copy of a file on a web server; ``title`` stands for a secret URL."""
    begun = time.monotonic()
    news = _News(title or without_credentials(url), services.reporter)
    found = download(url, os.path.join(storage, "web"), news)
    if found.fresh:
        seconds = time.monotonic() - begun
        services.reporter.report(StepDone(verb=VERB, subject=news.subject, seconds=seconds))
    return found.path


class _News(Watcher):
    """Tells the reporter what is downloaded, once it comes, and how large it is."""

    def __init__(self, subject: str, reporter: Reporter) -> None:
        self.subject = subject
        self._reporter = reporter

    def begins(self, size: int | None) -> None:
        if size is not None:
            self.subject = f"{self.subject} ({readable(size)})"
        self._reporter.report(Step(verb=VERB, subject=self.subject))


def readable(size: float) -> str:
    """Return a number of bytes for people: ``12 B``, ``3.4 MB``."""
    unit = 0
    while size >= 1000 and unit < len(UNITS) - 1:  # noqa: PLR2004 - SI prefixes
        size /= 1000
        unit += 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 else f"{size:.1f} {UNITS[unit]}"


def of_run(url: str, storage: str, services: Services) -> str:
    """Return a local copy of an artifact of a run: a file, or a folder with all that is in it.

    The artifacts of a run that has ended do not change: their copy is used again. Those of a run
    under way are copied anew, to a place of their own.

    Raises:
        ValueError: The URL is malformed, or there is no such run or artifact.
        StoreError: The store cannot be read.
    """
    identifier, path = _read_run_url(url)
    try:
        run = services.store.run(RunId(identifier))
    except StoreError as error:
        if error.status not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            raise
        raise ValueError(f"names a run that is not in {services.store.uri}") from None
    artifacts = services.store.artifacts(run)
    listed = _listed(artifacts, path)
    if not listed:
        raise ValueError("names an artifact that the run does not have")
    key = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    place = os.path.join(storage, "runs", identifier, key)
    name = os.path.basename(path) or "artifacts"
    if run.status not in ENDED:
        place = os.path.join(place, os.urandom(6).hex())
    target = os.path.join(place, name)
    with Lock(os.path.join(place, "lock")):
        if not _is_whole(target, path, listed):
            _copy(artifacts, path, listed, target)
    return target


def _read_run_url(url: str) -> tuple[str, str]:
    """Split ``runs:/ID/path``; ``runs:///ID/path`` is accepted as MLflow does."""
    identifier, slash, path = url.partition(":")[2].lstrip("/").partition("/")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if not identifier.isalnum() or not slash:
        raise ValueError("is not runs:/RUN_ID/path/of/artifact")
    if ".." in parts or "\0" in path:
        raise ValueError("leaves the run's artifacts")
    return identifier, "/".join(parts)


def _listed(artifacts: Artifacts, path: str) -> tuple[Artifact, ...]:
    """Return the artifact of that path, or all below it."""
    below = f"{path}/" if path else ""
    return tuple(
        artifact
        for artifact in artifacts.list(os.path.dirname(path))
        if artifact.path == path or artifact.path.startswith(below)
    )


def _destination(target: str, path: str, artifact: Artifact) -> str:
    """Return where an artifact below ``path`` goes; never outside of the target.

    Raises:
        ValueError: The store names a file that would leave it.
    """
    inside = os.path.normpath(os.path.join(target, os.path.relpath(artifact.path, path or ".")))
    if inside != target and not inside.startswith(target + os.sep):
        raise ValueError("names an artifact that leaves its folder")
    return inside


def _is_whole(target: str, path: str, listed: Sequence[Artifact]) -> bool:
    """Whether a finished copy is there, as large as the store says."""
    try:
        return all(
            os.path.getsize(_destination(target, path, artifact)) == artifact.size
            for artifact in listed
        )
    except OSError:
        return False


def _copy(artifacts: Artifacts, path: str, listed: Sequence[Artifact], target: str) -> None:
    """Copy artifacts beside the target, then put them in its place."""
    partial = f"{target}.{os.urandom(6).hex()}.partial"
    try:
        for artifact in listed:
            destination = _destination(partial, path, artifact)
            os.makedirs(os.path.dirname(destination), exist_ok=True)
            with artifacts.open(artifact.path) as source, open(destination, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
        if os.path.isdir(target) and not os.path.islink(target):
            remove_tree(target)
        os.replace(partial, target)
    finally:
        if os.path.isdir(partial):
            remove_tree(partial)
        elif os.path.exists(partial):
            os.unlink(partial)
