"""Python environments: locked by uv, built from the lock, kept in the environment store."""

from __future__ import annotations

import os

from runner.environments.remembered import (
    document_path,
    environment_digest,
    folder,
    key,
    recall,
)
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

    from runner.environments.remembered import Note
    from runner.environments.requirements import Requirements
    from runner.model.lock import EnvironmentLock, LockRequest
    from runner.model.spec import EnvironmentSpec
    from runner.ports import Reporter

REMOVED = frozenset(
    {
        "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONSTARTUP", "PYTHONEXECUTABLE",
        "PYTHONPLATLIBDIR", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT",
        "UV_PROJECT_ENVIRONMENT", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER",
    }
)  # fmt: skip
"""Variables that change what a Python imports, or where pip puts what a project installs."""
ACTIVATED_CONDA = ("CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_SHLVL", "CONDA_PROMPT_MODIFIER")
SHOWN = 3
"""How many conda packages a refusal names."""


class PythonBuilder:
    """Locks and builds Python environments with ``uv`` or ``virtualenv``; both lock with uv."""

    def __init__(
        self,
        *,
        manager: str,
        home: str,
        environ: Mapping[str, str],
        reporter: Reporter | None = None,
    ) -> None:
        self.manager = manager
        self._home = home
        self._environ = environ
        self._reporter = reporter

    def refusal(self, spec: EnvironmentSpec) -> str | None:
        """Say why not: only Python and packages for pip can be had."""
        if isinstance(spec, CondaSpec):
            more = ", ..." if len(spec.packages) > SHOWN else ""
            named = f" ({', '.join(spec.packages[:SHOWN])}{more})" if spec.packages else ""
            return (
                f"{spec.origin} needs conda packages{named}, which {self.manager} does not install"
            )
        if isinstance(spec, DockerSpec):
            return (
                f"the project runs in a docker image ({spec.image}), which is no Python environment"
            )
        return None

    def lock(self, request: LockRequest) -> EnvironmentLock:
        """Return the project's lock, the remembered one, or resolve a new one.

        Raises:
            EnvError: Nothing fits, or ``locked`` was asked and no lock in the project does.
        """
        try:
            return self._locked(request, self._python_spec(request.spec))
        except OSError as error:
            raise disk_trouble("locked", error, self._home) from None

    def _locked(self, request: LockRequest, spec: PythonSpec) -> PackageLock:
        asked = requirements(spec, request.project)
        address = key(request, spec, asked, self._environ)
        note = None if request.refresh else recall(self._home, address)
        origin = "remembered"
        if note is None or (request.locked and note["origin"] != "project"):
            from runner.environments.locking import Locking

            locking = Locking(home=self._home, environ=self._environ, reporter=self._reporter)
            note = locking.locked(request, asked, address)
            origin = "resolved"
        elif note["warning"]:
            from runner.environments.warning import warn

            warn(self._reporter, "stale-lock", note["warning"])
        lock = self._package_lock(request, note, address, origin)
        if found(prefix_of(self._home, lock.environment)) is None:
            self._prepare(request, asked, note, lock)
        return lock

    def build(self, lock: EnvironmentLock) -> ProcessEnvironment:
        """Return the environment of a lock, built when it is not there.

        Raises:
            EnvError: A package cannot be had, has another hash, or does not build.
        """
        if not isinstance(lock, PackageLock) or lock.builder != self.manager:
            raise EnvError(f"this lock is not for the environment manager {self.manager!r}")
        prefix = prefix_of(self._home, lock.environment)
        lease(self._home, prefix)
        if found(prefix) is None:
            from runner.environments.building import Building

            Building(home=self._home, environ=self._environ, reporter=self._reporter).build(lock)
        conda = {n for n in self._environ if n.startswith(ACTIVATED_CONDA)}
        return ProcessEnvironment(
            bin_paths=(os.path.join(prefix, "bin"),),
            variables={"VIRTUAL_ENV": prefix, "PYTHONNOUSERSITE": "1"},
            removed=REMOVED | conda,
            description=marker_path(prefix),
        )

    def _python_spec(self, spec: EnvironmentSpec) -> PythonSpec:
        if reason := self.refusal(spec):
            raise EnvError(reason)
        if not isinstance(spec, PythonSpec):
            raise EnvError("this is no Python environment")
        return spec

    def _package_lock(
        self, request: LockRequest, note: Note, address: str, origin: str
    ) -> PackageLock:
        return PackageLock(
            builder=self.manager,
            platform=note["python"]["platform"],
            python=note["python"]["version"],
            name=note["name"],
            document=document_path(self._home, address),
            digest=Digest(note["digest"]),
            environment=environment_digest(note, self.manager, request.project, self._home),
            origin=note["origin"] if note["origin"] in {"project", "recorded"} else origin,
            as_of=_moment(note["as_of"]) if note["as_of"] else None,
        )

    def _prepare(
        self, request: LockRequest, asked: Requirements, note: Note, lock: PackageLock
    ) -> None:
        """Note what the build will need beyond the lock."""
        from runner.environments.building import write_plan

        where = folder(self._home, os.path.basename(os.path.dirname(lock.document)))
        write_plan(where, lock, note=note, project=request.project, home=self._home,
                   sources={"options": asked.options})  # fmt: skip


def _moment(text: str) -> datetime:
    from datetime import datetime

    return datetime.fromisoformat(text)
