"""What a server counts, in the text format of Prometheus (exposition format 0.0.4)."""

from __future__ import annotations

import os
import threading
import time

from runner.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram of answer times, in seconds."""
KIND: Final = "text/plain; version=0.0.4; charset=utf-8"


class Gauges:
    """Counters of one server; each method may be called by every thread."""

    def __init__(self, *, store: str, connections: Callable[[], int]) -> None:
        self._store = store
        self._connections = connections
        self._lock = threading.Lock()
        self._began = time.time()
        self._in_flight = 0
        self._received = 0
        self._sent = 0
        self._answers: dict[tuple[str, str, int], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def begin(self) -> None:
        """Count a request that has arrived."""
        with self._lock:
            self._in_flight += 1

    def end(
        self, what: tuple[str, str], status: int, *, seconds: float, size: tuple[int, int]
    ) -> None:
        """Count a request that was answered; ``what`` is method and call, ``size`` in and out."""
        _, call = what
        bucket = next((at for at, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        with self._lock:
            self._in_flight -= 1
            self._received += size[0]
            self._sent += size[1]
            key = (*what, status)
            self._answers[key] = self._answers.get(key, 0) + 1
            self._buckets.setdefault(call, [0] * (len(BOUNDS) + 1))[bucket] += 1
            self._seconds[call] = self._seconds.get(call, 0.0) + seconds

    def text(self) -> str:
        """Write all of it."""
        with self._lock:
            lines = [*self._of_requests(), *self._of_times(), *self._of_traffic()]
        return "\n".join([*lines, *self._of_process(), ""])

    def _of_requests(self) -> Iterator[str]:
        yield from _head("runproj_http_requests_total", "counter", "Requests that were answered.")
        for (method, call, status), count in sorted(self._answers.items()):
            labels = f'method="{method}",call="{call}",status="{status}"'
            yield f"runproj_http_requests_total{{{labels}}} {count}"

    def _of_times(self) -> Iterator[str]:
        name = "runproj_http_request_seconds"
        yield from _head(name, "histogram", "Time from the head of a request to its answer.")
        for call, counts in sorted(self._buckets.items()):
            total = 0
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
                total += count
                yield f'{name}_bucket{{call="{call}",le="{bound}"}} {total}'
            yield f'{name}_sum{{call="{call}"}} {self._seconds[call]:.6f}'
            yield f'{name}_count{{call="{call}"}} {total}'

    def _of_traffic(self) -> Iterator[str]:
        yield from _one(
            "runproj_http_requests_in_flight", "gauge", "Requests under way.", self._in_flight
        )
        yield from _one(
            "runproj_http_connections", "gauge", "Clients connected.", self._connections()
        )
        yield from _one(
            "runproj_http_received_bytes_total", "counter", "Bytes of bodies in.", self._received
        )
        yield from _one(
            "runproj_http_sent_bytes_total", "counter", "Bytes of bodies out.", self._sent
        )

    def _of_process(self) -> Iterator[str]:
        kind, _, path = self._store.partition("://")
        yield from _one(
            f'runproj_info{{version="{__version__}",store="{kind}"}}', "gauge", "The server.", 1
        )
        if kind == "sqlite":
            size = sum(_size(path[1:] + suffix) for suffix in ("", "-wal"))
            yield from _one("runproj_store_bytes", "gauge", "Size of the database.", size)
        yield from _one(
            "process_start_time_seconds", "gauge", "Start, since 1970.", round(self._began, 3)
        )
        user, system, *_ = os.times()
        yield from _one(
            "process_cpu_seconds_total", "counter", "CPU time.", round(user + system, 2)
        )
        yield from _one("process_resident_memory_bytes", "gauge", "Resident memory.", _resident())


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"


def _one(name: str, kind: str, meaning: str, value: float) -> Iterator[str]:
    yield from _head(name.partition("{")[0], kind, meaning)
    yield f"{name} {value}"


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _resident() -> int:
    """Return the resident memory in bytes; 0 where there is no ``/proc``."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
