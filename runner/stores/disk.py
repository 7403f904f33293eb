"""What went wrong with a file of the store, in words for its user."""

from __future__ import annotations

import errno

from runner.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

_MEANINGS = {
    errno.ENOSPC: ("TEMPORARILY_UNAVAILABLE", "free some space and try again"),
    errno.EDQUOT: ("TEMPORARILY_UNAVAILABLE", "free some space and try again"),
    errno.EACCES: ("PERMISSION_DENIED", "make the folder writable, or choose another store"),
    errno.EPERM: ("PERMISSION_DENIED", "make the folder writable, or choose another store"),
    errno.EROFS: ("PERMISSION_DENIED", "choose another store with --tracking-uri"),
}


class on_disk:  # noqa: N801 - reads as a verb phrase: with on_disk(folder):
    """Turn the operating system's errors inside ``with`` into ``StoreError``."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            status, hint = _MEANINGS.get(error.errno or 0, ("INTERNAL_ERROR", None))
            raise StoreError(
                f"the tracking store cannot be used: {error.strerror or error}",
                status=status,
                where=error.filename if isinstance(error.filename, str) else self._where,
                hint=hint,
            ) from error
