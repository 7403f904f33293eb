"""Exactly what an environment contains, and the environment that exists and can run a command."""

from __future__ import annotations

from runner.model.value import EMPTY, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any, TypeAlias

    from runner.model.spec import EnvironmentSpec
    from runner.model.value import Digest


class RecordedLock(Value):
    """The lock of an earlier run: its bytes, its file's name, and the exact Python it was for.

    ``in_project`` says that it lay in the project, so that its relative paths start at the folder
    of the environment file.
    """

    content: bytes
    digest: Digest
    name: str
    python: str
    in_project: bool = False


class LockRequest(Value):
    """What to lock, and how.

    ``locked`` refuses to resolve: a lock must be there and fit. ``refresh`` ignores what was
    resolved before. ``as_of`` hides packages uploaded later. ``recorded`` is to be used as it is,
    whatever the project asks for. ``name`` and ``commit`` are the project's; ``build_image`` puts
    the project into an image of its own, as MLflow's flag does; ``files`` are the project's files
    that are recorded, of which images are built (``None``: nobody made the list).
    """

    spec: EnvironmentSpec
    project: str
    name: str | None = None
    commit: str | None = None
    build_image: bool = False
    files: tuple[str, ...] | None = None
    as_of: datetime | None = None
    locked: bool = False
    refresh: bool = False
    recorded: RecordedLock | None = None


class PackageLock(Value):
    """A full set of packages for one interpreter and platform, as a file with hashes.

    ``builder`` is the environment manager that builds it. ``document`` is the lock file on this
    machine, ``name`` its conventional name (``pylock.toml``, ``conda-lock.yml``) and ``digest``
    its sha256. ``environment`` is the address of what will be built from it in the environment
    store. ``origin`` says where the lock comes from: ``project`` (a file in it), ``resolved`` now,
    ``remembered`` from an earlier resolution, or ``recorded`` with an earlier run.
    """

    builder: str
    platform: str
    python: str
    name: str
    document: str
    digest: Digest
    environment: Digest
    origin: str
    as_of: datetime | None = None


class ProjectLock(Value):
    """A lock for a project's folder, not written yet.

    ``name`` is where it belongs, relative to the project. ``changes`` are lines for people, one a
    package that differs from the lock that is there.
    """

    name: str
    content: bytes
    changes: tuple[str, ...] = ()


class HostLock(Value):
    """What the host has: a description, not a promise."""

    builder: str
    platform: str
    digest: Digest


class ImageLock(Value):
    """A container image, by its content.

    ``reference`` is what the project asked for, or the tag under which its own image is built.
    ``image`` is what the engine is to run: ``repository@sha256:...`` where a registry knows the
    image, else its id; for an image that is built here ``reference``. ``identifier`` is the id, the
    digest of the image's configuration; ``None`` while it may have to be built. ``published`` are
    all the names with digests under which registries know it. ``inputs`` is the digest of all that
    goes into an image that is built here. ``document`` is the lock file on this machine, ``name``
    its conventional name and ``digest`` its sha256. ``origin`` is ``project``, ``resolved`` or
    ``recorded``, as for packages.
    """

    builder: str
    platform: str
    reference: str
    image: str
    name: str
    document: str
    digest: Digest
    origin: str
    identifier: Digest | None = None
    published: tuple[str, ...] = ()
    labels: Mapping[str, str] = EMPTY
    inputs: Digest | None = None


class ProcessEnvironment(Value):
    """Directories to put first on the PATH, variables to set, and variables to take away.

    ``description`` is a JSON file that says what is inside (interpreter, packages), ``None`` where
    nobody looked.
    """

    bin_paths: tuple[str, ...] = ()
    variables: Mapping[str, str] = EMPTY
    removed: frozenset[str] = frozenset()
    description: str | None = None


class ImageEnvironment(Value):
    """A container image to run the command in.

    ``image`` is what the engine is asked to run: ``repository@sha256:...`` or the image's id.
    ``digest`` is the id in either case. ``shell`` is the best shell in the image (``bash``,
    ``sh``), ``""`` when it has none. ``description`` is a JSON file that says what is inside, as
    of a ``ProcessEnvironment``.
    """

    image: str
    digest: Digest
    shell: str = ""
    description: str | None = None


class BuiltEnvironment(Value):
    """An environment in the store.

    ``state`` is ``ready``, ``broken`` (nobody finished it, or its interpreter is gone) or
    ``building``. ``size`` is the apparent size in bytes, ``own`` the part of it that is shared with
    no other environment or cache. ``description`` is the whole marker.
    """

    identifier: str
    path: str
    state: str
    in_use: bool
    size: int
    own: int
    used: datetime
    description: Mapping[str, Any] = EMPTY


if TYPE_CHECKING:
    EnvironmentLock: TypeAlias = PackageLock | HostLock | ImageLock
    Environment: TypeAlias = ProcessEnvironment | ImageEnvironment
