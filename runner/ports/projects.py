"""Where projects come from, and where they go back to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.model.project import ProjectReference, RecordedSource, WorkingTree


class Source(Protocol):
    """One way of turning a reference into a working tree."""

    def accepts(self, reference: ProjectReference) -> bool:
        """Say, without touching the network, whether this source is the one to ask."""

    def fetch(self, reference: ProjectReference) -> WorkingTree:
        """Put the files on disk and say where they came from.

        Raises:
            SourceError: The location or the revision cannot be had.
        """


class SourceRestorer(Protocol):
    """Brings the files of an earlier run back."""

    def restore(self, recorded: RecordedSource) -> WorkingTree:
        """Put the very files on disk that ran, proven by the digest of their tree.

        Raises:
            SourceError: They cannot be had, or are no longer the same.
        """


class CommitHistory(Protocol):
    """The commits of the repository that a run's files came from."""

    def commit(self, revision: str | None) -> str:
        """Return the commit that a name means; None is the repository's current one.

        Raises:
            SourceError: There is no such commit.
        """

    def common_ancestor(self, one: str, other: str) -> str | None:
        """Return the best commit that both have grown from; None when they share none."""

    def middle(self, good: str, bad: str, passed_over: Iterable[str]) -> str | None:
        """Return the commit after ``good`` that halves those up to ``bad``; None when none is left.

        ``bad`` itself is never returned, nor are those to be passed over.
        """

    def between(self, good: str, bad: str) -> tuple[str, ...]:
        """Return the commits after ``good`` up to ``bad``, the newest first."""

    def tree(self, commit: str) -> str:
        """Return the id of a commit's files: the same for commits that changed nothing."""

    def subject(self, commit: str) -> str:
        """Return the first line of a commit's message."""
