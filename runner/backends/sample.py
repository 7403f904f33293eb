"""What a machine and a command's processes are doing, in MLflow's words: ``system/...`` metrics.

One file of standard library that the supervisor loads when a command has run for a while; without
``/proc`` (macOS) the processor, the memory and the network are left out. Each sample is a few lines
of a file, ``MILLISECONDS STEP NAME VALUE``, that end in a newline when they are whole.

Names and units are those of MLflow (``mlflow.system_metrics``): megabytes are 10^6 bytes, network
traffic counts from the first look on. ``system/process/...`` are ours: the command and its
descendants alone, where 100 % is one processor.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MEGA = 1_000_000
MOST_PROCESSES = 2000
"""Processes of the command that are looked at, so that a sample never takes long."""
DRIVER = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg")
"""What is there where NVIDIA's driver is; elsewhere its library is not even looked for."""


class Sampler:
    """Writes samples into a file, made with the first of them.

    Making it is the first look, which the processor's and the network's values are relative to.
    ``root`` is the process whose tree is looked at, 0 for none.
    """

    def __init__(self, path: str, root: int = 0, *, gpus: Gpus | None = None) -> None:
        self._path, self._root = path, root
        self._step = 0
        self._busy = processor_time()
        self._traffic = traffic()
        self._moment = time.monotonic()
        self._used = sum(ticks for ticks, _ in tree(root)) if root else 0
        self._gpus = gpus or (Gpus() if any(map(os.path.exists, DRIVER)) else None)

    def sample(self) -> None:
        """Append one sample; OSError when it cannot be written (whole)."""
        now = int(time.time() * 1000)
        lines = "".join(f"{now} {self._step} {name} {value!r}\n" for name, value in self.values())
        descriptor = os.open(
            self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666
        )
        try:
            os.write(descriptor, lines.encode())
        finally:
            os.close(descriptor)
        self._step += 1

    def values(self) -> Iterator[tuple[str, float]]:
        """Return the values since the last sample, those that this system can tell."""
        yield from self._processor()
        yield from memory()
        yield from disk()
        yield from self._network()
        if self._root:
            yield from self._processes()
        if self._gpus:
            yield from self._gpus.values()

    def _processor(self) -> Iterator[tuple[str, float]]:
        before, self._busy = self._busy, processor_time()
        if before and self._busy and self._busy[1] > before[1]:
            share = (self._busy[0] - before[0]) / (self._busy[1] - before[1])
            percentage = round(100 * min(max(share, 0.0), 1.0), 1)
            yield "system/cpu_utilization_percentage", percentage

    def _network(self) -> Iterator[tuple[str, float]]:
        now = traffic()
        if now and self._traffic:
            received, sent = (n - before for n, before in zip(now, self._traffic, strict=True))
            yield "system/network_receive_megabytes", max(0, received) / MEGA
            yield "system/network_transmit_megabytes", max(0, sent) / MEGA

    def _processes(self) -> Iterator[tuple[str, float]]:
        """Add up the command's processes; what has ended counts as long as its parent lives."""
        moment = time.monotonic()
        found = [*tree(self._root)]
        if not found:
            return
        used = sum(ticks for ticks, _ in found)
        pages = sum(resident for _, resident in found)
        possible = (moment - self._moment) * os.sysconf("SC_CLK_TCK")
        percentage = round(100 * max(0, used - self._used) / possible, 1)
        self._used, self._moment = used, moment
        yield "system/process/cpu_utilization_percentage", percentage
        yield "system/process/memory_usage_megabytes", pages * os.sysconf("SC_PAGE_SIZE") / MEGA
        yield "system/process/count", float(len(found))


def processor_time() -> tuple[int, int] | None:
    """Return the ticks that all processors were busy, and all their ticks, since the start."""
    content = _read("/proc/stat").partition(b"\n")[0]
    if not content.startswith(b"cpu "):
        return None
    ticks = [int(n) for n in content.split()[1:9]]  # guest time is in user time already
    idle = sum(ticks[3:5])  # idle, and waiting for a disk
    return sum(ticks) - idle, sum(ticks)


