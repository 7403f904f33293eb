"""The submodules of a fetched work tree."""

from __future__ import annotations

import os

from runner.errors import SourceError
from runner.sources.remote import unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.sources.remote import Remote
    from runner.system.git import Git

UPDATE = ("submodule", "update", "--init", "--recursive", "--force", "--progress")


def fetch_submodules(git: Git, remote: Remote, on_line: Callable[[str], None]) -> tuple[str, ...]:
    """Fetch the submodules of a tree, and theirs; return their paths below the tree.

    Raises:
        SourceError: One cannot be had, or comes by a transport that is not allowed.
    """
    _refuse_helpers(git.directory)
    shallow = git.run(*UPDATE, "--depth=1", on_line=on_line)
    if shallow.exit_code:
        whole = git.run(*UPDATE, on_line=on_line)
        if whole.exit_code:
            cause = unreachable(remote, whole)
            raise SourceError(
                f"a submodule cannot be fetched: {cause.message}",
                where=remote.shown,
                hint=cause.hint,
            )
    return tuple(_checked_out(git.directory))


def _refuse_helpers(path: str) -> None:
    """Name the submodule that asks for a transport helper, before git is let near it."""
    from git import Repo

    with Repo(path) as repository:
        for module in repository.submodules:
            if "::" in module.url.partition("/")[0] or module.url.startswith("-"):
                raise SourceError(
                    f"the submodule {module.name!r} has the URL {module.url!r}, whose transport is "
                    "not allowed"
                )


def _checked_out(path: str) -> Iterator[str]:
    for folder, folders, files in os.walk(path):
        if ".git" in folders:
            folders.remove(".git")
        if ".git" in files:
            yield os.path.relpath(folder, path)
