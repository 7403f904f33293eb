"""Which files of a working tree are the project: those that its record is about.

A run on this machine happens in the working tree itself. Where the project is carried elsewhere
(into a container), only what is recorded goes along: what git ignores, what tools made and what
may hold secrets stays at home.
"""

from __future__ import annotations

import os

from runner.system.git import Git, repository_root, variables
from runner.system.trees import left_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.model.project import WorkingTree


def project_files(tree: WorkingTree, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths of a project's files and links, relative to it and sorted.

    Raises:
        SourceError: git cannot read the work tree.
    """
    project = os.path.realpath(tree.project)
    in_git = tree.provenance.commit and repository_root(project) == os.path.realpath(tree.root)
    found = _of_git(project, environ) if in_git else _walked(project, "")
    omitted = {os.path.join(tree.root, one.path.rstrip("/")) for one in tree.provenance.omitted}
    return tuple(
        sorted(path for path in set(found) if not _is_omitted(os.path.join(project, path), omitted))
    )


def _is_omitted(path: str, omitted: set[str]) -> bool:
    while path != os.path.dirname(path):
        if path in omitted:
            return True
        path = os.path.dirname(path)
    return False


def _of_git(project: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Return what git tracks, and what it would if it were told to add everything."""
    git = Git(directory=project, variables=variables(environ))
    listed = git.text(
        "ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard", "--deduplicate"
    )
    for entry in filter(None, listed.split("\0")):
        tag, path = entry[:1], entry[2:].rstrip("/")
        whole = os.path.join(project, path)
        if tag == "?" and _is_left_out(project, path):
            continue
        if os.path.isdir(whole) and not os.path.islink(whole):  # a submodule
            yield from _walked(project, path)
        elif os.path.lexists(whole):
            yield path


def _is_left_out(project: str, path: str) -> bool:
    parts = path.split("/")
    folders = ["/".join(parts[:end]) for end in range(1, len(parts))]
    return any(left_out(os.path.join(project, folder), folder=True) for folder in folders) or bool(
        left_out(os.path.join(project, path), folder=False)
    )


def _walked(project: str, below: str) -> Iterator[str]:
    """Return the files below a folder, as ``runner.system.trees.directory_digest`` sees them."""
    pending = [below]
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(os.path.join(project, folder)))
        except OSError:
            continue  # the record says that it could not be read
        for entry in entries:
            path = os.path.join(folder, entry.name)
            is_folder = entry.is_dir(follow_symlinks=False)
            if left_out(entry.path, folder=is_folder):
                continue
            if is_folder:
                pending.append(path)
            elif entry.is_symlink() or entry.is_file():
                yield path
