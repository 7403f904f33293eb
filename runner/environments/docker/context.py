"""The files that a build sees, and the digest of all that goes into an image.

Only what is recorded is sent, so that the same can be built again. The lock of images is not part
of it: otherwise locking would change what is built. What ``.dockerignore`` names is left out as the
engine would.
"""

from __future__ import annotations

import os
import stat
import time

from runner.codec import digest
from runner.environments.docker.lockfile import NAME
from runner.hashing import sha256
from runner.model.value import Digest, Value
from runner.system.files import cache_directory, file_digest, read, write_whole
from runner.system.trees import left_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from runner.codec import JSON

LAYOUT = 1
SETTLED = 2.0
"""Seconds; what changed more recently may change again unnoticed, and is not remembered."""
IGNORE = ".dockerignore"


class Recipe(Value):
    """How to build an image, but for the images that it begins with.

    ``root`` is the context's folder. ``dockerfile`` is the text of the Dockerfile, ``path`` its
    path below the context, or ``None`` when it lies elsewhere, and ``shown`` what to call it.
    ``folder`` is where the files are put in the context. ``listed`` are the files that may be sent,
    below the root; without a list these are all but what is no part of a project.
    """

    root: str
    dockerfile: str
    shown: str
    path: str | None = None
    folder: str = ""
    arguments: Mapping[str, str]
    target: str | None = None
    platform: str | None = None
    listed: tuple[str, ...] | None = None


def entries(recipe: Recipe) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the paths of the context's files and links, below its root, in one order.

    Raises:
        OSError: A folder cannot be read.
    """
    if recipe.listed is None:
        yield from _walked(recipe)
        return
    for path in recipe.listed:
        place = os.path.join(recipe.root, path)
        if os.path.basename(path) != NAME and os.path.lexists(place):
            yield path, os.lstat(place)


def _walked(recipe: Recipe) -> Iterator[tuple[str, os.stat_result]]:
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(recipe.root, folder)) as listing:
            found = sorted(listing, key=lambda entry: entry.name)
        for entry in found:
            if _is_left_out(entry):
                continue
            path = os.path.join(folder, entry.name)
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                yield path, entry.stat(follow_symlinks=False)


def _is_left_out(entry: os.DirEntry[str]) -> bool:
    folder = entry.is_dir(follow_symlinks=False)
    return entry.name == NAME or left_out(entry.path, folder=folder) is not None


def files(recipe: Recipe) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what the engine is sent: regular files and links that are not ignored."""
    ignored = _ignored(recipe.root)
    for path, status in entries(recipe):
        is_file = stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
        if is_file and path != recipe.path and not ignored(path):
            yield path, status
    if recipe.path is not None:  # also where it is ignored: the engine needs it
        yield recipe.path, os.lstat(os.path.join(recipe.root, recipe.path))


def _ignored(root: str) -> Ignoring:
    try:
        lines = read(os.path.join(root, IGNORE)).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return Ignoring(())
    patterns = [line.strip() for line in lines]
    return Ignoring([line for line in patterns if line and not line.startswith("#")])


class Ignoring:
    """The patterns of a ``.dockerignore``, as the SDK understands them."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._matcher: Any = None
        if patterns:
            from docker.utils.build import PatternMatcher

            self._matcher = PatternMatcher(patterns)

    def __call__(self, path: str) -> bool:
        """Whether a file is not to be sent."""
        return self._matcher is not None and bool(self._matcher.matches(path))


def inputs(recipe: Recipe, home: str) -> Digest:
    """Return the digest of the recipe and of every file that it sends.

    It is remembered by the names, sizes, inodes and times of the files.

    Raises:
        OSError: A file cannot be read.
    """
    signature, newest = _signature(recipe)
    path = os.path.join(home, "images", "contexts", signature)
    try:
        known = read(path).decode("ascii", "replace")
        if known.startswith("sha256:"):
            return Digest(known)
    except OSError:
        pass
    found = _computed(recipe)
    if time.time() - newest > SETTLED and _signature(recipe)[0] == signature:
        cache_directory(home, "images", "contexts")
        write_whole(path, found.encode())
    return found


def _described(recipe: Recipe) -> dict[str, JSON]:
    return {
        "layout": LAYOUT,
        "dockerfile": recipe.dockerfile,
        "path": recipe.path,
        "folder": recipe.folder,
        "arguments": dict(recipe.arguments),
        "target": recipe.target,
        "platform": recipe.platform,
    }


def _computed(recipe: Recipe) -> Digest:
    listed: list[JSON] = []
    for path, status in files(recipe):
        place = os.path.join(recipe.root, path)
        if stat.S_ISLNK(status.st_mode):
            listed.append([path, "link", os.readlink(place)])
        else:
            kind = "program" if status.st_mode & stat.S_IXUSR else "file"
            listed.append([path, kind, file_digest(place)])
    return digest({**_described(recipe), "files": listed})


def _signature(recipe: Recipe) -> tuple[str, float]:
    """Return what changes whenever a file does, and when the latest file changed."""
    summary = sha256(digest({**_described(recipe), "root": recipe.root}).encode())
    newest = 0.0
    for path, found in entries(recipe):
        numbers = (found.st_mode, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        summary.update(os.fsencode(f"{path}\0{numbers}\n"))
        newest = max(newest, found.st_mtime, found.st_ctime)
    return summary.hexdigest(), newest
