"""The date as of which packages are seen: asked for, or that of a fetched commit without a lock."""

from __future__ import annotations

import os

from runner.errors import EnvError, UsageError
from runner.model.spec import DockerSpec
from runner.model.value import Value
from runner.stages.lock import HOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from runner.model.project import WorkingTree
    from runner.model.spec import EnvironmentSpec

NOW = "now"
COMMIT = "commit"
DATE = "2024-05-31"
PLATFORMS = ("-64.txt", "-aarch64.txt", "-arm64.txt", "-ppc64le.txt")
"""Ends of the names of conda's explicit lists of packages."""


class PackageDate(Value):
    """Packages uploaded after ``moment`` are not seen; None is now.

    ``by_commit`` says that nobody asked for it, and that the commit's own date was taken.
    """

    moment: datetime | None = None
    by_commit: bool = False


def package_date(
    asked: str | None, tree: WorkingTree, spec: EnvironmentSpec, builder: str
) -> PackageDate:
    """Decide as of when packages are seen.

    A commit that was fetched and brings no lock is resolved as of its own date, so that it means
    the same whenever it is run; a folder that somebody works in is resolved as of now.

    Raises:
        UsageError: What was asked for is no date.
        EnvError: Images and the host's packages have no date.
    """
    datable = builder != HOST and not isinstance(spec, DockerSpec)
    if asked is not None:
        moment = as_of(asked, tree)
        if moment is not None and isinstance(spec, DockerSpec):
            raise EnvError(
                f"the docker image {spec.image!r} cannot be had as of a date: registries keep no "
                "history of their tags",
                hint="name the image by its digest: name@sha256:...",
            )
        return PackageDate(moment=moment)
    committed = tree.provenance.committed
    is_fetched = tree.lease is not None  # a working tree of our own, which nobody works in
    if not datable or committed is None or not is_fetched or has_lock(tree.project, spec):
        return PackageDate()
    return PackageDate(moment=committed, by_commit=True)


def as_of(text: str | None, tree: WorkingTree) -> datetime | None:
    """Read ``--as-of``: an ISO 8601 date or time (UTC unless it says otherwise), or a word.

    ``commit`` is when the commit was made, ``now`` hides nothing. A date means its last moment, so
    that what was released on that day is seen.

    Raises:
        UsageError: It is neither, or there is no commit to take the date from.
    """
    if text is None or text == NOW:
        return None
    from datetime import UTC, datetime, timedelta

    if text == COMMIT:
        if tree.provenance.committed is None:
            raise UsageError(
                "--as-of commit needs a project in git", hint=f"give a date: --as-of {DATE}"
            )
        return tree.provenance.committed
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--as-of {text!r} is no date, and neither 'commit' nor 'now'",
            hint=f"for example --as-of {DATE} or --as-of {DATE}T12:00:00Z",
        ) from None
    if len(text) <= len(DATE):
        moment += timedelta(days=1) - timedelta(microseconds=1)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def has_lock(project: str, spec: EnvironmentSpec | None = None) -> bool:
    """Whether a project brings a lock of its own, so that no date is needed."""
    inside = os.path.join(project, getattr(spec, "directory", ""))
    folders = {os.path.normpath(project), os.path.normpath(inside)}
    return any(
        is_lock(name) for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)
    )


def is_lock(name: str) -> bool:
    """Whether a file of this name is a lock of some kind of environment."""
    if name.startswith("pylock.") and name.endswith(".toml"):
        return True
    if name.startswith("conda-lock.") and name.endswith((".yml", ".yaml")):
        return True
    is_explicit = name.endswith(PLATFORMS) or (name.startswith("conda-") and name.endswith(".lock"))
    return is_explicit or name in {"uv.lock", "explicit.txt"}
