"""Files that are whole or not there, locks that outlive us, and digests."""

from __future__ import annotations

import errno
import fcntl
import os

from runner.model.value import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by runproj; safe to delete.\n"
"""The Cache Directory Tagging specification: backup tools leave such directories alone."""


def cache_directory(home: str, *parts: str) -> str:
    """Return a directory below the cache, made and tagged when it is not there."""
    path = os.path.join(home, *parts)
    if not os.path.isdir(path):
        os.makedirs(path, exist_ok=True)
        tag = os.path.join(home, "CACHEDIR.TAG")
        if not os.path.exists(tag):
            write_whole(tag, CACHE_TAG)
    return path


def write_whole(path: str, content: bytes, *, durable: bool = False, private: bool = False) -> None:
    """Write a file so that others see the old one or the new one, never a part.

    ``durable`` also survives a power cut (fsync); ``private`` keeps other users from reading it.
    """
    partial = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.partial"
    try:
        descriptor = os.open(
            partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise


def read(path: str) -> bytes:
    """Return a file's bytes."""
    with open(path, "rb") as file:
        return file.read()


def file_digest(path: str) -> Digest:
    """Return the sha256 of a file of any size."""
    import hashlib  # OpenSSL's is faster by far where there is much to read

    with open(path, "rb") as file:
        return Digest(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")


class Lock:
    """An advisory lock on a file, held between ``with`` and its end.

    The lock belongs to the open file description: child processes that inherit ``descriptor``
    keep it after we were killed, so that nobody builds beside an orphan.
    """

    def __init__(self, path: str, *, shared: bool = False) -> None:
        self.path = path
        self._kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self.descriptor = -1

    def __enter__(self) -> Self:
        self.acquire(blocking=True)
        return self

    def acquire(self, *, blocking: bool) -> bool:
        """Take the lock; False when it is taken and we were not to wait."""
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, self._kind | (0 if blocking else fcntl.LOCK_NB))
            except BlockingIOError:
                os.close(descriptor)
                return False
            except BaseException:
                os.close(descriptor)
                raise
            if self._is_current(descriptor):
                self.descriptor = descriptor
                return True
            os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        """Whether the file we locked is still the one at the path (it may have been pruned)."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let go."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def remove_tree(path: str) -> None:
    """Delete a directory tree that may hold read-only folders; no error when it is not there."""
    import stat

    if os.path.islink(path) or not os.path.isdir(path):
        if os.path.lexists(path):
            os.unlink(path)
        return
    for folder, _, _ in os.walk(path):
        mode = os.stat(folder).st_mode
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(folder, stat.S_IRWXU)
    for folder, folders, files in os.walk(path, topdown=False):
        for name in files:
            _forget(os.unlink, os.path.join(folder, name))
        for name in folders:
            lying = os.path.join(folder, name)
            _forget(os.unlink if os.path.islink(lying) else os.rmdir, lying)
    _forget(os.rmdir, path)


def _forget(remove: Callable[[str], None], path: str) -> None:
    """Delete something that another process may be deleting, or filling, at the same time."""
    try:
        remove(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise


def set_aside(home: str, path: str) -> None:
    """Move a wreck out of the way in one step, then delete it."""
    if not os.path.lexists(path):
        return
    trash = os.path.join(cache_directory(home, "trash"), os.urandom(8).hex())
    os.rename(path, trash)
    remove_tree(trash)
