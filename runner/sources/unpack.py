"""Archives made into directories, without letting them write, link or grow beyond these.

Everything is decided from the table of contents before the first byte is written; sizes are
counted again while writing, because a table can lie.
"""

from __future__ import annotations

import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from functools import partial

from runner.errors import SourceError
from runner.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO, Literal

MOST_ENTRIES = 200_000
"""Files, folders and links that an archive may hold."""

LARGEST = 20 << 30
"""Bytes that an archive may unpack to."""

HIGHEST_RATIO = 200
"""How many times its own size an archive may unpack to ..."""

HARMLESS = 256 << 20
"""... unless it is no more than so many bytes."""

LONGEST_LINK = 4096
"""Bytes of a symbolic link's target."""

CHUNK = 1 << 20

DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    OverflowError,
    RuntimeError,
    OSError,
    ValueError,
)
"""What the standard library raises for archives that are cut short, damaged or exotic."""


class Entry(Value):
    """One thing in an archive; ``path`` is relative and plain, ``open`` gives a file's bytes."""

    path: str
    kind: Literal["file", "program", "link", "folder"]
    size: int = 0
    target: str = ""
    open: Callable[[], IO[bytes]] | None = None


def unpack(archive: str, directory: str, *, name: str) -> None:
    """Unpack a zip or tar file into a directory that is there and empty.

    Owners, dates and all modes but the executable bit are not taken over.

    Raises:
        SourceError: It is no such archive, is damaged or encrypted, or holds what it must not.
    """
    with opened(archive, name=name) as entries:
        found = checked(entries, size=os.path.getsize(archive), name=name)
        budget = sum(entry.size for entry in found)
        for entry in found:
            budget -= _written(entry, directory, budget, name=name)


@contextmanager
def opened(archive: str, *, name: str) -> Iterator[Iterator[Entry]]:
    """Open an archive of either kind; whatever is wrong with it becomes one sentence."""
    try:
        if _starts_as_zip(archive):
            with zipfile.ZipFile(archive) as zipped:
                yield _zip_entries(zipped, name)
        else:
            with tarfile.open(archive, "r:*") as tarred:
                yield _tar_entries(tarred, name)
                _read_out(tarred)
    except SourceError:
        raise
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno and not isinstance(error, tarfile.TarError):
            raise SourceError(f"{name} cannot be unpacked: {error.strerror}") from error
        detail = str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__
        raise SourceError(
            f"{name} is damaged or no archive: {detail}",
            hint="a project archive is a .zip or a .tar, plain or compressed by gz, bz2 or xz",
        ) from error


def _starts_as_zip(archive: str) -> bool:
    """Tell by the first bytes; ``zipfile.is_zipfile`` takes a tar that ends in a zip for one."""
    with open(archive, "rb") as file:
        return file.read(4) in {b"PK\x03\x04", b"PK\x05\x06"}


def _zip_entries(archive: zipfile.ZipFile, name: str) -> Iterator[Entry]:
    for member in archive.infolist():
        mode = member.external_attr >> 16
        if member.flag_bits & 0x1:
            raise SourceError(f"{name} is encrypted ({member.filename!r}), which is not supported")
        path = member.filename if member.create_system else member.filename.replace("\\", "/")
        kind = stat.S_IFMT(mode)
        if path.endswith("/") or kind == stat.S_IFDIR:
            yield Entry(path=path, kind="folder")
        elif kind == stat.S_IFLNK:
            if member.file_size > LONGEST_LINK:
                raise SourceError(f"{name} is damaged: the link {path!r} has no target")
            yield Entry(path=path, kind="link", target=os.fsdecode(archive.read(member)))
        elif kind in {0, stat.S_IFREG}:
            yield Entry(
                path=path,
                kind="program" if mode & stat.S_IXUSR else "file",
                size=member.file_size,
                open=partial(archive.open, member),
            )
        else:
            raise SourceError(f"{name} holds {path!r}, which is neither file, folder nor link")


