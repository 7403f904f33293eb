"""A directory on this machine, used in place: never copied, never written to."""

from __future__ import annotations

import os

from runner.errors import RunprojError, SourceError
from runner.model.project import Changes, Omission, ProjectReference, Provenance, WorkingTree
from runner.model.value import Commit, changed, swhid
from runner.redaction import without_credentials
from runner.sources.facts import RepositoryFacts, clock
from runner.system.git import (
    SHA1,
    Git,
    Status,
    is_bare,
    parsed_status,
    reason,
    repository_root,
    variables,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS = (
    "status",
    "--porcelain=v2",
    "--branch",
    "-z",
    "--no-renames",
    "--untracked-files=normal",
    "--ignore-submodules=none",
)

NO_VERSION = "Setting a version is only supported for Git project URIs"


class FolderSource:
    """Projects in directories; a revision in a git work tree is another source's business."""

    def __init__(self, *, home: str, environ: Mapping[str, str]) -> None:
        self.home = home
        self.environ = environ

    def accepts(self, reference: ProjectReference) -> bool:
        """Take existing directories that need no checkout."""
        path = local_path(reference.location)
        if path is None or not os.path.isdir(path):
            return False
        if is_bare(path) and not _has_project_file(path):
            return False
        return reference.revision is None or repository_root(os.path.realpath(path)) is None

    def fetch(self, reference: ProjectReference) -> WorkingTree:
        """Use the directory where it is and find out where its files came from."""
        path = local_path(reference.location)
        if path is None or not os.path.isdir(path):
            raise SourceError(f"there is no directory {reference.location!r}")
        if reference.revision is not None:
            raise SourceError(
                NO_VERSION,
                where=path,
                hint=f"leave {reference.revision!r} away: the directory is no git repository",
            )
        given = ProjectReference(location=path, subdirectory=reference.subdirectory)
        project = project_directory(os.path.realpath(path), given)
        root = repository_root(project)
        if root is not None:
            known = _Repository(root, project, home=self.home, environ=self.environ)
            try:
                if tree := known.tree(given):
                    return tree
            except RunprojError as error:
                return self._plain(given, os.path.realpath(path), project, because=error.message)
        return self._plain(given, os.path.realpath(path), project)

    def _plain(
        self, reference: ProjectReference, root: str, project: str, because: str | None = None
    ) -> WorkingTree:
        """Describe a folder by its files alone; ``because`` says why git has no part in it."""
        from runner.system.blobs import BlobMemory
        from runner.system.trees import directory_digest

        named = directory_digest(root, memory=BlobMemory(self.home, root))
        unknown = (Omission(path=".git", reason=because),) if because else ()
        return WorkingTree(
            root=root,
            project=project,
            provenance=Provenance(
                reference=reference, tree=named.digest, omitted=(*unknown, *named.omitted)
            ),
        )


def _left_out(root: str, path: str) -> str | None:
    """Say why an untracked file is no part of the project; folders end in ``/``."""
    from runner.system.trees import left_out

    return left_out(os.path.join(root, path.rstrip("/")), folder=path.endswith("/"))


def _has_project_file(path: str) -> bool:
    return any(name.lower().startswith("mlproject") for name in os.listdir(path))


class _Repository:
    """The git work tree that a directory is part of."""

    def __init__(self, root: str, project: str, *, home: str, environ: Mapping[str, str]) -> None:
        self.root = root
        self.project = project
        self.facts = RepositoryFacts(root, home=home, environ=environ)
        config = self.facts.neutral_filters()
        self.git = Git(directory=root, variables=variables(environ, config=config))

    def tree(self, reference: ProjectReference) -> WorkingTree | None:
        """Describe the work tree; None when the repository ignores the directory."""
        if self.project != self.root and self._is_ignored():
            return None
        completed = self.git.capture(*STATUS)
        if completed.exit_code:
            raise SourceError(f"git cannot read the repository: {reason(completed)}")
        status = parsed_status(completed.text)
        provenance, changes = self._described(reference, status)
        return WorkingTree(
            root=self.root, project=self.project, provenance=provenance, changes=changes
        )

    def _is_ignored(self) -> bool:
        relative = os.path.relpath(self.project, self.root)
        return self.git.capture("check-ignore", "-q", "--", relative).exit_code == 0

    def _described(self, reference: ProjectReference, status: Status) -> tuple[Provenance, Changes]:
        wanted: list[str] = []
        omitted: list[Omission] = []
        for path in status.untracked:
            why = _left_out(self.root, path)
            if why:
                omitted.append(Omission(path=path, reason=why))
            else:
                wanted.append(path)
        head = self.facts.head(self.git, status.commit)
        if len(status.commit or "") > SHA1:
            raise SourceError("the repository names its objects by SHA-256, which has no SWHID")
        clean = Provenance(
            reference=reference,
            tree=swhid(head.tree or ""),
            commit=Commit(status.commit) if status.commit else None,
            committed=clock(head.committed),
            branch=status.branch,
            repository=head.remote,
            omitted=tuple(omitted),
        )
        if head.tree and not status.changed and not wanted:
            return clean, Changes()
        from runner.sources.changes import taken

        found = taken(self.git, status, untracked=wanted, home=self.facts.home)
        provenance = changed(
            clean,
            tree=found.digest,
            dirty=found.partial or found.tree != head.tree,
            patch=found.patch_digest,
            untracked=found.untracked_digest,
            omitted=(*omitted, *found.omitted),
        )
        return provenance, found.changes


def local_path(location: str) -> str | None:
    """Return the absolute path that a plain path or a ``file:`` URL (RFC 8089) names.

    None for everything that is somewhere else or may be.
    """
    if location[:5].lower() == "file:":
        return _file_url_path(location[5:])
    if "://" in location or "\0" in location:
        return None
    return os.path.abspath(os.path.expanduser(location))


def _file_url_path(rest: str) -> str | None:
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in {"", "localhost"}:
            return None
        rest = slash + path
    if "%" in rest:
        from urllib.parse import unquote

        rest = unquote(rest, errors="surrogateescape")
    return os.path.abspath(rest) if rest and "\0" not in rest else None


def project_directory(root: str, reference: ProjectReference) -> str:
    """Return the folder in a tree that a reference means.

    Raises:
        SourceError: There is no such folder, or it is outside the tree.
    """
    if not reference.subdirectory:
        return root
    directory = os.path.realpath(os.path.join(root, reference.subdirectory))
    shown = without_credentials(reference.location)
    if directory != root and not directory.startswith(root.rstrip("/") + os.sep):
        raise SourceError(
            f"the subdirectory {reference.subdirectory!r} leads out of the project", where=shown
        )
    if not os.path.isdir(directory):
        raise SourceError(
            f"Could not find subdirectory {reference.subdirectory!r} of {shown}", where=shown
        )
    return directory


def shown(reference: ProjectReference) -> ProjectReference:
    """Return a reference that may be stored: free of credentials."""
    return changed(reference, location=without_credentials(reference.location))


def check_links(root: str, shown: str) -> None:
    """Refuse a fetched tree whose symbolic links lead out of it.

    Raises:
        SourceError: One does.
    """
    from runner.system.trees import outward_link

    if link := outward_link(root):
        raise SourceError(
            f"the symbolic link {link[0]!r} leads out of the project, to {link[1]!r}",
            where=shown,
            hint="only projects in local directories may link to files elsewhere",
        )
