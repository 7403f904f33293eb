"""Jobs in containers: the same supervisor, with a small program of ours in the command's place.

That program (``container_client``) makes the container, follows and removes it, so signals,
time-outs, logs, masking and orphans are what they are for every job of this machine. What is added
here: the order that it gets, what it tells beside its exit code, and what is left when it dies.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from runner.backends import supervise
from runner.backends.container_result import RESULT
from runner.backends.local import (
    CONTAINER_ORDER,
    GRACE,
    AttachedJob,
    LocalBackend,
    SubmittedJob,
)
from runner.codec import document
from runner.errors import BackendError, RunprojError
from runner.model.lock import ImageEnvironment, ProcessEnvironment
from runner.model.plan import Command
from runner.model.run import StoreAccess
from runner.model.value import changed
from runner.system.engine import address
from runner.system.engine_calls import Engine
from runner.system.files import read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from runner.model.run import Job, Outcome, RunStatus

PATIENCE = 5.0
"""Seconds for the client to end a container before it is ended itself."""
LABEL_RUN, LABEL_HOST, LABEL_JOB = "runproj.run_id", "runproj.host", "runproj.job"
SERVERS = ("MLFLOW_TRACKING_URI", "RUNPROJ_ENDPOINT", "MLFLOW_REGISTRY_URI")
"""Variables that may name a server on this machine's loopback."""
CODE_OF_SIGNAL = 128
SHELL_SYNTAX = frozenset("|&;<>()$`\\\"'*?[]#~=%{}!\n")
"""Characters that may mean something to a shell (POSIX 2.2, and bash)."""


def client_job(job: Job, environ: Mapping[str, str], *, grace: float) -> Job:
    """Return the job whose command is the program that stands for the container.

    Raises:
        BackendError: The image has no shell, and the command needs one.
    """
    environment, container = job.environment, job.container
    assert isinstance(environment, ImageEnvironment)  # noqa: S101 - the caller has looked
    if container is None:
        raise BackendError("the job has an image and does not say how its container is made")
    where = address(environ)
    access = dict(job.access.variables)
    if not access["MLFLOW_TRACKING_URI"].startswith("http"):
        raise BackendError(
            "a container does not reach the tracking store directly",
            hint="leave '--tracking direct' away: its command then logs through an endpoint",
        )
    if not access.get("RUNPROJ_TRACKING_URI", "http").startswith("http"):
        del access["RUNPROJ_TRACKING_URI"]  # a file of this machine
    described = document(container)
    assert isinstance(described, dict)  # noqa: S101 - a Value is always written as an object
    order: dict[str, Any] = {
        **dict.fromkeys(("network", "platform", "directory")),
        **described,
        "version": 1,
        "folder": job.folder,
        "name": f"runproj-{job.run_id}",
        "image": environment.image,
        "shell": environment.shell,
        "argv": () if environment.shell else plain_words(job.command.script),
        "script": job.command.script,
        "project": job.directory,
        "files": job.files or (),
        "remote": not where.is_local,
        "snapshot": _snapshot(job, where_local=where.is_local)
        if container.code == "mount"
        else None,
        "confidential": sorted({*access, *job.command.variables, *container.copied}),
        "servers": SERVERS,
        "labels": labels(job),
        "grace": grace,
        "mounts": [
            {"source": "", "read_only": False, **fields_of(one)} for one in container.mounts
        ],
    }
    write_whole(os.path.join(job.folder, CONTAINER_ORDER), json.dumps(order).encode())
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    start = (
        f"import os, sys; sys.path.append({root!r}); "
        "from runner.backends.container_client import main; "
        "sys.exit(main(sys.argv[1], os.environ))"
    )
    argv = (sys.executable, "-P", "-c", start, os.path.join(job.folder, CONTAINER_ORDER))
    return changed(
        job,
        command=Command(argv=argv, variables=job.command.variables),
        access=StoreAccess(variables=access),
        environment=ProcessEnvironment(),
        directory=job.folder,
    )


def fields_of(value: Any) -> dict[str, Any]:  # noqa: ANN401 - a Value
    """Write a value as an object."""
    described = document(value)
    assert isinstance(described, dict)  # noqa: S101 - a Value is always written as an object
    return described


def labels(job: Job) -> dict[str, str]:
    """Return what tells a container's run, so that anybody finds it again."""
    return {LABEL_RUN: job.run_id, LABEL_HOST: this_place(), LABEL_JOB: job.folder}


def this_place() -> str:
    """Tell this machine (or container) and user from others that may share the engine.

    What looks gone to one of them may be there for another.
    """
    try:
        pids = os.readlink("/proc/self/ns/pid")
    except OSError:
        pids = ""
    return f"{os.uname().nodename} {pids} {os.getuid()}"


def plain_words(script: str) -> tuple[str, ...]:
    """Take a command apart that needs no shell.

    Raises:
        BackendError: It needs one, and the image has none.
    """
    import shlex

    unquoted = script.replace("'", "").replace('"', "")
    if SHELL_SYNTAX & set(unquoted) - {"=", "%"}:
        raise BackendError(
            "the image has no shell, and the command needs one",
            hint="leave shell syntax out of the command, or add a shell to the image",
        )
    return tuple(shlex.split(script))


