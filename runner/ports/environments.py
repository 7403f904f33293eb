"""Locking environments, building them, and keeping account of what is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

    from runner.model.lock import (
        BuiltEnvironment,
        Environment,
        EnvironmentLock,
        LockRequest,
        ProjectLock,
        RecordedLock,
    )
    from runner.model.spec import EnvironmentSpec


class EnvironmentBuilder(Protocol):
    """One way of locking an environment and of building what was locked."""

    def refusal(self, spec: EnvironmentSpec) -> str | None:
        """Say why this builder cannot serve the spec, or None if it can."""

    def lock(self, request: LockRequest) -> EnvironmentLock:
        """Decide exactly what the environment contains; may use the network.

        Raises:
            EnvError: Nothing fits, or the lock in the project is stale and ``locked`` was asked.
        """

    def build(self, lock: EnvironmentLock) -> Environment:
        """Make exactly what the lock says, or find it made; decides nothing.

        Raises:
            EnvError: A package cannot be had or does not have the locked hash.
        """


class ProjectLocks(Protocol):
    """Locks that lie in projects. Writing them is the caller's business."""

    def staleness(self, request: LockRequest) -> str | None:
        """Say why the project's lock does not fit; None when it does.

        Raises:
            EnvError: The project has no lock, or it cannot be read.
        """

    def drawn(
        self,
        request: LockRequest,
        *,
        upgrade: bool = False,
        update: Sequence[str] = (),
        platforms: Sequence[str] = (),
        manager: str | None = None,
    ) -> ProjectLock:
        """Make a new lock; versions of the old one are kept where they fit, unless ``upgrade``.

        ``update`` are packages whose versions are not kept. ``platforms`` are conda's names of
        those to lock for; without any those of the old lock, else this machine's. ``manager`` is
        who solves for a conda environment, when it is not Runproj itself.

        Raises:
            EnvError: Nothing fits.
        """

    def differences(self, before: str, after: str) -> tuple[str, ...]:
        """Compare two lock files of one kind; lines for people, one a package that differs.

        Raises:
            EnvError: A file is no lock, or they are not of one kind.
        """


class LockMixer(Protocol):
    """Locks made of parts of two others."""

    def differing(self, before: bytes, after: bytes) -> tuple[str, ...]:
        """Return the names of the packages that differ between two locks, or are in one only."""

    def mixed(self, before: bytes, after: bytes, names: frozenset[str]) -> bytes:
        """Return the first lock with the packages of these names as the second has them."""


class EnvironmentCatalog(Protocol):
    """The environments that were built on this machine."""

    def all(self) -> tuple[BuiltEnvironment, ...]:
        """Return every one, the one used last first."""

    def find(self, prefix: str) -> BuiltEnvironment:
        """Return the one whose identifier starts so.

        Raises:
            EnvError: There is none, or more than one.
        """

    def damage(self, environment: BuiltEnvironment) -> tuple[str, ...]:
        """Check every installed file; return what is wrong, nothing when all is well."""

    def prune(self, unused: timedelta, *, dry_run: bool = False) -> tuple[BuiltEnvironment, ...]:
        """Delete what was not used for so long, and wrecks; never what is in use."""


class PackageFiles(Protocol):
    """Has the files that environments are installed from."""

    def files(self, lock: RecordedLock) -> Iterator[tuple[str, str]]:
        """Yield name and path of each file that a lock means on this machine, hashes checked.

        Raises:
            EnvError: One cannot be had.
        """
