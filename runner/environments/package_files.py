"""The files that an environment was installed from, so that it can be built where no index is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from runner.environments import pylock
from runner.environments.interpreters import Interpreters
from runner.environments.uv import Uv
from runner.errors import EnvError
from runner.system.download import Watcher, download
from runner.system.files import cache_directory, file_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.tags import Tag

    from runner.environments.interpreters import Interpreter
    from runner.environments.pylock import Table
    from runner.model.lock import RecordedLock
    from runner.ports import Reporter

SHOWN = 3
"""How many packages a refusal names."""


class WheelFiles:
    """Fetches the wheels that a lock of Python packages means on this machine."""

    def __init__(
        self, *, home: str, environ: Mapping[str, str], reporter: Reporter | None = None
    ) -> None:
        self._home = home
        self._interpreters = Interpreters(
            home=home, environ=environ, uv=Uv(environ=environ, reporter=reporter)
        )

    def files(self, lock: RecordedLock) -> Iterator[tuple[str, str]]:
        """Yield the name and the path of each wheel, its hash checked.

        Raises:
            EnvError: A package has no wheel for this machine, or is no longer what was locked.
            DownloadError: A wheel cannot be fetched.
        """
        table = pylock.parsed(lock.content, where=lock.name)
        interpreter = self._interpreters.find(f"=={lock.python}")
        tags = _tags(interpreter)
        wanted = {
            (p.name, p.version)
            for p in pylock.packages(table, interpreter, where=lock.name)
            if p.kind != "directory"  # these are among the project's files
        }
        rows = [
            row
            for row in table.get("packages", [])
            if (pylock.canonical(str(row["name"])), row.get("version")) in wanted
        ]
        chosen = [(row, _wheel(row, tags)) for row in rows]
        without = [str(row["name"]) for row, wheel in chosen if wheel is None]
        if without:
            more = ", ..." if len(without) > SHOWN else ""
            raise EnvError(
                f"there is no wheel of {', '.join(without[:SHOWN])}{more} for this machine, "
                "so the packages cannot be packed",
                where=lock.name,
                hint="export it without the packages",
            )
        for _, wheel in chosen:
            if wheel is not None:
                yield _name(wheel), self._fetched(wheel, lock.name)

    def _fetched(self, wheel: Table, where: str) -> str:
        url = str(wheel.get("url") or "")
        if url.startswith(("http://", "https://")):
            path = download(url, cache_directory(self._home, "wheels"), Watcher()).path
        else:
            path = unquote(urlsplit(url).path) if url else str(wheel["path"])
        if not os.path.isfile(path):
            raise EnvError(f"the wheel {_name(wheel)} is not at {path}", where=where)
        wanted = f"sha256:{wheel['hashes'].get('sha256')}"
        if file_digest(path) != wanted:
            raise EnvError(f"the wheel {_name(wheel)} does not have the locked hash", where=where)
        return path


def _tags(interpreter: Interpreter) -> dict[Tag, int]:
    """Return what wheels a Python takes, the best first (PEP 425)."""
    if interpreter.implementation != "cpython":
        raise EnvError(f"the packages of {interpreter.implementation} cannot be packed yet")
    version = tuple(int(part) for part in interpreter.minor.split("."))
    found = [*cpython_tags(version), *compatible_tags(version, f"cp{version[0]}{version[1]}")]
    return {tag: rank for rank, tag in reversed([*enumerate(found)])}


def _wheel(row: Table, tags: Mapping[Tag, int]) -> Table | None:
    """Return the best of a package's wheels; None where none fits."""
    ranked = []
    for wheel in row.get("wheels", []):
        try:
            *_, able = parse_wheel_filename(_name(wheel))
        except InvalidWheelFilename:
            continue
        ranks = [tags[tag] for tag in able if tag in tags]
        if ranks:
            ranked.append((min(ranks), _name(wheel), wheel))
    return min(ranked, key=lambda found: found[:2])[2] if ranked else None


def _name(wheel: Table) -> str:
    place = str(wheel.get("name") or wheel.get("path") or urlsplit(str(wheel["url"])).path)
    return unquote(place).rpartition("/")[2]
