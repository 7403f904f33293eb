"""A command on a terminal: Ctrl-C, Ctrl-Z and input work as if runproj were not there."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest

from runner.backends import supervise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    Opener: TypeAlias = "Callable[[str], Terminal]"

FOLLOWER = """
import os, signal, sys
from runner.backends.local import LocalBackend
from runner.model.lock import ProcessEnvironment
from runner.model.plan import Command
from runner.model.run import Job, StoreAccess

folder, run_id, script = sys.argv[1:]
handle, early = None, []
def forward(number, _frame):
    handle.cancel(number) if handle else early.append(number)
for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(signum, forward)
handle = LocalBackend(environ=dict(os.environ)).submit(
    Job(run_id=run_id, folder=f"{folder}/{run_id}", directory=folder,
        command=Command(argv=("bash", "-c", script)), environment=ProcessEnvironment(),
        access=StoreAccess(), stdout=f"{folder}/out.log", stderr=f"{folder}/err.log"))
for number in early:
    handle.cancel(number)
outcome = handle.wait()
handle.release()
print(f"<{outcome.status} {outcome.reason} {outcome.exit_code} {outcome.signal}>", flush=True)
"""


class Terminal:
    """A pseudo-terminal with a follower of one job as its foreground job."""

    def __init__(self, folder: Path, script: str) -> None:
        self.job = os.urandom(8).hex()
        self.seen = b""
        root = os.path.dirname(os.path.dirname(os.path.dirname(supervise.__file__)))
        start = f"import sys; sys.path.insert(0, {root!r}); {FOLLOWER!s}"
        # not forkpty(): that is a fork of this (perhaps threaded) process
        self._end, side = pty.openpty()
        argv = [sys.executable, "-c", ATTACH, "-c", start, str(folder), self.job, script]
        actions = [(os.POSIX_SPAWN_DUP2, side, fd) for fd in (0, 1, 2)]
        self.pid = os.posix_spawn(
            sys.executable, argv, os.environ, file_actions=actions, setsid=True
        )
        os.close(side)

    def until(self, text: bytes, within: float = 60.0) -> None:
        deadline = time.monotonic() + within
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.seen!r}"
            if select_readable(self._end, 0.05):
                try:
                    self.seen += os.read(self._end, 65536)
                except OSError:
                    assert text in self.seen, f"{text!r} did not come: {self.seen!r}"

    def type(self, text: bytes) -> None:
        os.write(self._end, text)

    def close(self) -> None:
        supervise.sweep(self.job)
        os.close(self._end)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


ATTACH = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def select_readable(descriptor: int, timeout: float) -> bool:
    import select

    return bool(select.select([descriptor], [], [], timeout)[0])


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Opener]:
    opened: list[Terminal] = []

    def open_terminal(script: str) -> Terminal:
        opened.append(Terminal(tmp_path, script))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.close()


def test_ctrl_c_reaches_the_command_once(terminal: Opener) -> None:
    there = terminal(
        "n=0; trap 'echo heard; n=1' INT; echo ready; "
        "until [ $n = 1 ]; do sleep .02; done; sleep .5; echo after; exit 4"
    )
    there.until(b"ready")
    there.type(b"\x03")
    there.until(b"KILLED cancelled 4 None>")
    assert there.seen.count(b"heard") == 1
    assert b"after" in there.seen


def test_ctrl_c_ends_a_command_that_does_not_care(terminal: Opener) -> None:
    there = terminal("echo ready; sleep 30; echo not reached")
    there.until(b"ready")
    there.type(b"\x03")
    there.until(b"<KILLED cancelled None 2>")


DEAF_TO_INTERRUPTS = """
import os, signal, time
def on_term(*_):
    os.write(1, b"term\\n")
    os._exit(3)
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"no\\n"))
signal.signal(signal.SIGTERM, on_term)
print("ready")
while True:
    time.sleep(0.02)
"""
"""No shell: bash may lose a trap while a command of its own is ending."""


def test_a_second_ctrl_c_insists(terminal: Opener) -> None:
    there = terminal(f"exec {sys.executable} -uc '{DEAF_TO_INTERRUPTS}'")
    there.until(b"ready")
    there.type(b"\x03")
    there.until(b"no")
    there.type(b"\x03")
    there.until(b"term")
    there.until(b"<KILLED cancelled 3 None>")


def test_input_comes_from_the_terminal(terminal: Opener) -> None:
    there = terminal(f'{sys.executable} -c \'print("got", input("name? "))\'')
    there.until(b"name? ")
    there.type(b"Ada\n")
    there.until(b"got Ada")
    there.until(b"<FINISHED exit 0 None>")


def test_a_signal_from_outside_still_reaches_the_command(terminal: Opener) -> None:
    there = terminal("trap 'echo heard; exit 5' INT; echo ready; while :; do sleep .02; done")
    there.until(b"ready")
    os.kill(there.pid, signal.SIGINT)
    there.until(b"<KILLED cancelled 5 None>")
    assert there.seen.count(b"heard") == 1


def test_the_commands_processes_are_in_the_foreground(terminal: Opener) -> None:
    there = terminal("ps -o stat= -p $$; echo done")
    there.until(b"done")
    assert b"+" in there.seen, "the mark of ps for the foreground process group"
    there.until(b"<FINISHED exit 0 None>")


def test_a_terminal_that_goes_away_takes_the_command_along(
    terminal: Opener, tmp_path: Path
) -> None:
    there = terminal("echo ready; sleep 30")
    there.until(b"ready")
    assert termios.tcgetattr(there._end)
    os.close(there._end)
    deadline = time.monotonic() + 10
    path = tmp_path / there.job / "outcome.json"
    while supervise.tree(there.job, everyone=True) or not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    there._end = os.open(os.devnull, os.O_RDONLY)
    assert '"status": "KILLED"' in path.read_text()
