"""``runproj runs`` on a pseudo-terminal: ``list --watch``, questions, notes."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from some_runs import add

from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.ports import TrackingStore

SECOND_SCREEN, FIRST_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


class Screen:
    """A terminal of 100 columns and 12 lines with the command on it."""

    def __init__(self, end: int, process: subprocess.Popen[bytes]) -> None:
        self.end, self.process = end, process
        self.seen = b""

    def until(self, text: bytes, *, since: int = 0, within: float = 60.0) -> int:
        """Read until a text has been shown; return where it ends."""
        deadline = time.monotonic() + within
        while text not in self.seen[since:]:
            assert time.monotonic() < deadline, self.seen[-2000:]
            if select.select([self.end], [], [], 0.2)[0]:
                self.read()
        return self.seen.index(text, since) + len(text)

    def read(self) -> None:
        try:
            self.seen += os.read(self.end, 65536)
        except OSError:  # the other side is closed
            return

    def ended(self, within: float = 60.0) -> int:
        """Wait for the end of the command, reading what it still says."""
        deadline = time.monotonic() + within
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen[-2000:]
            if select.select([self.end], [], [], 0.1)[0]:
                self.read()
        while select.select([self.end], [], [], 0)[0]:
            before = len(self.seen)
            self.read()
            if len(self.seen) == before:
                break
        return int(self.process.returncode)


@contextmanager
def on_terminal(runproj: Path, *arguments: str) -> Iterator[Screen]:
    end, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 100, 0, 0))
    environ = {**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(
        [runproj, *arguments],
        stdin=side,
        stdout=side,
        stderr=side,
        env=environ,
        start_new_session=True,
    )
    os.close(side)
    try:
        yield Screen(end, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        os.close(end)


WATCH = ("runs", "list", "--watch", "0.2")


@pytest.fixture
def store(here: Path) -> TrackingStore:
    return open_store("sqlite:///mlflow.db", directory=str(here), environ={})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_list_lives_until_it_is_ended(number: int, store: TrackingStore, runproj: Path) -> None:
    run = add(store, name="brave-otter-417")
    with on_terminal(runproj, *WATCH) as screen:
        screen.until(SECOND_SCREEN)
        at = screen.until(b"brave-otter-417")
        assert b"RUNNING" in screen.seen
        store.update_run(run.run_id, status="FINISHED", ended=1_795_245_549_000)
        store.close()
        at = screen.until(b"\x1b[32mFINISHED", since=at)
        add(store, name="new-lynx-2", started=1_795_245_550_000)
        at = screen.until(b"new-lynx-2", since=at)
        screen.process.send_signal(number)
        assert screen.ended() == (0 if number == signal.SIGINT else 143)
    last = screen.seen.rindex(FIRST_SCREEN)
    assert b"\x1b[?25h" in screen.seen[at:]
    assert screen.seen[last:].count(b"new-lynx-2") == 1
    assert b"Traceback" not in screen.seen


def test_only_as_many_runs_as_there_are_lines(store: TrackingStore, runproj: Path) -> None:
    for at in range(15):
        add(store, name=f"a-name-{at:02}" + "-that-is-long" * 8, started=1000 + at)
    with on_terminal(runproj, *WATCH) as screen:
        screen.until(b"--all shows all")
        screen.process.send_signal(signal.SIGINT)
        assert screen.ended() == 0
    first, _, last = screen.seen.partition(FIRST_SCREEN)
    assert b"a-name-14" in first
    assert b"a-name-05" not in first
    plain = last.decode()
    for colour in ("1", "2", "32", "34"):
        plain = plain.replace(f"\x1b[{colour}m", "")
    lines = plain.replace("\x1b[0m", "").split("\r\n")
    assert max(map(len, lines)) <= 100
    assert "…" in plain


def test_a_store_that_breaks_gives_the_terminal_back(
    here: Path, store: TrackingStore, runproj: Path
) -> None:
    add(store, name="brave-otter-417")
    with on_terminal(runproj, *WATCH) as screen:
        screen.until(b"brave-otter-417")
        (here / "other").write_bytes(b"this is no database" * 100)
        for name in os.listdir(here):
            if name.startswith("mlflow.db-"):
                os.unlink(here / name)
        os.replace(here / "other", here / "mlflow.db")
        assert screen.ended() == 125
    assert screen.seen.rindex(FIRST_SCREEN) > screen.seen.rindex(SECOND_SCREEN)
    assert b"error[store]" in screen.seen


@pytest.mark.parametrize(("answer", "lifecycle"), [(b"y", "deleted"), (b"", "active")])
def test_a_question_before_many_are_deleted(
    answer: bytes, lifecycle: str, store: TrackingStore, runproj: Path
) -> None:
    runs = [add(store, status="FAILED"), add(store, status="FAILED")]
    with on_terminal(runproj, "runs", "rm", "--filter", "attributes.status = 'FAILED'") as screen:
        screen.until(b"delete 2 runs")
        os.write(screen.end, answer + b"\n")
        assert screen.ended() == 0
    assert {store.run(run.run_id).lifecycle for run in runs} == {lifecycle}
    store.close()


def test_no_note_speaks_to_the_terminal(store: TrackingStore, runproj: Path) -> None:
    run = add(store, tags={"mlflow.note.content": "one\ntwo \x1b[31mred"})
    with on_terminal(runproj, "runs", "note", run.run_id) as screen:
        assert screen.ended() == 0
    assert b"one\r\ntwo \\x1b[31mred" in screen.seen
