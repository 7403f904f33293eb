"""The environments in the store: looking at them, checking them, throwing them away."""

from __future__ import annotations

import glob
import json
import os
import stat
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runner.environments.installed import damage, distributions
from runner.environments.store import ID_LENGTH, found, marker_path
from runner.errors import EnvError, RunprojError
from runner.model.lock import BuiltEnvironment
from runner.system.files import Lock, read, remove_tree, set_aside
from runner.system.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LEFT_OVER = 86400.0
"""Seconds after which a scratch folder has no owner any more."""
ASK_VERSION = "import platform; print(platform.python_version())"


class Catalog:
    """What is in ``<home>/envs``; see ``runner.ports.EnvironmentCatalog``."""

    def __init__(self, *, home: str, environ: Mapping[str, str]) -> None:
        self._home, self._environ = home, environ
        self._root = os.path.join(home, "envs")

    def all(self) -> tuple[BuiltEnvironment, ...]:
        """Return every environment, the one used last first."""
        there = [self._looked_at(path) for path in self._paths()]
        return tuple(sorted(there, key=lambda e: e.used, reverse=True))

    def find(self, prefix: str) -> BuiltEnvironment:
        """Return the environment whose identifier starts so.

        Raises:
            EnvError: There is none, or more than one.
        """
        wanted = prefix.removeprefix("sha256:")[:ID_LENGTH].lower()
        fitting = [p for p in self._paths() if wanted and os.path.basename(p).startswith(wanted)]
        if not fitting:
            raise EnvError(
                f"there is no environment {prefix!r}", hint="'runproj env list' shows them all"
            )
        if len(fitting) > 1:
            names = ", ".join(os.path.basename(path)[:12] for path in sorted(fitting))
            raise EnvError(f"{prefix!r} is the beginning of {len(fitting)} environments: {names}")
        return self._looked_at(fitting[0])

    def damage(self, environment: BuiltEnvironment) -> tuple[str, ...]:
        """Check interpreter, packages and files; return what is wrong."""
        if environment.state != "ready":
            return (f"the environment is {environment.state}",)
        if "contents" in environment.description:
            from runner.environments.conda.contents import damage as changes

            return tuple(changes(environment.path))
        return tuple(self._damage(environment))

    def prune(self, unused: timedelta, *, dry_run: bool = False) -> tuple[BuiltEnvironment, ...]:
        """Delete what was not used for so long, and wrecks; never what is in use or under way."""
        limit = datetime.now(UTC) - unused
        gone = []
        for environment in self.all():
            old = environment.used <= limit or environment.state == "broken"
            if not old or environment.in_use or environment.state == "building":
                continue
            if dry_run or self._removed(environment):
                gone.append(environment)
        if not dry_run:
            self._tidy(unused)
        return tuple(gone)

    def _paths(self) -> Iterator[str]:
        for path in glob.glob(os.path.join(glob.escape(self._root), "*")):
            name = os.path.basename(path)
            if len(name) == ID_LENGTH and os.path.isdir(path):
                yield path

    def _looked_at(self, path: str) -> BuiltEnvironment:
        marker = found(path)
        state = "ready" if marker else "building" if _is_held(f"{path}.lock") else "broken"
        size, own = _sizes(path)
        return BuiltEnvironment(
            identifier=os.path.basename(path),
            path=path,
            state=state,
            in_use=_is_held(f"{path}.use") or self._has_job(path),
            size=size,
            own=own,
            used=_used(path),
            description=marker or {},
        )

    def _has_job(self, path: str) -> bool:
        """Whether a job that nobody closed yet names the environment."""
        for job in glob.glob(os.path.join(glob.escape(self._home), "jobs", "*", "job.json")):
            try:
                if json.dumps(path)[1:-1].encode() in read(job):
                    return True
            except FileNotFoundError:
                continue
        return False

    def _removed(self, environment: BuiltEnvironment) -> bool:
        """Delete one environment, unless somebody has begun to use or build it meanwhile."""
        use, building = Lock(f"{environment.path}.use"), Lock(f"{environment.path}.lock")
        try:
            if not (use.acquire(blocking=False) and building.acquire(blocking=False)):
                return False
            set_aside(self._home, environment.path)
            for lock in (use, building):
                os.unlink(lock.path)
        finally:
            use.release()
            building.release()
        return True

    def _tidy(self, unused: timedelta) -> None:
        """Delete what killed processes left behind, and copies of packages nobody built lately."""
        age = max(LEFT_OVER, unused.total_seconds())
        for name, seconds in (("scratch", LEFT_OVER), ("trash", LEFT_OVER), ("packages", age)):
            for path in glob.glob(os.path.join(glob.escape(self._home), name, "*")):
                try:
                    old = time.time() - os.lstat(path).st_mtime > seconds
                except FileNotFoundError:
                    continue
                if old and os.path.isdir(path):
                    remove_tree(path)

    def _damage(self, environment: BuiltEnvironment) -> Iterator[str]:
        marker = environment.description
        wanted = str(marker["python"]["version"])
        python = os.path.join(environment.path, "bin", "python")
        try:
            variables = {"PATH": self._environ.get("PATH", os.defpath)}
            done = run([python, "-I", "-c", ASK_VERSION], variables=variables, timeout=60)
            version = done.text.strip() or f"nothing (exit code {done.exit_code})"
        except (RunprojError, OSError) as error:
            version = str(error)
        if version != wanted:
            yield f"the interpreter says {version}, and {wanted} was installed"
        there = {d.name: d for d in distributions(environment.path)}
        recorded = {package["name"]: package for package in marker["packages"]}
        for name in sorted(recorded.keys() - there.keys()):
            yield f"{name} {recorded[name]['version']} is gone"
        for name in sorted(there.keys() - recorded.keys()):
            yield f"{name} {there[name].version} was added"
        for name in sorted(there.keys() & recorded.keys()):
            if there[name].record != recorded[name]["record"]:
                yield f"{name}: the list of its files was changed"
            else:
                yield from damage(environment.path, there[name])


def _is_held(path: str) -> bool:
    """Whether somebody holds a lock; a lock file that is not there is not made."""
    if not os.path.exists(path):
        return False
    lock = Lock(path)
    free = lock.acquire(blocking=False)
    lock.release()
    return not free


def _used(path: str) -> datetime:
    """Return when an environment was used last, to the day."""
    for candidate in (f"{path}.use", marker_path(path), path):
        if os.path.exists(candidate):
            return datetime.fromtimestamp(os.stat(candidate).st_mtime, UTC)
    return datetime.now(UTC)


def _sizes(path: str) -> tuple[int, int]:
    """Return the bytes of all files, and of those that have no other name elsewhere."""
    size = own = 0
    for folder, _folders, files in os.walk(path):
        for name in files:
            status = os.lstat(os.path.join(folder, name))
            if stat.S_ISREG(status.st_mode):
                size += status.st_size
                own += status.st_size if status.st_nlink == 1 else 0
    return size, own
