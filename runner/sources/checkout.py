"""Checked-out trees that are used again: proven clean, or made so, or given up."""

from __future__ import annotations

import json
import os

from runner.model.value import Value, fields
from runner.system.files import read, write_whole
from runner.system.git import Git, parsed_status, variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MARKER = "runproj.json"
"""Written last, into the tree's ``.git``: a tree without it is a wreck."""

SEALED = ("config", "HEAD", "shallow", "info/exclude", "info/attributes", "info/sparse-checkout")
"""Files of the repository that decide what git takes for clean."""

STATUS = (
    "status",
    "--porcelain=v2",
    "--branch",
    "-z",
    "--no-renames",
    "--untracked-files=no",
    "--ignore-submodules=none",
)


class Checkout(Value):
    """What is known of a checked-out commit.

    ``tree`` is its SWHID, ``committed`` seconds since 1970, ``submodules`` their paths,
    ``pointers`` the files whose content Git LFS keeps elsewhere.
    """

    tree: str
    committed: int
    submodules: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()


def tree_git(path: str, environ: Mapping[str, str]) -> Git:
    """Return git for one tree and no other, even if its repository is damaged or gone."""
    own = variables(environ, isolated=True)
    own.update(GIT_DIR=os.path.join(path, ".git"), GIT_WORK_TREE=path)
    return Git(directory=path, variables=own)


def seal(path: str, checkout: Checkout) -> None:
    """Declare a tree to be complete and clean."""
    document = {**fields(checkout), "seal": _seal(path), "index": _stamp(path, "index")}
    write_whole(os.path.join(path, ".git", MARKER), json.dumps(document).encode())


def proven(path: str, commit: str, environ: Mapping[str, str]) -> Checkout | None:
    """Return what is known of a tree that is now as good as fresh; None if it cannot be.

    Whatever the last run left is deleted, whatever it changed is put back. A tree whose repository
    was reconfigured or moved to another commit is not trusted to know.
    """
    try:
        known = json.loads(read(os.path.join(path, ".git", MARKER)))
        checkout = Checkout(
            tree=known["tree"],
            committed=known["committed"],
            submodules=tuple(known["submodules"]),
            pointers=tuple(known["pointers"]),
        )
        intact = known["seal"] == _seal(path)
        indexed = known["index"] == _stamp(path, "index")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    modules = [os.path.join(path, module) for module in checkout.submodules]
    if not intact or any(os.path.realpath(place) != place for place in (path, *modules)):
        return None
    if not all(_swept(place, environ) for place in (path, *modules)):
        return None
    if indexed and _is_clean(path, commit, environ):
        return checkout
    if modules or not _restored(path, commit, environ):
        return None
    seal(path, checkout)
    return checkout


def _seal(path: str) -> list[list[int] | None]:
    return [_stamp(path, name) for name in SEALED]


def _stamp(path: str, name: str) -> list[int] | None:
    """Return what changes when a file does; None for a file that is not there."""
    try:
        status = os.lstat(os.path.join(path, ".git", name))
    except OSError:
        return None
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode]


def _swept(path: str, environ: Mapping[str, str]) -> bool:
    """Delete what no commit holds: untracked, ignored, empty folders, foreign repositories."""
    return tree_git(path, environ).capture("clean", "-ffdxq").exit_code == 0


def _is_clean(path: str, commit: str, environ: Mapping[str, str]) -> bool:
    completed = tree_git(path, environ).capture(*STATUS)
    status = parsed_status(completed.text)
    return not completed.exit_code and status.commit == commit and not status.changed


def _restored(path: str, commit: str, environ: Mapping[str, str]) -> bool:
    """Write every file again that differs, from an index that nobody else has written."""
    index = os.path.join(path, ".git", "index")
    for name in (index, f"{index}.lock"):
        if os.path.lexists(name):
            os.unlink(name)
    reset = tree_git(path, environ).capture("reset", "-q", "--hard", commit)
    return not reset.exit_code and _swept(path, environ) and _is_clean(path, commit, environ)
