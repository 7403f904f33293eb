"""What the supervisor tells of the machine, and of the command's processes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.backends import sample

if TYPE_CHECKING:
    from job_workshop import Workshop

MACHINE = {
    "system/cpu_utilization_percentage",
    "system/system_memory_usage_megabytes",
    "system/system_memory_usage_percentage",
    "system/disk_usage_percentage",
    "system/disk_usage_megabytes",
    "system/disk_available_megabytes",
    "system/network_receive_megabytes",
    "system/network_transmit_megabytes",
}
PROCESSES = {
    "system/process/cpu_utilization_percentage",
    "system/process/memory_usage_megabytes",
    "system/process/count",
}
pytestmark = pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="needs /proc")
NVML = """
typedef unsigned int u; typedef unsigned long long ull;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(u *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(u at, void **d) { *d = (void *)(unsigned long)(0x7f0000000000 + at); return 0; }
int nvmlDeviceGetMemoryInfo(void *d, ull *m) { m[0] = 16000000000; m[1] = 12000000000; m[2] = 4000000000; return 0; }
int nvmlDeviceGetUtilizationRates(void *d, u *r) { r[0] = 87; r[1] = 12; return 0; }
int nvmlDeviceGetPowerUsage(void *d, u *w) { *w = 150500; return (unsigned long)d & 1 ? 3 : 0; }
int nvmlDeviceGetEnforcedPowerLimit(void *d, u *w) { *w = 301000; return 0; }
"""  # noqa: E501
"""NVML as its header declares it, with two GPUs, of which the second does not tell its power."""


def until(condition: object, within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_machine_in_mlflows_words(tmp_path: Path) -> None:
    sampler = sample.Sampler(str(tmp_path / "samples"))
    found: dict[str, float] = {}

    def all_there() -> bool:  # the processors' clock ticks every 10 ms
        found.update(sampler.values())
        return found.keys() >= MACHINE

    until(all_there)
    assert found.keys() - {name for name in found if "/gpu_" in name} == MACHINE
    assert all(0 <= value <= 100 for name, value in found.items() if name.endswith("percentage"))
    disk = shutil.disk_usage("/")
    assert found["system/disk_usage_megabytes"] == pytest.approx(disk.used / 1e6, rel=0.1)
    assert found["system/disk_available_megabytes"] == pytest.approx(disk.free / 1e6, rel=0.1)
    assert 0 < found["system/system_memory_usage_megabytes"] < 1e8
    assert not (tmp_path / "samples").exists()


def test_the_network_counts_from_the_first_look() -> None:
    before = sample.traffic()
    assert before is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        sampler = sample.Sampler("")
        sent = 0
        while sent < 3_000_000:  # over the loopback interface, which counts like any other
            sent += one.sendto(bytes(60_000), one.getsockname())
            one.recv(65_536)
    found = dict(sampler.values())
    assert found["system/network_receive_megabytes"] >= 2
    assert found["system/network_transmit_megabytes"] >= 2


def test_the_commands_processes_and_their_children() -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    busy = "b = bytearray(50_000_000)\nwhile True: pass"
    argv = [sys.executable, "-c", program, busy]
    with subprocess.Popen(argv, start_new_session=True) as root:
        try:
            sampler = sample.Sampler("", root.pid)
            found: dict[str, float] = {}

            def is_busy() -> bool:
                found.update(sampler.values())
                grown = found.get("system/process/memory_usage_megabytes", 0) > 50
                return grown and found["system/process/cpu_utilization_percentage"] > 0

            until(is_busy)
            assert found.keys() >= PROCESSES
            assert found["system/process/count"] == 2
        finally:
            os.killpg(root.pid, signal.SIGKILL)
    assert [*sample.tree(root.pid)] == []


def test_a_sample_is_whole_lines_of_one_moment(tmp_path: Path) -> None:
    path = tmp_path / "samples"
    sampler = sample.Sampler(str(path), os.getpid())
    sampler.sample()
    sampler.sample()
    rows = [line.split(" ") for line in path.read_text().splitlines()]
    assert {row[1] for row in rows} == {"0", "1"}
    assert len({(row[0], row[1]) for row in rows}) == 2
    assert all(abs(int(row[0]) / 1000 - time.time()) < 600 for row in rows)
    assert all(float(row[3]) >= 0 for row in rows)
    assert path.read_bytes().endswith(b"\n")


def test_gpus_through_their_c_library(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("there is no C compiler")
    source, library = tmp_path / "nvml.c", tmp_path / "libnvidia-ml.so.1"
    source.write_text(NVML)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    sampler = sample.Sampler("", gpus=sample.Gpus(str(library)))
    found = {name: value for name, value in sampler.values() if "/gpu_" in name}
    assert found == {
        "system/gpu_0_memory_usage_percentage": 25.0,
        "system/gpu_0_memory_usage_megabytes": 4000.0,
        "system/gpu_0_utilization_percentage": 87.0,
        "system/gpu_0_power_usage_watts": 150.5,
        "system/gpu_0_power_usage_percentage": 50.0,
        "system/gpu_1_memory_usage_percentage": 25.0,
        "system/gpu_1_memory_usage_megabytes": 4000.0,
        "system/gpu_1_utilization_percentage": 87.0,
    }


def test_no_gpus_no_trouble() -> None:
    assert [*sample.Gpus("libthere-is-no-such-thing.so.1").values()] == []
    assert [*sample.Gpus("libc.so.6").values()] == []


def samples(shop: Workshop) -> Path:
    return Path(shop.jobs[-1].folder) / "system.metrics"


@pytest.mark.parametrize("is_threaded", [False, True])
def test_the_supervisor_samples_while_the_command_runs(
    shop: Workshop, *, is_threaded: bool
) -> None:
    """A process with threads starts the supervisor as a program, which loads the file itself."""
    over = threading.Event()
    if is_threaded:
        threading.Thread(target=over.wait).start()
    try:
        handle = shop.submit("until [ -e go ]; do sleep 0.05; done", sampling=0.1)
        path = samples(shop)
        shop.wait_for(lambda: path.exists() and len(set(steps(path))) > 2)
        (shop.path / "go").touch()
        outcome = handle.wait()
    finally:
        over.set()
    assert outcome is not None
    assert outcome.status == "FINISHED"
    assert steps(path) == sorted(steps(path))
    names = {line.split(" ")[2] for line in path.read_text().splitlines()}
    assert names >= MACHINE | PROCESSES


def steps(path: Path) -> list[int]:
    return [int(line.split(" ")[1]) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("sampling", [0.0, 3600.0])
def test_a_short_command_leaves_no_samples(shop: Workshop, sampling: float) -> None:
    assert shop.run("true", sampling=sampling).status == "FINISHED"
    assert not samples(shop).exists()


def test_samples_that_cannot_be_written_hurt_nobody(shop: Workshop) -> None:
    job = shop.job("")
    os.makedirs(os.path.join(job.folder, "system.metrics"))
    outcome = shop.run("sleep 0.5; echo done", sampling=0.1, folder=job.folder)
    assert outcome.status == "FINISHED"
    assert shop.stdout == b"done\n"
