"""Conda environments: solved and linked by rattler, built from a lock, kept in the store."""

from __future__ import annotations

import os

from runner.environments.conda.platforms import platform_here
from runner.environments.conda.remembered import document_path, key, recall
from runner.environments.python import REMOVED
from runner.environments.remembered import environment_digest, folder
from runner.environments.requirements import requirements
from runner.environments.store import disk_trouble, found, lease, marker_path, prefix_of
from runner.errors import EnvError
from runner.model.lock import PackageLock, ProcessEnvironment
from runner.model.spec import CondaSpec, DockerSpec, PythonSpec
from runner.model.value import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from runner.environments.conda.remembered import Note
    from runner.environments.requirements import Requirements
    from runner.environments.store import Marker
    from runner.model.lock import EnvironmentLock, LockRequest
    from runner.model.spec import EnvironmentSpec
    from runner.ports import Reporter

EMBEDDED = "rattler"
"""The manager that comes with Runproj; the others are programs that must be installed."""
ACTIVATED = ("CONDA_", "_CONDA_", "_CE_", "MAMBA_")
"""Starts of the variables of an active conda environment, which the command does not see."""


def pip_requirements(spec: CondaSpec, project: str) -> Requirements:
    """Read the ``pip:`` section and all the files it includes.

    Raises:
        EnvError: A file is not there, or a line makes no sense.
    """
    lines = PythonSpec(
        origin=spec.origin,
        kind="conda",
        directory=os.path.dirname(spec.origin),
        requirements=spec.pip,
        place=spec.place,
    )
    return requirements(lines, project)


class CondaBuilder:
    """Locks and builds conda environments; no conda needs to be installed.

    ``manager`` is ``rattler``, or ``conda``, ``mamba``, ``micromamba`` for an installed program
    that builds from the same lock.
    """

    def __init__(
        self,
        *,
        home: str,
        environ: Mapping[str, str],
        manager: str = EMBEDDED,
        reporter: Reporter | None = None,
    ) -> None:
        self.manager = manager
        self._home, self._environ, self._reporter = home, environ, reporter

    def refusal(self, spec: EnvironmentSpec) -> str | None:
        """Say why not: only conda environments can be had."""
        if isinstance(spec, DockerSpec):
            return f"the project runs in a docker image ({spec.image}), which conda does not make"
        if not isinstance(spec, CondaSpec):
            name = spec.origin or "the project"
            return f"{name} asks for Python and pip packages only, which need no conda"
        return None

    def lock(self, request: LockRequest) -> EnvironmentLock:
        """Return the project's lock, the remembered one, or solve for a new one.

        Raises:
            EnvError: Nothing fits, or ``locked`` was asked and no lock in the project does.
        """
        spec = request.spec
        if not isinstance(spec, CondaSpec):
            raise EnvError(self.refusal(spec) or "this is no conda environment")
        try:
            return self._locked(request, spec)
        except OSError as error:
            raise disk_trouble("locked", error, self._home) from None

    def _locked(self, request: LockRequest, spec: CondaSpec) -> PackageLock:
        asked = pip_requirements(spec, request.project)
        address = key(request, spec, asked, self._environ)
        note = None if request.refresh else recall(self._home, address)
        origin = "remembered"
        if note is None or (request.locked and note["origin"] != "project"):
            from runner.environments.conda.locking import CondaLocking

            locking = CondaLocking(home=self._home, environ=self._environ, reporter=self._reporter)
            note = locking.locked(request, asked, address)
            origin = "resolved"
        elif note["warning"]:
            from runner.environments.warning import warn

            warn(self._reporter, "stale-lock", note["warning"])
        lock = self._package_lock(request, note, address, origin)
        if found(prefix_of(self._home, lock.environment)) is None:
            from runner.environments.building import write_plan

            write_plan(folder(self._home, address), lock, note=note, project=request.project,
                       sources={"options": asked.options, "channels": spec.channels},
                       home=self._home)  # fmt: skip
        return lock

    def _package_lock(
        self, request: LockRequest, note: Note, address: str, origin: str
    ) -> PackageLock:
        return PackageLock(
            builder=self.manager,
            platform=platform_here(),
            python=note["python"],
            name=note["name"],
            document=document_path(self._home, address),
            digest=Digest(note["digest"]),
            environment=environment_digest(note, self.manager, request.project, self._home),
            origin=note["origin"] if note["origin"] in {"project", "recorded"} else origin,
            as_of=_moment(note["as_of"]) if note["as_of"] else None,
        )

    def build(self, lock: EnvironmentLock) -> ProcessEnvironment:
        """Return the environment of a lock, built when it is not there, and activated.

        Raises:
            EnvError: A package cannot be had, has another hash, or does not build.
        """
        if not isinstance(lock, PackageLock) or lock.builder != self.manager:
            raise EnvError(f"this lock is not for the environment manager {self.manager!r}")
        prefix = prefix_of(self._home, lock.environment)
        lease(self._home, prefix)
        marker = found(prefix)
        if marker is None:
            from runner.environments.conda.building import CondaBuilding

            marker = CondaBuilding(
                home=self._home, environ=self._environ, reporter=self._reporter
            ).build(lock)
        return _activated(prefix, marker, self._environ)


def _activated(prefix: str, marker: Marker, environ: Mapping[str, str]) -> ProcessEnvironment:
    """Return what ``conda activate`` would set, as it was found out when the prefix was built."""
    activation = marker["activation"]
    foreign = {name for name in environ if name.startswith(ACTIVATED)}
    return ProcessEnvironment(
        bin_paths=tuple(activation["paths"]),
        variables=activation["variables"],
        removed=REMOVED | foreign,
        description=marker_path(prefix),
    )


def _moment(text: str) -> datetime:
    from datetime import datetime

    return datetime.fromisoformat(text)
