"""Files of the store: MLflow's ``meta.yaml``, and in words what can go wrong with any of them.

``meta.yaml`` are flat mappings, written with every text quoted, read fast when plain.

What we and MLflow write is one ``key: value`` a line; that is read by hand. Anything else (folded
texts, nested values, comments) goes through PyYAML, which costs its import.
"""

from __future__ import annotations

import errno
import json
import os

from runner.errors import StoreError
from runner.system.files import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from runner.codec import JSON

NAME = "meta.yaml"
BLOCK = 8192
"""Larger than nearly all files here; larger blocks cost more to get than to read."""
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")
_WORDS = frozenset({"", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_BASIC_PLANE = 0x10000
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


def read(folder: str) -> dict[str, JSON]:
    """Return what the ``meta.yaml`` of a folder says.

    Raises:
        FileNotFoundError: There is none.
        StoreError: It is no YAML mapping.
    """
    path = os.path.join(folder, NAME)
    content = read_bytes(path)
    found = _by_hand(content)
    return _by_yaml(content, path) if found is None else found


def write(folder: str, meta: Mapping[str, JSON], *, durable: bool = False) -> None:
    """Write the ``meta.yaml`` of a folder, whole or not at all."""
    lines = [f"{key}: {_written(value)}\n" for key, value in sorted(meta.items())]
    write_whole(os.path.join(folder, NAME), "".join(lines).encode(), durable=durable)
    if durable:
        sync_folder(folder)


def read_bytes(path: str) -> bytes:
    """Return a small file's bytes with three system calls."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = more = os.read(descriptor, BLOCK)
        while len(more) == BLOCK:
            more = os.read(descriptor, BLOCK)
            content += more
    finally:
        os.close(descriptor)
    return content


def sync_folder(folder: str) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def start_and_lifecycle(content: bytes) -> tuple[int, str] | None:
    """Return two fields of a run's meta without reading the rest, None where that is not safe."""
    at = content.find(b"\nstart_time: ")
    stage = content.find(b"\nlifecycle_stage: ")
    if at < 0 or stage < 0:
        return None
    started = content[at + 13 : content.find(b"\n", at + 13)].strip()
    lifecycle = content[stage + 18 : content.find(b"\n", stage + 18)].strip(b" \"'\r")
    if not started.isdigit() or lifecycle not in {b"active", b"deleted"}:
        return None
    return int(started), lifecycle.decode()


def _by_hand(content: bytes) -> dict[str, JSON] | None:
    """Read plain ``key: value`` lines; None when there is anything else."""
    found: dict[str, JSON] = {}
    try:
        for line in content.decode().splitlines():
            key, colon, text = line.partition(": ")
            if not colon or not key.isidentifier():
                return None
            found[key] = _value(text)
    except ValueError:  # also what decoding raises
        return None
    return found


def _value(text: str) -> JSON:
    """Return a plain value; ValueError when it takes more than a glance."""
    if text in {"", "null"}:
        return None
    if text == "[]":
        return []
    if text.isascii() and text.isdigit() and (text == "0" or text[0] != "0"):
        return int(text)
    if text[0] in "\"'":
        return _unquoted(text)
    if _PLAIN.issuperset(text) and text[0].isalpha() and text.lower() not in _WORDS:
        return text
    raise ValueError(text)


def _unquoted(text: str) -> str:
    """Return a quoted text that ends on its line and holds no escapes but JSON's simple ones."""
    inside = text[1:-1]
    if len(text) < len("''") or text[-1] != text[0] or "\\u" in inside.lower():
        raise ValueError(text)
    if text[0] == '"':
        return str(json.loads(text))
    if "'" in inside:
        raise ValueError(text)
    return inside


def _by_yaml(content: bytes, path: str) -> dict[str, JSON]:
    import yaml

    try:
        found = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise _damaged(path, str(error).splitlines()[0]) from error
    if not isinstance(found, dict):
        raise _damaged(path, "it holds no mapping")
    return {str(key): value for key, value in found.items()}


def _damaged(path: str, why: str) -> StoreError:
    return StoreError(
        f"the tracking store's file cannot be read: {why}",
        where=path,
        hint="restore the file, or delete the folder it is in",
    )


def _written(value: JSON) -> str:
    return _quoted(value) if isinstance(value, str) else json.dumps(value, default=str)


def _quoted(text: str) -> str:
    """Write a text in YAML's double quotes, which are JSON's but for characters beyond U+FFFF."""
    if text.isascii() or max(map(ord, text)) < _BASIC_PLANE:
        return json.dumps(text)
    pieces = (json.dumps(c)[1:-1] if ord(c) < _BASIC_PLANE else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(pieces)}"'