def _tar_entries(archive: tarfile.TarFile, name: str) -> Iterator[Entry]:
    sizes: dict[str, int] = {}
    for member in archive:
        path = member.name
        if member.isdir():
            yield Entry(path=path, kind="folder")
        elif member.issym():
            yield Entry(path=path, kind="link", target=member.linkname)
        elif member.isreg() or member.islnk():
            source = member.linkname if member.islnk() else path
            if member.isreg():
                sizes[path] = member.size
            if source not in sizes:
                raise SourceError(f"{name} holds a hard link {path!r} to what is not in it")
            yield Entry(
                path=path,
                kind="program" if member.mode & stat.S_IXUSR else "file",
                size=sizes[source],
                open=partial(_stream, archive, member),
            )
        else:
            raise SourceError(f"{name} holds {path!r}, which is neither file, folder nor link")


def _read_out(archive: tarfile.TarFile) -> None:
    """Read what follows the last member: a compressed stream that was cut short shows it there."""
    for _ in range(64):
        if archive.fileobj is None or not archive.fileobj.read(CHUNK):
            return


def _stream(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    if stream is None:
        raise tarfile.ReadError(member.name)
    return stream


def checked(entries: Iterable[Entry], *, size: int, name: str) -> list[Entry]:
    """Return the entries, their paths made plain, links last, if all may be written.

    Raises:
        SourceError: A path leads out or appears twice, or there is too much of it.
    """
    found: dict[str, Entry] = {}
    total = 0
    for count, entry in enumerate(entries, 1):
        total += entry.size
        if count > MOST_ENTRIES or total > LARGEST:
            raise SourceError(f"{name} holds too much: {count} entries, {total} bytes so far")
        if total > max(HARMLESS, size * HIGHEST_RATIO):
            raise SourceError(f"{name} looks like a bomb: {size} bytes that unpack to {total}")
        path = _plain(entry.path, name)
        if path == "" or (entry.kind == "folder" and _is_folder(found.get(path))):
            continue
        if path in found:
            raise SourceError(f"{name} holds {path!r} twice")
        found[path] = Entry(
            path=path, kind=entry.kind, size=entry.size, target=entry.target, open=entry.open
        )
    for path in found:
        _check_parents(path, found, name)
    return sorted(found.values(), key=lambda entry: entry.kind == "link")


def _is_folder(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == "folder"


def _plain(path: str, name: str) -> str:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    drive = len(path) > 1 and path[1] == ":" and path[0].isalpha()
    if path.startswith(("/", "\\")) or ".." in parts or "\0" in path or drive:
        raise SourceError(f"{name} holds {path!r}, which leads out of the project")
    return "/".join(parts)


def _check_parents(path: str, found: dict[str, Entry], name: str) -> None:
    parent = os.path.dirname(path)
    while parent:
        above = found.get(parent)
        if above is not None and above.kind != "folder":
            raise SourceError(f"{name} holds {path!r} below {parent!r}, which is no folder")
        parent = os.path.dirname(parent)


def _written(entry: Entry, directory: str, budget: int, *, name: str) -> int:
    """Write one entry; return how many bytes it took."""
    place = os.path.join(directory, entry.path)
    if entry.kind == "folder":
        os.makedirs(place, exist_ok=True)
        return 0
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if entry.kind == "link":
        os.symlink(entry.target, place)
        return 0
    mode = 0o777 if entry.kind == "program" else 0o666
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    written = 0
    with os.fdopen(descriptor, "wb") as target, _content(entry) as source:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > budget:
                raise SourceError(f"{name} unpacks to more than its table of contents says")
            target.write(chunk)
    if written != entry.size:
        raise SourceError(f"{name} is damaged: {entry.path!r} has {written} of {entry.size} bytes")
    return written


def _content(entry: Entry) -> IO[bytes]:
    if entry.open is None:
        raise AssertionError(entry)
    return entry.open()
