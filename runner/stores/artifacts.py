"""The files of a run in a local folder, none of them outside it."""

from __future__ import annotations

import os
import posixpath
import stat

from runner.errors import StoreError
from runner.model.run import Artifact
from runner.stores.rules import missing, refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from runner.stores.parts import FolderParts

CHUNK = 1 << 20
PARTIAL = ".runproj-partial"
"""How the names of files end that are being written; they are not listed."""


def plain_path(path: str) -> str:
    """Return an artifact path that stays below its folder; ``""`` is the folder itself.

    Raises:
        StoreError: ``INVALID_PARAMETER_VALUE``: the path is absolute, climbs, or is no path.
    """
    plain = posixpath.normpath(path) if path else ""
    if path.startswith("/") or plain.startswith("../") or plain == ".." or "\0" in path:
        raise refused(f"the artifact path {path!r} leaves the run's folder")
    if "\\" in path:
        raise refused(f"the artifact path {path!r} holds a backslash", hint="write '/'")
    return "" if plain == "." else plain


class FolderArtifacts:
    """Artifacts in a local folder, which is made with the first file.

    Symbolic links below the folder are refused when they lead out of it, and never listed then.
    With ``durable`` a file that was put is synced to the disk.
    """

    def __init__(self, root: str, *, durable: bool = False) -> None:
        self._root = root
        self._durable = durable

    def folder(self) -> str:
        """Return the folder; the caller makes it when it is not there."""
        return self._root

    def parts(self) -> FolderParts:
        """Return the uploads that come in parts."""
        from runner.stores.parts import FolderParts

        return FolderParts(self, self._root)

    def check(self, path: str) -> None:
        """Refuse a path that a file cannot have here."""
        if not self._inside(path) or not plain_path(path):
            raise refused("an artifact needs a name")

    def put(self, path: str, content: BinaryIO | bytes) -> None:
        """Write one file, whole or not at all, through a neighbour that is renamed."""
        plain = plain_path(path)
        if not plain:
            raise refused("an artifact needs a name")
        target = os.path.join(self._root, *plain.split("/"))
        folder = os.path.dirname(target)
        partial = f"{target}.{os.urandom(6).hex()}{PARTIAL}"
        try:
            if not os.path.isdir(folder):
                self._check_confined(folder, path)
                os.makedirs(folder, exist_ok=True)
            self._check_confined(target if os.path.islink(target) else folder, path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(partial, flags, 0o666), "wb") as file:
                for chunk in _chunks(content):
                    file.write(chunk)
                if self._durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(partial, target)
        except OSError as error:
            _discard(partial)
            raise _unwritten(path, error) from error
        except BaseException:
            _discard(partial)
            raise

    def open(self, path: str) -> BinaryIO:
        """Open one file for reading."""
        target = self._inside(path)
        try:
            descriptor = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _unread(path, error) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise missing(f"there is no artifact {path!r}")
        return os.fdopen(descriptor, "rb")

    def list(self, path: str = "") -> tuple[Artifact, ...]:
        """List the files below a folder, all levels, in the order of their names."""
        start = self._inside(path)
        if os.path.isfile(start):
            return (Artifact(path=plain_path(path), size=os.stat(start).st_size),)
        return tuple(sorted(self._walked(start, plain_path(path)), key=lambda a: a.path))

    def delete(self, path: str) -> None:
        """Delete one file, or a folder with all that is in it; no error when it is not there."""
        target = self._inside(path)
        try:
            if os.path.isdir(target) and not os.path.islink(target):
                from runner.system.files import remove_tree

                remove_tree(target)
            else:
                os.unlink(target)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _undone("deleted", path, error) from error

    def _walked(self, folder: str, prefix: str) -> Iterator[Artifact]:
        pending = [(folder, prefix)]
        while pending:
            where, below = pending.pop()
            try:
                entries = os.scandir(where)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise _unread(below or ".", error) from error
            with entries:
                for entry in entries:
                    name = f"{below}/{entry.name}" if below else entry.name
                    if entry.is_symlink() and not self._is_confined(entry.path):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, name))
                    elif entry.is_file() and not entry.name.endswith(PARTIAL):
                        yield Artifact(path=name, size=entry.stat().st_size)

    def _inside(self, path: str) -> str:
        plain = plain_path(path)
        target = os.path.join(self._root, *plain.split("/")) if plain else self._root
        self._check_confined(target, path)
        return target

    def _check_confined(self, target: str, path: str) -> None:
        if not self._is_confined(target):
            raise refused(f"the artifact path {path!r} leads out of the run's folder")

    def _is_confined(self, target: str) -> bool:
        root = os.path.realpath(self._root)
        real = os.path.realpath(target)
        return real == root or real.startswith(root.rstrip("/") + "/")


class UnreachableArtifacts:
    """Artifacts in a place that Runproj cannot write to: every use of them says so."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def folder(self) -> None:
        """Return None: there is no local folder."""

    def put(self, path: str, content: BinaryIO | bytes) -> None:  # noqa: ARG002 - the port's names
        """Refuse."""
        raise self._refusal(f"the artifact {path!r} cannot be stored in")

    def open(self, path: str) -> BinaryIO:
        """Refuse."""
        raise self._refusal(f"the artifact {path!r} cannot be read from")

    def list(self, path: str = "") -> tuple[Artifact, ...]:
        """Refuse."""
        raise self._refusal(f"the artifacts below {path!r} cannot be listed in")

    def delete(self, path: str) -> None:
        """Refuse."""
        raise self._refusal(f"the artifact {path!r} cannot be deleted in")

    def _refusal(self, beginning: str) -> StoreError:
        from runner.redaction import without_credentials

        return StoreError(
            f"{beginning} {without_credentials(self._uri)}",
            status="NOT_IMPLEMENTED",
            hint="use an experiment whose artifacts are on the server (mlflow-artifacts:) or on "
            "this machine",
        )


def made(folder: str) -> None:
    """Make a folder for artifacts."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder for artifacts cannot be made: {error.strerror}", where=folder
        ) from error


def moved(source: str, target: str) -> None:
    """Rename a folder; files that are being written in it stay open."""
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(source, target)
    except OSError as error:
        raise StoreError(
            f"the run's files could not be moved to {target}: {error.strerror}", where=source
        ) from error


def _chunks(content: BinaryIO | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    while chunk := content.read(CHUNK):
        yield chunk


def _discard(partial: str) -> None:
    try:
        os.unlink(partial)
    except OSError:  # it was never made, or the disk is gone: the cause is reported
        return


def _unwritten(path: str, error: OSError) -> StoreError:
    if isinstance(error, IsADirectoryError | NotADirectoryError | FileExistsError):
        return refused(f"the artifact {path!r} would be both a file and a folder")
    return _undone("written", path, error)


def _unread(path: str, error: OSError) -> StoreError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return missing(f"there is no artifact {path!r}")
    return _undone("read", path, error)


def _undone(verb: str, path: str, error: OSError) -> StoreError:
    return StoreError(f"the artifact {path!r} could not be {verb}: {error.strerror}")
