"""Asking what a project's conda lock says, or solving for a new one."""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement

from runner.codec import digest, sha256
from runner.documents.conda_packages import parsed_package
from runner.environments.conda import lockfile
from runner.environments.conda.builder import pip_requirements
from runner.environments.conda.channels import Channels, public
from runner.environments.conda.complaints import UnsolvableError
from runner.environments.conda.configuration import runs_link_scripts
from runner.environments.conda.lockfile import CondaLock
from runner.environments.conda.pip_part import PipPart
from runner.environments.conda.platforms import KNOWN, platform_here, virtual_packages
from runner.environments.conda.rattler import Rattler
from runner.environments.conda.remembered import NAME, lock_names, remember
from runner.environments.freshness import moment
from runner.environments.local_packages import metadata_files
from runner.environments.pylock import canonical
from runner.errors import EnvError
from runner.model.event import Step, StepDone, Warned
from runner.model.lock import ProjectLock
from runner.model.spec import CondaSpec, Problem
from runner.model.value import Value, changed
from runner.redaction import without_credentials
from runner.system.files import cache_directory, file_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from runner.codec import JSON
    from runner.environments.conda.channels import Channel
    from runner.environments.conda.lockfile import Package
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
        self._rattler = Rattler(home=home, environ=environ)
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
    ) -> ProjectLock:
        """Make a lock for the project; see ``runner.ports.ProjectLocks``.

        Raises:
            EnvError: Nothing fits, or a platform is not known.
        """
        spec = _conda(request)
        asked = pip_requirements(spec, request.project)
        there = self._lock_there(spec, request.project)
        name = there if there and there.endswith((".yml", ".yaml")) else _own_name(spec)
        old = self._load(there, request.project) if there else None
        chosen = tuple(platforms) or (old.platforms if old else ()) or (self._platform,)
        _check_platforms(chosen)
        _check_names(update, old)
        same_date = old is not None and old.ours.get("as_of") == _stamp(request)
        kept = old.packages if old and same_date and not upgrade else ()
        loose = {canonical(name) for name in update} if update else set()
        kept = tuple(p for p in kept if canonical(p.name) not in loose)
        parts = [self.solved(request, spec, asked, platform=p, kept=kept) for p in chosen]
        new = _together(parts)
        changes = lockfile.changes(old.packages if old else (), new.packages)
        content = lockfile.render(lockfile.relative(new, request.project))
        return ProjectLock(name=name, content=content, changes=tuple(map(str, changes)))

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
            self._warn(warning)
        lock = self.solved(request, spec, asked, platform=self._platform)
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
        if request.as_of and lock.ours.get("as_of") != _stamp(request):
            return f"it was made as of {lock.ours.get('as_of') or 'no date'}"
        if "requirements" not in lock.ours:
            return self._unsatisfied(lock, spec, asked)
        if lock.inputs.get(self._platform) == inputs_digest(spec, asked, request.project):
            return None
        before, now = set(lock.ours.get("requirements", [])), set(_texts(spec, asked))
        words = [f"{text!r} was added" for text in sorted(now - before)]
        words += [f"{text!r} was removed" for text in sorted(before - now)]
        return ", ".join(words) or f"{spec.origin} has changed since it was made"

    def _unsatisfied(self, lock: CondaLock, spec: CondaSpec, asked: Requirements) -> str | None:
        """Check a lock that another tool made against the requirements themselves."""
        conda = lock.part(self._platform, "conda")
        rows = [lockfile.as_row(package) for package in conda]
        missing = self._rattler.unsatisfied(_specs(spec, asked), rows)
        if missing:
            have = {p.name: str(p) for p in conda}
            name = _name(missing[0])
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

    # --- solving

    def solved(
        self,
        request: LockRequest,
        spec: CondaSpec,
        asked: Requirements,
        *,
        platform: str,
        kept: tuple[Package, ...] = (),
    ) -> CondaLock:
        """Solve for a new lock for one platform; versions of ``kept`` are preferred.

        Raises:
            EnvError: Nothing fits all specifications, or they make no sense.
        """
        if asked.lines and platform != self._platform:
            raise EnvError(
                "the pip section can only be locked where it is to run, and "
                f"{platform} is not {self._platform}",
                where=spec.origin,
            )
        begun = time.monotonic()
        self._report(Step(verb="locking", subject=spec.origin))
        base = os.path.join(request.project, os.path.dirname(spec.origin))
        channels = Channels(self._environ)
        tiers = channels.read(spec.channels, base)
        virtual = [list(words) for words in virtual_packages(platform, self._environ)]
        given = {
            "platform": platform,
            "virtual_packages": virtual,
            "as_of": _stamp(request),
            "locked": [
                lockfile.as_row(p) for p in kept if (p.platform, p.manager) == (platform, "conda")
            ],
        }
        records, priority = self._conda_part(spec, _specs(spec, asked), channels, tiers, given)
        packages = lockfile.of_records(records, platform)
        local: list[dict[str, Any]] = []
        if asked.lines:
            pip = tuple(p for p in kept if (p.platform, p.manager) == (platform, "pip"))
            added, local = self._pip_part(request, spec, asked, packages, pip)
            packages = (*packages, *added)
        ours: dict[str, Any] = {
            "requirements": _texts(spec, asked),
            "priority": priority.lower(),
            "virtual_packages": {platform: virtual},
        }
        if local:
            ours["local"] = local
        if request.as_of:
            ours["as_of"] = _stamp(request)
        if runs_link_scripts(self._environ):
            ours["link_scripts"] = True
        seconds = time.monotonic() - begun
        self._report(StepDone(verb="locking", subject=spec.origin, seconds=seconds))
        return CondaLock(
            packages=packages,
            channels=tuple(url for tier in tiers for url in tier.urls),
            platforms=(platform,),
            source=os.path.basename(spec.origin),
            inputs={platform: inputs_digest(spec, asked, request.project)},
            ours=ours,
        )

    def _conda_part(
        self,
        spec: CondaSpec,
        specs: list[str],
        channels: Channels,
        tiers: tuple[Channel, ...],
        given: Mapping[str, Any],
    ) -> tuple[list[dict[str, Any]], str]:
        """Solve with strict channel priority; where that has no answer, as conda does."""
        ask = self._rattler.solved
        try:
            return ask(specs, tiers, channels.access, priority="Strict", **given), "Strict"
        except UnsolvableError as strict:
            why = EnvError(strict.message, where=spec.origin, hint=strict.hint)
        if len(tiers) == 1:
            raise why
        try:
            records = ask(specs, tiers, channels.access, priority="Flexible", **given)
        except UnsolvableError:
            raise why from None
        self._warn(
            f"{spec.origin}: no solution takes each package from the first channel that has it; "
            "channels were mixed"
        )
        return records, "Flexible"

    def _pip_part(
        self,
        request: LockRequest,
        spec: CondaSpec,
        asked: Requirements,
        packages: tuple[Package, ...],
        kept: tuple[Package, ...],
    ) -> tuple[tuple[Package, ...], list[dict[str, Any]]]:
        """Lock what pip is to add, around a prefix that is thrown away."""
        scratch = cache_directory(self._home, "scratch")
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            prefix = os.path.join(folder, "prefix")
            rows = [lockfile.as_row(package) for package in packages]
            access = Channels(self._environ).access_to(spec.channels)
            self._rattler.install(rows, prefix, access, platform=self._platform)
            part = PipPart(prefix, home=self._home, environ=self._environ, reporter=self._reporter)
            return part.locked(request, spec, asked, kept=kept, platform=self._platform)

    def _warn(self, message: str) -> None:
        if self._reporter:
            problem = Problem(severity="warning", rule="stale-lock", message=message)
            self._reporter.report(Warned(problem=problem))

    def _report(self, event: Step | StepDone) -> None:
        if self._reporter:
            self._reporter.report(event)


