"""Run one command, watch over its whole process tree, and write down how it ended.

One file of standard library, so that it can be copied to any host that has a Python (with
``sample.py`` beside it, where ``--sample`` is wanted):

    python -I -S supervise.py --folder JOB --stdout F --stderr F [OPTIONS] -- COMMAND [ARGUMENT ...]

    --directory DIR      where the command runs (default: here)
    --job ID             marks the command's processes: RUNPROJ_JOB in their environment
    --timeout SECONDS    end the command after that time
    --grace SECONDS      between the steps of an escalation (default: 10)
    --orphan end|continue   what to do when the follower dies (default: end)
    --leash FD           reaches its end when the follower dies
    --alive FD           gets the outcome, too, when all output has been handed on
    --private FD         the command's variables and the secrets to mask in the logs, see below
    --keep FD,FD         descriptors to hold open (locks) until the command has ended
    --sample SECONDS     write what the machine is doing into the job folder's system.metrics
    --sample-tree 1      what the command and its descendants are doing, too

``--private`` is read to its end. It holds items that end in NUL: how many variables follow and
these (``NAME=VALUE``), how many secrets follow and these, and the arguments in place of COMMAND.
The job folder gets ``supervisor.json`` at once and ``outcome.json`` at the end. When the follower
is gone by then and the folder holds ``closing`` (arguments that end in NUL), the supervisor becomes
that command. ``docs/running.md`` tells what signals, time-outs and crashes do.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from _thread import start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, NoReturn

MARKER = "RUNPROJ_JOB"
"""Names the jobs that a process belongs to, the outermost first, with ``:`` between them."""

REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that ask the supervisor to end the command."""

LISTENED = frozenset({*REQUESTS, signal.SIGCHLD})
"""Signals to block before the supervisor is started, so that none is lost."""

CRASHES = frozenset(
    {"SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS", "SIGPIPE"}
)
"""Signals that a command brings upon itself: the run failed, nobody killed it."""

CHUNK = 65536
BACKLOG = 4 * CHUNK
"""Bytes kept for a slow reader of our output before the command has to wait for it."""
ECHO_WINDOW = 1.0
"""Seconds in which the same signal from another sender is the same request."""
DRAIN = 1.0
"""Seconds to listen to background processes after the command has ended."""
SWEEP = 0.05
"""Seconds between two looks at processes that are to end."""
HOPELESS = 5.0
"""Seconds after which a process that does not die of SIGKILL is left alone."""
NEVER = float("inf")
FIRST_LOOK = 0.1
"""The machine is looked at first after this share of the time to the first sample: commands that
end before pay nothing for ``--sample``."""
LONGEST_ARGUMENT = 131072
"""Linux takes no longer argument or variable (``MAX_ARG_STRLEN``: 32 pages)."""
DETAIL = 600
"""Characters of the sentence for people, so that an outcome fits into a pipe at one go."""
KERNEL = 0x80
"""``si_code`` of a signal that the kernel sent (Linux ``SI_KERNEL``): the terminal's Ctrl-C."""
MASK = b"***"


class Order:
    """What to run, and how. Paths are absolute; descriptors are -1 where there is none."""

    folder: str
    argv: Sequence[str]
    stdout: str
    stderr: str
    directory: str = "."
    job: str = ""
    timeout: float | None = None
    grace: float = 10.0
    orphan: str = "end"
    leash: int = -1
    alive: int = -1
    keep: Sequence[int] = ()
    sample: float = 0.0
    sample_tree: bool = False
    variables: dict[bytes, bytes] | None = None
    secrets: Sequence[bytes] = ()

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - the fields stand above
        for name, value in given.items():
            setattr(self, name, value)


# ---------------------------------------------------------------- processes


class Process:
    """One process as ``/proc`` or ``ps`` shows it; ``jobs`` is its marker, taken apart."""

    __slots__ = ("group", "jobs", "parent", "pid", "session")

    def __init__(self, pid: int, parent: int, group: int, session: int) -> None:
        self.pid, self.parent, self.group, self.session = pid, parent, group, session
        self.jobs: tuple[bytes, ...] = ()


def processes() -> dict[int, Process]:
    """Return the live processes of this machine by pid."""
    if not os.path.exists("/proc/self/stat"):
        return {p.pid: p for p in _listed_by_ps()}
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := _from_proc(int(name))):
            found[process.pid] = process
    return found


