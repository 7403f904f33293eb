"""``pylock.toml`` (PEP 751): reading, writing, comparing, and what it means for an environment."""

from __future__ import annotations

import os
import re
import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from packaging.markers import InvalidMarker, Marker
from packaging.utils import canonicalize_name

from runner.errors import EnvError
from runner.model.value import Value
from runner.redaction import without_credentials
from runner.system.files import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.environments.interpreters import Interpreter

Table: TypeAlias = "dict[str, Any]"
VERSION = "1.0"


class Package(Value):
    """One package of a lock.

    ``kind`` is how it comes: ``wheel`` (wheels, maybe an sdist too), ``sdist`` (only that),
    ``archive``, ``vcs`` or ``directory``. ``hashes`` are ``algorithm:hex`` of all files.
    ``source`` is the URL or path of what no index has, ``commit`` that of a ``vcs``.
    """

    name: str
    version: str | None
    kind: str
    hashes: tuple[str, ...] = ()
    source: str = ""
    commit: str = ""
    subdirectory: str = ""
    editable: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.version or self.commit[:12] or '(local)'}"


def load(path: str, *, shown: str | None = None) -> Table:
    """Read a lock file.

    Raises:
        EnvError: It is no TOML, no pylock, or of a version that came after us.
    """
    where = shown or path
    try:
        content = read(path)
    except OSError as error:
        raise EnvError(f"the lock cannot be read: {error.strerror}", where=where) from None
    return parsed(content, where=where)


def parsed(content: bytes, *, where: str) -> Table:
    """Read the bytes of a lock file.

    Raises:
        EnvError: It is no TOML, no pylock, or of a version that came after us.
    """
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EnvError(f"the lock is no TOML: {error}", where=where) from None
    version = str(table.get("lock-version", ""))
    if not version:
        raise EnvError("the lock has no 'lock-version', so it is no pylock file", where=where)
    if version.partition(".")[0] != "1":
        raise EnvError(f"the lock is of version {version}, only 1.x is known", where=where)
    rows = table.get("packages", [])
    if not isinstance(rows, list) or any(not isinstance(r, dict) or "name" not in r for r in rows):
        raise EnvError("'packages' is not a list of tables with names", where=where)
    return table


def packages(
    table: Table, interpreter: Interpreter | None = None, *, where: str = "pylock.toml"
) -> tuple[Package, ...]:
    """Return a lock's packages by name; for an interpreter only those whose markers hold.

    Raises:
        EnvError: A package has no file, or a file has no hash.
    """
    variables = marker_variables(interpreter) if interpreter else None
    chosen = [row for row in table.get("packages", []) if _holds(row, variables, where)]
    return tuple(
        sorted((_package(row, where) for row in chosen), key=lambda p: (p.name, str(p.version)))
    )


def _package(row: Table, where: str) -> Package:
    name, version = str(canonicalize_name(str(row["name"]))), row.get("version")
    if "directory" in row:
        at = row["directory"]
        return Package(
            name=name, version=version, kind="directory", source=str(at["path"]),
            subdirectory=str(at.get("subdirectory", "")), editable=bool(at.get("editable")),
        )  # fmt: skip
    if "vcs" in row:
        at = row["vcs"]
        return Package(
            name=name, version=version, kind="vcs", source=str(at.get("url") or at.get("path")),
            commit=str(at["commit-id"]), subdirectory=str(at.get("subdirectory", "")),
        )  # fmt: skip
    if "archive" in row:
        at = row["archive"]
        return Package(
            name=name, version=version, kind="archive", hashes=_hashes([at], name, where),
            source=str(at.get("url") or at.get("path")),
            subdirectory=str(at.get("subdirectory", "")),
        )  # fmt: skip
    wheels, sdist = row.get("wheels", []), row.get("sdist")
    files = [*wheels, *([sdist] if sdist else [])]
    if not files or not version:
        raise EnvError(f"the lock names no file for {name!r}", where=where)
    kind = "wheel" if wheels else "sdist"
    return Package(name=name, version=version, kind=kind, hashes=_hashes(files, name, where))


def _hashes(files: Iterable[Table], name: str, where: str) -> tuple[str, ...]:
    found: list[str] = []
    for file in files:
        hashes = file.get("hashes") or {}
        if not hashes:
            raise EnvError(f"the lock has no hash for a file of {name!r}", where=where)
        best = "sha256" if "sha256" in hashes else sorted(hashes)[0]
        found.append(f"{best}:{hashes[best]}")
    return tuple(sorted(found))


def _holds(row: Table, variables: Mapping[str, str] | None, where: str) -> bool:
    text = row.get("marker")
    if variables is None or not text:
        return True
    try:
        marker = Marker(str(text))
        environment = {**variables, "extras": frozenset(), "dependency_groups": frozenset()}
        return marker.evaluate(environment, context="lock_file")  # type: ignore[arg-type]
    except InvalidMarker as error:
        raise EnvError(f"the marker of {row['name']!r} is wrong: {error}", where=where) from None


