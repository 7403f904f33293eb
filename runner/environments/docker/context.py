"""The files that a build sees, and the digest of all that goes into an image.

What tools make again (``mlruns``, caches, ``.git``) and the lock of images are never part of it:
otherwise each run, and each lock, would change the inputs of the next build. What ``.dockerignore``
names is left out as the engine would.
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
from runner.system.trees import is_secret, left_out

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
    ``folder`` is where the files are put in the context. ``keeps_secrets`` sends files that usually
    hold secrets too, for a Dockerfile that asks for them by name.
    """

    root: str
    dockerfile: str
    shown: str
    path: str | None = None
    folder: str = ""
    arguments: Mapping[str, str]
    target: str | None = None
    platform: str | None = None
    keeps_secrets: bool = True


def entries(recipe: Recipe) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the paths of the context's files and links, below its root, in one order.

    Raises:
        OSError: A folder cannot be read.
    """
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(recipe.root, folder)) as listing:
            found = sorted(listing, key=lambda entry: entry.name)
        for entry in found:
            if _is_left_out(entry, recipe):
                continue
            path = os.path.join(folder, entry.name)
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                yield path, entry.stat(follow_symlinks=False)


def _is_left_out(entry: os.DirEntry[str], recipe: Recipe) -> bool:
    if entry.name == NAME:
        return True
    if recipe.keeps_secrets and is_secret(entry.name):
        return False
    return left_out(entry.path, folder=entry.is_dir(follow_symlinks=False)) is not None


def files(recipe: Recipe) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what the engine is sent: regular files and links that are not ignored."""
    ignored = _ignored(recipe.root)
    for path, status in entries(recipe):
        is_file = stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
        if is_file and (path == recipe.path or not ignored(path)):
            yield path, status


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