def _snapshot(job: Job, *, where_local: bool) -> str:
    """Return the folder to mount: a copy of what is recorded, that nobody changes meanwhile.

    Raises:
        BackendError: The engine is on another machine.
    """
    import shutil

    if not where_local:
        raise BackendError(
            "'code: mount' needs an engine on this machine", hint="'code: copy' works everywhere"
        )
    target = os.path.join(job.folder, "code")
    os.makedirs(target, exist_ok=True)
    for path in job.files or ():
        os.makedirs(os.path.dirname(os.path.join(target, path)), exist_ok=True)
        shutil.copy2(
            os.path.join(job.directory, path), os.path.join(target, path), follow_symlinks=False
        )
    return target


def submitted(job: Job, backend: LocalBackend) -> SubmittedContainer:
    """Start a job in a container."""
    depth = backend.environ.get(supervise.MARKER, "").count(":") + 1
    own = client_job(job, backend.environ, grace=GRACE / 2**depth)
    handle = SubmittedContainer(job.folder, **backend.start(own, patience=PATIENCE))
    handle.environ = backend.environ
    return handle


def attached(folder: str, environ: Mapping[str, str]) -> AttachedContainer:
    """Find a job in a container again."""
    handle = AttachedContainer(folder)
    handle.environ = environ
    return handle


class SubmittedContainer(SubmittedJob):
    """A job of this process whose command is the client of a container."""

    environ: Mapping[str, str]
    _settled: Outcome | None = None

    def poll(self) -> Outcome | None:
        """Return how the container ended, or None."""
        if self._settled is None and (ended := super().poll()) is not None:
            self._settled = settled(self.locator, ended, self.environ)
        return self._settled


class AttachedContainer(AttachedJob):
    """Such a job of another process, perhaps one that has died since."""

    environ: Mapping[str, str]

    def poll(self) -> Outcome | None:
        """Return how the container ended, or None."""
        ended = super().poll()
        return ended and settled(self.locator, ended, self.environ)


def settled(folder: str, outcome: Outcome, environ: Mapping[str, str]) -> Outcome:
    """Return how a container ended, where its client's end says less; nothing of it is left.

    When the client was killed, the container is found by its label and removed.
    """
    told = _told(folder)
    if told is None or not told.get("removed"):
        remove_of_run(os.path.basename(folder), environ)
    if told is None:
        return changed(outcome, usage=None)
    return merged(outcome, told)


def _told(folder: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(read(os.path.join(folder, RESULT)))
    except (OSError, ValueError):
        return None
    return found


def merged(outcome: Outcome, told: Mapping[str, Any]) -> Outcome:
    """Put what the client found out into the supervisor's outcome; a container's usage is unknown.

    Engines report a signal as 128 and its number, as shells do.
    """
    known = changed(outcome, usage=None)
    asked_for = outcome.reason in {"timeout", "cancelled", "orphaned"}
    if told.get("error") and not asked_for:
        return _in_error(known, told)
    code = told.get("exit_code")
    if code is None:
        return known
    number = signal_of(int(code))
    known = changed(known, exit_code=None if number else code, signal=number)
    if told.get("out_of_memory"):
        detail = "the container had too little memory"
        return changed(known, status="KILLED", reason="signal", detail=detail)
    return known if asked_for else _by_itself(known, told)


def _in_error(known: Outcome, told: Mapping[str, Any]) -> Outcome:
    """Say why the container never ran, or why nobody knows how it ended."""
    detail = f"{told['error']} ({told['hint']})" if told.get("hint") else str(told["error"])
    phase = told.get("phase", "submit")
    return changed(
        known, status="FAILED", phase=phase, reason="error", exit_code=None, detail=detail
    )


def _by_itself(known: Outcome, told: Mapping[str, Any]) -> Outcome:
    """Say how a container ended that nobody asked to end."""
    if known.signal is not None:
        name = signal.Signals(known.signal).name
        status: RunStatus = "FAILED" if name in supervise.CRASHES else "KILLED"
        detail = f"the command was ended by {name}"
        return changed(known, status=status, reason="signal", detail=detail)
    if told.get("child_out_of_memory"):
        note = "one of the container's processes had too little memory"
        return changed(known, detail="; ".join(filter(None, (known.detail, note))))
    return known


def signal_of(code: int) -> int | None:
    """Return the signal that an exit code of a container stands for."""
    try:
        return int(signal.Signals(code - CODE_OF_SIGNAL)) if code > CODE_OF_SIGNAL else None
    except ValueError:
        return None


def remove_of_run(run_id: str, environ: Mapping[str, str]) -> None:
    """Remove what is left of a run's container; without an engine there is nothing to remove."""
    try:
        engine = Engine(environ)
        for found in _listed(engine, f"{LABEL_RUN}={run_id}"):
            engine.ask("DELETE", f"/containers/{found['Id']}?v=1&force=1")
        engine.close()
    except RunprojError:
        return  # ``runproj doctor`` tries again


def leftovers(environ: Mapping[str, str], *, dry_run: bool) -> Iterator[str]:
    """Remove containers of this machine whose job is gone; return a word about each."""
    try:
        engine = Engine(environ)
        for found in _listed(engine, f"{LABEL_HOST}={this_place()}"):
            known = found.get("Labels") or {}
            if os.path.isdir(known.get(LABEL_JOB, "/")):
                continue  # its job will see to it
            if not dry_run:
                engine.ask("DELETE", f"/containers/{found['Id']}?v=1&force=1")
            yield f"container {found['Id'][:12]} of run {known.get(LABEL_RUN)}"
        engine.close()
    except RunprojError:
        return  # no engine, no containers


def _listed(engine: Engine, label: str) -> list[dict[str, Any]]:
    from urllib.parse import quote

    filters = quote(json.dumps({"label": [label]}))
    found: list[dict[str, Any]] = engine.ask("GET", f"/containers/json?all=1&filters={filters}")
    return found