def memory() -> Iterator[tuple[str, float]]:
    """Return how much memory is in use: what is not available to a new program."""
    sizes = {}
    for line in _read("/proc/meminfo").splitlines():
        name, _, rest = line.partition(b":")
        if name in {b"MemTotal", b"MemAvailable"}:
            sizes[name] = int(rest.split()[0]) * 1024
    if len(sizes) == 2:  # noqa: PLR2004 - both
        total = sizes[b"MemTotal"]
        used = total - sizes[b"MemAvailable"]
        yield "system/system_memory_usage_megabytes", used / MEGA
        yield "system/system_memory_usage_percentage", round(100 * used / total, 1)


def disk() -> Iterator[tuple[str, float]]:
    """Return how full the file system at ``/`` is, for those who are not root, as ``df`` does."""
    found = os.statvfs("/")
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    free = found.f_bavail * found.f_frsize
    if used + free:
        yield "system/disk_usage_percentage", round(100 * used / (used + free), 1)
    yield "system/disk_usage_megabytes", used / MEGA
    yield "system/disk_available_megabytes", free / MEGA


def traffic() -> tuple[int, int] | None:
    """Return the bytes that all network interfaces have received and sent since the start."""
    received = sent = 0
    lines = _read("/proc/net/dev").splitlines()[2:]
    for line in lines:
        numbers = line.partition(b":")[2].split()
        received += int(numbers[0])
        sent += int(numbers[8])
    return (received, sent) if lines else None


def tree(root: int) -> Iterator[tuple[int, int]]:
    """Return the processor ticks and resident pages of a process and each of its descendants.

    The ticks hold those of the children that it has waited for.
    """
    waiting: list[int] = [root]
    seen: set[int] = set()
    while waiting and len(seen) < MOST_PROCESSES:
        pid = waiting.pop()
        if pid in seen:
            continue
        seen.add(pid)
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if len(fields) < 22:  # noqa: PLR2004 - it has ended
            continue
        waiting += _children(pid)
        yield sum(map(int, fields[11:15])), int(fields[21])


def _children(pid: int) -> list[int]:
    """Return the children of all threads of a process."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    listed = (_read(f"/proc/{pid}/task/{thread}/children") for thread in threads)
    return [int(child) for content in listed for child in content.split()]


def _read(path: str) -> bytes:
    """Return what a file holds, nothing when it is not there (any more)."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


# ---------------------------------------------------------------- NVIDIA


class Gpus:
    """NVIDIA's GPUs, asked through their C library (docs.nvidia.com/deploy/nvml-api)."""

    def __init__(self, library: str = "libnvidia-ml.so.1") -> None:
        self._nvml: Any = None
        self._devices: list[Any] = []
        try:
            import ctypes

            self._ctypes = ctypes
            nvml = ctypes.CDLL(library)
            if nvml.nvmlInit_v2():
                return
            count = ctypes.c_uint()
            nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
            for at in range(count.value):
                device = ctypes.c_void_p()
                if not nvml.nvmlDeviceGetHandleByIndex_v2(at, ctypes.byref(device)):
                    self._devices.append(device)
            self._nvml = nvml
        except (ImportError, OSError, AttributeError):  # no library, or one that is too old
            return

    def values(self) -> Iterator[tuple[str, float]]:
        """Return memory, utilization and power of each GPU, as far as it tells."""
        for at, device in enumerate(self._devices):
            name = f"system/gpu_{at}_"
            sizes = self._asked("nvmlDeviceGetMemoryInfo", device, self._ctypes.c_ulonglong * 3)
            if sizes and sizes[0]:
                yield f"{name}memory_usage_percentage", round(100 * sizes[2] / sizes[0], 1)
                yield f"{name}memory_usage_megabytes", sizes[2] / MEGA
            rates = self._asked("nvmlDeviceGetUtilizationRates", device, self._ctypes.c_uint * 2)
            if rates:
                yield f"{name}utilization_percentage", float(rates[0])
            power = self._asked("nvmlDeviceGetPowerUsage", device, self._ctypes.c_uint * 1)
            limit = self._asked("nvmlDeviceGetEnforcedPowerLimit", device, self._ctypes.c_uint * 1)
            if power:
                yield f"{name}power_usage_watts", power[0] / 1000
            if power and limit and limit[0]:
                yield f"{name}power_usage_percentage", round(100 * power[0] / limit[0], 1)

    def _asked(self, function: str, device: Any, kind: Any) -> Any:  # noqa: ANN401 - C's types
        """Call a function that fills in some numbers; None when it cannot."""
        answer = kind()
        try:
            failed = getattr(self._nvml, function)(device, self._ctypes.byref(answer))
        except AttributeError:
            return None
        return None if failed else answer