def marker_variables(interpreter: Interpreter) -> dict[str, str]:
    """Return what markers see (PEP 508) on this machine with another interpreter."""
    from packaging.markers import default_environment

    names = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalVM"}
    ours = {str(k): str(v) for k, v in default_environment().items()}
    return {
        **ours,
        "implementation_name": interpreter.implementation,
        "implementation_version": interpreter.version,
        "platform_python_implementation": names.get(interpreter.implementation, ""),
        "python_full_version": interpreter.version,
        "python_version": interpreter.minor,
    }


def render(table: Table) -> bytes:
    """Write a lock: packages in the order of their names, one file a line, no credentials."""
    head = {k: v for k, v in table.items() if k not in {"packages", "tool"}}
    lines = [f"{_key(k)} = {_inline(v)}" for k, v in head.items()]
    for row in sorted(table.get("packages", []), key=lambda r: (r["name"], str(r.get("version")))):
        lines += ["", "[[packages]]"]
        for key, value in row.items():
            if isinstance(value, list) and value:
                lines += [f"{_key(key)} = [", *(f"    {_inline(item)}," for item in value), "]"]
            else:
                lines.append(f"{_key(key)} = {_inline(value)}")
    for name, tool in table.get("tool", {}).items():
        lines += ["", f"[tool.{_key(name)}]"]
        lines += [f"{_key(k)} = {_inline(v)}" for k, v in tool.items()]
    return ("\n".join(lines) + "\n").encode()


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _inline(name)


def _inline(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict):
        inside = ", ".join(f"{_key(k)} = {_inline(v)}" for k, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_inline, value))}]"
    return _string(without_credentials(str(value)))


def _string(text: str) -> str:
    """Write a basic TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m[0]):04x}", escaped) + '"'


def relocated(table: Table, places: Mapping[str, str], base: str) -> Table:
    """Return a lock whose local paths are relative to ``base``, with ``places`` put right first."""
    rows = []
    for row in table.get("packages", []):
        changed = dict(row)
        for kind in ("directory", "archive", "vcs"):
            if path := (row.get(kind) or {}).get("path"):
                real = places.get(os.path.realpath(path), path)
                changed[kind] = {**row[kind], "path": _relative(real, base)}
        rows.append(changed)
    return {**table, "packages": rows}


def _relative(path: str, base: str) -> str:
    """Return a path relative to a folder, if it lies in it."""
    relative = os.path.relpath(path, base)
    return path if relative.startswith("..") and os.path.isabs(path) else relative


def as_requirements(found: Sequence[Package]) -> str:
    """Write the packages of an index as ``name==version --hash=…`` lines, for pip or a mirror."""
    lines = []
    for package in found:
        if package.kind in {"wheel", "sdist"}:
            words = [f"{package.name}=={package.version}"]
            words += [f"--hash={hash_}" for hash_ in package.hashes]
            lines.append(" ".join(words))
        elif package.kind == "archive":
            algorithm, _, hex_ = package.hashes[0].partition(":")
            url = package.source if "://" in package.source else f"file://{package.source}"
            lines.append(f"{package.name} @ {url}#{algorithm}={hex_}")
    return "".join(line + "\n" for line in lines)


def canonical(name: str) -> str:
    """Return a package's name as it is compared (PEP 503)."""
    return str(canonicalize_name(name))


class Change(Value):
    """How one package differs between two locks; ``None`` where it is not in one of them."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.name} {self.after}"
        if self.after is None:
            return f"- {self.name} {self.before}"
        return f"~ {self.name} {self.before} -> {self.after}"


def changes(before: Iterable[Package], after: Iterable[Package]) -> tuple[Change, ...]:
    """Return what was added, removed, or is another version or other files, by name."""
    old, new = _by_name(before), _by_name(after)
    found = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) == new.get(name):
            continue
        was, is_ = old.get(name), new.get(name)
        before_text, after_text = (was[0] if was else None), (is_[0] if is_ else None)
        if before_text == after_text:
            after_text = f"{after_text} (other files)"
        found.append(Change(name=name, before=before_text, after=after_text))
    return tuple(found)


def _by_name(found: Iterable[Package]) -> dict[str, tuple[str, frozenset[str]]]:
    result: dict[str, tuple[str, frozenset[str]]] = {}
    for package in found:
        version = package.version or package.commit[:12] or "(local)"
        before = result.get(package.name)
        text = f"{before[0]}, {version}" if before and version not in before[0] else version
        result[package.name] = (
            text,
            frozenset(package.hashes) | (before[1] if before else frozenset()),
        )
    return result
