"""Jobs on this machine, each under its own supervisor."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from _thread import RLock

from runner.backends import supervise
from runner.errors import BackendError
from runner.model.lock import ImageEnvironment, ProcessEnvironment
from runner.model.run import ENDED, Outcome, Usage
from runner.system.files import read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta
    from typing import Any

    from runner.model.plan import Draft
    from runner.model.run import Job, Phase

GRACE = 10.0
"""Seconds between the steps that end a command; half of it in each job inside another one, so
that the inner supervisor has done before the outer one loses patience."""
CONTAINER_ORDER = "container-order.json"
"""In the folder of a job that runs in a container: how that is made."""
POLL = 0.2
"""Seconds between two looks at another process's job, where it cannot be waited for."""


class LocalBackend:
    """Runs commands as processes of this machine and this user."""

    def __init__(self, *, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def refusal(self, draft: Draft) -> str | None:
        """Say why a draft cannot run here."""
        if draft.request.backend_options:
            names = ", ".join(sorted(draft.request.backend_options))
            return f"the local backend has no options, but the backend configuration gives {names}"
        return None

    def submit(self, job: Job) -> SubmittedJob:
        """Start a supervisor for the job and return at once.

        A process of one thread forks it (1 ms); another starts an interpreter for it (9 ms),
        because a fork would copy locks that other threads hold. For a container the supervisor
        starts a program of ours that stands for it.

        Raises:
            BackendError: The system gave us no process, or the container cannot be made.
        """
        for descriptor in (0, 1, 2):
            supervise.occupy(descriptor)
        os.makedirs(job.folder, exist_ok=True)
        os.makedirs(os.path.dirname(job.stdout), exist_ok=True)
        os.makedirs(os.path.dirname(job.stderr), exist_ok=True)
        if isinstance(job.environment, ImageEnvironment):
            from runner.backends.containers import submitted

            return submitted(job, self)
        return SubmittedJob(job.folder, **self.start(job))

    def start(self, job: Job, *, patience: float = 0) -> dict[str, int]:
        """Start a supervisor; return its pid and our ends of the pipes between us.

        ``patience`` are seconds more than usual between the steps that end the command.
        """
        leash_end, leash = os.pipe()
        alive, alive_end = os.pipe()
        order = self._order(job, leash_end, alive_end)
        order.grace += patience
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, supervise.LISTENED)
        try:
            pid = _fork(order) if is_single_threaded() else _spawn(order, self.environ)
        except OSError as error:
            os.close(leash)
            os.close(alive)
            raise BackendError(f"no process could be started: {error.strerror}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(leash_end)
            os.close(alive_end)
        return {"pid": pid, "leash": leash, "alive": alive}

    def attach(self, locator: str) -> AttachedJob:
        """Find a job of another process again by its folder."""
        if os.path.exists(os.path.join(locator, CONTAINER_ORDER)):
            from runner.backends.containers import attached

            return attached(locator, self.environ)
        return AttachedJob(locator)

    def clear(self, *, dry_run: bool = False) -> Iterator[str]:
        """Remove containers whose jobs are gone; return a word about each."""
        from runner.backends.containers import leftovers

        return leftovers(self.environ, dry_run=dry_run)

    def _order(self, job: Job, leash: int, alive: int) -> supervise.Order:
        variables = command_variables(job, self.environ)
        depth = variables[supervise.MARKER].count(":")
        return supervise.Order(
            folder=job.folder,
            argv=_shortened(job),
            stdout=job.stdout,
            stderr=job.stderr,
            directory=job.directory,
            job=job.run_id,
            timeout=job.timeout.total_seconds() if job.timeout is not None else None,
            grace=GRACE / 2**depth,
            orphan=job.orphan,
            leash=leash,
            alive=alive,
            keep=job.leases,
            sample=job.sampling,
            sample_tree=job.container is None,
            variables={os.fsencode(k): _encoded(v) for k, v in variables.items()},
            secrets=[_encoded(v) for v in job.command.variables.values()],
        )


def command_variables(job: Job, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the command's environment.

    It is the caller's, without what the environment takes away; on top comes what the environment,
    the store and the command need.
    """
    environment = job.environment
    if not isinstance(environment, ProcessEnvironment):
        raise BackendError("the local backend runs no containers")
    found = {k: v for k, v in environ.items() if k not in environment.removed}
    found |= environment.variables
    search = found.get("PATH", os.defpath)
    found["PATH"] = os.pathsep.join([*environment.bin_paths, *([search] if search else [])])
    found |= job.access.variables
    found |= job.command.variables
    found.setdefault("PYTHONUNBUFFERED", "1")  # its output goes through pipes, and is to be live
    outer = environ.get(supervise.MARKER)
    found[supervise.MARKER] = f"{outer}:{job.run_id}" if outer else job.run_id
    return found


def _encoded(text: str) -> bytes:
    return text.encode(sys.getfilesystemencoding(), "surrogateescape")


def _shortened(job: Job) -> tuple[str, ...]:
    """Put a script into a file when it is too long for an argument."""
    argv = job.command.argv
    script = _encoded(argv[-1])
    if argv[1:2] != ("-c",) or len(argv) != len(("bash", "-c", "script")):
        return argv
    if len(script) < supervise.LONGEST_ARGUMENT:
        return argv
    path = os.path.join(job.folder, "script.sh")
    write_whole(path, script)
    return (argv[0], path)


def is_single_threaded() -> bool:
    """Whether a fork of this process is safe; no where we cannot tell."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


def _fork(order: supervise.Order) -> int:
    pid = os.fork()
    if pid == 0:
        supervise.forked(order)
    return pid


def _spawn(order: supervise.Order, environ: Mapping[str, str]) -> int:
    """Start the supervisor as a program; the command and its variables go through a pipe."""
    if not sys.executable:
        raise BackendError("this process has threads and does not know its Python interpreter")
    private, confide = os.pipe()
    kept = [order.leash, order.alive, private, *order.keep]
    options: dict[str, object] = {
        "folder": order.folder,
        "stdout": order.stdout,
        "stderr": order.stderr,
        "directory": order.directory,
        "job": order.job,
        "grace": order.grace,
        "orphan": order.orphan,
        "leash": order.leash,
        "alive": order.alive,
        "private": private,
    }
    if order.timeout is not None:
        options["timeout"] = order.timeout
    if order.sample:
        options |= {"sample": order.sample, "sample-tree": int(order.sample_tree)}
    if order.keep:
        options["keep"] = ",".join(map(str, order.keep))
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", supervise.__file__, *flags, "--", order.argv[0]],
            environ,
            # onto itself: that makes a descriptor survive the start of the program
            file_actions=[(os.POSIX_SPAWN_DUP2, kept_one, kept_one) for kept_one in kept],
            setsigmask=supervise.LISTENED,
        )
    except BaseException:
        os.close(confide)
        raise
    finally:
        os.close(private)
    with open(confide, "wb") as pipe:
        argv = [_encoded(argument) for argument in order.argv]
        pipe.write(supervise.confided(order.variables or {}, order.secrets, argv))
    return pid


class SubmittedJob:
    """A job of this process. Its supervisor stays until ``release``, or until we die.

    One thread may wait while another cancels; ``cancel`` may be called by a signal handler.
    """

    def __init__(self, folder: str, *, pid: int, leash: int, alive: int) -> None:
        self._folder, self._pid = folder, pid
        self._leash, self._alive = leash, alive
        self._outcome: Outcome | None = None
        self._turn = RLock()

    @property
    def locator(self) -> str:
        """The job's folder."""
        return self._folder

    def fileno(self) -> int:
        """Readable when the job has ended and all its output has been handed on."""
        return self._alive

    def poll(self) -> Outcome | None:
        """Return how the job ended, or None.

        When the supervisor was killed, what it watched over is killed too: nobody would ever know
        how that ended.
        """
        with self._turn:
            if self._outcome is None and _is_readable(self._alive, 0):
                told = os.read(self._alive, 65536)
                self._outcome = parsed_outcome(told) or outcome(self._folder) or self._abandoned()
            return self._outcome

    def wait(self, timeout: timedelta | None = None) -> Outcome | None:
        """Wait for the end."""
        if self._outcome is None:
            _is_readable(self._alive, None if timeout is None else timeout.total_seconds())
        return self.poll()

    def cancel(self, signal: int = signal.SIGTERM) -> None:
        """Send the command's processes a signal; insist when they stay."""
        with self._turn:
            if self._leash >= 0:
                os.kill(self._pid, signal)  # still our child: release() reaps it

    def release(self) -> None:
        """Let the supervisor go: the record is closed."""
        with self._turn:
            if self._leash < 0:
                return
            self.poll()
            os.close(self._leash)
            os.close(self._alive)
            self._leash = self._alive = -1
            try:
                os.waitpid(self._pid, 0)
            except ChildProcessError:  # the caller's process ignores SIGCHLD
                return

    def _abandoned(self) -> Outcome:
        supervise.sweep(os.path.basename(self._folder))
        return lost(self._folder, "its supervisor was killed, so the command was ended")


class AttachedJob:
    """A job that another process submitted, perhaps one that has died since."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._job = os.path.basename(folder)
        self._descriptor = -1

    @property
    def locator(self) -> str:
        """The job's folder."""
        return self._folder

    def fileno(self) -> int:
        """Readable when the supervisor has ended.

        Raises:
            BackendError: There is no supervisor, or the system has no descriptors for processes.
        """
        pid = self._supervisor()
        if self._descriptor < 0 and pid and hasattr(os, "pidfd_open"):
            self._descriptor = os.pidfd_open(pid)
        if self._descriptor < 0:
            raise BackendError(f"job {self._job} cannot be waited for", hint="poll it")
        return self._descriptor

    def poll(self) -> Outcome | None:
        """Return how the job ended, or None while any of its processes lives.

        A job whose supervisor is gone without an outcome is ``lost`` when its last process is.
        """
        if found := outcome(self._folder):
            return found
        if self._supervisor() or supervise.tree(self._job, everyone=True):
            return None
        return outcome(self._folder) or lost(self._folder, "nobody saw it end")

    def wait(self, timeout: timedelta | None = None) -> Outcome | None:
        """Wait for the end."""
        deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
        while (found := self.poll()) is None:
            if deadline is not None and time.monotonic() >= deadline:
                return None
            time.sleep(POLL if deadline is None else min(POLL, deadline - time.monotonic() + 0.001))
        return found

    def cancel(self, signal: int = signal.SIGTERM) -> None:
        """Ask the supervisor to end the command; without one, end its processes ourselves."""
        if pid := self._supervisor():
            supervise.send([pid], signal)
            return
        supervise.send(supervise.tree(self._job, everyone=True), signal)

    def release(self) -> None:
        """Let go of the descriptor, if one was made."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _supervisor(self) -> int:
        """Return the supervisor's pid, 0 when it is gone."""
        try:
            found = json.loads(read(os.path.join(self._folder, "supervisor.json")))
            pid, identity = int(found["pid"]), str(found["identity"])
            os.kill(pid, 0)
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        now = supervise.identity(pid)
        alive = now == identity and supervise.is_live(pid)
        return pid if alive else 0


def _is_readable(descriptor: int, timeout: float | None) -> bool:
    """Wait, at most so many seconds, until a descriptor has something to read."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(None if timeout is None else max(0, round(timeout * 1000))))


def outcome(folder: str) -> Outcome | None:
    """Read how a job ended; None when nobody has written that down (whole)."""
    try:
        return parsed_outcome(read(os.path.join(folder, "outcome.json")))
    except OSError:
        return None


def parsed_outcome(content: bytes) -> Outcome | None:
    """Understand what a supervisor wrote; None when that is nothing, or broken off."""
    from datetime import datetime

    try:
        found: dict[str, Any] = json.loads(content)
        if found["version"] != 1 or found["status"] not in ENDED:
            return None
        return Outcome(
            status=found["status"],
            phase=found["phase"],
            reason=found["reason"],
            started=datetime.fromisoformat(found["started"]),
            finished=datetime.fromisoformat(found["finished"]),
            exit_code=found["exit_code"],
            signal=found["signal"],
            usage=Usage(**found["usage"]) if found["usage"] else None,
            detail=found["detail"],
        )
    except (ValueError, KeyError, TypeError):
        return None


def lost(folder: str, detail: str) -> Outcome:
    """Return the outcome of a job whose end nobody wrote down.

    It began when its supervisor did; a job without one never got as far.
    """
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    began, phase = _began(folder)
    return Outcome(
        status="KILLED",
        phase=phase,
        reason="lost",
        started=min(now, datetime.fromtimestamp(began, UTC)) if began else now,
        finished=now,
        detail=detail if phase == "command" else "runproj was killed before the command started",
    )


def _began(folder: str) -> tuple[float, Phase]:
    """Return since when a job is in the last phase that it left a trace of; 0 when unknown."""
    traces: tuple[tuple[str, Phase], ...] = (
        ("supervisor.json", "command"),
        ("job.json", "prepare"),
    )
    for name, phase in traces:
        try:
            return os.stat(os.path.join(folder, name)).st_mtime, phase
        except OSError:
            continue
    return 0.0, "prepare"
