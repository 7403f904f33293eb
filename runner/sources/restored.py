"""The files of an earlier run, brought back: its commit, its patch, its untracked files, proven."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

from runner.errors import RunprojError, SourceError
from runner.model.event import Warned
from runner.model.project import Changes, ProjectReference, WorkingTree
from runner.model.spec import Problem
from runner.model.value import changed, swhid
from runner.redaction import without_credentials
from runner.sources.archive import ArchiveSource
from runner.sources.changes import beside, with_files
from runner.sources.checkout import tree_git
from runner.sources.folder import FolderSource, local_path
from runner.sources.git import GitSource
from runner.system.files import cache_directory, remove_tree, set_aside
from runner.system.git import reason, repository_root
from runner.system.pool import lease, prune

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model.project import Provenance, RecordedSource
    from runner.ports import Reporter, Source
    from runner.system.git import Git

HARMLESS = ("made by tools", "a repository's own files", "a virtual environment")
"""Starts of the reasons for omissions that no run needs to be told of."""
SHOWN = 3
SAME_FILES = "the files are not those that ran"


class Restorer:
    """Restores trees into work trees of our own; folders that nobody recorded are only checked."""

    def __init__(self, *, home: str, environ: Mapping[str, str], reporter: Reporter) -> None:
        self.home = home
        self.environ = environ
        self.reporter = reporter

    def restore(self, recorded: RecordedSource) -> WorkingTree:
        """Put the files of a run on disk.

        Raises:
            SourceError: The commit is gone, the patch does not apply, or the files are others.
        """
        self._tell_omissions(recorded.provenance)
        tree = self._base(recorded)
        try:
            return self._completed(tree, recorded)
        except BaseException:
            if tree.lease is not None:
                os.close(tree.lease)
            raise

    def _tell_omissions(self, origin: Provenance) -> None:
        """Warn of files that were there when the run was recorded and are not in the record."""
        lost = [o for o in origin.omitted if not o.reason.startswith(HARMLESS)]
        if not lost:
            return
        named = ", ".join(f"{o.path} ({o.reason})" for o in lost[:SHOWN])
        more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
        message = f"these were not recorded with the run, and are not restored: {named}{more}"
        problem = Problem(severity="warning", rule="not-recorded", message=message)
        self.reporter.report(Warned(problem=problem))

    def _base(self, recorded: RecordedSource) -> WorkingTree:
        """Return what the recorded differences are to be applied to."""
        origin = recorded.provenance
        if recorded.archive:
            return self._empty(origin)
        if origin.commit:
            return self._checkout(origin, origin.commit)
        if origin.patch or origin.untracked:
            return self._empty(origin)
        return self._unversioned(origin)

    def _checkout(self, origin: Provenance, commit: str) -> WorkingTree:
        """Check the commit out, from the first place that has it."""
        source = GitSource(home=self.home, environ=self.environ, reporter=self.reporter)
        failures = []
        for location in repositories(origin):
            try:
                return source.fetch(ProjectReference(location=location, revision=commit))
            except RunprojError as error:
                failures.append(f"{without_credentials(location)}: {error.message}")
        raise SourceError(
            f"the commit {commit[:12]} of the run cannot be had",
            where="; ".join(failures) or None,
            hint="push it to the repository, or ask whoever has it for a bundle (runproj export)",
        )

    def _empty(self, origin: Provenance) -> WorkingTree:
        """Return an empty repository of our own, for trees that no commit is a part of."""
        family = os.path.join(cache_directory(self.home, "trees"), "restored")
        pool = os.path.join(os.path.realpath(family), origin.tree.rpartition(":")[2])
        path, lock = lease(pool)
        try:
            set_aside(self.home, path)
            os.makedirs(path)
            tree_git(path, self.environ).text("init", "-q")
            prune(self.home, family)
        except BaseException:
            lock.release()
            raise
        return WorkingTree(root=path, project=path, provenance=origin, lease=lock.descriptor)

    def _unversioned(self, origin: Provenance) -> WorkingTree:
        """Find a folder or an archive again, and see that it is still what it was."""
        shown = without_credentials(origin.reference.location)
        sources: tuple[Source, ...] = (
            FolderSource(home=self.home, environ=self.environ),
            ArchiveSource(home=self.home, environ=self.environ, reporter=self.reporter),
        )
        source = next((s for s in sources if s.accepts(origin.reference)), None)
        if source is None:
            raise SourceError(
                f"the project of the run is not at {shown!r} any more, and its files were not "
                "recorded",
                hint="projects in git can be brought back: commit before you run",
            )
        tree = source.fetch(origin.reference)
        if tree.provenance.tree != origin.tree:
            if tree.lease is not None:
                os.close(tree.lease)
            raise SourceError(
                f"the project at {shown!r} has changed since the run",
                where=f"{origin.tree} ran, {tree.provenance.tree} is there",
                hint="projects in git can be brought back: commit before you run",
            )
        return tree

    def _completed(self, tree: WorkingTree, recorded: RecordedSource) -> WorkingTree:
        """Apply the differences and prove the result."""
        origin, changes = recorded.provenance, recorded.changes
        _check_complete(origin, changes)
        digest = tree.provenance.tree
        if recorded.archive:
            digest = swhid(self._applied(tree.root, Changes(untracked=recorded.archive)))
        elif changes.patch or changes.untracked:
            digest = swhid(self._applied(tree.root, changes))
        if origin.tree and digest != origin.tree:
            raise SourceError(
                SAME_FILES,
                where=f"{origin.tree} ran, {digest} was restored",
                hint="changes inside submodules, and files that were left out, are not recorded",
            )
        project = os.path.normpath(os.path.join(tree.root, recorded.project))
        if not os.path.isdir(project):
            raise SourceError(f"the restored files have no folder {recorded.project!r}")
        reference = changed(
            tree.provenance.reference, subdirectory=origin.reference.subdirectory, revision=None
        )
        if origin.commit:
            reference = changed(reference, subdirectory=recorded.project)
        return changed(
            tree,
            project=project,
            changes=changes,
            provenance=changed(
                origin,
                reference=reference,
                tree=digest,
                committed=origin.committed or tree.provenance.committed,
            ),
        )

    def _applied(self, root: str, changes: Changes) -> str:
        """Write the differences into a work tree; return the id of the whole tree."""
        scratch = os.path.join(cache_directory(self.home, "trash"), os.urandom(8).hex())
        try:
            git = beside(tree_git(root, self.environ), scratch)
            if changes.patch:
                _patch(git, changes.patch)
            names = _unpacked(changes.untracked, root)
            return with_files(git, names) if names else git.text("write-tree")
        finally:
            remove_tree(scratch)


def repositories(origin: Provenance) -> tuple[str, ...]:
    """Return where the commit may be: the checkout that ran, then the repository it came from."""
    found = []
    path = local_path(origin.reference.location)
    if path is not None:
        root = repository_root(os.path.realpath(path)) if os.path.isdir(path) else None
        found.append(root or path)
    else:
        found.append(origin.reference.location)
    if origin.repository:
        found.append(origin.repository)
    there = [place for place in found if local_path(place) is None or os.path.exists(place)]
    return tuple(dict.fromkeys(there or found))


def _check_complete(origin: Provenance, changes: Changes) -> None:
    for what, wanted, content in (
        ("patch", origin.patch, changes.patch),
        ("archive of untracked files", origin.untracked, changes.untracked),
    ):
        if wanted and not content:
            raise SourceError(f"the {what} of the run is not among its artifacts any more")


def _patch(git: Git, patch: bytes) -> None:
    done = git.run("apply", "--index", "--binary", "--whitespace=nowarn", stdin=patch)
    if done.exit_code:
        raise SourceError(f"the recorded patch does not apply: {reason(done)}")


def _unpacked(archive: bytes, root: str) -> list[str]:
    """Unpack the untracked files; return their paths.

    Raises:
        SourceError: It is no archive of ours, or would write outside of the tree.
    """
    if not archive:
        return []
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
            names = [member.name for member in members.getmembers()]
            members.extractall(root, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise SourceError(f"the recorded untracked files cannot be unpacked: {error}") from None
    return names
