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
    from collections.abc import Callable
    from ssl import SSLContext
    from typing import Final

    from runner.serving.connection import Answer

THREADS: Final = 32
"""At most so many requests are under way at once; the others wait their turn."""
CONNECTIONS: Final = 1000
"""Beyond so many clients, new ones wait in the kernel's backlog."""
IDLE_SECONDS: Final = 120.0
TICK: Final = 1.0
STAY: Final = 0.02
"""So many seconds a worker waits for a client's next request while others are free: a client that
logs in a loop is spared two changes of threads a request."""


class Server:
    """Answers on a listening socket, which it owns from then on.

    One thread watches the listener and the idle connections, and collects what arrives; with a
    whole head a connection goes to a worker, stays there while requests keep coming, and returns.
    ``tls`` gives the context for a new connection; None speaks plain HTTP.
    """

    def __init__(
        self,
        listener: int,
        *,
        answer: Answer,
        threads: int = THREADS,
        tls: Callable[[], SSLContext] | None = None,
    ) -> None:
        self._listener = socket.socket(fileno=listener)
        self._listener.settimeout(0)
        self._answer = answer
        self._tls = tls
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
        self._accepting = True
        self._swept = 0.0
        self._watcher = threading.Thread(target=self._watch, name="endpoint", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._watcher.start()

    @property
    def connections(self) -> int:
        """The number of clients that are connected."""
        return len(self._idle) + len(self._busy)

    def close(self, *, within: float, accept: bool = True) -> None:
        """Stop when all is quiet, at the latest after so many seconds.

        With ``accept`` clients that come meanwhile are answered, else they are refused, and each
        client is hung up on after the answer that is under way.
        """
        self._accepting = accept
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
        if not self._accepting:
            self._refuse_new()
        ready = self._poller.poll(0 if closing else TICK * 1000)
        listener, wake = self._listener.fileno(), self._wake_read
        for descriptor, _ in ready:
            if descriptor == wake:
                os.read(wake, 4096)
            elif descriptor == listener:
                self._accept()
            else:
                self._look_at(self._idle[descriptor])
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
                client, address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors left: clients wait in the backlog until one is
                time.sleep(0.05)
                return
            self._welcome(client, str(address[0]) if address else "")
        self._hang_up_on_sleepers(older_than=1.0)

    def _welcome(self, client: socket.socket, peer: str) -> None:
        try:
            context = self._tls() if self._tls else None
            connection = Connection(client, answer=self._answer, peer=peer, tls=context)
        except OSError:  # it has left already
            client.close()
        else:
            self._watch_idle(connection)

    def _refuse_new(self) -> None:
        """Close the door: who comes now is refused by the kernel, who is here is served last."""
        if self._listener.fileno() >= 0:
            self._poller.unregister(self._listener)
            self._close_listener()
        with self._lock:
            for connection in [*self._busy, *self._idle.values()]:
                connection.closing = True

    def _watch_idle(self, connection: Connection) -> None:
        self._idle[connection.fileno()] = connection
        self._poller.register(connection, select.POLLIN)

    def _look_at(self, connection: Connection) -> None:
        """Take what has arrived; a whole head is work, half of one waits for the rest."""
        has_head = connection.gather()
        if has_head is False:
            return
        del self._idle[connection.fileno()]
        self._poller.unregister(connection)
        if has_head:
            self._hand_over(connection)
        else:
            connection.close()

    def _hand_over(self, connection: Connection) -> None:
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
            keep = False
            try:
                keep = self._converse(connection)
            finally:
                if not keep:
                    connection.close()
                with self._lock:
                    self._busy.discard(connection)
                    if keep:
                        self._returned.append(connection)
                self._wake()

    def _converse(self, connection: Connection) -> bool:
        """Answer until the client pauses; False when the connection is over."""
        while connection.serve_one():
            has_head = connection.gather()
            if has_head is False and self._may_stay() and connection.arrives(STAY):
                has_head = connection.gather()
            if not has_head:
                return has_head is not None
        return False

    def _may_stay(self) -> bool:
        free = self._queue.empty() and len(self._busy) <= self._limit // 2
        return free and self._deadline is None

    def _take_back(self) -> bool:
        with self._lock:
            returned, self._returned = self._returned, []
        for connection in returned:
            self._watch_idle(connection)
        return bool(returned)

    def _hang_up_on_sleepers(self, *, older_than: float = IDLE_SECONDS) -> None:
        """Close what is idle for too long, and what has not brought its head in time."""
        now = time.monotonic()
        if older_than == IDLE_SECONDS and now - self._swept < TICK / 2:
            return
        self._swept = now
        limit = now - older_than
        for descriptor in [d for d, c in self._idle.items() if c.since < limit or c.is_late(now)]:
            connection = self._idle.pop(descriptor)
            self._poller.unregister(connection)
            connection.close()

    def _stop(self) -> None:
        self._close_listener()
        for _ in self._workers:
            self._queue.put(None)
        self._take_back()
        for connection in self._idle.values():
            connection.close()
        self._idle.clear()
        with self._lock:
            for connection in self._busy:  # the time is over: wake those who wait for a client
                connection.interrupt()

    def _close_listener(self) -> None:
        with contextlib.suppress(OSError):  # not connected any more: nothing to shut down
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