def _conda(request: LockRequest) -> CondaSpec:
    if not isinstance(request.spec, CondaSpec):
        raise EnvError("this is no conda environment")
    return request.spec


def _stamp(request: LockRequest) -> str | None:
    return moment(request.as_of) if request.as_of else None


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


def _name(spec: str) -> str:
    package = parsed_package(spec)
    return package.name if package else spec


def _specs(spec: CondaSpec, asked: Requirements) -> list[str]:
    """Return what to solve for; where pip is to add something, Python is needed."""
    specs = [text.partition(" #")[0].strip() for text in spec.packages]
    if asked.lines and not any(_name(text) == "python" for text in specs):
        specs.append("python")
    return specs


def _texts(spec: CondaSpec, asked: Requirements) -> list[str]:
    pip = [f"pip: {without_credentials(line.text)}" for line in asked.lines]
    channels = [f"channel {public(name)}" for name in spec.channels]
    return [*channels, *spec.packages, *pip]


def inputs_digest(spec: CondaSpec, asked: Requirements, project: str) -> str:
    """Return the digest of what a lock is made of, the same on every machine."""
    local: JSON = {
        os.path.relpath(line.local, project): {
            os.path.basename(p): file_digest(p) for p in metadata_files(line.local)
        }
        for line in asked.local_packages
        if line.local
    }
    document: JSON = {
        "requirements": [*_texts(spec, asked)],
        "constraints": [line.text for line in asked.constraints],
        "local": local,
    }
    return digest(document).rpartition(":")[2]
