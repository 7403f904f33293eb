"""``conda-lock.yml``, version 1: reading, writing, comparing.

The format is https://schemas.conda.org/conda-lock-v1.schema.json, as conda-lock 4 writes it; what
is ours stands in ``metadata.custom_metadata`` under the name ``runproj``. Explicit lists, which
``conda list --explicit`` writes, are read as well.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from runner.codec import digest
from runner.environments.pylock import Change, canonical
from runner.errors import EnvError
from runner.model.value import Value, changed
from runner.redaction import without_credentials
from runner.system.files import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runner.codec import JSON

VERSION = 1
FORMAT = "1"
"""The version of what we write into ``custom_metadata``."""
EXPLICIT = b"@EXPLICIT"
ARCHIVES = (".conda", ".tar.bz2")
MD5_LENGTH = 32


class Package(Value):
    """One locked package. ``depends`` maps names to what is asked of their versions.

    ``hash`` of one that pip takes from version control is empty.
    """

    manager: str
    name: str
    version: str
    platform: str
    url: str
    build: str = ""
    md5: str = ""
    sha256: str = ""
    depends: Mapping[str, str]

    @property
    def file(self) -> str:
        """The name of the package's archive."""
        return unquote(urlsplit(self.url).path).rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.name} {self.version}{' ' + self.build if self.build else ''}"


class CondaLock(Value):
    """A whole lock. ``ours`` is what we wrote into ``custom_metadata``; empty in those of others.

    ``inputs`` maps platforms to the digest of what was asked for.
    """

    packages: tuple[Package, ...]
    channels: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    source: str = ""
    inputs: Mapping[str, str]
    ours: Mapping[str, Any]

    def part(self, platform: str, manager: str) -> tuple[Package, ...]:
        """Return the packages of one platform that one manager installs, by name."""
        found = (p for p in self.packages if (p.platform, p.manager) == (platform, manager))
        return tuple(sorted(found, key=lambda p: p.name))


def load(path: str, *, shown: str, platform: str) -> CondaLock:
    """Read a lock or an explicit list; the latter is for ``platform``, unless it says otherwise.

    Raises:
        EnvError: It is neither, or lacks what an installation needs.
    """
    try:
        content = read(path)
    except OSError as error:
        raise EnvError(f"the lock cannot be read: {error.strerror}", where=shown) from None
    if _is_explicit(content):
        return _explicit(content.decode("utf-8", "replace"), shown, platform)
    return parsed(content, shown=shown)


def _is_explicit(content: bytes) -> bool:
    return any(line.strip() == EXPLICIT for line in content.splitlines())


def is_lock(path: str) -> bool:
    """Whether a file that may be a lock by its name is one by its content."""
    try:
        content = read(path)
    except OSError:
        return False
    return path.endswith((".yml", ".yaml")) or _is_explicit(content)


