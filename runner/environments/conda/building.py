"""Building a conda environment from its lock: rattler links, uv adds what pip was asked for."""

from __future__ import annotations

import glob
import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runner.environments.building import forget_plan, read_plan
from runner.environments.conda import contents, external, lockfile
from runner.environments.conda.activation import activation, write_state
from runner.environments.conda.builder import EMBEDDED
from runner.environments.conda.channels import Channels
from runner.environments.conda.configuration import LINK_SCRIPTS
from runner.environments.conda.pip_part import PipPart
from runner.environments.conda.platforms import platform_here, unmet
from runner.environments.conda.rattler import Rattler
from runner.environments.conda.remembered import recall
from runner.environments.installed import distributions
from runner.environments.store import disk_trouble, opened
from runner.environments.warning import warn
from runner.errors import EnvError
from runner.model.event import Step, StepDone
from runner.system.files import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.environments.conda.lockfile import Package
    from runner.environments.conda.remembered import Note
    from runner.environments.store import Marker
    from runner.model.lock import PackageLock
    from runner.ports import Reporter
    from runner.system.files import Lock


class CondaBuilding:
    """Builds conda environments. Slow: starts processes, may use the network."""

    def __init__(
        self, *, home: str, environ: Mapping[str, str], reporter: Reporter | None = None
    ) -> None:
        self._home, self._environ, self._reporter = home, environ, reporter

    def build(self, lock: PackageLock) -> Marker:
        """Return the marker of the environment of a lock, built by us or by somebody else.

        Raises:
            EnvError: A package cannot be had or has another hash; a full disk.
        """
        try:
            marker = opened(
                self._home, lock.environment, lambda at, held: self._built(lock, at, held)
            )
        except OSError as error:
            raise disk_trouble("built", error, self._home) from None
        forget_plan(lock)
        return marker

    def _built(self, lock: PackageLock, prefix: str, held: Lock) -> Marker:
        begun = time.monotonic()
        note = recall(self._home, os.path.basename(os.path.dirname(lock.document)))
        plan = read_plan(lock)
        if note is None or plan is None:
            raise EnvError("the lock is no longer in the cache", hint="run again to lock again")
        locked = lockfile.load(lock.document, shown=lock.name, platform=lock.platform)
        locked = lockfile.absolute(locked, plan["project"])
        conda = locked.part(lock.platform, "conda")
        pip = locked.part(lock.platform, "pip")
        count = len(conda) + len(pip) + len(plan["local"])
        subject = f"conda environment with {count} package{'s' * (count != 1)}"
        self._report(Step(verb="building", subject=subject))
        self._check_system(conda)
        if lock.builder == EMBEDDED:
            self._link(conda, prefix, note, plan["channels"], held)
        else:
            external.install(
                lock.builder, conda, prefix,
                home=self._home, environ=self._environ, keep=(held.descriptor,),
            )  # fmt: skip
        _finish(prefix)
        write_state(prefix, note["variables"])
        part = PipPart(prefix, home=self._home, environ=self._environ, reporter=self._reporter)
        part.install(pip, plan, as_of=note["as_of"], keep=(held.descriptor,))
        marker = self._described(lock, prefix, (*conda, *pip), plan)
        seconds = time.monotonic() - begun
        self._report(StepDone(verb="building", subject=subject, seconds=seconds))
        return {**marker, "seconds": round(seconds, 3)}

    def _check_system(self, conda: Sequence[Package]) -> None:
        for package in conda:
            words = tuple(f"{name} {wanted}" for name, wanted in package.depends.items())
            if reason := unmet(words):
                raise EnvError(f"{package.name} cannot run here: {reason}")

    def _link(
        self, conda: Sequence[Package], prefix: str, note: Note, channels: Sequence[str], held: Lock
    ) -> None:
        scripts = bool(note.get("link_scripts"))
        access = Channels(self._environ).access_to(channels)
        rattler = Rattler(home=self._home, environ=self._environ, link_scripts=scripts)
        rows = [lockfile.as_row(package) for package in conda]
        rattler.install(rows, prefix, access, platform=platform_here(), keep=(held.descriptor,))
        if not scripts and (names := _link_scripts(prefix)):
            warn(
                self._reporter,
                "link-scripts",
                "scripts that packages would run when they are linked were not run: "
                + ", ".join(names),
                hint=f"{LINK_SCRIPTS}=1 has them run; what they do is not reproducible",
            )

    def _described(
        self,
        lock: PackageLock,
        prefix: str,
        locked: Sequence[Package],
        plan: Mapping[str, Any],
    ) -> Marker:
        """Return what the marker says, after a look at what was really installed.

        Raises:
            EnvError: It is not what the lock says.
        """
        there = {_record_name(path): path for path in _records(prefix)}
        installed = {d.name: d for d in distributions(prefix)}
        rows = []
        for package in locked:
            record = there.get(package.name) if package.manager == "conda" else None
            distribution = installed.get(package.name) if package.manager == "pip" else None
            if record is None and distribution is None:
                raise EnvError(f"{package} is in the lock, but was not installed", where=lock.name)
            rows.append(
                {
                    "name": package.name,
                    "version": package.version,
                    "build": package.build,
                    "source": package.manager,
                    "built": package.manager == "pip" and not package.file.endswith(".whl"),
                    "installed": f"sha256:{package.sha256}"
                    if package.sha256
                    else f"md5:{package.md5}",
                    "record": distribution.record if distribution else "",
                }
            )
        for name in sorted(plan["local"]):
            if name in installed:
                found = installed[name]
                rows.append({"name": name, "version": found.version, "build": "",
                             "source": "local", "built": True, "installed": found.digest,
                             "record": found.record})  # fmt: skip
        return {
            "manager": lock.builder,
            "platform": lock.platform,
            "python": _python(prefix, locked),
            "lock": {"name": lock.name, "digest": lock.digest},
            "as_of": lock.as_of.isoformat() if lock.as_of else None,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "activation": activation(prefix),
            "contents": contents.keep(prefix),
            "packages": rows,
        }

    def _report(self, event: Step | StepDone) -> None:
        if self._reporter:
            self._reporter.report(event)


def _link_scripts(prefix: str) -> list[str]:
    """Return the names of the scripts that packages bring to be run when they are linked."""
    names = glob.glob(os.path.join(glob.escape(prefix), "bin", ".*-link.sh"))
    linking = (os.path.basename(name) for name in names)
    return sorted(n for n in linking if n.endswith(("-post-link.sh", "-pre-link.sh")))


def _finish(prefix: str) -> None:
    """Make a folder an environment in the eyes of conda, even if there is nothing in it."""
    os.makedirs(os.path.join(prefix, "conda-meta"), exist_ok=True)
    with open(os.path.join(prefix, "conda-meta", "history"), "a", encoding="utf-8"):
        pass


def _records(prefix: str) -> list[str]:
    folder = os.path.join(prefix, "conda-meta")
    names = (n for n in os.listdir(folder) if n.endswith(".json") and n != contents.LIST)
    return sorted(os.path.join(folder, name) for name in names)


def _record_name(path: str) -> str:
    return str(json.loads(read(path))["name"])


def _python(prefix: str, locked: Sequence[Package]) -> dict[str, Any]:
    """Return the interpreter as ``store.found`` checks it; empty where there is none."""
    path = os.path.join(prefix, "bin", "python")
    version = next((p.version for p in locked if (p.manager, p.name) == ("conda", "python")), None)
    if version is None or not os.path.exists(path):
        return {}
    status = os.stat(path)
    return {
        "path": path, "version": version, "size": status.st_size, "modified": status.st_mtime_ns,
    }  # fmt: skip
