"""Directory trees as git sees them: what belongs to one, what it is called, where links lead."""

from __future__ import annotations

import os
import stat

from runner.hashing import sha1
from runner.model.project import Omission
from runner.model.value import Digest, Value, swhid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.system.blobs import BlobMemory

GENERATED = frozenset(
    {
        "mlruns",
        "__pycache__",
        "node_modules",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
    }
)
"""Directories that tools make and make again."""

FOLDER_SIGNS = {
    "pyvenv.cfg": "a virtual environment",
    "conda-meta": "a conda environment",
    "CACHEDIR.TAG": "a cache",
}
"""Directories that somebody can make again, by what lies in them."""

SECRET_NAMES = frozenset(
    {".netrc", ".pypirc", ".git-credentials", "id_rsa", "id_ecdsa", "id_ed25519"}
)
SECRET_ENDINGS = (".pem", ".key", ".p12", ".pfx")
HARMLESS_ENDINGS = (".example", ".sample", ".template", ".dist")

FILE, PROGRAM, LINK, FOLDER, MODULE = b"100644", b"100755", b"120000", b"40000", b"160000"
"""The modes that a git tree knows."""


class TreeDigest(Value):
    """The name of a tree, and what was left out of it."""

    digest: Digest
    omitted: tuple[Omission, ...] = ()


def left_out(path: str, *, folder: bool) -> str | None:
    """Say why a file or folder is no part of a project, None when it is one."""
    name = os.path.basename(path)
    if name in GENERATED or name.startswith("mlflow.db"):
        return "made by tools, not part of the project"
    if name == ".git":
        return "a repository's own files"
    if is_secret(name):
        return "may hold secrets"
    if folder:
        for sign, why in FOLDER_SIGNS.items():
            if os.path.exists(os.path.join(path, sign)):
                return why
    return None


def is_secret(name: str) -> bool:
    """Whether files of that name usually hold keys or passwords."""
    if name in SECRET_NAMES or name.endswith(SECRET_ENDINGS):
        return True
    dotenv = name == ".env" or name.startswith(".env.")
    return dotenv and not name.endswith(HARMLESS_ENDINGS)


def directory_digest(
    root: str, *, everything: bool = False, memory: BlobMemory | None = None
) -> TreeDigest:
    """Name a folder by the id that its git tree would have, without git.

    Symbolic links count as links, empty folders not at all. ``everything`` also counts what
    ``left_out`` would leave out, but for a repository's own files. What cannot be read is named in
    the result. ``memory`` spares reading large files again that nobody has touched.
    """
    omitted: list[Omission] = []
    folders = [""]
    entries: dict[str, dict[bytes, tuple[bytes, bytes]]] = {}
    for folder in folders:
        own = entries[folder] = {}
        for entry in _listed(os.path.join(root, folder), folder, omitted):
            path = os.path.join(folder, entry.name)
            because = _reason(entry, everything=everything)
            if because:
                if entry.name != ".git":
                    omitted.append(Omission(path=path, reason=because))
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif named := _named(entry.path, path, omitted, memory):
                own[os.fsencode(entry.name)] = named
    if memory:
        memory.keep()
    return TreeDigest(digest=swhid(_folded(folders, entries)), omitted=tuple(omitted))


def _reason(entry: os.DirEntry[str], *, everything: bool) -> str | None:
    if everything and entry.name != ".git":
        return None
    return left_out(entry.path, folder=entry.is_dir(follow_symlinks=False))


def _listed(path: str, folder: str, omitted: list[Omission]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as listing:
            return sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        omitted.append(Omission(path=folder or ".", reason=f"cannot be read: {error.strerror}"))
        return []


def _named(
    location: str, path: str, omitted: list[Omission], memory: BlobMemory | None
) -> tuple[bytes, bytes] | None:
    """Return a file's mode and blob id, or take a note why it has none."""
    try:
        status = os.lstat(location)
        if stat.S_ISLNK(status.st_mode):
            return LINK, blob(os.fsencode(os.readlink(location)))
        if not stat.S_ISREG(status.st_mode):
            omitted.append(Omission(path=path, reason="not a regular file"))
            return None
        identity = memory.recall(path, status) if memory else None
        if identity is None:
            identity = _file_blob(location)
            if memory:
                memory.note(path, status, identity)
        return PROGRAM if status.st_mode & stat.S_IXUSR else FILE, identity
    except OSError as error:
        omitted.append(Omission(path=path, reason=f"cannot be read: {error.strerror}"))
        return None


def blob(content: bytes) -> bytes:
    """Return the id of a git blob."""
    return _object(b"blob", content)


def _object(kind: bytes, content: bytes) -> bytes:
    header = b"%s %d\0" % (kind, len(content))
    return sha1(header + content, usedforsecurity=False).digest()


def _file_blob(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        hasher = sha1(b"blob %d\0" % size, usedforsecurity=False)
        seen = 0
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
            seen += len(chunk)
    if seen != size:
        raise OSError(None, "it changed while it was read", path)
    return hasher.digest()


def _folded(folders: list[str], entries: dict[str, dict[bytes, tuple[bytes, bytes]]]) -> str:
    """Turn each folder's entries into a tree object, the deepest first; return the root's id."""
    for folder in reversed(folders):
        own = entries[folder]
        tree = b"".join(
            b"%s %s\0%s" % (mode, name, identity)
            for name, (mode, identity) in sorted(own.items(), key=_order)
        )
        identity = _object(b"tree", tree)
        if not folder:
            return identity.hex()
        if own:
            parent, name = os.path.split(folder)
            entries[parent][os.fsencode(name)] = (FOLDER, identity)
    raise AssertionError(folders)


def _order(item: tuple[bytes, tuple[bytes, bytes]]) -> bytes:
    """Sort as git does: a folder's name ends in a slash."""
    name, (mode, _) = item
    return name + b"/" if mode == FOLDER else name


def outward_link(root: str) -> tuple[str, str] | None:
    """Find a symbolic link that leads out of a tree: its path below the root, and its target."""
    top = os.path.realpath(root)
    for path in _links(top):
        end = os.path.realpath(path)
        if end != top and not end.startswith(top + os.sep):
            return os.path.relpath(path, top), os.readlink(path)
    return None


def _links(top: str) -> Iterator[str]:
    pending = [top]
    while pending:
        with os.scandir(pending.pop()) as listing:
            for entry in listing:
                if entry.is_symlink():
                    yield entry.path
                elif entry.is_dir(follow_symlinks=False) and entry.name != ".git":
                    pending.append(entry.path)