def _from_proc(pid: int) -> Process | None:
    try:
        state, *numbers = _bytes(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:4]
    except (OSError, ValueError):
        return None  # it has just ended
    if state in b"ZX":
        return None
    process = Process(pid, *map(int, numbers))
    try:
        process.jobs = marked(_bytes(f"/proc/{pid}/environ"))
    except OSError:
        return process  # another user's: we could not end it anyway
    return process


def marked(environ: bytes) -> tuple[bytes, ...]:
    """Take the job names out of a process's environment block."""
    start = environ.find(b"\0%s=" % MARKER.encode()) + 1
    if not start and not environ.startswith(MARKER.encode() + b"="):
        return ()
    value = environ[start + len(MARKER) + 1 :].partition(b"\0")[0]
    return tuple(value.split(b":"))


def _listed_by_ps() -> Iterator[Process]:
    """Ask ``ps`` where there is no ``/proc`` (macOS); it does not tell sessions and markers."""
    reading, writing = os.pipe()
    argv = ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="]
    actions = [(os.POSIX_SPAWN_DUP2, writing, 1)]
    child = os.posix_spawnp("ps", argv, os.environ, file_actions=actions)
    os.close(writing)
    with open(reading, "rb") as answer:
        lines = answer.read().splitlines()
    os.waitpid(child, 0)
    for line in lines:
        pid, parent, group, state = line.split()[:4]
        if not state.startswith(b"Z"):
            yield Process(int(pid), int(parent), int(group), -1)


def tree(job: str, *, root: int = 0, session: int = 0, everyone: bool) -> list[int]:
    """Return the processes of a job: by marker, by session, by descent from ``root``.

    Without ``everyone`` those are left out that belong to a job inside this one: their own
    supervisor, which is asked too, looks after them.
    """
    alive = processes()
    wanted = job.encode()
    below = _descendants(alive, root) if root else set()
    me = os.getpid()
    members = []
    for process in alive.values():
        ours = (
            process.pid in below
            or (session and process.session == session)
            or (wanted and wanted in process.jobs)
        )
        foreign = process.jobs and process.jobs[-1] != wanted
        if ours and process.pid != me and (everyone or not foreign):
            members.append(process.pid)
    return members


