"""What a work tree holds beyond its commit: an exact patch, the untracked files, one tree digest.

All of it is computed beside the repository, in an index and an object directory of our own; the
repository is only read.
"""

from __future__ import annotations

import os
import stat

from runner.codec import sha256
from runner.errors import SourceError
from runner.model.project import Changes, Omission
from runner.model.value import Value, swhid
from runner.system.files import cache_directory, remove_tree
from runner.system.git import Git, Status, configure, reason
from runner.system.packing import packed
from runner.system.trees import GENERATED, left_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.model.value import Digest

LARGEST_FILE = 10 << 20
"""Bytes of one untracked file that are still recorded."""

LARGEST_TOTAL = 100 << 20
"""Bytes of all untracked files of one run that are still recorded."""

LARGEST_CHANGE = 100 << 20
"""Bytes of one changed tracked file whose difference is still recorded."""

MANY_FOLDERS = 200
"""So many untracked folders are named to git one by one; more are found by asking for all."""

PATCH = (
    "diff-tree",
    "-p",
    "--binary",
    "--full-index",
    "--no-renames",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--unified=3",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--submodule=short",
)


class Taken(Value):
    """The recorded differences. ``tree`` is the git id of commit, patch and untracked together.

    ``partial`` says that something changed which is not in them.
    """

    tree: str
    changes: Changes
    partial: bool
    omitted: tuple[Omission, ...]

    @property
    def patch_digest(self) -> Digest | None:
        """The sha256 of the patch, where there is one."""
        return sha256(self.changes.patch) if self.changes.patch else None

    @property
    def untracked_digest(self) -> Digest | None:
        """The sha256 of the archive, where there is one."""
        return sha256(self.changes.untracked) if self.changes.untracked else None

    @property
    def digest(self) -> Digest:
        """The tree's SWHID."""
        return swhid(self.tree)


def taken(git: Git, status: Status, *, untracked: Sequence[str], home: str) -> Taken:
    """Record what differs from the commit.

    ``untracked`` are the entries of the status that may be recorded.

    Raises:
        SourceError: git cannot read the work tree.
    """
    omitted = [
        Omission(path=path, reason="changes inside the submodule") for path in status.dirty_modules
    ]
    large = _large(git.directory, status.changed)
    omitted += large
    files = _recordable(git.directory, _listed(git, untracked, omitted), omitted)
    scratch = os.path.join(cache_directory(home, "trash"), os.urandom(8).hex())
    try:
        own = beside(git, scratch)
        tracked = _tracked_tree(own, [item.path for item in large])
        base = status.commit or own.text("hash-object", "-t", "tree", os.devnull)
        patch = _patch(own, base, tracked)
        whole = with_files(own, files) if files else tracked
        archive = packed(git.directory, files) if files else b""
    except OSError as error:
        name = os.path.relpath(str(error.filename or git.directory), git.directory)
        raise SourceError(f"{name!r} cannot be recorded: {error.strerror}") from error
    finally:
        remove_tree(scratch)
    return Taken(
        tree=whole,
        changes=Changes(patch=patch, untracked=archive),
        partial=bool(omitted),
        omitted=tuple(omitted),
    )


def _large(root: str, changed: Iterable[str]) -> list[Omission]:
    found = []
    for path in changed:
        size = _size(os.path.join(root, path))
        if size is not None and size > LARGEST_CHANGE:
            found.append(Omission(path=path, reason="larger than 100 MiB", size=size))
    return found


def _size(path: str) -> int | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _listed(git: Git, untracked: Sequence[str], omitted: list[Omission]) -> list[str]:
    """Return the untracked files, those inside untracked folders too."""
    folders = [path for path in untracked if path.endswith("/")]
    files = [path for path in untracked if not path.endswith("/")]
    if folders:
        skipped = [f"--exclude={name}" for name in sorted(GENERATED)]
        named = folders if len(folders) <= MANY_FOLDERS else []
        listing = git.text(
            *("--literal-pathspecs", "ls-files", "--others", "--exclude-standard", "-z"),
            *(*skipped, "--", *named),
        )
        prefixes = tuple(folders)
        files += [path for path in listing.split("\0") if path.startswith(prefixes)]
    verdicts: dict[str, str | None] = {}
    return [path for path in files if _belongs(git.directory, path, verdicts, omitted)]