def parsed(content: bytes, *, shown: str) -> CondaLock:
    """Read a ``conda-lock.yml``.

    Raises:
        EnvError: It is none.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(content, Loader=loader)  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, ValueError) as error:
        reason = str(getattr(error, "problem", None) or error)
        raise EnvError(f"the lock is no YAML: {reason}", where=shown) from None
    if not isinstance(data, dict) or "package" not in data or "metadata" not in data:
        raise EnvError("the lock has no 'package' and 'metadata', so it is no conda-lock.yml",
                       where=shown)  # fmt: skip
    if data.get("version") != VERSION:
        raise EnvError(f"the lock is of version {data.get('version')!r}, only 1 is known",
                       where=shown)  # fmt: skip
    try:
        return _lock(data)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise EnvError(f"the lock makes no sense: {what}", where=shown) from None


def _lock(data: dict[str, Any]) -> CondaLock:
    about = data["metadata"]
    custom = about.get("custom_metadata") or {}
    ours = json.loads(custom["runproj"]) if "runproj" in custom else {}
    rows = [row for row in data["package"] if row.get("category", "main") == "main"]
    return CondaLock(
        packages=tuple(_package(row) for row in rows),
        channels=tuple(_channel(entry) for entry in about.get("channels") or ()),
        platforms=tuple(map(str, about.get("platforms") or ())),
        source=str((about.get("sources") or [""])[0]),
        inputs={str(k): str(v) for k, v in (about.get("content_hash") or {}).items()},
        ours=ours if ours.get("format") == FORMAT else {},
    )


def _channel(entry: str | dict[str, Any]) -> str:
    return entry if isinstance(entry, str) else str(entry["url"])


def _package(row: dict[str, Any]) -> Package:
    hashes = row.get("hash") or {}
    manager, name, url = str(row["manager"]), str(row["name"]), str(row["url"])
    if manager not in {"conda", "pip"}:
        raise ValueError(f"{name!r} is installed by {manager!r}, which is unknown")
    package = Package(
        manager=manager,
        name=name if manager == "conda" else canonical(name),
        version=str(row["version"]),
        platform=str(row["platform"]),
        url=url,
        build=str(row.get("build") or "") or (_named(url)[2] if manager == "conda" else ""),
        md5=str(hashes.get("md5") or ""),
        sha256=str(hashes.get("sha256") or ""),
        depends={str(k): str(v) for k, v in (row.get("dependencies") or {}).items()},
    )
    if manager == "conda" and not (package.md5 or package.sha256):
        raise ValueError(f"there is no hash for {name!r}")
    return package


def _named(url: str) -> tuple[str, str, str]:
    """Return name, version and build, as the file name of a conda package has them."""
    file = unquote(urlsplit(url).path).rpartition("/")[2]
    stem = next((file.removesuffix(end) for end in ARCHIVES if file.endswith(end)), "")
    words = stem.rsplit("-", 2)
    if len(words) != 3:  # noqa: PLR2004 - name, version, build
        raise ValueError(f"{without_credentials(url)!r} names no conda package")
    return words[0], words[1], words[2]


def _explicit(text: str, shown: str, platform: str) -> CondaLock:
    packages = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition(" #")[0].strip()
        if not words or words.startswith(("#", "@")):
            continue
        url, _, checksum = words.partition("#")
        algorithm, _, hexadecimal = checksum.rpartition(":")
        if not checksum:
            raise EnvError(
                "the package has no hash, so that nobody can say what it will be",
                where=f"{shown}:{number}",
                hint="'conda list --explicit --md5' writes lists with hashes",
            )
        kind = algorithm or ("md5" if len(hexadecimal) == MD5_LENGTH else "sha256")
        try:
            name, version, build = _named(url)
        except ValueError as error:
            raise EnvError(str(error), where=f"{shown}:{number}") from None
        packages.append(
            Package(
                manager="conda",
                name=name,
                version=version,
                build=build,
                url=url,
                depends={},
                platform=_platform(url, platform),
                **{kind: hexadecimal},
            )
        )
    said = re.search(r"^#\s*platform:\s*(\S+)", text, re.MULTILINE)
    found = {p.platform for p in packages} | ({said[1]} if said else set())
    return CondaLock(
        packages=tuple(packages), platforms=tuple(sorted(found or {platform})), source=shown,
        inputs={}, ours={},
    )  # fmt: skip


def _platform(url: str, platform: str) -> str:
    subdir = urlsplit(url).path.split("/")[-2:-1]
    return platform if subdir in ([], ["noarch"]) else subdir[0]


def render(lock: CondaLock) -> bytes:
    """Write a lock the one way that we write it: no credentials, packages in order."""
    import yaml

    about: dict[str, Any] = {
        "content_hash": {**lock.inputs},
        "channels": [{"url": without_credentials(c), "used_env_vars": []} for c in lock.channels],
        "platforms": [*lock.platforms],
        "sources": [lock.source],
    }
    if lock.ours:
        text = json.dumps({"format": FORMAT, **lock.ours}, sort_keys=True, ensure_ascii=False)
        about["custom_metadata"] = {"runproj": text}
    ordered = sorted(lock.packages, key=lambda p: (p.manager, p.name, p.platform))
    document = {"version": VERSION, "metadata": about, "package": [_row(p) for p in ordered]}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(document, Dumper=dumper, sort_keys=False, width=4096, allow_unicode=True)
    return f"# written by runproj lock; conda-lock can install it\n{text}".encode()


def _row(package: Package) -> dict[str, Any]:
    hashes = {"md5": package.md5, "sha256": package.sha256}
    row: dict[str, Any] = {
        "name": package.name,
        "version": package.version,
        "manager": package.manager,
        "platform": package.platform,
        "dependencies": dict(sorted(package.depends.items())),
        "url": without_credentials(package.url),
        "hash": {kind: value for kind, value in hashes.items() if value},
        "category": "main",
        "optional": False,
    }
    if package.build:
        row["build"] = package.build
    return row


def of_records(records: Iterable[Mapping[str, Any]], platform: str) -> tuple[Package, ...]:
    """Return the packages that a solve has found."""
    found = []
    for record in records:
        depends: dict[str, str] = {}
        for text in record.get("depends", ()):
            name, _, wanted = text.partition("[")[0].strip().partition(" ")
            depends[name] = ",".join(filter(None, (depends.get(name), wanted.strip())))
        found.append(
            Package(
                manager="conda",
                name=record["name"],
                version=str(record["version"]),
                platform=platform,
                url=without_credentials(record["url"]),
                build=record["build"],
                md5=record.get("md5") or "",
                sha256=record.get("sha256") or "",
                depends=depends,
            )
        )
    return tuple(found)


def as_row(package: Package) -> dict[str, Any]:
    """Return what the worker needs to link a package."""
    number = re.search(r"(\d+)$", package.build)
    return {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": int(number[1]) if number else 0,
        "url": package.url,
        "md5": package.md5,
        "sha256": package.sha256,
        "depends": [f"{name} {wanted}".strip() for name, wanted in package.depends.items()],
    }


def base_digest(
    found: Sequence[Package],
    *,
    variables: Mapping[str, str],
    as_of: str | None,
    link_scripts: bool = False,
) -> str:
    """Return the digest of what an environment holds, without hosts: mirrors serve the same."""
    rows: JSON = [
        [p.manager, p.name, p.version, p.file, p.sha256 or p.md5 or p.url]
        for p in sorted(found, key=lambda p: (p.manager, p.name, p.version))
    ]
    platform = found[0].platform if found else ""
    document: JSON = {
        "linker": "rattler 0.28",
        "platform": platform,
        "packages": rows,
        "variables": {**variables},
        "as_of": as_of if any(p.manager == "pip" for p in found) else None,
        **({"link_scripts": True} if link_scripts else {}),
    }
    return digest(document)


def changes(before: Iterable[Package], after: Iterable[Package]) -> tuple[Change, ...]:
    """Return what was added, removed, or is another version or build, by name and platform."""
    old, new = _texts(before), _texts(after)
    several = len({platform for platform, _, _ in (*old, *new)}) > 1
    found = []
    for at in sorted(old.keys() | new.keys(), key=lambda k: (k[2], k[0], k[1])):
        was, is_ = old.get(at), new.get(at)
        if was == is_:
            continue
        name = f"{at[2]} ({at[0]})" if several else at[2]
        before_text, after_text = (was[0] if was else None), (is_[0] if is_ else None)
        if before_text == after_text:
            after_text = f"{after_text} (other file)"
        found.append(Change(name=name, before=before_text, after=after_text))
    return tuple(found)


def _texts(found: Iterable[Package]) -> dict[tuple[str, str, str], tuple[str, str]]:
    return {
        (p.platform, p.manager, p.name): (
            f"{p.version} {p.build}".strip(),
            p.sha256 or p.md5 or p.url,
        )
        for p in found
    }


def relative(lock: CondaLock, project: str) -> CondaLock:
    """Return a lock whose channels in the project are named by relative paths."""
    start = f"file://{project}/"
    return _with_urls(lock, lambda url: f"./{url[len(start) :]}" if url.startswith(start) else url)


def absolute(lock: CondaLock, project: str) -> CondaLock:
    """Return a lock whose channels in the project are named by full URLs."""
    return _with_urls(lock, lambda url: f"file://{project}/{url[2:]}" if url[:2] == "./" else url)


def _with_urls(lock: CondaLock, named: Callable[[str], str]) -> CondaLock:
    return changed(
        lock,
        packages=tuple(changed(p, url=named(p.url)) for p in lock.packages),
        channels=tuple(map(named, lock.channels)),
    )
