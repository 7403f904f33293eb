"""Threads for connections: idle clients cost a descriptor, only requests cost a thread."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from queue import SimpleQueue

from runner.serving.connection import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from runner.serving.connection import Answer

THREADS: Final = 32
"""At most so many requests are under way at once; the others wait their turn."""
CONNECTIONS: Final = 1000
"""Beyond so many clients, new ones wait in the kernel's backlog."""
IDLE_SECONDS: Final = 120.0
TICK: Final = 1.0


class Server:
    """Answers on a listening socket, which it owns from then on.

    One thread watches the listener and the idle connections; a connection that becomes readable
    goes to a worker for one request (or several that came together) and back again.
    """

    def __init__(self, listener: int, *, answer: Answer, threads: int = THREADS) -> None:
        self._listener = socket.socket(fileno=listener)
        self._listener.settimeout(0)
        self._answer = answer
        self._limit = threads
        self._queue: SimpleQueue[Connection | None] = SimpleQueue()
        self._returned: list[Connection] = []
        self._idle: dict[int, Connection] = {}
        self._busy: set[Connection] = set()
        self._workers: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._poller = select.poll()
        self._deadline: float | None = None
        self._watcher = threading.Thread(target=self._watch, name="endpoint", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._watcher.start()

    def close(self, *, within: float) -> None:
        """Stop when all is quiet, at the latest after so many seconds."""
        self._deadline = time.monotonic() + within
        self._wake()
        threads = [self._watcher, *self._workers]
        for thread in threads:
            thread.join(max(TICK, self._deadline - time.monotonic()))
        if not any(thread.is_alive() for thread in threads) and self._wake_read >= 0:
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_read = self._wake_write = -1

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # full: it wakes anyway; closed: over
            os.write(self._wake_write, b".")

    def _watch(self) -> None:
        self._poller.register(self._wake_read, select.POLLIN)
        self._poller.register(self._listener, select.POLLIN)
        try:
            while not self._round():
                pass
        finally:
            self._stop()

    def _round(self) -> bool:
        """Wait for one thing to happen and deal with it; True when it is time to stop."""
        closing = self._deadline is not None
        ready = self._poller.poll(0 if closing else TICK * 1000)
        listener, wake = self._listener.fileno(), self._wake_read
        for descriptor, _ in ready:
            if descriptor == wake:
                os.read(wake, 4096)
            elif descriptor == listener:
                self._accept()
            else:
                self._hand_over(self._idle.pop(descriptor))
        came_back = self._take_back()
        if self._deadline is None:
            self._hang_up_on_sleepers()
            return False
        if time.monotonic() >= self._deadline:
            return True
        if ready or came_back:
            return False
        with self._lock:
            if not self._busy and not self._returned:
                return True
        self._poller.poll(20)
        return False

    def _accept(self) -> None:
        while len(self._idle) + len(self._busy) < CONNECTIONS:
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors left: clients wait in the backlog until one is
                time.sleep(0.05)
                return
            self._watch_idle(Connection(client, answer=self._answer))
        self._hang_up_on_sleepers(older_than=1.0)

    def _watch_idle(self, connection: Connection) -> None:
        self._idle[connection.fileno()] = connection
        self._poller.register(connection, select.POLLIN)

    def _hand_over(self, connection: Connection) -> None:
        self._poller.unregister(connection)
        with self._lock:
            self._busy.add(connection)
            is_short = len(self._busy) > len(self._workers)
        self._queue.put(connection)
        if is_short and len(self._workers) < self._limit:
            worker = threading.Thread(target=self._work, name="endpoint worker", daemon=True)
            self._workers.append(worker)
            worker.start()

    def _work(self) -> None:
        while (connection := self._queue.get()) is not None:
            keep = True
            try:
                keep = connection.serve_one()
                while keep and connection.pending:
                    keep = connection.serve_one()
            finally:
                if not keep:
                    connection.close()
                with self._lock:
                    self._busy.discard(connection)
                    if keep:
                        self._returned.append(connection)
                self._wake()

    def _take_back(self) -> bool:
        with self._lock:
            returned, self._returned = self._returned, []
        for connection in returned:
            self._watch_idle(connection)
        return bool(returned)

    def _hang_up_on_sleepers(self, *, older_than: float = IDLE_SECONDS) -> None:
        limit = time.monotonic() - older_than
        for descriptor in [d for d, c in self._idle.items() if c.since < limit]:
            connection = self._idle.pop(descriptor)
            self._poller.unregister(connection)
            connection.close()

    def _stop(self) -> None:
        with contextlib.suppress(OSError):  # not connected any more: nothing to shut down
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for _ in self._workers:
            self._queue.put(None)
        self._take_back()
        for connection in self._idle.values():
            connection.close()
        self._idle.clear()
        with self._lock:
            for connection in self._busy:  # the time is over: wake those who wait for a client
                connection.interrupt()
