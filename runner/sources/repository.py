"""The cache of a remote: one bare repository, filled under a lock, read by everybody."""

from __future__ import annotations

import os

from runner.errors import SourceError
from runner.model.event import Progress, Step, StepDone, Warned
from runner.model.spec import Problem
from runner.model.value import swhid
from runner.sources.checkout import Checkout, seal, tree_git
from runner.sources.folder import check_links
from runner.sources.remote import Resolved, asking, key, unreachable
from runner.system.files import Lock, cache_directory, read, remove_tree, set_aside
from runner.system.git import SHA1, Git, reason, variables
from runner.system.trees import directory_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from runner.ports import Reporter
    from runner.sources.remote import Remote
    from runner.system.process import Completed

KEPT = "refs/runproj/commits"
"""Where the commits stand that are here with everything they need."""

OLDEST_GIT = (2, 31)
"""The first git that takes settings from variables, without which ours would not hold."""

FETCH = (
    "fetch",
    "--progress",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-recurse-submodules",
    "--update-shallow",
    "--force",
)


class BrokenCacheError(SourceError):
    """The cache lacks objects that it should have."""


class Repository:
    """A remote's cache. Every call leaves it whole, however often we were killed before."""

    def __init__(
        self, remote: Remote, *, home: str, environ: Mapping[str, str], reporter: Reporter
    ) -> None:
        self.remote = remote
        self.home = home
        self.environ = environ
        self.reporter = reporter
        self.path = os.path.join(cache_directory(home, "git"), key(remote))
        asked = asking(remote, self.path, environ)
        self.git = Git(directory=self.path, variables={**asked.variables, "GIT_DIR": self.path})
        self._lock = Lock(f"{self.path}.lock")

    def ensure(self, wanted: Resolved) -> str:
        """Have a commit with all its files; return its id, which differs for the id of a tag.

        Raises:
            SourceError: The remote does not have it or cannot be reached.
        """
        with self._lock:
            self._prepare(wanted.commit)
            found = self._kept(wanted.commit)
            if found is None:
                with self._step("fetching", self.remote.shown):
                    found = self._fetched_or_renewed(wanted)
        return found

    def complete(self, commit: str) -> str:
        """Have a commit with its whole history; return its id, which differs for the id of a tag.

        Raises:
            SourceError: The remote does not have it or cannot be reached.
        """
        with self._lock:
            self._prepare(commit)
            found = self._kept(commit) if self._is_complete() else None
            if found is None:
                with self._step("fetching", f"the history of {self.remote.shown}"):
                    self._fetch_everything()
                    found = self._fetched(Resolved(commit=commit))
        return found

    def abbreviated(self, prefix: str) -> str | None:
        """Return the only commit whose id begins so, None when there is none.

        Raises:
            SourceError: There are several, or the remote cannot be reached.
        """
        with self._lock:
            self._prepare("")
            commit = self._only(prefix) if self._is_complete() else None
            if commit is None:
                with self._step("fetching", f"the history of {self.remote.shown}"):
                    self._fetch_everything()
                commit = self._only(prefix)
        return commit

    def discard_broken(self) -> None:
        """Give the cache up, unless somebody else has renewed it; the next call fetches again."""
        with self._lock:
            if self._is_broken():
                set_aside(self.home, self.path)

    def _is_broken(self) -> bool:
        return self.git.capture("fsck", "--no-dangling", "--no-progress").exit_code != 0

    def _step(self, verb: str, subject: str) -> AbstractContextManager[None]:
        return announced(self.reporter, verb, subject)

    def _prepare(self, commit: str) -> None:
        """Make the repository, or clear away what a killed git has left in it."""
        if os.path.exists(os.path.join(self.path, "config")):
            for path in _leftovers(self.path):
                os.unlink(path)
            return
        _check_version(self.environ)
        set_aside(self.home, self.path)
        partial = os.path.join(cache_directory(self.home, "trash"), os.urandom(8).hex())
        os.makedirs(partial)
        plain = Git(directory=partial, variables=variables(self.environ, isolated=True))
        kind = "sha256" if len(commit) > SHA1 else "sha1"
        try:
            plain.text("init", "-q", "--bare", "--template=", f"--object-format={kind}", ".")
            os.rename(partial, self.path)
        finally:
            remove_tree(partial)

    def _is_complete(self) -> bool:
        """Whether the whole history was fetched."""
        shallow = os.path.exists(os.path.join(self.path, "shallow"))
        return not shallow and os.path.exists(os.path.join(self.path, "runproj-complete"))

    def _kept(self, commit: str) -> str | None:
        ask = f"{KEPT}/{commit}^{{commit}}"
        completed = self.git.capture("rev-parse", "--verify", "-q", ask)
        return None if completed.exit_code else completed.text.strip()

    def _fetched_or_renewed(self, wanted: Resolved) -> str:
        """Fetch one commit, from the beginning if it was the cache that stood in the way."""
        try:
            return self._fetched(wanted)
        except SourceError:
            if not self._is_broken():
                raise
            set_aside(self.home, self.path)
            self._prepare(wanted.commit)
            return self._fetched(wanted)

    def _fetched(self, wanted: Resolved) -> str:
        """Fetch one commit, alone if the server gives it, else with everything."""
        depth = () if self._is_complete() else ("--depth=1",)
        refspec = f"{wanted.commit}:{KEPT}/{wanted.commit}"
        completed = self._run(*FETCH, *depth, "--", self.remote.url, refspec)
        if completed.exit_code:
            self._fetch_everything(wanted.reference)
        commit = self._commit(wanted.commit)
        if commit is None:
            raise SourceError(
                f"Unable to checkout version {wanted.commit!r}: {self.remote.shown} has no such "
                "commit",
                hint=f"'git ls-remote {self.remote.shown}' lists branches and tags",
            )
        self.git.text("update-ref", f"{KEPT}/{commit}", commit)
        self.git.text("update-ref", f"{KEPT}/{wanted.commit}", commit)
        return commit

    def _fetch_everything(self, reference: str | None = None) -> None:
        """Fetch all branches and tags with their history."""
        shallow = os.path.exists(os.path.join(self.path, "shallow"))
        specs = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
        if reference and not reference.startswith(("refs/heads/", "refs/tags/")):
            specs.append(f"+{reference}:refs/runproj/named/{reference.replace('/', '-')}")
        depth = ("--unshallow",) if shallow else ()
        completed = self._run(*FETCH, "--prune", *depth, "--", self.remote.url, *specs)
        if completed.exit_code:
            raise unreachable(self.remote, completed)
        with open(os.path.join(self.path, "runproj-complete"), "wb"):
            pass

    def _run(self, *arguments: str) -> Completed:
        return self.git.run(*arguments, on_line=self._progress, keep=(self._lock.descriptor,))

    def _progress(self, line: str) -> None:
        if not line.startswith(("From ", " * ", " + ", " - ")):
            self.reporter.report(Progress(line=line.strip()))

    def _commit(self, name: str) -> str | None:
        completed = self.git.capture("rev-parse", "--verify", "-q", f"{name}^{{commit}}")
        return None if completed.exit_code else completed.text.strip()

    def _only(self, prefix: str) -> str | None:
        listed = self.git.capture("rev-parse", f"--disambiguate={prefix}").text.split()
        commits = sorted({commit for name in listed if (commit := self._commit(name))})
        if len(commits) > 1:
            shown = ", ".join(commit[:12] for commit in commits[:5])
            raise SourceError(
                f"{prefix!r} is the beginning of {len(commits)} commits of {self.remote.shown}",
                hint=f"write more of it: {shown}",
            )
        return commits[0] if commits else None

    def check_out(self, commit: str, path: str) -> Checkout:
        """Make a work tree of a commit, with its submodules, and seal it.

        Raises:
            BrokenCacheError: The cache cannot deliver it.
            SourceError: A submodule cannot be had, or a link leads out of the tree.
        """
        set_aside(self.home, path)
        os.makedirs(path)
        with self._step("checking out", f"{commit[:12]} of {self.remote.shown}"):
            self._write_files(commit, path)
            modules = self._fetch_submodules(path)
        git = tree_git(path, self.environ)
        check_links(path, self.remote.shown)
        tree, seconds = git.text("log", "-1", "--format=%T %ct", commit).split()
        name = swhid(tree) if len(tree) == SHA1 else directory_digest(path, everything=True).digest
        checkout = Checkout(
            tree=name,
            committed=int(seconds),
            submodules=modules,
            pointers=self._pointers(git),
        )
        seal(path, checkout)
        return checkout

    def _write_files(self, commit: str, path: str) -> None:
        plain = Git(directory=path, variables=variables(self.environ, isolated=True))
        kind = "sha256" if len(commit) > SHA1 else "sha1"
        plain.text("init", "-q", "--template=", f"--object-format={kind}", ".")
        own = os.path.join(path, ".git")
        os.makedirs(os.path.join(own, "objects", "info"), exist_ok=True)
        with open(os.path.join(own, "objects", "info", "alternates"), "w") as file:
            file.write(os.path.join(self.path, "objects") + "\n")
        shallow = os.path.join(self.path, "shallow")
        if os.path.exists(shallow):
            with open(os.path.join(own, "shallow"), "wb") as file:
                file.write(read(shallow))
        git = tree_git(path, self.environ)
        git.text("config", "remote.origin.url", self.remote.path or self.remote.url)
        completed = git.run("checkout", "-q", "--force", "--detach", commit)
        if completed.exit_code:
            raise BrokenCacheError(
                f"git cannot check out {commit[:12]} of {self.remote.shown}: {reason(completed)}"
            )

    def _fetch_submodules(self, path: str) -> tuple[str, ...]:
        """Fetch the submodules, shallow where the server allows it; return their paths."""
        if not os.path.exists(os.path.join(path, ".gitmodules")):
            return ()
        from runner.sources.submodules import fetch_submodules

        asked = asking(self.remote, path, self.environ)
        return fetch_submodules(asked, self.remote, self._progress)

    def _pointers(self, git: Git) -> tuple[str, ...]:
        completed = git.capture("ls-files", "-z", "--", ":(attr:filter=lfs)")
        found = tuple(path for path in completed.text.split("\0") if path)
        if found:
            message = f"{len(found)} files are Git LFS pointers; their content is not fetched"
            problem = Problem(severity="warning", rule="git-lfs", message=message)
            self.reporter.report(Warned(problem=problem))
        return found


def announced(reporter: Reporter, verb: str, subject: str) -> AbstractContextManager[None]:
    """Tell the reporter that something slow begins, and how long it took if it went well."""
    import time
    from contextlib import contextmanager

    @contextmanager
    def step() -> Iterator[None]:
        begun = time.monotonic()
        reporter.report(Step(verb=verb, subject=subject))
        yield
        seconds = time.monotonic() - begun
        reporter.report(StepDone(verb=verb, subject=subject, seconds=seconds))

    return step()


def _leftovers(path: str) -> Iterator[str]:
    """Find what a killed git leaves in a repository; only while nobody else writes to it."""
    for folder, _, files in os.walk(path):
        objects = folder.startswith(os.path.join(path, "objects"))
        for name in files:
            if name.endswith(".lock") or (objects and name.startswith("tmp_")):
                yield os.path.join(folder, name)


def _check_version(environ: Mapping[str, str]) -> None:
    import re

    text = Git(directory="/", variables=variables(environ)).text("version")
    found = re.search(r"(\d+)\.(\d+)", text)
    if found and (int(found[1]), int(found[2])) < OLDEST_GIT:
        raise SourceError(
            f"{text} is too old to fetch projects safely", hint="install git 2.31 or later"
        )
