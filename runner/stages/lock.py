"""Spec -> the builder that serves it -> the lock that it is built from."""

from __future__ import annotations

from runner.errors import EnvError, UsageError
from runner.model.lock import LockRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

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
    """Decide exactly what the environment contains."""
    request = draft.request
    return services.builder(draft.builder).lock(
        LockRequest(
            spec=draft.spec.environment,
            project=draft.tree.project,
            as_of=draft.as_of,
            locked=request.locked,
            refresh=request.refresh,
            recorded=request.recorded_lock,
        )
    )


def as_of(text: str | None, tree: WorkingTree) -> datetime | None:
    """Read ``--as-of``: an ISO 8601 date or time (UTC unless it says otherwise), or ``commit``.

    A date means its last moment, so that what was released on that day is seen.

    Raises:
        UsageError: It is neither, or there is no commit to take the date from.
    """
    if text is None:
        return None
    from datetime import UTC, datetime, timedelta

    if text == "commit":
        if tree.provenance.committed is None:
            raise UsageError(
                "--as-of commit needs a project in git", hint="give a date: --as-of 2024-05-31"
            )
        return tree.provenance.committed
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--as-of {text!r} is neither a date nor 'commit'",
            hint="for example --as-of 2024-05-31 or --as-of 2024-05-31T12:00:00Z",
        ) from None
    if len(text) <= len("2024-05-31"):
        moment += timedelta(days=1) - timedelta(microseconds=1)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
