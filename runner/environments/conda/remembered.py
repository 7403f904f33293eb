"""Conda locks that were made before, by the digest of all that went into them."""

from __future__ import annotations

import json
import os

from runner.codec import digest, sha256
from runner.environments.conda.platforms import platform_here, virtual_packages
from runner.environments.local_packages import metadata_files
from runner.environments.remembered import INDEX_VARIABLES, folder
from runner.environments.store import LAYOUT
from runner.system.files import cache_directory, file_digest, read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.codec import JSON
    from runner.environments.requirements import Line, Requirements
    from runner.model.lock import LockRequest
    from runner.model.spec import CondaSpec

    Note = dict[str, Any]

NOTE_LAYOUT = 1
NAME = "conda-lock.yml"
VARIABLES = (*INDEX_VARIABLES, "CONDA_CHANNEL_ALIAS", "CONDA_CHANNELS", "CONDA_DEFAULT_CHANNELS",
             "RUNPROJ_LINK_SCRIPTS")  # fmt: skip
"""Variables that change what a solve finds, beside those that override virtual packages."""


def configuration_files(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths of conda's configuration files, there or not; later ones win."""
    home = environ.get("HOME") or os.path.expanduser("~")
    own = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    given = environ.get("CONDARC")
    return (
        "/etc/conda/.condarc",
        os.path.join(own, "conda", ".condarc"),
        os.path.join(home, ".conda", ".condarc"),
        os.path.join(home, ".condarc"),
        *((given,) if given else ()),
    )


def lock_names(spec: CondaSpec, platform: str) -> tuple[str, ...]:
    """Return where a lock in the project is looked for, relative to it, the preferred one first.

    ``conda.gpu.yaml`` may have a ``conda-lock.conda.gpu.yml`` of its own, or an explicit list.
    """
    directory, name = os.path.split(spec.origin)
    stem = os.path.splitext(name)[0]
    names = (
        f"conda-lock.{stem}.yml", NAME, "conda-lock.yaml",
        f"{stem}.{platform}.txt", f"{stem}-{platform}.txt", f"conda-{platform}.lock",
        "explicit.txt",
    )  # fmt: skip
    return tuple(os.path.join(directory, n) for n in names)


def key(
    request: LockRequest, spec: CondaSpec, asked: Requirements, environ: Mapping[str, str]
) -> str:
    """Return the address of a lock: the digest of everything that could change it."""
    platform = platform_here()
    files = (*lock_names(spec, platform), os.path.join(os.path.dirname(spec.origin), "uv.toml"))
    inputs: dict[str, JSON] = {
        "layout": ["conda", LAYOUT, NOTE_LAYOUT],
        "origin": spec.origin,
        "channels": [*spec.channels],
        "packages": [*spec.packages],
        "variables": {**spec.variables},
        "pip": [_asked(line, request.project) for line in asked.lines],
        "constraints": [line.text for line in asked.constraints],
        "options": [*asked.options],
        "platform": platform,
        "virtual": [[*words] for words in virtual_packages(platform, environ)],
        "as_of": request.as_of.isoformat() if request.as_of else None,
        "files": {n: _digest(os.path.join(request.project, n)) for n in files},
        "configuration": [_digest(path) for path in configuration_files(environ)],
        "environ": {name: environ[name] for name in VARIABLES if name in environ},
        "base": request.project if any(_is_relative(name) for name in spec.channels) else None,
    }
    if request.recorded:
        inputs["recorded"] = request.recorded.digest
    return digest(inputs).rpartition(":")[2][:32]


def _is_relative(channel: str) -> bool:
    return channel.startswith(".")


def _asked(line: Line, project: str) -> JSON:
    if line.local is None:
        return line.text
    files = {os.path.basename(path): file_digest(path) for path in metadata_files(line.local)}
    return [line.text, os.path.relpath(line.local, project), {**files}]


def _digest(path: str) -> str | None:
    try:
        return sha256(read(path))
    except OSError:
        return None


def document_path(home: str, address: str) -> str:
    """Return the path of a remembered lock."""
    return os.path.join(folder(home, address), NAME)


def recall(home: str, address: str) -> Note | None:
    """Return what is remembered of a lock, None when there is none."""
    try:
        note: Note = json.loads(read(os.path.join(folder(home, address), "lock.json")))
        fits = note["conda_layout"] == NOTE_LAYOUT and os.path.exists(document_path(home, address))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if fits else None


def remember(home: str, address: str, note: Note, document: bytes) -> None:
    """Keep a lock; what says that it is whole comes last."""
    where = cache_directory(home, "locks", address)
    write_whole(document_path(home, address), document)
    text = json.dumps({**note, "conda_layout": NOTE_LAYOUT}).encode()
    write_whole(os.path.join(where, "lock.json"), text)
