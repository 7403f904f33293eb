"""Locks that were resolved before, by the digest of all that went into them."""

from __future__ import annotations

import json
import os

from runner.codec import digest, sha256
from runner.environments.store import LAYOUT
from runner.system.files import cache_directory, file_digest, read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.codec import JSON
    from runner.environments.requirements import Line, Requirements
    from runner.model.lock import LockRequest
    from runner.model.spec import PythonSpec
    from runner.model.value import Digest

    Note = dict[str, Any]

NOTE_LAYOUT = 3
PROJECT_FILES = ("uv.toml", "uv.lock", "pyproject.toml")
INDEX_VARIABLES = (
    "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS",
    "UV_INDEX_STRATEGY", "UV_PRERELEASE", "UV_RESOLUTION", "UV_EXCLUDE_NEWER",
    "UV_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX",
)  # fmt: skip
"""Variables that change what a resolution finds."""


def lock_names(spec: PythonSpec) -> tuple[str, ...]:
    """Return the names under which a lock in the project is looked for, relative to the project."""
    stem = os.path.splitext(os.path.basename(spec.origin))[0]
    own = (f"pylock.{stem}.toml",) if stem and stem != "pyproject" else ()
    return tuple(os.path.join(spec.directory, name) for name in ("pylock.toml", *own))


def key(
    request: LockRequest, spec: PythonSpec, asked: Requirements, environ: Mapping[str, str]
) -> str:
    """Return the address of a resolution: the digest of everything that could change it.

    Credentials in URLs enter the digest, and nothing but the digest is kept.
    """
    import sys

    project = request.project
    default = f"{sys.version_info[0]}.{sys.version_info[1]}"
    names = (*PROJECT_FILES, *(os.path.basename(name) for name in lock_names(spec)))
    base = os.path.join(project, spec.directory)
    inputs: JSON = {
        "layout": [LAYOUT, NOTE_LAYOUT],
        "kind": spec.kind,
        "origin": spec.origin,
        "python": spec.python or default,
        "lines": [_asked(line, project) for line in asked.lines],
        "build": [_asked(line, project) for line in asked.build],
        "constraints": [line.text for line in asked.constraints],
        "options": [*asked.options],
        "as_of": request.as_of.isoformat() if request.as_of else None,
        "files": {name: _digest(os.path.join(base, name)) for name in names},
        "variables": {name: environ[name] for name in INDEX_VARIABLES if name in environ},
        **({"recorded": request.recorded.digest} if request.recorded else {}),
    }
    return digest(inputs).rpartition(":")[2][:32]


def _asked(line: Line, project: str) -> JSON:
    if line.local is None:
        return line.text
    from runner.environments.local_packages import metadata_files

    files = metadata_files(line.local)
    return [
        line.text,
        os.path.relpath(line.local, project),
        {os.path.basename(path): file_digest(path) for path in files},
    ]


def _digest(path: str) -> str | None:
    try:
        return sha256(read(path))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def folder(home: str, address: str) -> str:
    """Return the folder of a resolution, there or not."""
    return os.path.join(home, "locks", address)


def document_path(home: str, address: str) -> str:
    """Return the path of a resolution's lock file."""
    return os.path.join(folder(home, address), "pylock.toml")


def recall(home: str, address: str) -> Note | None:
    """Return what is remembered of a resolution, if its interpreter is still the same file."""
    try:
        note: Note = json.loads(read(os.path.join(folder(home, address), "lock.json")))
        python = note["python"]
        status = os.stat(python["path"])
        same = (status.st_size, status.st_mtime_ns) == (python["size"], python["modified"])
        there = os.path.exists(document_path(home, address))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if note.get("layout") == NOTE_LAYOUT and same and there else None


def remember(home: str, address: str, note: Note, document: bytes) -> None:
    """Keep a resolution; what says that it is whole comes last."""
    where = cache_directory(home, "locks", address)
    write_whole(document_path(home, address), document)
    text = json.dumps({"layout": NOTE_LAYOUT, **note}).encode()
    write_whole(os.path.join(where, "lock.json"), text)


def _local_content(package: Mapping[str, Any], project: str, home: str) -> JSON:
    from runner.environments.local_packages import content_digest, metadata_files

    path = os.path.normpath(os.path.join(project, package["path"]))
    if not package["editable"]:
        return [package["name"], content_digest(path, home)]
    files: JSON = {os.path.basename(p): file_digest(p) for p in metadata_files(path)}
    return [package["name"], path, digest(files)]


def environment_digest(note: Note, manager: str, project: str, home: str) -> Digest:
    """Return the address of the environment: what the lock says, who builds it, local contents.

    An editable package is linked, not copied, so that its place counts instead of its content; of
    its files only those count that are read when it is installed.
    """
    local = [_local_content(package, project, home) for package in note["local"]]
    return digest({"layout": LAYOUT, "base": note["base"], "manager": manager, "local": local})
