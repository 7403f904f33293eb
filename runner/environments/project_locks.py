"""Locks that lie in projects, of whichever kind the project's environment is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from runner.errors import EnvError
from runner.model.spec import CondaSpec, DockerSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.model.lock import LockRequest, ProjectLock
    from runner.ports import Reporter


class _Drawing(Protocol):
    """One kind of lock."""

    def staleness(self, request: LockRequest) -> str | None: ...

    def drawn(
        self,
        request: LockRequest,
        *,
        upgrade: bool = False,
        update: Sequence[str] = (),
        platforms: Sequence[str] = (),
        manager: str | None = None,
    ) -> ProjectLock: ...


class KindsOfLocks:
    """``conda-lock.yml``, ``image-lock.json``, and ``pylock.toml`` for Python environments."""

    def __init__(
        self, *, home: str, environ: Mapping[str, str], reporter: Reporter | None = None
    ) -> None:
        self._home, self._environ, self._reporter = home, environ, reporter

    def staleness(self, request: LockRequest) -> str | None:
        """Say why the project's lock does not fit; see ``runner.ports.ProjectLocks``."""
        return self._of(request).staleness(request)

    def drawn(
        self,
        request: LockRequest,
        *,
        upgrade: bool = False,
        update: Sequence[str] = (),
        platforms: Sequence[str] = (),
        manager: str | None = None,
    ) -> ProjectLock:
        """Make a new lock; see ``runner.ports.ProjectLocks``."""
        kind = self._of(request)
        return kind.drawn(
            request, upgrade=upgrade, update=update, platforms=platforms, manager=manager
        )

    def differences(self, before: str, after: str) -> tuple[str, ...]:
        """Compare two locks; see ``runner.ports.ProjectLocks``."""
        kinds = {os.path.splitext(path)[1] for path in (before, after)}
        if len(kinds) > 1 and kinds & {".toml", ".json"}:
            raise EnvError(
                f"{before!r} and {after!r} are locks of different kinds",
                hint="compare two pylock.toml, conda-lock.yml or image-lock.json files",
            )
        if kinds == {".json"}:
            from runner.environments.docker import project_lock

            return project_lock.differences(before, after)
        if kinds == {".toml"}:
            from runner.environments import pylock

            old, new = (pylock.packages(pylock.load(path)) for path in (before, after))
            return tuple(map(str, pylock.changes(old, new)))
        from runner.environments.conda import lockfile
        from runner.environments.conda.platforms import platform_here

        first, second = (
            lockfile.load(path, shown=path, platform=platform_here()) for path in (before, after)
        )
        return tuple(map(str, lockfile.changes(first.packages, second.packages)))

    def _of(self, request: LockRequest) -> _Drawing:
        if isinstance(request.spec, CondaSpec):
            from runner.environments.conda.locking import CondaLocking

            return CondaLocking(home=self._home, environ=self._environ, reporter=self._reporter)
        if isinstance(request.spec, DockerSpec):
            from runner.environments.docker.project_lock import ImageDrawing

            return ImageDrawing(home=self._home, environ=self._environ, reporter=self._reporter)
        from runner.environments.locking import Locking

        return Locking(home=self._home, environ=self._environ, reporter=self._reporter)
