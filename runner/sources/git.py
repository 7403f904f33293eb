"""Projects in git repositories, anywhere: a cache per remote, a pool of work trees per commit."""

from __future__ import annotations

import os

from runner.model.project import Omission, ProjectReference, Provenance, WorkingTree
from runner.model.value import Commit, Digest, changed
from runner.redaction import without_credentials
from runner.sources.checkout import Checkout, proven
from runner.sources.facts import clock
from runner.sources.folder import project_directory, shown
from runner.sources.remote import (
    Remote,
    Resolved,
    asking,
    checked_revision,
    is_commit,
    key,
    parsed_remote,
    resolved,
)
from runner.system.files import cache_directory
from runner.system.git import is_bare
from runner.system.pool import lease, prune

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.ports import Reporter
    from runner.sources.repository import Repository
    from runner.system.files import Lock
    from runner.system.git import Git


class GitSource:
    """Git repositories by URL or path. The last source to be asked: it refuses what is none."""

    def __init__(self, *, home: str, environ: Mapping[str, str], reporter: Reporter) -> None:
        self.home = home
        self.environ = environ
        self.reporter = reporter

    def accepts(self, reference: ProjectReference) -> bool:
        """Take whatever the sources before left over."""
        return bool(reference.location)

    def fetch(self, reference: ProjectReference) -> WorkingTree:
        """Lease a clean work tree of the revision that was asked for."""
        remote = parsed_remote(reference.location)
        found = self._resolved(remote, reference.revision)
        commit, path, checkout, lock = self._leased(remote, found)
        try:
            inside = os.path.join(remote.inside, reference.subdirectory)
            project = project_directory(path, changed(reference, subdirectory=inside))
        except BaseException:
            lock.release()
            raise
        provenance = Provenance(
            reference=shown(reference),
            tree=Digest(checkout.tree),
            commit=Commit(commit),
            committed=clock(checkout.committed),
            branch=found.branch,
            repository=self._repository_url(remote),
            omitted=tuple(
                Omission(path=name, reason="a Git LFS pointer; its content was not fetched")
                for name in checkout.pointers
            ),
        )
        return WorkingTree(root=path, project=project, provenance=provenance, lease=lock.descriptor)

    def _asking(self, remote: Remote) -> Git:
        """Return git for the remote, at a place where no repository configures it."""
        git = asking(remote, cache_directory(self.home, "git"), self.environ)
        ceiling = {**git.variables, "GIT_CEILING_DIRECTORIES": os.path.realpath(self.home)}
        return changed(git, variables=ceiling)

    def _repository(self, remote: Remote) -> Repository:
        from runner.sources.repository import Repository

        return Repository(remote, home=self.home, environ=self.environ, reporter=self.reporter)

    def _resolved(self, remote: Remote, revision: str | None) -> Resolved:
        """Find the commit of a revision; a full commit id is believed without asking."""
        if revision is not None and is_commit(checked_revision(revision), full=True):
            return Resolved(commit=revision.lower())
        git = self._asking(remote)
        if found := resolved(remote, revision, git):
            return found
        if revision is not None and is_commit(revision, full=False):
            commit = self._repository(remote).abbreviated(revision.lower())
            if commit is not None:
                return Resolved(commit=commit)
        from runner.sources.remote import unknown

        raise unknown(remote, revision or "HEAD", git)

    def _leased(self, remote: Remote, found: Resolved) -> tuple[str, str, Checkout, Lock]:
        """Return the commit, and a tree of it that is ours until the lock is released."""
        family = os.path.join(cache_directory(self.home, "trees"), key(remote))
        commit = found.commit
        if not os.path.isdir(os.path.join(family, commit)):
            commit = self._repository(remote).ensure(found)
        path, lock = lease(os.path.join(os.path.realpath(family), commit))
        try:
            checkout = proven(path, commit, self.environ)
            if checkout is None:
                checkout = self._built(remote, changed(found, commit=commit), path)
                prune(self.home, family)
        except BaseException:
            lock.release()
            raise
        return commit, path, checkout, lock

    def _built(self, remote: Remote, found: Resolved, path: str) -> Checkout:
        """Check out a commit; a cache that turns out to be broken is fetched anew, once."""
        from runner.sources.repository import BrokenCacheError

        repository = self._repository(remote)
        repository.ensure(found)
        try:
            return repository.check_out(found.commit, path)
        except BrokenCacheError:
            repository.discard_broken()
            repository.ensure(found)
            return repository.check_out(found.commit, path)

    def _repository_url(self, remote: Remote) -> str:
        """Return where the repository comes from: for a local clone, what it was cloned from."""
        if remote.path is None or is_bare(remote.path):
            return remote.shown
        git = self._asking(remote)
        own = {**git.variables, "GIT_DIR": os.path.join(remote.path, ".git")}
        origin = changed(git, variables=own).capture("config", "--get", "remote.origin.url")
        return without_credentials(origin.text.strip()) or remote.shown