def _descendants(alive: dict[int, Process], root: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for process in alive.values():
        children.setdefault(process.parent, []).append(process.pid)
    found, waiting = set(), [root]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found & alive.keys()


def send(pids: Iterable[int], signum: int) -> None:
    """Send a signal to processes; those that have gone meanwhile are no error."""
    for pid in pids:
        try:
            os.kill(pid, signum)
        except (ProcessLookupError, PermissionError):
            continue


def sweep(job: str, *, within: float = 5.0) -> bool:
    """Kill every process that carries the job's marker; False if some survive (or are stuck)."""
    deadline = time.monotonic() + within
    while members := tree(job, everyone=True):
        send(members, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def identity(pid: int) -> str:
    """Tell a process from a later one with the same pid: boot id and start time in ticks.

    Empty when there is no such process, or no ``/proc`` to ask.
    """
    try:
        ticks = _bytes(f"/proc/{pid}/stat").rpartition(b")")[2].split()[19].decode()
        boot = _bytes("/proc/sys/kernel/random/boot_id").decode().strip()
    except (OSError, IndexError):
        return ""
    return f"{boot}/{ticks}"


def is_live(pid: int) -> bool:
    """Whether an existing process is more than a zombie, as far as ``/proc`` tells."""
    return not os.path.exists("/proc/self/stat") or _from_proc(pid) is not None


def _bytes(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


# ---------------------------------------------------------------- output


class Masker:
    """Replaces secrets in a stream of bytes, also those that arrive in pieces.

    The result is that of masking the whole stream at once: at each place the longest secret.
    """

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._secrets = sorted({s for s in secrets if s}, key=len, reverse=True)
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what can be shown now; what may be the start of a secret is held back."""
        return self._masked(chunk, at_end=False) if self._secrets else chunk

    def flush(self) -> bytes:
        """Return what was held back: the stream has ended."""
        return self._masked(b"", at_end=True) if self._held else b""

    def _masked(self, chunk: bytes, *, at_end: bool) -> bytes:
        data, position, shown = self._held + chunk, 0, []
        while True:
            held = len(data) if at_end else self._unfinished(data, position)
            at, secret = self._first(data, position)
            if at < 0 or at >= held:
                break
            shown += [data[position:at], MASK]
            position = at + len(secret)
        self._held = data[held:]
        return b"".join([*shown, data[position:held]])

    def _first(self, data: bytes, start: int) -> tuple[int, bytes]:
        best, found = -1, b""
        for secret in self._secrets:  # longest first, so that it wins at the same place
            at = data.find(secret, start, best + len(secret) if found else len(data))
            if at >= 0 and (not found or at < best):
                best, found = at, secret
        return best, found

    def _unfinished(self, data: bytes, start: int) -> int:
        """Return where a secret begins that the data break off in, or the end of the data."""
        earliest = len(data)
        for secret in self._secrets:
            at = data.find(secret[:1], max(start, len(data) - len(secret) + 1))
            while 0 <= at < earliest:
                if secret.startswith(data[at:]):
                    earliest = at
                at = data.find(secret[:1], at + 1)
        return earliest


class Stream:
    """One output of the command: from a pipe into a log file and on to our own output.

    Neither side hurts the other: a log that cannot be written counts what it lost, a reader that
    has gone is forgotten, a slow one is fed as it can take (and in the end slows the command, as
    it would without us).
    """

    def __init__(self, source: int, echo: int, log: str, masker: Masker) -> None:
        self.source, self.echo = source, echo
        self.pending = bytearray()
        self.lost, self.trouble = 0, ""
        self._masker = masker
        self._shown = True
        self._gate = select.poll()
        self._gate.register(echo, select.POLLOUT)
        # what a pipe takes without making us wait; a file takes everything
        self._bite = CHUNK if _is_file(echo) else select.PIPE_BUF
        try:
            self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            self._log, self.trouble = -1, error.strerror or ""

    def pull(self) -> bool:
        """Read once from the command; False at the end of the stream."""
        try:
            chunk = os.read(self.source, CHUNK)
        except OSError:
            chunk = b""
        self._write(self._masker.feed(chunk))
        if chunk and self._shown:
            self.pending += chunk
            self.push()
        return bool(chunk)

    def push(self) -> None:
        """Hand on what our reader takes now."""
        while self.pending and self._gate.poll(0):
            try:
                taken = os.write(self.echo, self.pending[: self._bite])
            except BlockingIOError:
                return
            except OSError:  # the reader has gone, or the disk is full: the log goes on
                self.give_up()
                return
            del self.pending[:taken]

    def give_up(self) -> None:
        """Show no more."""
        self._shown = False
        self.pending.clear()

    def close(self) -> None:
        """Take what is there, then stop listening and finish the log."""
        waiting = select.poll()
        waiting.register(self.source, select.POLLIN)
        for _ in range(16):  # a pipe holds no more, unless somebody goes on writing
            if not (waiting.poll(0) and self.pull()):
                break
        self._write(self._masker.flush())
        os.close(self.source)
        if self._log >= 0:
            os.close(self._log)
        self.source = self._log = -1

    def _write(self, content: bytes) -> None:
        while content and self._log >= 0:
            try:
                content = content[os.write(self._log, content) :]
            except OSError as error:  # no room now; perhaps there is for the next piece
                self.trouble = error.strerror or ""
                break
        self.lost += len(content)


# ---------------------------------------------------------------- the supervisor


class Refused(Exception):  # noqa: N818 - it is the command that was refused
    """The command could not be started."""


class Ending:
    """An end that was asked for: why, by which signal, and what comes next."""

    def __init__(self, reason: str, signum: int, sender: int) -> None:
        self.reason, self.signal, self.sender = reason, signum, sender
        self.steps = (
            [signal.SIGKILL] if signum == signal.SIGTERM else [signal.SIGTERM, signal.SIGKILL]
        )
        self.asked = self.stepped = time.monotonic()
        self.hopeless: float | None = None

    def step(self) -> int:
        """Return the next signal to send; the last one is repeated."""
        signum = self.steps.pop(0) if self.steps else signal.SIGKILL
        self.stepped = time.monotonic()
        if self.hopeless is None and not self.steps:
            self.hopeless = self.stepped + HOPELESS
        return signum

    def due(self, grace: float) -> float:
        """Return when the next step is to be taken."""
        return self.stepped + (grace if self.steps else 4 * SWEEP)

    def is_echo(self, signum: int, sender: int) -> bool:
        """Whether a signal only repeats the last request.

        Ctrl-C reaches us and our follower, which hands it on; a nested job hears the signal from
        the supervisor above and from its own follower.
        """
        recent = time.monotonic() - self.asked < ECHO_WINDOW
        return recent and signum == self.signal and sender != self.sender


class Supervisor:
    """Watches over one command, from its start to its outcome."""

    def __init__(self, order: Order) -> None:
        for descriptor in (0, 1, 2):
            occupy(descriptor)
        self.order = order
        self.terminal = os.isatty(0)
        self.session = 0
        self.pid = self.group = 0
        self.status: int | None = None
        self.usage: tuple[float, float, int] | None = None
        self.ending: Ending | None = None
        self.orphaned = False
        self.streams: list[Stream] = []
        self.over = self.hurried = self.left_behind = False
        self.started = self.finished = time.time()
        self._began = self._ended = time.monotonic()
        self._news, self._bell = os.pipe()
        self._poller = select.poll()
        self._waiting: set[int] = set()
        self._ignored: set[signal.Signals] = set()
        self._follower = os.getppid() if order.leash >= 0 else 0
        self._sampler: Any = None
        self._sample_due = NEVER

    def supervise(self) -> int:
        """Do it all; return the exit code a shell would show."""
        self._settle()
        trouble = ""
        try:
            self._start()
        except Refused as refusal:
            trouble = str(refusal)
        else:
            start_new_thread(_listen, (self._bell,))
            self._attend()
        self._finish(trouble)
        self._linger()
        return self._exit_code(trouble)

    # -- beginning

    def _settle(self) -> None:
        """Leave the caller's session and write down who we are."""
        signal.pthread_sigmask(signal.SIG_BLOCK, LISTENED)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._ignored = {s for s in LISTENED if signal.getsignal(s) is signal.SIG_IGN}  # nohup, &
        if not self.terminal:
            try:
                os.setsid()
                self.session = os.getpid()
            except PermissionError:  # we lead a group already: started by hand
                self.session = os.getsid(0) if os.getsid(0) == os.getpid() else 0
        pid = os.getpid()
        self._publish("supervisor.json", {"version": 1, "pid": pid, "identity": identity(pid)})

    def _start(self) -> None:
        """Start the command in a process group of its own.

        On a terminal it stays in ours, which is the foreground group: Ctrl-C, Ctrl-Z and
        reading from the terminal then work as if we were not there.
        """
        outs = os.pipe(), os.pipe()
        self.started, self._began = time.time(), time.monotonic()
        try:
            self.pid = _started(self.order, [end for _, end in outs], group=not self.terminal)
        finally:
            for _, end in outs:
                os.close(end)
        self.group = 0 if self.terminal else self.pid
        if self.order.sample > 0:
            self._sample_due = self._began + FIRST_LOOK * self.order.sample
        logs = self.order.stdout, self.order.stderr
        for (read, _), echo, log in zip(outs, (1, 2), logs, strict=True):
            self.streams.append(Stream(read, echo, log, Masker(self.order.secrets)))

    # -- meanwhile

    def _attend(self) -> None:
        """Listen to the command, to signals and to the clock until all is over."""
        self._poller.register(self._news, select.POLLIN)
        if self.order.leash >= 0:
            self._poller.register(self.order.leash, select.POLLIN)
        for stream in self.streams:
            self._poller.register(stream.source, select.POLLIN)
        while not self._has_ended():
            for descriptor, _ in self._poller.poll(self._patience()):
                self._heard(descriptor)
            self._watch_clock()
        for stream in self.streams:
            if stream.source >= 0:
                self.left_behind = True
                self._poller.unregister(stream.source)
                stream.close()
                self._watch_reader(stream)
        self.over = True

    def _heard(self, descriptor: int) -> None:
        if descriptor == self._news:
            for signum, sender in _heard_signals(self._news):
                self._on_signal(signum, sender)
        elif descriptor == self.order.leash:
            self._on_leash()
        else:
            for stream in self.streams:
                if descriptor == stream.source:
                    self._on_output(stream)
                elif descriptor == stream.echo:
                    stream.push()
                    self._watch_reader(stream)

    def _on_output(self, stream: Stream) -> None:
        if not stream.pull():
            self._poller.unregister(stream.source)
            stream.close()
        self._watch_reader(stream)

    def _watch_reader(self, stream: Stream) -> None:
        """Wait for a slow reader of ours where there is one, and let the command wait, too."""
        if stream.pending and stream.echo not in self._waiting:
            self._poller.register(stream.echo, select.POLLOUT)
            self._waiting.add(stream.echo)
        elif not stream.pending and stream.echo in self._waiting:
            self._poller.unregister(stream.echo)
            self._waiting.remove(stream.echo)
        if stream.source >= 0:
            full = len(stream.pending) > BACKLOG
            self._poller.modify(stream.source, 0 if full else select.POLLIN)

    def _on_signal(self, signum: int, sender: int) -> None:
        if signum == signal.SIGCHLD:
            self._reap()
        elif signum in self._ignored and sender != self._follower:
            return  # as the caller wished it; the follower's word counts all the same
        elif self.over or (self.status is not None and not self.ending):
            self.hurried = True  # the command has ended: it is for us
        elif self.ending and self.ending.is_echo(signum, sender):
            return
        elif self.ending:
            self.ending.asked, self.ending.sender = time.monotonic(), sender
            self._signal(self.ending.step())
        else:
            told = sender == 0 and self.terminal  # the terminal has told the command, too
            self._end("cancelled", signum, sender=sender, told=told)

    def _on_leash(self) -> None:
        if os.read(self.order.leash, CHUNK):
            return
        self._poller.unregister(self.order.leash)
        self.orphaned = True
        if self.order.orphan == "end" and not self.ending and self.status is None:
            self._end("orphaned", signal.SIGTERM)

    def _reap(self) -> None:
        """Note how the command ended; its own signal takes the rest of its tree along."""
        if self.status is not None:
            return
        pid, status, used = os.wait4(self.pid, os.WNOHANG)
        if not pid:
            return
        self.finished, self._ended = time.time(), time.monotonic()
        self.status = os.waitstatus_to_exitcode(status)
        unit = 1 if sys.platform == "darwin" else 1024
        self.usage = (used.ru_utime, used.ru_stime, used.ru_maxrss * unit)
        if self.status < 0 and not self.ending:
            self._end("signal", signal.SIGTERM)

    # -- ending

    def _end(self, reason: str, signum: int, *, sender: int = -1, told: bool = False) -> None:
        self.ending = Ending(reason, signum, sender)
        if not told:
            self._signal(signum)

    def _signal(self, signum: int) -> None:
        """Send a signal to the command's processes; SIGKILL to those of jobs inside it, too."""
        group = self.group if self.status is None else 0
        if group:
            try:
                os.killpg(group, signum)
            except (ProcessLookupError, PermissionError):
                group = 0  # it has just ended, or is not all ours: one by one, then
        members = self._members(everyone=signum == signal.SIGKILL)
        send((p for p in members if not group or _group(p) != group), signum)
        if signum != signal.SIGKILL:
            send(members, signal.SIGCONT)  # a stopped process hears nothing else

    def _members(self, *, everyone: bool) -> list[int]:
        root = self.pid if self.status is None else 0
        return tree(self.order.job, root=root, session=self.session, everyone=everyone)

    def _watch_clock(self) -> None:
        now = time.monotonic()
        limit = self.order.timeout
        if limit is not None and self.status is None and not self.ending:
            if now >= self._began + limit:
                self._end("timeout", signal.SIGTERM)
        elif self.ending and now >= self.ending.due(self.order.grace):
            self._signal(self.ending.step())
        if now >= self._sample_due and self.status is None:
            self._sample(now)

    def _sample(self, now: float) -> None:
        """Look at the machine; the first look only prepares the samples. Nothing may hurt us."""
        every = self.order.sample
        try:
            if self._sampler is None:
                path = os.path.join(self.order.folder, "system.metrics")
                self._sampler = _sampler_class()(path, self.pid if self.order.sample_tree else 0)
                self._sample_due = max(now, self._began + every)
            else:
                self._sampler.sample()
                self._sample_due = max(now, self._sample_due) + every
        except Exception:  # noqa: BLE001 - whatever it is, the command goes on
            self._sample_due = NEVER

    def _patience(self) -> float | None:
        """Milliseconds until the clock matters again, None when it does not."""
        if self.status is not None:
            return SWEEP * 1000
        due = self._sample_due
        if self.ending:
            due = min(due, self.ending.due(self.order.grace))
        elif self.order.timeout is not None:
            due = min(due, self._began + self.order.timeout)
        if due == NEVER:
            return None
        return max(0.0, due - time.monotonic()) * 1000 + 1

    def _has_ended(self) -> bool:
        if self.status is None:
            return False
        if self.ending and self._members(everyone=True):
            hopeless = self.ending.hopeless
            return hopeless is not None and time.monotonic() > hopeless
        quiet = all(stream.source < 0 for stream in self.streams)
        return quiet or self.hurried or time.monotonic() > self._ended + DRAIN

    # -- afterwards

    def _finish(self, trouble: str) -> None:
        """Write the outcome, let a slow reader have the rest, and tell the follower."""
        document = self._outcome(trouble)
        path = self._publish("outcome.json", document)
        self._serve_reader()
        for descriptor in self.order.keep:
            os.close(descriptor)
        _silence()
        if self.order.alive >= 0:
            try:
                os.write(self.order.alive, encoded(document).encode())
            except BrokenPipeError:
                self.orphaned = True
            os.close(self.order.alive)  # at its end it stays readable, for all who wait
        if path:
            _settle_on_disk(path)

    def _serve_reader(self) -> None:
        """Let a slow reader have the rest.

        He may take his time, unless we were asked to end or nobody is left to ask us.
        """
        patience = DRAIN if self.ending else None
        deadline = time.monotonic() + DRAIN
        while any(s.pending for s in self.streams) and not (self.hurried or self.orphaned):
            if patience is not None and time.monotonic() > deadline:
                return
            for descriptor, _ in self._poller.poll(patience and patience * 1000):
                self._heard(descriptor)

    def _linger(self) -> None:
        """Stay until the follower has closed the record; close it when he dies before."""
        if self.order.leash < 0:
            return
        if not self.orphaned:
            while os.read(self.order.leash, CHUNK):
                continue
        try:
            argv = _bytes(os.path.join(self.order.folder, "closing")).split(b"\0")[:-1]
        except OSError:
            return  # the follower has closed the record and removed the folder
        for signum in LISTENED - self._ignored:
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, LISTENED)
        os.chdir("/")
        _complain_to(os.path.join(self.order.folder, "closing.log"))
        os.execv(argv[0], argv)  # noqa: S606 - a shell is not wanted

    def _outcome(self, trouble: str) -> dict[str, object]:
        status, reason = self._verdict(trouble)
        code = self.status
        return {
            "version": 1,
            "status": status,
            "phase": "submit" if trouble else "command",
            "reason": reason,
            "exit_code": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "started": _iso(self.started),
            "finished": _iso(max(self.started, self.finished)),
            "usage": self.usage
            and dict(zip(("user", "system", "peak_memory"), self.usage, strict=True)),
            "detail": (trouble or self._detail(reason))[:DETAIL],
        }

    def _verdict(self, trouble: str) -> tuple[str, str]:
        """Return the run's status and the reason for it."""
        code = self.status or 0
        if trouble:
            return "FAILED", "error"
        if self.ending and self.ending.reason != "signal":
            finished = code == 0 and self.ending.signal == signal.SIGINT
            return ("FINISHED", "exit") if finished else ("KILLED", self.ending.reason)
        if code < 0:
            return "FAILED" if _name(-code) in CRASHES else "KILLED", "signal"
        return "FAILED" if code else "FINISHED", "exit"

    def _detail(self, reason: str) -> str:
        code = self.status or 0
        said = {
            "exit": f"the command ended with exit code {code}" if code else "",
            "signal": f"the command was ended by {_name(-code)}",
            "timeout": f"the command took longer than {self.order.timeout or 0:g} s",
            "cancelled": f"cancelled by {_name(self.ending.signal)}" if self.ending else "",
            "orphaned": "runproj was killed, so the command was ended",
        }[reason]
        if reason == "signal" and code == -signal.SIGKILL:
            said += "; that is what the system does when memory runs out"
        notes = [said] if said else []
        if self.ending and self.ending.hopeless and self._members(everyone=True):
            notes.append("some of its processes could not be ended")
        if self.left_behind and not self.ending:
            notes.append("background processes still had the output open, nobody listens now")
        for name, stream in zip(("stdout", "stderr"), self.streams, strict=True):
            if stream.lost:
                notes.append(f"{stream.lost} bytes of {name} are not in the log: {stream.trouble}")
        return "; ".join(notes)

    def _exit_code(self, trouble: str) -> int:
        if trouble:
            return 125
        code = self.status or 0
        return code if code >= 0 else 128 - code

    def _publish(self, name: str, document: dict[str, object]) -> str:
        """Write a document of the job folder by rename; return its path, empty when it failed."""
        path = os.path.join(self.order.folder, name)
        try:
            os.makedirs(self.order.folder, exist_ok=True)  # somebody may have tidied up
            descriptor = os.open(f"{path}.partial", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                os.write(descriptor, f"{encoded(document)}\n".encode())
            finally:
                os.close(descriptor)
            os.replace(f"{path}.partial", path)
        except OSError:
            return ""  # there is no room: the follower hears it all the same
        return path


# ---------------------------------------------------------------- pieces


def _started(order: Order, outputs: Sequence[int], *, group: bool) -> int:
    """Start the command with two pipes for its output; return its pid.

    It gets the signal dispositions that we found: those that Python has changed are put back.

    Raises:
        Refused: It could not be started, and why.
    """
    try:
        os.chdir(order.directory)  # posix_spawn() cannot, and we have no use for our own
    except OSError as error:
        why = error.strerror
        raise Refused(f"the directory {order.directory!r} cannot be entered: {why}") from None
    variables = dict(os.environb) if order.variables is None else order.variables
    if order.job and order.variables is None:
        above = variables.get(MARKER.encode(), b"")
        variables[MARKER.encode()] = (above + b":" if above else b"") + order.job.encode()
    settings: dict[str, Any] = {"setpgroup": 0} if group else {}
    settings["setsigmask"] = signal.pthread_sigmask(signal.SIG_BLOCK, ()) - LISTENED
    settings["setsigdef"] = (signal.SIGPIPE, signal.SIGXFSZ)
    settings["file_actions"] = [(os.POSIX_SPAWN_DUP2, end, n) for n, end in enumerate(outputs, 1)]
    try:
        return _spawned([os.fsencode(a) for a in order.argv], variables, settings)
    except ValueError as error:
        raise Refused(f"the command could not be started: {error}") from None


def _spawned(argv: list[bytes], variables: dict[bytes, bytes], settings: dict[str, Any]) -> int:
    """Start a program that is found on the PATH of ``variables``."""
    import errno

    path = b"" if b"/" in argv[0] else variables.get(b"PATH", os.fsencode(os.defpath))
    why = "it is not on the PATH" if path else "it is not there"
    for folder in path.split(b":"):
        program = argv[0] if b"/" in argv[0] else (folder or b".") + b"/" + argv[0]
        if path and not os.access(program, os.F_OK):
            continue  # a failed attempt costs a hundred times as much
        try:
            return os.posix_spawn(program, argv, variables, **settings)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            why = error.strerror or ""
            if error.errno == errno.E2BIG:
                why = _longest(argv, variables)
    raise Refused(f"the program {os.fsdecode(argv[0])!r} could not be started: {why}")


def _sampler_class() -> Any:  # noqa: ANN401 - we travel without types
    """Load ``sample.py`` from beside us; as a program on another host we have no package."""
    from importlib.util import module_from_spec, spec_from_file_location

    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sample.py")
    spec = spec_from_file_location("runproj_sample", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Sampler


def _longest(argv: list[bytes], variables: dict[bytes, bytes]) -> str:
    items = [(len(a), "an argument of the command") for a in argv]
    items += [(len(v), f"the variable {os.fsdecode(k)}") for k, v in variables.items()]
    size, what = max(items)
    if size < LONGEST_ARGUMENT:
        whole = sum(length for length, _ in items)
        return (
            f"its arguments and variables have {whole} bytes together, more than the system takes"
        )
    return f"{what} has {size} bytes, more than the system takes; pass it in a file"


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return 0


def _listen(bell: int) -> None:
    """Pass every signal on with its sender (0: the kernel, that is, the terminal).

    Runs in a thread of its own, because only a waiting thread is told who sent a signal.
    """
    while True:
        if hasattr(signal, "sigwaitinfo"):
            info = signal.sigwaitinfo(LISTENED)
            signum, sender = info.si_signo, 0 if info.si_code == KERNEL else info.si_pid
        else:
            signum, sender = signal.sigwait(LISTENED), -1
        os.write(bell, signum.to_bytes(1, "big") + sender.to_bytes(4, "big", signed=True))


def _heard_signals(news: int) -> Iterator[tuple[int, int]]:
    content = os.read(news, 5 * 64)
    for at in range(0, len(content), 5):
        yield content[at], int.from_bytes(content[at + 1 : at + 5], "big", signed=True)


def occupy(descriptor: int) -> None:
    """Open the null device where a standard stream is closed, so that no pipe gets its number."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - positional only


def _silence() -> None:
    """Let go of the caller's input and output, so that nobody waits for us to close them."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def _complain_to(path: str) -> None:
    """Let standard error go to a file, for want of anybody to read it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(descriptor, 2)
        os.close(descriptor)
    except OSError:
        return


def _is_file(descriptor: int) -> bool:
    import stat

    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _settle_on_disk(path: str) -> None:
    """Make sure that a document survives a power cut; it may be gone already."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    except OSError:
        return


def _name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


def _iso(moment: float) -> str:
    milliseconds = int(moment * 1000)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{whole}.{milliseconds % 1000:03d}+00:00"


def encoded(value: object) -> str:
    """Write JSON; the module of that name would cost a fresh interpreter 5 ms."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{encoded(k)}: {encoded(v)}" for k, v in value.items()) + "}"
    text = str(value)
    if text.isascii() and text.isprintable() and not ('"' in text or "\\" in text):
        return f'"{text}"'
    units = text.encode("utf-16-be", "surrogatepass")
    codes = [units[at] << 8 | units[at + 1] for at in range(0, len(units), 2)]
    plain = [chr(c) if 32 <= c < 127 and c not in b'"\\' else f"\\u{c:04x}" for c in codes]  # noqa: PLR2004 - ASCII
    return f'"{"".join(plain)}"'


# ---------------------------------------------------------------- the program


def forked(order: Order) -> NoReturn:
    """Be the supervisor, in a process that was forked from a single-threaded follower."""
    code = 125
    try:
        import gc

        gc.disable()  # nothing of the follower's may be finalized here
        signal.set_wakeup_fd(-1)
        _close_all_but({order.leash, order.alive, *order.keep})
        code = Supervisor(order).supervise()
    except BaseException:  # noqa: BLE001 - it must not reach the follower's code
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _close_all_but(kept: set[int]) -> None:
    low = 3
    for descriptor in sorted(d for d in kept if d >= low):
        os.closerange(low, descriptor)
        low = descriptor + 1
    limit = os.sysconf("SC_OPEN_MAX")
    os.closerange(low, limit if limit > 0 else CHUNK)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


OPTIONS: dict[str, Callable[[str], object]] = {
    "folder": os.path.abspath,
    "stdout": os.path.abspath,
    "stderr": os.path.abspath,
    "directory": os.path.abspath,
    "job": str,
    "timeout": float,
    "grace": float,
    "orphan": str,
    "leash": int,
    "alive": int,
    "private": int,
    "keep": _numbers,
    "sample": float,
    "sample_tree": lambda text: text == "1",
}
"""The program's options, each with how its value is read."""


def parsed(arguments: Sequence[str]) -> Order:
    """Read the command line; ValueError when it makes no sense."""
    split = list(arguments).index("--")
    given: dict[str, Any] = {"argv": arguments[split + 1 :]}
    for name, value in zip(arguments[:split:2], arguments[1:split:2], strict=True):
        field = name.removeprefix("--").replace("-", "_")
        if field not in OPTIONS:
            raise ValueError(f"unknown option {name}")
        given[field] = OPTIONS[field](value)
    if missing := {"folder", "stdout", "stderr"} - given.keys():
        raise ValueError(f"missing options: {', '.join(sorted(missing))}")
    private = given.pop("private", -1)
    if private >= 0:
        given.update(_confided(private))
    if not given["argv"]:
        raise ValueError("there is no command")
    return Order(**given)


def confided(
    variables: dict[bytes, bytes], secrets: Sequence[bytes], argv: Sequence[bytes]
) -> bytes:
    """Write what ``--private`` reads: what neither the process list nor its limits may see."""
    items = [b"%d" % len(variables), *(b"%s=%s" % pair for pair in variables.items())]
    return b"\0".join([*items, b"%d" % len(secrets), *secrets, *argv, b""])


def _confided(descriptor: int) -> dict[str, Any]:
    with open(descriptor, "rb") as file:
        items = iter(file.read().split(b"\0")[:-1])
    pairs = [next(items).partition(b"=")[::2] for _ in range(int(next(items)))]
    secrets = [next(items) for _ in range(int(next(items)))]
    argv = [os.fsdecode(item) for item in items]
    return {"variables": dict(pairs), "secrets": secrets, **({"argv": argv} if argv else {})}


def main(arguments: Sequence[str]) -> int:
    """Be the supervisor, in an interpreter of its own."""
    try:
        order = parsed(arguments)
    except ValueError as error:
        os.write(2, f"supervise: {error}\n{__doc__}".encode())
        return 2
    ours = {d for d in (order.leash, order.alive, *order.keep) if d >= 0}
    _close_all_but(ours)
    for descriptor in ours:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - positional only
    return Supervisor(order).supervise()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
