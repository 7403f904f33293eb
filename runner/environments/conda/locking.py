"""Asking what a project's conda lock says, or solving for a new one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from runner.codec import sha256
from runner.environments.conda import lockfile
from runner.environments.conda.builder import EMBEDDED, pip_requirements
from runner.environments.conda.configuration import runs_link_scripts
from runner.environments.conda.inputs import inputs_digest, package_name, specs, stamp, texts
from runner.environments.conda.platforms import KNOWN, platform_here
from runner.environments.conda.rattler import Rattler
from runner.environments.conda.remembered import NAME, lock_names, remember
from runner.environments.conda.solving import Solving
from runner.environments.pylock import canonical
from runner.environments.warning import warn
from runner.errors import EnvError
from runner.model.lock import ProjectLock
from runner.model.spec import CondaSpec
from runner.model.value import Value, changed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from runner.environments.conda.lockfile import CondaLock
    from runner.environments.conda.remembered import Note
    from runner.environments.requirements import Requirements
    from runner.model.lock import LockRequest, RecordedLock
    from runner.ports import Reporter

HINT = "'runproj lock' brings it up to date"


class Answer(Value):
    """A lock that fits, the name it goes by, where it came from."""

    lock: CondaLock
    name: str
    origin: str
    warning: str | None = None


class CondaLocking:
    """Makes conda locks. Slow: solves, may use the network."""

    def __init__(
        self, *, home: str, environ: Mapping[str, str], reporter: Reporter | None = None
    ) -> None:
        self._home, self._environ, self._reporter = home, environ, reporter
        self._solving = Solving(home=home, environ=environ, reporter=reporter)
        self._platform = platform_here()

    def locked(self, request: LockRequest, asked: Requirements, address: str) -> Note:
        """Return what is to be remembered of the lock that a request gets, and remember it.

        Raises:
            EnvError: Nothing fits; or ``locked`` was asked, and the project's lock is missing or
                stale.
        """
        spec = _conda(request)
        if request.recorded:
            answer = self._recorded(request.recorded)
            here, content = answer.lock, request.recorded.content
        else:
            answer = self._answer(request, spec, asked)
            here = self._here(answer.lock)
            if runs_link_scripts(self._environ):
                here = changed(here, ours={**here.ours, "link_scripts": True})
            content = lockfile.render(lockfile.relative(here, request.project))
        as_of, scripts = here.ours.get("as_of"), bool(here.ours.get("link_scripts"))
        note: Note = {
            "python": next((p.version for p in here.packages if p.name == "python"), ""),
            "name": answer.name,
            "origin": answer.origin,
            "digest": sha256(content),
            "warning": answer.warning,
            "local": here.ours.get("local", []),
            "variables": {**spec.variables},
            "as_of": as_of,
            "link_scripts": scripts,
            "base": lockfile.base_digest(
                here.packages, variables=spec.variables, as_of=as_of, link_scripts=scripts
            ),
        }
        remember(self._home, address, note, content)
        return note

    def staleness(self, request: LockRequest) -> str | None:
        """Say why the project's lock does not fit; None when it does.

        Raises:
            EnvError: The project has no lock, or it cannot be read.
        """
        spec = _conda(request)
        name = self._lock_there(spec, request.project)
        if name is None:
            self._refuse(spec, None)
        lock = self._load(name, request.project)
        return self._stale(lock, request, spec, pip_requirements(spec, request.project))

    def drawn(
        self,
        request: LockRequest,
        *,
        upgrade: bool = False,
        update: Sequence[str] = (),
        platforms: Sequence[str] = (),
        manager: str | None = None,
    ) -> ProjectLock:
        """Make a lock for the project; see ``runner.ports.ProjectLocks``.

        Raises:
            EnvError: Nothing fits, or a platform is not known.
        """
        solving = self._solving_with(manager or EMBEDDED, update)
        spec = _conda(request)
        asked = pip_requirements(spec, request.project)
        there = self._lock_there(spec, request.project)
        name = there if there and there.endswith((".yml", ".yaml")) else _own_name(spec)
        old = self._load(there, request.project) if there else None
        chosen = tuple(platforms) or (old.platforms if old else ()) or (self._platform,)
        _check_platforms(chosen)
        _check_names(update, old)
        same_date = old is not None and old.ours.get("as_of") == stamp(request)
        kept = old.packages if old and same_date and not upgrade else ()
        loose = {canonical(name) for name in update} if update else set()
        kept = tuple(p for p in kept if canonical(p.name) not in loose)
        parts = [solving.solved(request, spec, asked, platform=p, kept=kept) for p in chosen]
        new = _together(parts)
        changes = lockfile.changes(old.packages if old else (), new.packages)
        content = lockfile.render(lockfile.relative(new, request.project))
        return ProjectLock(name=name, content=content, changes=tuple(map(str, changes)))

    def _solving_with(self, manager: str, update: Sequence[str]) -> Solving:
        if manager != EMBEDDED and update:
            raise EnvError(
                f"{manager} solves anew, and cannot update some packages only",
                hint="leave --env-manager or --update out",
            )
        return Solving(
            home=self._home, environ=self._environ, reporter=self._reporter, manager=manager
        )

    def _here(self, lock: CondaLock) -> CondaLock:
        """Return the part of a lock that is for this platform."""
        packages = tuple(p for p in lock.packages if p.platform == self._platform)
        return changed(lock, packages=packages, platforms=(self._platform,))

    def _recorded(self, recorded: RecordedLock) -> Answer:
        """Take the lock of an earlier run as it is."""
        try:
            lock = lockfile.parsed(recorded.content, shown=recorded.name)
        except EnvError as error:
            raise EnvError(f"the recorded lock cannot be used: {error.message}") from None
        if not lock.part(self._platform, "conda"):
            have = ", ".join(lock.platforms)
            raise EnvError(f"the recorded lock is for {have}, and this is {self._platform}")
        return Answer(lock=lock, name=recorded.name, origin="recorded")

    # --- the project's own lock

    def _answer(self, request: LockRequest, spec: CondaSpec, asked: Requirements) -> Answer:
        name = self._lock_there(spec, request.project)
        stale = None
        if name is not None:
            lock = self._load(name, request.project)
            reason = self._stale(lock, request, spec, asked)
            if reason is None:
                return Answer(lock=lock, name=NAME, origin="project")
            stale = f"{name} is stale: {reason}"
        if request.locked:
            self._refuse(spec, stale)
        warning = f"{stale}; it is passed over, and left as it is" if stale else None
        if warning:
            warn(self._reporter, "stale-lock", warning)
        lock = self._solving.solved(request, spec, asked, platform=self._platform)
        return Answer(lock=lock, name=NAME, origin="resolved", warning=warning)

    def _lock_there(self, spec: CondaSpec, project: str) -> str | None:
        """Return the name of the lock in the project, if there is one."""
        names = lock_names(spec, self._platform)
        return next((n for n in names if lockfile.is_lock(os.path.join(project, n))), None)

    def _load(self, name: str, project: str) -> CondaLock:
        path = os.path.join(project, name)
        return lockfile.absolute(lockfile.load(path, shown=name, platform=self._platform), project)

    def _stale(
        self, lock: CondaLock, request: LockRequest, spec: CondaSpec, asked: Requirements
    ) -> str | None:
        """Say why a lock in the project does not fit what is asked for, None when it does."""
        if not lock.part(self._platform, "conda"):
            have = ", ".join(sorted(lock.platforms)) or "nothing"
            return f"it is for {have}, and this is {self._platform}"
        if request.as_of and lock.ours.get("as_of") != stamp(request):
            return f"it was made as of {lock.ours.get('as_of') or 'no date'}"
        if "requirements" not in lock.ours:
            return self._unsatisfied(lock, spec, asked)
        if lock.inputs.get(self._platform) == inputs_digest(spec, asked, request.project):
            return None
        before, now = set(lock.ours.get("requirements", [])), set(texts(spec, asked))
        words = [f"{text!r} was added" for text in sorted(now - before)]
        words += [f"{text!r} was removed" for text in sorted(before - now)]
        return ", ".join(words) or f"{spec.origin} has changed since it was made"

    def _unsatisfied(self, lock: CondaLock, spec: CondaSpec, asked: Requirements) -> str | None:
        """Check a lock that another tool made against the requirements themselves."""
        conda = lock.part(self._platform, "conda")
        rows = [lockfile.as_row(package) for package in conda]
        missing = Rattler(home=self._home, environ=self._environ).unsatisfied(
            [text.rpartition("::")[2] for text in specs(spec, asked)], rows
        )
        if missing:
            have = {p.name: str(p) for p in conda}
            name = package_name(missing[0])
            found = f"it has {have[name]}, and" if name in have else f"it lacks {name!r}:"
            return f"{found} {missing[0]!r} is asked for"
        versions = {p.name: p.version for p in lock.packages if p.platform == self._platform}
        for line in asked.lines:
            try:
                wanted = Requirement(line.text.partition(" --hash")[0])
            except InvalidRequirement:
                continue
            if wanted.marker and not wanted.marker.evaluate():
                continue
            version = versions.get(canonical(wanted.name))
            if version is None:
                return f"it lacks {wanted.name!r}, which pip is to install"
            if not wanted.url and not wanted.specifier.contains(version, prereleases=True):
                return f"it has {wanted.name} {version}, and {str(wanted)!r} is asked for"
        return None

    @staticmethod
    def _refuse(spec: CondaSpec, stale: str | None) -> NoReturn:
        if stale:
            raise EnvError(stale, hint=HINT)
        raise EnvError(
            "the project has no lock, and --locked refuses to solve for one",
            where=spec.origin,
            hint="'runproj lock' writes one into the project",
        )


def _conda(request: LockRequest) -> CondaSpec:
    if not isinstance(request.spec, CondaSpec):
        raise EnvError("this is no conda environment")
    return request.spec


def _check_platforms(names: Sequence[str]) -> None:
    for name in names:
        if name not in KNOWN:
            raise EnvError(f"{name!r} is no platform", hint=f"known are {', '.join(KNOWN)}")


def _check_names(update: Sequence[str], old: CondaLock | None) -> None:
    """Refuse to update what is not there: it would do nothing, and say nothing."""
    if update and old is None:
        raise EnvError("--update needs a lock, and there is none", hint="run 'runproj lock' first")
    have = {canonical(p.name) for p in old.packages} if old else set()
    for name in update:
        if canonical(name) not in have:
            raise EnvError(f"{name!r} is not in the lock", hint="--update takes packages of it")


def _together(parts: Sequence[CondaLock]) -> CondaLock:
    """Return the lock for all platforms, from one for each."""
    last = parts[-1]
    virtual = {k: v for part in parts for k, v in part.ours["virtual_packages"].items()}
    return changed(
        last,
        packages=tuple(package for part in parts for package in part.packages),
        platforms=tuple(platform for part in parts for platform in part.platforms),
        inputs={k: v for part in parts for k, v in part.inputs.items()},
        ours={**last.ours, "virtual_packages": virtual},
    )


def _own_name(spec: CondaSpec) -> str:
    """Return where a new lock belongs: environments with names of their own do not share one."""
    directory, name = os.path.split(spec.origin)
    stem = os.path.splitext(name)[0]
    own = NAME if stem in {"conda", "environment"} else f"conda-lock.{stem}.yml"
    return os.path.join(directory, own)
