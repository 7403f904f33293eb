"""Projects in zip and tar files, on this machine or a web server."""

from __future__ import annotations

import json
import os

from runner.errors import SourceError
from runner.hashing import sha256
from runner.model.event import Progress
from runner.model.project import ProjectReference, Provenance, WorkingTree
from runner.model.value import Digest, changed
from runner.redaction import without_credentials
from runner.sources import folder
from runner.system.files import cache_directory, file_digest, read, set_aside, write_whole
from runner.system.pool import lease, prune
from runner.system.trees import directory_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.ports import Reporter

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")

LARGEST = 10 << 30
"""Bytes of an archive that are downloaded at most."""

LEFTOVERS = frozenset({"__MACOSX", ".DS_Store"})
"""What an archiver adds beside the folder it packs."""


class ArchiveSource:
    """Archives by path or http(s) URL. Each run gets an unpacked tree of its own."""

    def __init__(self, *, home: str, environ: Mapping[str, str], reporter: Reporter) -> None:
        self.home = home
        self.environ = environ
        self.reporter = reporter

    def accepts(self, reference: ProjectReference) -> bool:
        """Take what ends like an archive and may be fetched as a file."""
        return _is_archive(reference.location)

    def fetch(self, reference: ProjectReference) -> WorkingTree:
        """Unpack the archive, or find it unpacked and untouched."""
        shown = folder.shown(reference)
        if reference.revision is not None:
            raise SourceError(
                folder.NO_VERSION,
                where=shown.location,
                hint=f"leave {reference.revision!r} away: an archive holds one version",
            )
        archive = self._file(reference.location, shown.location)
        digest = file_digest(archive).partition(":")[2]
        family = os.path.join(cache_directory(self.home, "trees"), "archives")
        path, lock = lease(os.path.join(os.path.realpath(family), digest))
        try:
            tree = _untouched(path)
            if tree is None:
                tree = self._unpacked(archive, path, shown.location)
                prune(self.home, family)
            root = _entered(path)
            project = _project(root, path, reference)
        except BaseException:
            lock.release()
            raise
        local = folder.local_path(reference.location)
        kept = changed(shown, location=local) if local else shown
        return WorkingTree(
            root=root,
            project=project,
            provenance=Provenance(reference=kept, tree=Digest(tree)),
            lease=lock.descriptor,
        )

    def _file(self, given: str, shown: str) -> str:
        """Return the archive as a file on this machine."""
        path = folder.local_path(given)
        if path is None:
            return self._downloaded(given, shown)
        if not os.path.isfile(path):
            raise SourceError(
                f"there is no archive {shown!r}", hint="name a file, a directory or a git URL"
            )
        return path

    def _downloaded(self, url: str, shown: str) -> str:
        from runner.sources.repository import announced
        from runner.system.download import DownloadError, Watcher, download

        tell = self.reporter.report

        class Meter(Watcher):
            """Shows the bytes as they come."""

            def goes_on(self, done: int, size: int | None) -> None:
                if done > LARGEST:
                    raise DownloadError(f"it is larger than {LARGEST >> 30} GiB")
                share = f" ({100 * done // size}%)" if size else ""
                tell(Progress(line=f"{done / (1 << 20):.1f} MiB{share}"))

        try:
            with announced(self.reporter, "downloading", shown):
                return download(url, cache_directory(self.home, "downloads"), Meter()).path
        except DownloadError as error:
            raise SourceError(
                f"{shown} cannot be downloaded: {error.message}",
                hint=error.hint or "check the address, and that this machine reaches it",
            ) from None

    def _unpacked(self, archive: str, path: str, shown: str) -> str:
        from runner.sources.repository import announced
        from runner.sources.unpack import unpack

        for wreck in (path, _note(path)):
            set_aside(self.home, wreck)
        os.makedirs(path)
        try:
            with announced(self.reporter, "unpacking", shown):
                unpack(archive, path, name=shown)
            folder.check_links(path, shown)
        except BaseException as error:
            set_aside(self.home, path)
            if isinstance(error, SourceError) and error.where is None:
                error.where = shown
            raise
        tree = directory_digest(_entered(path), everything=True).digest
        write_whole(_note(path), json.dumps([tree, _snapshot(path)]).encode())
        return tree


def _is_archive(text: str) -> bool:
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text.lower().endswith(ENDINGS) and _is_path(text)
    if scheme.lower() not in {"http", "https", "file"}:
        return False
    return rest.partition("?")[0].lower().endswith(ENDINGS)


def _is_path(text: str) -> bool:
    """Whether a text without a scheme is a path, not ``host:path`` as ssh writes it."""
    head, colon, _ = text.partition(":")
    return not colon or "/" in head or head.lower() == "file" or os.path.exists(text)


def _note(path: str) -> str:
    return f"{path}.json"


def _untouched(path: str) -> str | None:
    """Return the tree's digest if nothing in it was changed since it was unpacked."""
    try:
        tree, snapshot = json.loads(read(_note(path)))
    except (OSError, ValueError, TypeError):
        return None
    return str(tree) if snapshot == _snapshot(path) else None


def _snapshot(path: str) -> str:
    """Return a digest over what the file system says of a tree; any change shows in it."""
    hasher = sha256()
    for place, status in _statuses(path):
        stamp = (status.st_mode, status.st_size, status.st_ino, status.st_mtime_ns)
        line = f"{os.path.relpath(place, path)}\0{stamp}\0{status.st_ctime_ns}\n"
        hasher.update(os.fsencode(line))
    return hasher.hexdigest()


def _statuses(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Walk a tree in a fixed order; folders are told by their names and modes' times too."""
    pending = [path]
    while pending:
        folder = pending.pop()
        if not os.path.isdir(folder):
            return
        with os.scandir(folder) as listing:
            for entry in sorted(listing, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                yield entry.path, entry.stat(follow_symlinks=False)


def _entered(path: str) -> str:
    """Return the only folder at the top of an archive that has no project file there."""
    names = [name for name in os.listdir(path) if name not in LEFTOVERS]
    only = os.path.join(path, names[0]) if len(names) == 1 else path
    return only if os.path.isdir(only) and not os.path.islink(only) else path


def _project(root: str, path: str, reference: ProjectReference) -> str:
    """Find the project; a subdirectory may also be counted from the archive's own top."""
    shown = changed(reference, location=without_credentials(reference.location))
    try:
        return folder.project_directory(root, shown)
    except SourceError:
        if root == path:
            raise
        try:
            return folder.project_directory(path, shown)
        except SourceError:
            pass
        raise
