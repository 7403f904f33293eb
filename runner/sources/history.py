"""The commits between two others, read from the cache of their repository.

No work tree takes part, least of all the user's: which commit to try next is what ``git rev-list
--bisect-all`` says, the plumbing below ``git bisect``.
"""

from __future__ import annotations

from runner.errors import RunprojError, SourceError
from runner.redaction import without_credentials
from runner.sources.remote import asking, checked_revision, is_commit, parsed_remote, resolved
from runner.sources.repository import Repository
from runner.sources.restored import repositories

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.model.project import RecordedSource
    from runner.ports import Reporter


class History:
    """The history that a run's commit is part of; see ``runner.ports.CommitHistory``.

    Raises:
        SourceError: No repository of the run can be had.
    """

    def __init__(
        self,
        recorded: RecordedSource,
        *,
        home: str,
        environ: Mapping[str, str],
        reporter: Reporter,
    ) -> None:
        self._environ = environ
        failures = []
        for location in repositories(recorded.provenance):
            try:
                self._remote = parsed_remote(location)
                self._repository = Repository(
                    self._remote, home=home, environ=environ, reporter=reporter
                )
                self._repository.complete(recorded.provenance.commit or "")
            except RunprojError as error:
                failures.append(f"{without_credentials(location)}: {error.message}")
            else:
                return
        raise SourceError(
            "the history of the run's commit cannot be had", where="; ".join(failures) or None
        )

    def commit(self, revision: str | None) -> str:
        """Return the commit that a branch, a tag or the beginning of an id names.

        None is what is checked out in a local repository, and the default branch of others.
        """
        if revision is not None and is_commit(checked_revision(revision), full=False):
            found = self._repository.abbreviated(revision.lower())
            if found is not None:
                return found
        if revision is not None and is_commit(revision, full=True):
            return self._repository.complete(revision.lower())
        git = asking(self._remote, self._repository.path, self._environ)
        named = resolved(self._remote, revision, git)
        if named is None:
            raise SourceError(
                f"{self._remote.shown} has no branch, tag or commit {revision!r}",
                hint=f"'git ls-remote {self._remote.shown}' lists branches and tags",
            )
        return self._repository.complete(named.commit)

    def common_ancestor(self, one: str, other: str) -> str | None:
        """Return the best commit that both have grown from; None when they share none."""
        done = self._repository.git.capture("merge-base", one, other)
        return done.text.strip() or None if not done.exit_code else None

    def middle(self, good: str, bad: str, passed_over: Iterable[str]) -> str | None:
        """Return the commit after ``good`` that halves those up to ``bad``; None when none is left.

        ``bad`` itself is never returned, nor are those to be passed over.
        """
        ranked = self._repository.git.text("rev-list", "--bisect-all", bad, f"^{good}")
        skipped = {bad, *passed_over}
        return next((c for c in map(_first_word, ranked.splitlines()) if c not in skipped), None)

    def between(self, good: str, bad: str) -> tuple[str, ...]:
        """Return the commits after ``good`` up to ``bad``, the newest first."""
        return tuple(self._repository.git.text("rev-list", bad, f"^{good}").split())

    def tree(self, commit: str) -> str:
        """Return the id of a commit's files: the same for commits that changed nothing."""
        return self._repository.git.text("rev-parse", f"{commit}^{{tree}}")

    def subject(self, commit: str) -> str:
        """Return the first line of a commit's message."""
        return self._repository.git.text("log", "-1", "--format=%s", commit)


def _first_word(line: str) -> str:
    return line.partition(" ")[0]
