"""What is installed in an environment, read from its ``*.dist-info`` folders.

The format is https://packaging.python.org/en/latest/specifications/recording-installed-packages/.
"""

from __future__ import annotations

import base64
import csv
import glob
import hashlib
import os
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from runner.codec import sha256
from runner.model.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

INSTALLERS_OWN = frozenset(
    {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json", "RECORD"}
)
"""Files of a ``dist-info`` that installers write, not the wheel."""


class Distribution(Value):
    """One installed package.

    ``record`` is the digest of its ``RECORD`` file as it is; ``digest`` of what the wheel brought:
    the same wherever it is installed.
    """

    name: str
    version: str
    info: str
    record: str
    digest: str
    tags: frozenset[str]

    def built_from(self, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Whether it was built here: no wheel of the lock has its tags."""
        for row in rows:
            if canonicalize_name(str(row["name"])) != self.name:
                continue
            files = [*row.get("wheels", ()), *([row["archive"]] if "archive" in row else ())]
            if any(self._is_of(str(f.get("name") or f.get("url") or f.get("path"))) for f in files):
                return False
        return True

    def _is_of(self, wheel: str) -> bool:
        name = wheel.partition("#")[0].rpartition("/")[2]
        if not name.endswith(".whl"):
            return False
        pythons, abis, platforms = name.removesuffix(".whl").split("-")[-3:]
        tags = {
            f"{python}-{abi}-{platform}"
            for python in pythons.split(".")
            for abi in abis.split(".")
            for platform in platforms.split(".")
        }
        return not self.tags or bool(tags & self.tags)


def site_packages(prefix: str) -> str:
    """Return the folder of an environment that packages are in."""
    found = glob.glob(os.path.join(glob.escape(prefix), "lib", "python*", "site-packages"))
    return found[0] if found else os.path.join(prefix, "Lib", "site-packages")


def distributions(prefix: str) -> tuple[Distribution, ...]:
    """Return what is installed, by name."""
    site = site_packages(prefix)
    infos = glob.glob(os.path.join(glob.escape(site), "*.dist-info"))
    return tuple(sorted(map(_distribution, infos), key=lambda d: d.name))


def _distribution(info: str) -> Distribution:
    name, _, version = os.path.basename(info).removesuffix(".dist-info").partition("-")
    record = _read(os.path.join(info, "RECORD"))
    lines = sorted(line for line in record.splitlines() if _is_of_wheel(line))
    tags = (
        line.partition(":")[2].strip()
        for line in _read(os.path.join(info, "WHEEL")).splitlines()
        if line.startswith("Tag:")
    )
    return Distribution(
        name=str(canonicalize_name(name)),
        version=version,
        info=info,
        record=sha256(record.encode()),
        digest=sha256("\n".join(lines).encode()),
        tags=frozenset(tags),
    )


def _is_of_wheel(line: str) -> bool:
    """Whether a line of ``RECORD`` is about a file that the wheel brought as it is."""
    path = line.partition(",")[0]
    folder, _, name = path.rpartition("/")
    own = folder.endswith(".dist-info") and name in INSTALLERS_OWN
    return not own and not path.startswith("../") and not _is_bytecode(path)


def _is_bytecode(path: str) -> bool:
    """Whether a path of ``RECORD`` is byte code or, as virtualenv lists them, a folder of it.

    It comes and goes with the first imports, and says nothing about a package.
    """
    return path.endswith((".pyc", "/__pycache__"))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def damage(prefix: str, distribution: Distribution) -> Iterator[str]:
    """Yield what is wrong with the files of a package: missing, or not of the recorded hash."""
    site = site_packages(prefix)
    rows = csv.reader(_read(os.path.join(distribution.info, "RECORD")).splitlines())
    for row in rows:
        if not row or _is_bytecode(row[0]):
            continue
        path = os.path.join(site, row[0])
        if not os.path.exists(path):
            yield f"{distribution.name}: {row[0]} is missing"
        elif len(row) > 1 and row[1] and not _has(path, row[1]):
            yield f"{distribution.name}: {row[0]} was changed"


def _has(path: str, recorded: str) -> bool:
    """Whether a file has a hash that ``RECORD`` gives as ``sha256=<base64 without padding>``."""
    algorithm, _, text = recorded.partition("=")
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, algorithm).digest()
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode() == text.rstrip("=")