def _belongs(
    root: str, path: str, verdicts: dict[str, str | None], omitted: list[Omission]
) -> bool:
    """Whether a file and every folder above it are part of the project."""
    if path.endswith("/"):
        omitted.append(Omission(path=path, reason="a repository of its own"))
        return False
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        place = "/".join(parts[:depth])
        if place not in verdicts:
            folder = depth < len(parts)
            why = verdicts[place] = left_out(os.path.join(root, place), folder=folder)
            if why:
                omitted.append(Omission(path=place + "/" * folder, reason=why))
        if verdicts[place]:
            return False
    return True


def _recordable(root: str, paths: Iterable[str], omitted: list[Omission]) -> list[str]:
    """Keep the files that can be read and are not too large, one by one and together."""
    kept = []
    total = 0
    for path in sorted(paths, key=os.fsencode):
        location = os.path.join(root, path)
        size = _size(location) or 0
        why = None
        if not os.path.islink(location) and not os.access(location, os.R_OK):
            why = "cannot be read"
        elif size > LARGEST_FILE:
            why = "larger than 10 MiB"
        elif total + size > LARGEST_TOTAL:
            why = "more than 100 MiB of untracked files"
        if why:
            omitted.append(Omission(path=path, reason=why, size=size))
        else:
            total += size
            kept.append(path)
    return kept


def beside(git: Git, scratch: str) -> Git:
    """Return git with an index and an object directory of our own, on top of the repository's."""
    paths = git.text("rev-parse", "--git-path", "objects", "--git-path", "index").split("\n")
    objects, index = (os.path.join(git.directory, path) for path in paths)
    own = os.path.join(scratch, "objects")
    os.makedirs(own)
    ours = os.path.join(scratch, "index")
    if os.path.exists(index):
        _copy_index(index, ours)
    variables = {
        **git.variables,
        "GIT_INDEX_FILE": ours,
        "GIT_OBJECT_DIRECTORY": own,
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(objects),
    }
    configure(variables, (("core.splitIndex", "false"), ("core.safecrlf", "false")))
    return Git(directory=git.directory, variables=variables)


def _copy_index(index: str, ours: str) -> None:
    """Copy an index with its time, by which git knows which entries it must not trust.

    A file that was changed in the same tick as the index was written is compared by content only
    because it is not older than the index (git's racy-git.txt).
    """
    with open(index, "rb") as source, open(ours, "wb") as target:
        target.write(source.read())
        status = os.fstat(source.fileno())
    os.utime(ours, ns=(status.st_atime_ns, status.st_mtime_ns))


def _quoted(path: str) -> str:
    """Write a path for a list of paths (git(1), GIT_ALTERNATE_OBJECT_DIRECTORIES)."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _tracked_tree(git: Git, excluded: Sequence[str]) -> str:
    """Return the tree of the tracked files as they are in the work tree."""
    if excluded:
        git.text("--literal-pathspecs", "rm", "-q", "--cached", "--ignore-unmatch", "--", *excluded)
        _restore(git, excluded)
    git.text("add", "-u", "--", *(f":(exclude,literal,top){path}" for path in excluded), ":/")
    return git.text("write-tree")


def _restore(git: Git, paths: Sequence[str]) -> None:
    """Put the commit's version of some files into our index."""
    listing = git.text("--literal-pathspecs", "ls-tree", "-r", "-z", "HEAD", "--", *paths)
    completed = git.run("update-index", "-z", "--index-info", stdin=os.fsencode(listing))
    if completed.exit_code:
        raise SourceError(f"git update-index failed: {reason(completed)}")


def _patch(git: Git, base: str, tree: str) -> bytes:
    completed = git.capture(*PATCH, base, tree)
    if completed.exit_code:
        raise SourceError(f"git diff-tree failed: {reason(completed)}")
    return completed.stdout


def with_files(git: Git, files: Sequence[str]) -> str:
    """Return the tree of git's index with some files of the work tree added."""
    names = b"\0".join(map(os.fsencode, files)) + b"\0"
    completed = git.run("update-index", "--add", "-z", "--stdin", stdin=names)
    if completed.exit_code:
        raise SourceError(f"git update-index failed: {reason(completed)}")
    return git.text("write-tree")
