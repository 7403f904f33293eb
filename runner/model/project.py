"""Where a project is, and where its files came from."""

from __future__ import annotations

from runner.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from runner.model.value import Commit, Digest


class ProjectReference(Value):
    """What the user named: a folder, a git URL or an archive; and which part and state of it.

    ``location`` may carry credentials; whatever is stored or shown goes through
    ``runner.redaction.without_credentials`` first.
    """

    location: str
    revision: str | None = None
    subdirectory: str = ""


class Omission(Value):
    """A changed or untracked file that was not recorded, and why."""

    path: str
    reason: str
    size: int | None = None


class Provenance(Value):
    """Enough to fetch the same files again, or to know that nobody can.

    ``tree`` is the SWHID of the whole tree that ran (for git: of the repository's root, with
    changes and untracked files applied). ``reference`` is free of credentials.
    """

    reference: ProjectReference
    tree: Digest
    commit: Commit | None = None
    committed: datetime | None = None
    branch: str | None = None
    repository: str | None = None
    dirty: bool = False
    patch: Digest | None = None
    untracked: Digest | None = None
    omitted: tuple[Omission, ...] = ()


class Changes(Value):
    """What differs from the commit: a ``git apply``-able patch and a tar.gz of untracked files."""

    patch: bytes = b""
    untracked: bytes = b""


class RecordedSource(Value):
    """The files of an earlier run: where they came from, and what they held beyond the commit.

    ``project`` is the project's directory below the root of the tree. ``archive`` is a tar.gz of
    all files, changes included, where somebody kept one: nothing needs to be fetched then.
    """

    provenance: Provenance
    changes: Changes = Changes()
    project: str = ""
    archive: bytes = b""


class WorkingTree(Value):
    """A project's files at one place on this machine.

    ``root`` is where the repository or archive starts, ``project`` the directory that holds the
    MLproject file (``root`` or below). ``lease`` is an open file descriptor whose lock keeps a
    pooled tree ours until it is closed, ``None`` for trees that need no lock.
    """

    root: str
    project: str
    provenance: Provenance
    changes: Changes = Changes()
    lease: int | None = None
