"""Locks made of parts of two others."""

from __future__ import annotations

from runner.environments import pylock
from runner.environments.conda import lockfile
from runner.errors import EnvError
from runner.model.value import changed


class Mixer:
    """Mixes ``pylock.toml`` or ``conda-lock.yml`` by packages. See ``runner.ports.LockMixer``."""

    def differing(self, before: bytes, after: bytes) -> tuple[str, ...]:
        """Return the names of the packages that differ between two locks, or are in one only.

        Raises:
            EnvError: The locks are of images.
        """
        if before.startswith(b"{"):
            raise EnvError(
                "images are not made of packages that could be exchanged one by one",
                hint="'runproj diff' shows in which packages two images differ",
            )
        if _is_conda(before):
            old, new = (lockfile.parsed(content, shown="lock") for content in (before, after))
            changes = lockfile.changes(old.packages, new.packages)
            return tuple(change.name for change in changes)
        one, other = (pylock.packages(_table(content)) for content in (before, after))
        return tuple(change.name for change in pylock.changes(one, other))

    def mixed(self, before: bytes, after: bytes, names: frozenset[str]) -> bytes:
        """Return the first lock with the packages of these names as the second has them."""
        if _is_conda(before):
            return _mixed_conda(before, after, names)
        table, other = _table(before), _table(after)
        rows = [row for row in table.get("packages", []) if _name(row) not in names]
        rows += [row for row in other.get("packages", []) if _name(row) in names]
        return pylock.render({**table, "packages": rows})


def _is_conda(content: bytes) -> bool:
    return b"\npackage:" in content and not content.startswith(b"lock-version")


def _mixed_conda(before: bytes, after: bytes, names: frozenset[str]) -> bytes:
    one, other = (lockfile.parsed(content, shown="lock") for content in (before, after))
    packages = [p for p in one.packages if p.name not in names]
    packages += [p for p in other.packages if p.name in names]
    return lockfile.render(changed(one, packages=tuple(packages)))


def _table(content: bytes) -> pylock.Table:
    return pylock.parsed(content, where="pylock.toml")


def _name(row: pylock.Table) -> str:
    return pylock.canonical(str(row["name"]))
