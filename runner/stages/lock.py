"""Spec -> the builder that serves it -> the lock that it is built from."""

from __future__ import annotations

import os

from runner.errors import EnvError
from runner.model.event import Noted, Warned
from runner.model.lock import LockRequest
from runner.model.spec import DockerSpec, Problem
from runner.model.value import changed
from runner.system.files import cache_directory, read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model.lock import EnvironmentLock
    from runner.model.plan import Draft
    from runner.model.project import WorkingTree
    from runner.model.spec import EnvironmentSpec
    from runner.ports import Services

HOST = "local"
"""The manager that takes the host as it is: only ever used when asked for by name."""


def choose_builder(spec: EnvironmentSpec, manager: str | None, services: Services) -> str:
    """Return the name of the environment manager that will serve a spec.

    Raises:
        EnvError: None can, or the one that was asked for cannot; each says why.
        UsageError: There is no manager of that name.
    """
    if manager is not None:
        if reason := services.builder(manager).refusal(spec):
            raise EnvError(
                f"the environment manager {manager!r} cannot serve this: {reason}",
                hint=f"without --env-manager {manager}, Runproj chooses one that can",
            )
        return manager
    refusals = []
    for name in services.managers:
        if name == HOST:
            continue
        reason = services.builder(name).refusal(spec)
        if reason is None:
            return name
        refusals.append(f"{name}: {reason}")
    raise EnvError(
        "no environment manager can serve this project",
        hint=f"{'; '.join(refusals)}; or use --env-manager local with what the host has",
    )


def lock(draft: Draft, services: Services) -> EnvironmentLock:
    """Decide exactly what the environment contains.

    Raises:
        EnvError: Nothing fits.
    """
    request = draft.request
    asked = LockRequest(
        spec=_asked(draft),
        project=draft.tree.project,
        as_of=draft.as_of,
        locked=request.locked,
        refresh=request.refresh,
        recorded=request.recorded_lock,
        name=draft.spec.name,
        commit=draft.tree.provenance.commit,
        build_image=request.build_image,
        files=built_of(draft.spec.environment, draft.tree, services, always=request.build_image),
    )
    if draft.is_dated_by_commit and not asked.recorded:
        return lock_of_commit(asked, draft.tree, draft.builder, services)
    return services.builder(draft.builder).lock(asked)


def built_of(
    spec: EnvironmentSpec, tree: WorkingTree, services: Services, *, always: bool = False
) -> tuple[str, ...] | None:
    """Return the files that an image is built of: those that are recorded. None: none is built."""
    if not isinstance(spec, DockerSpec) or not (spec.is_built or always):
        return None
    from runner.system.snapshot import project_files

    return project_files(tree, services.environ)


def _asked(draft: Draft) -> EnvironmentSpec:
    """Return the spec, with the platform that the caller wants images for (``-A platform=``)."""
    spec = draft.spec.environment
    platform = draft.request.docker_arguments.get("platform")
    if platform and isinstance(spec, DockerSpec):
        return changed(spec, platform=platform)
    return spec


def lock_of_commit(
    asked: LockRequest, tree: WorkingTree, manager: str, services: Services
) -> EnvironmentLock:
    """Lock as of a commit's date, which nobody asked for.

    Where nothing fits as of then (some indexes do not tell when packages were uploaded), today's
    packages are taken, and that is said; it is remembered for the tree, so as not to try again.

    Raises:
        EnvError: Nothing fits today, either.
    """
    assert asked.as_of is not None  # noqa: S101 - a commit has a date
    builder = services.builder(manager)
    tree_id = tree.provenance.tree.rpartition(":")[2]
    remembered = os.path.join(services.home, "undated", f"{tree_id}-{manager}")
    if asked.refresh or not os.path.exists(remembered):
        day = asked.as_of.isoformat(timespec="minutes").replace("+00:00", "Z")
        services.reporter.report(
            Noted(message=f"packages as of the commit, {day} (--as-of now takes today's)")
        )
        try:
            return builder.lock(asked)
        except EnvError as error:
            if asked.locked:
                raise
            reason = error.message
        found = builder.lock(changed(asked, as_of=None))
        cache_directory(services.home, "undated")
        write_whole(remembered, reason.encode())
    else:
        reason = read(remembered).decode()
        found = builder.lock(changed(asked, as_of=None))
    services.reporter.report(Warned(problem=_undated(reason)))
    return found


def _undated(reason: str) -> Problem:
    return Problem(
        severity="warning",
        rule="undated",
        message="today's packages are taken: as of the commit's date they cannot be had "
        f"({reason})",
        hint="'runproj lock' in the project keeps them",
    )
