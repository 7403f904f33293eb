"""Asking what a project's lock says, or resolving a new one."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from runner.codec import digest, sha256
from runner.environments import pylock
from runner.environments.freshness import staleness, stamped
from runner.environments.interpreters import Interpreters
from runner.environments.remembered import lock_names, remember
from runner.environments.requirements import requirements
from runner.environments.resolution import Resolution, parsed
from runner.environments.uv import Uv, failure
from runner.environments.warning import warn
from runner.errors import EnvError
from runner.model.event import Step, StepDone
from runner.model.lock import ProjectLock
from runner.model.spec import PythonSpec
from runner.model.value import Value, fields
from runner.system.files import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from runner.codec import JSON
    from runner.environments.interpreters import Interpreter
    from runner.environments.pylock import Table
    from runner.environments.remembered import Note
    from runner.environments.requirements import Requirements
    from runner.model.lock import LockRequest, RecordedLock
    from runner.ports import Reporter
    from runner.system.process import Completed

STALE = "needs to be updated"
"""What uv says of a ``uv.lock`` that does not fit its ``pyproject.toml``."""


class Answer(Value):
    """A lock that fits: its bytes, the name it goes by, where it came from."""

    document: bytes
    table: Mapping[str, Any]
    name: str
    origin: str
    warning: str | None = None


class Locking:
    """Makes locks. Slow: calls uv, may use the network."""

    def __init__(
        self, *, home: str, environ: Mapping[str, str], reporter: Reporter | None = None
    ) -> None:
        self._home = home
        self._reporter = reporter
        self.uv = Uv(environ=environ, reporter=reporter)
        self.interpreters = Interpreters(home=home, environ=environ, uv=self.uv)

    def locked(self, request: LockRequest, asked: Requirements, address: str) -> Note:
        """Return what is to be remembered of the lock that a request gets, and remember it.

        Raises:
            EnvError: Nothing fits; or ``locked`` was asked, and the project's lock is missing or
                stale.
        """
        if request.recorded:
            interpreter = self._recorded_interpreter(request.recorded)
            answer = self._recorded(request, request.recorded)
        else:
            interpreter = self.interpreters.find(_python(request).python)
            answer = self._answer(request, asked, interpreter)
        found = pylock.packages(dict(answer.table), interpreter, where=answer.name)
        local = [p for p in found if p.kind == "directory"]
        as_of = answer.table.get("tool", {}).get("runproj", {}).get("as-of")
        note: Note = {
            "python": fields(interpreter),
            "name": answer.name,
            "origin": answer.origin,
            "digest": sha256(answer.document),
            "warning": answer.warning,
            "local": [
                {
                    "name": p.name,
                    "path": os.path.join(p.source, p.subdirectory),
                    "editable": p.editable,
                }
                for p in local
            ],
            "as_of": as_of,
            "base": base_digest(interpreter, found, as_of),
        }
        remember(self._home, address, note, answer.document)
        return note

    def staleness(self, request: LockRequest) -> str | None:
        """Say why the project's lock does not fit; None when it does.

        Raises:
            EnvError: The project has no lock, or it cannot be read.
        """
        spec = _python(request)
        asked = requirements(spec, request.project)
        interpreter = self.interpreters.find(spec.python)
        for name in lock_names(spec):
            if os.path.isfile(path := os.path.join(request.project, name)):
                return staleness(pylock.load(path, shown=name), request, asked, interpreter)
        stale: list[str] = []
        if self._uv_lock(request, interpreter, stale) is None:
            if stale:
                return stale[0]
            self._refuse(spec, [])
        return None

    def drawn(
        self,
        request: LockRequest,
        *,
        upgrade: bool = False,
        update: Sequence[str] = (),
        platforms: Sequence[str] = (),
        manager: str | None = None,  # noqa: ARG002 - uv locks for all that build Python environments
    ) -> ProjectLock:
        """Make a lock for the project, for all platforms if that can be had.

        Raises:
            EnvError: Nothing fits, or single platforms were asked for.
        """
        if platforms:
            raise EnvError(
                "--platform is for conda environments",
                hint="the lock of a Python environment is for all platforms at once",
            )
        spec = _python(request)
        asked = requirements(spec, request.project)
        interpreter = self.interpreters.find(spec.python)
        names = lock_names(spec)
        there = [n for n in names if os.path.isfile(os.path.join(request.project, n))]
        name = (there or names)[0]
        before = os.path.join(request.project, name) if there else None
        old = pylock.packages(pylock.load(before, shown=name)) if before else ()
        kept = None if upgrade else before
        try:
            table = self.resolved(
                request, asked, interpreter, universal=True, kept=kept, update=update
            )
        except EnvError as everywhere:
            table = self.resolved(request, asked, interpreter, kept=kept, update=update)
            warn(
                self._reporter,
                "stale-lock",
                f"the lock is for {interpreter.platform} only: {everywhere.message}",
            )
        new = pylock.packages(table)
        changes = tuple(str(change) for change in pylock.changes(old, new))
        return ProjectLock(name=name, content=pylock.render(table), changes=changes)

    def _answer(
        self, request: LockRequest, asked: Requirements, interpreter: Interpreter
    ) -> Answer:
        spec = _python(request)
        stale: list[str] = []
        for name in lock_names(spec):
            path = os.path.join(request.project, name)
            if not os.path.isfile(path):
                continue
            table = pylock.load(path, shown=name)
            reason = staleness(table, request, asked, interpreter)
            if reason is None:
                base = os.path.dirname(path)
                placed = _placed(table, base, request.project)
                return Answer(
                    document=read(path), table=placed, name=os.path.basename(name), origin="project"
                )
            stale.append(f"{name} is stale: {reason}")
            break
        else:
            if (answer := self._uv_lock(request, interpreter, stale)) is not None:
                return answer
        if request.locked:
            self._refuse(spec, stale)
        warning = f"{stale[0]}; it is passed over, and left as it is" if stale else None
        if warning:
            warn(self._reporter, "stale-lock", warning)
        table = self.resolved(request, asked, interpreter)
        return Answer(
            document=pylock.render(table), table=table, name="pylock.toml", origin="resolved",
            warning=warning,
        )  # fmt: skip

    def _recorded_interpreter(self, lock: RecordedLock) -> Interpreter:
        """Find the very Python that a run had, else another one of its minor version."""
        try:
            return self.interpreters.find(lock.python)
        except EnvError:
            found = self.interpreters.find(".".join(lock.python.split(".")[:2]))
        message = f"Python {lock.python} of the recorded run cannot be had; {found.version} is used"
        warn(self._reporter, "other-python", message)
        return found

    @staticmethod
    def _recorded(request: LockRequest, lock: RecordedLock) -> Answer:
        """Take the lock of an earlier run as it is."""
        try:
            table = pylock.parsed(lock.content, where=lock.name)
        except EnvError as error:
            raise EnvError(f"the recorded lock cannot be used: {error.message}") from None
        if lock.in_project:
            base = os.path.join(request.project, _python(request).directory)
            table = _placed(table, base, request.project)
        return Answer(document=lock.content, table=table, name=lock.name, origin="recorded")

    @staticmethod
    def _refuse(spec: PythonSpec, stale: list[str]) -> NoReturn:
        if stale:
            raise EnvError(
                stale[0],
                hint="'runproj lock' brings it up to date"
                if "uv.lock" not in stale[0]
                else "'uv lock' brings it up to date",
            )
        raise EnvError(
            "the project has no lock, and --locked refuses to resolve one",
            where=spec.origin or None,
            hint="'runproj lock' writes one into the project",
        )

    # --- uv.lock

    def _uv_lock(
        self, request: LockRequest, interpreter: Interpreter, stale: list[str]
    ) -> Answer | None:
        """Return what a ``uv.lock`` beside ``pyproject.toml`` says; None if none fits."""
        spec = _python(request)
        directory = os.path.join(request.project, os.path.dirname(spec.origin))
        if spec.kind != "pyproject" or not os.path.isfile(os.path.join(directory, "uv.lock")):
            return None
        if request.as_of is not None:
            stale.append("uv.lock is stale: another --as-of was asked for")
            return None
        done = self._exported(directory, interpreter, "--locked")
        if done.exit_code and STALE in done.complaint:
            stale.append("uv.lock is stale: it does not fit pyproject.toml")
            return None
        if done.exit_code:  # no network to check against: what is locked is what counts
            done = self._exported(directory, interpreter, "--frozen")
        if done.exit_code:
            raise failure(done, "uv.lock cannot be used", where="uv.lock")
        table = parsed(done.stdout, directory)
        table = pylock.relocated(table, {}, request.project)
        table["tool"] = {"runproj": {"version": 1, "source": "uv.lock"}}
        return Answer(
            document=pylock.render(table), table=table, name="pylock.toml", origin="project"
        )

    def _exported(self, directory: str, interpreter: Interpreter, how: str) -> Completed:
        return self.uv.attempt(
            "export", how, "--format", "pylock.toml", "--no-header", "--no-dev", "--no-editable",
            "--quiet", "--no-python-downloads", "--python", interpreter.path,
            directory=directory,
        )  # fmt: skip

    # --- resolving

    def resolved(
        self,
        request: LockRequest,
        asked: Requirements,
        interpreter: Interpreter,
        *,
        universal: bool = False,
        kept: str | None = None,
        update: Sequence[str] = (),
    ) -> Table:
        """Resolve a new lock for one interpreter on this platform, or for all platforms.

        ``kept`` is a lock whose versions are preferred, but for the packages ``update``.

        Raises:
            EnvError: Nothing fits all requirements, or they cannot be read.
        """
        subject = _python(request).origin or "the environment"
        begun = time.monotonic()
        self._report(Step(verb="locking", subject=subject))
        resolution = Resolution(
            request,
            asked,
            interpreter,
            uv=self.uv,
            home=self._home,
            scope=("--universal", "--python-version", interpreter.minor) if universal else (),
        )
        table = resolution.table(kept, update)
        if resolution.warning:
            warn(self._reporter, "stale-lock", resolution.warning)
        seconds = time.monotonic() - begun
        self._report(StepDone(verb="locking", subject=subject, seconds=seconds))
        return stamped(table, request, asked, interpreter, universal=universal)

    def _report(self, event: Step | StepDone) -> None:
        if self._reporter:
            self._reporter.report(event)


def _python(request: LockRequest) -> PythonSpec:
    if not isinstance(request.spec, PythonSpec):
        raise EnvError("only Python environments can be locked")
    return request.spec


def base_digest(
    interpreter: Interpreter, found: tuple[pylock.Package, ...], as_of: str | None
) -> str:
    """Return the digest of an interpreter and packages, without places on this machine.

    The date counts only where something is built, with build requirements as of then.
    """
    builds = any(p.kind in {"sdist", "vcs", "directory"} for p in found)
    python = (interpreter.implementation, interpreter.version, interpreter.abi)
    rows: JSON = [
        [p.name, p.version, p.kind, [*p.hashes], p.commit, p.subdirectory, p.editable]
        for p in found
    ]
    return digest(
        {
            "python": [*python, interpreter.platform],
            "packages": rows,
            "as_of": as_of if builds else None,
        }
    )


def _placed(table: Table, base: str, project: str) -> Table:
    """Return a lock whose local paths are relative to the project instead of to its own place."""
    rows = []
    for row in table.get("packages", []):
        at = row.get("directory")
        if at:
            path = os.path.relpath(os.path.join(base, at["path"]), project)
            rows.append({**row, "directory": {**at, "path": path}})
        else:
            rows.append(row)
    return {**table, "packages": rows}
