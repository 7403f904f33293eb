"""Archives that depend on nothing but the files in them."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def packed(root: str, files: Iterable[str]) -> bytes:
    """Pack files into a tar.gz that depends on nothing but their names, modes and contents."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as gz,
        tarfile.open(fileobj=gz, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in files:
            _pack(archive, os.path.join(root, path), path)
    return buffer.getvalue()


def _pack(archive: tarfile.TarFile, location: str, path: str) -> None:
    member = tarfile.TarInfo(path)
    status = os.lstat(location)
    if stat.S_ISLNK(status.st_mode):
        member.type = tarfile.SYMTYPE
        member.mode = 0o777
        member.linkname = os.readlink(location)
        archive.addfile(member)
        return
    with open(location, "rb") as file:
        content = file.read()
    member.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
