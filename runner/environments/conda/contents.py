"""Every file of a prefix with its digest: what two builds of one lock have in common."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, TypeAlias

from runner.codec import canonical, digest
from runner.environments.store import MARKER
from runner.errors import EnvError
from runner.system.files import file_digest, read, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.codec import JSON
    from runner.model.value import Digest

Listing: TypeAlias = "dict[str, str]"
"""Path below the prefix -> ``mode sha256:...``, or ``-> target`` of a link."""

LIST = "runproj-files.json"
"""The file below ``conda-meta`` that keeps the listing."""
LOSERS = "__clobbers__"
"""The folder where rattler puts files that another package brings as well."""
PLACES = ("extracted_package_dir", "package_tarball_full_path", "url", "channel")
"""What conda-meta says of where a package came from, which differs from machine to machine."""


def listing(prefix: str) -> Listing:
    """Return all files of a prefix, in the order of their names.

    Left out are byte code, which Python writes when it likes, conda's diary, and our own notes. Of
    the records in ``conda-meta`` the places on this machine do not count.
    """
    return dict(sorted(_entries(prefix)))


def _entries(prefix: str) -> Iterator[tuple[str, str]]:
    ours = {MARKER, os.path.join("conda-meta", LIST), os.path.join("conda-meta", "history")}
    for folder, folders, files in os.walk(prefix):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = [n for n in folders if n != "__pycache__" and n not in links]
        for name in (*files, *links):
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, prefix)
            if inside not in ours and not name.endswith(".pyc"):
                yield inside, _described(path, inside)


def _described(path: str, inside: str) -> str:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return f"-> {os.readlink(path)}"
    is_record = inside.startswith("conda-meta/") and inside.endswith(".json")
    hashed = digest(_placeless(path)) if is_record else file_digest(path)
    return f"{stat.S_IMODE(status.st_mode):o} {hashed}"


def _placeless(path: str) -> JSON:
    record = json.loads(read(path))
    if not isinstance(record, dict):
        return str(record)
    found: dict[str, JSON] = {k: v for k, v in record.items() if k not in PLACES}
    if isinstance(link := record.get("link"), dict):
        found["link"] = {k: v for k, v in link.items() if k != "source"}
    found["files"] = [*sorted(map(_own, record.get("files", [])))]
    rows = (record.get("paths_data") or {}).get("paths", [])
    found["paths_data"] = {_own(_original(row)): _plain(row) for row in rows}
    return found


def _original(row: dict[str, str]) -> str:
    return row.get("original_path") or row["_path"]


def _plain(row: dict[str, JSON]) -> JSON:
    return {k: v for k, v in row.items() if k not in {"_path", "original_path"}}


def _own(path: str) -> str:
    """Return the path that a package has for a file of which another package's version won.

    Who of them is asked aside first is a race; the files themselves are the same either way.
    """
    return path.split("/", 2)[2] if path.startswith(f"{LOSERS}/") else path


def keep(prefix: str) -> Digest:
    """Write the listing of a new prefix into it; return its digest."""
    found: JSON = {**listing(prefix)}
    write_whole(os.path.join(prefix, "conda-meta", LIST), canonical(found))
    return digest(found)


def kept(prefix: str) -> Listing:
    """Return the listing that was made when a prefix was built.

    Raises:
        EnvError: It is gone.
    """
    path = os.path.join(prefix, "conda-meta", LIST)
    try:
        found: Listing = json.loads(read(path))
    except (OSError, ValueError):
        raise EnvError("the list of the environment's files is gone", where=path) from None
    return found


def damage(prefix: str) -> Iterator[str]:
    """Yield what differs from what was built: missing, changed and added files."""
    try:
        before = kept(prefix)
    except EnvError as error:
        yield error.message
        return
    now = listing(prefix)
    for path in sorted(before.keys() | now.keys()):
        if path not in now:
            yield f"{path} is missing"
        elif path not in before:
            yield f"{path} was added"
        elif before[path] != now[path]:
            yield f"{path} was changed"
