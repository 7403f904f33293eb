"""Building an environment from its lock: uv or virtualenv, hashes verified, then described."""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runner.environments import pylock
from runner.environments.installed import distributions
from runner.environments.installers import PipInstaller, UvInstaller
from runner.environments.interpreters import Interpreter
from runner.environments.local_packages import content_digest, snapshot
from runner.environments.remembered import recall
from runner.environments.store import disk_trouble, opened
from runner.environments.uv import Uv
from runner.errors import EnvError
from runner.model.event import Step, StepDone
from runner.model.value import Value, fields
from runner.system.files import cache_directory, read, write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.environments.pylock import Package, Table
    from runner.environments.remembered import Note
    from runner.environments.store import Marker
    from runner.model.lock import PackageLock
    from runner.ports import Reporter
    from runner.system.files import Lock


class Contents(Value):
    """All that goes into one environment.

    ``indexed`` are packages with hashes, ``local`` maps the names of local packages to the folder
    to install them from, ``options`` say where packages come from (never shown).
    """

    prefix: str
    interpreter: Interpreter
    table: Mapping[str, Any]
    indexed: tuple[Package, ...]
    versioned: tuple[Package, ...]
    local: Mapping[str, str]
    editable: frozenset[str]
    options: tuple[str, ...]
    as_of: datetime | None
    project: str


def write_plan(
    folder: str,
    lock: PackageLock,
    *,
    note: Note,
    project: str,
    sources: Mapping[str, Sequence[str]],
    home: str,
) -> None:
    """Keep what a build needs beyond the lock: copies of local packages, and ``sources``.

    These are the ``options`` that say where packages come from, and the ``channels`` of conda.

    The file is readable by its owner only, for options may hold credentials; the build deletes it.
    """
    local = {}
    for package in note["local"]:
        path = os.path.normpath(os.path.join(project, package["path"]))
        if not os.path.isdir(path):
            raise EnvError(
                f"the local package {package['name']!r} is not at {package['path']!r}",
                where=note["name"],
            )
        if not package["editable"]:
            path = snapshot(path, content_digest(path, home), home)
        local[package["name"]] = path
    editable = [p["name"] for p in note["local"] if p["editable"]]
    said = {name: [*values] for name, values in sources.items()}
    plan = {"project": project, "local": local, "editable": editable, **said}
    write_whole(_plan_path(folder, lock), json.dumps(plan).encode(), private=True)


def _plan_path(folder: str, lock: PackageLock) -> str:
    return os.path.join(folder, f"{lock.environment.rpartition(':')[2][:32]}.plan.json")


def read_plan(lock: PackageLock) -> dict[str, Any] | None:
    """Return what ``write_plan`` kept for the build of a lock; None when it is not there."""
    try:
        plan: dict[str, Any] = json.loads(read(_plan_path(os.path.dirname(lock.document), lock)))
    except FileNotFoundError:
        return None
    return plan


def forget_plan(lock: PackageLock) -> None:
    """Delete what was kept for a build that is done."""
    with suppress(FileNotFoundError):
        os.unlink(_plan_path(os.path.dirname(lock.document), lock))


class Building:
    """Builds environments. Slow: calls tools, may use the network."""

    def __init__(
        self, *, home: str, environ: Mapping[str, str], reporter: Reporter | None = None
    ) -> None:
        self._home, self._environ, self._reporter = home, environ, reporter

    def build(self, lock: PackageLock) -> Marker:
        """Return the marker of the environment of a lock, built by us or by somebody else.

        Raises:
            EnvError: A package cannot be had, has another hash, or does not build; a full disk.
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
        contents = self._contents(lock, prefix)
        count = len(contents.indexed) + len(contents.versioned) + len(contents.local)
        subject = f"environment with Python {lock.python} and {count} package{'s' * (count != 1)}"
        self._report(Step(verb="building", subject=subject))
        uv = Uv(environ=self._environ, reporter=self._reporter)
        kind = UvInstaller if lock.builder == "uv" else PipInstaller
        scratch = cache_directory(self._home, "scratch")
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            kind(uv, environ=self._environ, home=self._home, keep=(held.descriptor,)).install(
                contents, folder
            )
        marker = self._described(lock, contents)
        seconds = time.monotonic() - begun
        self._report(StepDone(verb="building", subject=subject, seconds=seconds))
        return {**marker, "seconds": round(seconds, 3)}

    def _contents(self, lock: PackageLock, prefix: str) -> Contents:
        note = recall(self._home, os.path.basename(os.path.dirname(lock.document)))
        plan = read_plan(lock)
        if note is None or plan is None:
            raise EnvError("the lock is no longer in the cache", hint="run again to lock again")
        interpreter = Interpreter(**note["python"])
        table = _absolute(pylock.load(lock.document, shown=lock.name), plan["project"])
        found_ = pylock.packages(table, interpreter, where=lock.name)
        return Contents(
            prefix=prefix,
            interpreter=interpreter,
            table=table,
            indexed=tuple(p for p in found_ if p.kind in {"wheel", "sdist", "archive"}),
            versioned=tuple(p for p in found_ if p.kind == "vcs"),
            local=plan["local"],
            editable=frozenset(plan["editable"]),
            options=tuple(plan["options"]),
            as_of=lock.as_of,
            project=plan["project"],
        )

    def _described(self, lock: PackageLock, contents: Contents) -> Marker:
        """Return what the marker says, after a look at what was really installed.

        Raises:
            EnvError: It is not what the lock says.
        """
        there = distributions(contents.prefix)
        versions = {d.name: d.version for d in there}
        for package in contents.indexed:
            if package.name not in versions:
                raise EnvError(f"{package} is in the lock, but was not installed", where=lock.name)
        kinds = {p.name: p.kind for p in (*contents.indexed, *contents.versioned)}
        python = fields(contents.interpreter)
        return {
            "manager": lock.builder,
            "python": python,
            "lock": {"name": lock.name, "digest": lock.digest},
            "as_of": lock.as_of.isoformat() if lock.as_of else None,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "packages": [
                {
                    "name": d.name,
                    "version": d.version,
                    "source": kinds.get(d.name, "local" if d.name in contents.local else "seed"),
                    "built": d.built_from(contents.table.get("packages", [])),
                    "installed": d.digest,
                    "record": d.record,
                }
                for d in there
            ],
        }

    def _report(self, event: Step | StepDone) -> None:
        if self._reporter:
            self._reporter.report(event)


def _absolute(table: Table, project: str) -> Table:
    """Return a lock whose local archives are named by absolute paths."""
    rows = []
    for row in table.get("packages", []):
        at = row.get("archive") or {}
        if path := at.get("path"):
            full = os.path.normpath(os.path.join(project, path))
            rows.append({**row, "archive": {**at, "path": full}})
        else:
            rows.append(row)
    return {**table, "packages": rows}
