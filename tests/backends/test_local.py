"""Jobs of the local backend: what the command sees, what is kept of it, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from runner.backends import local, supervise
from runner.backends.local import AttachedJob, LocalBackend
from runner.errors import BackendError
from runner.model.lock import ImageEnvironment, ProcessEnvironment
from runner.model.plan import Command
from runner.model.run import StoreAccess
from runner.model.value import Digest
from runner.system.files import Lock

if TYPE_CHECKING:
    from pathlib import Path

    from job_workshop import Workshop

SECOND = timedelta(seconds=1)


# ---------------------------------------------------------------- what the command sees


def test_the_environment_is_the_callers_with_changes_in_order(shop: Workshop) -> None:
    shop.environ = {"PATH": os.environ["PATH"], "KEPT": "k", "GONE": "g", "WON": "caller"}
    outcome = shop.run(
        "env",
        environment=ProcessEnvironment(
            bin_paths=("/one", "/two"),
            variables={"WON": "environment"},
            removed=frozenset({"GONE"}),
        ),
        access=StoreAccess(variables={"WON": "access", "MLFLOW_RUN_ID": "r"}),
        command=Command(argv=("bash", "-c", "env"), variables={"WON": "command"}),
    )
    assert outcome.status == "FINISHED"
    seen = dict(line.split("=", 1) for line in shop.stdout.decode().splitlines())
    assert seen["WON"] == "***", "a secret is masked in the log"
    assert seen["KEPT"] == "k"
    assert "GONE" not in seen
    assert seen["PATH"].startswith("/one:/two:")
    assert seen["PYTHONUNBUFFERED"] == "1"
    assert seen["MLFLOW_RUN_ID"] == "r"
    assert seen["RUNPROJ_JOB"] == shop.jobs[-1].run_id


def test_the_callers_buffering_is_respected(shop: Workshop) -> None:
    shop.environ["PYTHONUNBUFFERED"] = ""
    shop.run('echo "[$PYTHONUNBUFFERED]"')
    assert shop.stdout == b"[]\n"


def test_a_nested_job_carries_the_names_of_all_around_it(shop: Workshop) -> None:
    shop.environ["RUNPROJ_JOB"] = "outer"
    shop.run("echo $RUNPROJ_JOB")
    assert shop.stdout.decode() == f"outer:{shop.jobs[-1].run_id}\n"


def test_the_command_runs_in_its_directory_with_default_signals(shop: Workshop) -> None:
    shop.run("pwd; grep -E '^Sig(Blk|Ign)' /proc/self/status", directory="/usr")
    where, _, blocked, _, ignored = shop.stdout.split()
    assert (where, blocked) == (b"/usr", b"0" * 16)
    assert int(ignored, 16) & 0x7FFFFFFF == 0, "but for two signals that glibc keeps to itself"


def test_the_command_inherits_no_descriptor(shop: Workshop) -> None:
    with open(os.devnull) as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - positional only
        shop.run("ls /proc/self/fd")
    assert shop.stdout.split()[:3] == [b"0", b"1", b"2"]
    assert len(shop.stdout.split()) <= 4, "the fourth is the folder that ls itself reads"


def test_environment_bytes_that_are_no_text_survive(shop: Workshop) -> None:
    shop.environ["ODD"] = os.fsdecode(b"\xff\xfe=\n")
    shop.run('printf %s "$ODD"')
    assert shop.stdout == b"\xff\xfe=\n"


# ---------------------------------------------------------------- how it ends


def test_every_exit_code_is_passed_on(shop: Workshop) -> None:
    for code in (0, 1, 2, 42, 124, 125, 126, 127, 128, 130, 137, 255):
        outcome = shop.run(f"exit {code}")
        assert (outcome.exit_code, outcome.signal, outcome.reason) == (code, None, "exit")
        assert outcome.status == ("FAILED" if code else "FINISHED")
        assert outcome.phase == "command"


@pytest.mark.parametrize(
    ("name", "status"),
    [("SEGV", "FAILED"), ("ABRT", "FAILED"), ("KILL", "KILLED"), ("USR1", "KILLED")],
)
def test_a_command_that_a_signal_ends_is_told_apart(shop: Workshop, name: str, status: str) -> None:
    outcome = shop.run(f"ulimit -c 0; kill -{name} $$")
    assert (outcome.status, outcome.reason) == (status, "signal")
    assert outcome.signal == getattr(signal, f"SIG{name}")
    assert outcome.exit_code is None
    assert f"SIG{name}" in outcome.detail


def test_usage_and_times_are_measured(shop: Workshop) -> None:
    before = time.time()
    outcome = shop.run(
        f"exec {sys.executable} -c 'x = bytearray(80_000_000); sum(range(2_000_000))'"
    )
    assert outcome.usage is not None
    assert 0.01 < outcome.usage.user + outcome.usage.system < 30
    assert 80_000_000 < outcome.usage.peak_memory < 400_000_000
    assert before - 0.01 <= outcome.started.timestamp() <= outcome.finished.timestamp()
    assert outcome.finished.timestamp() <= time.time()


def test_a_command_that_takes_too_long_is_ended(shop: Workshop) -> None:
    outcome = shop.run("sleep 60", timeout=timedelta(seconds=0.2))
    assert (outcome.status, outcome.reason, outcome.signal) == ("KILLED", "timeout", 15)
    assert outcome.detail == "the command took longer than 0.2 s"
    assert (outcome.finished - outcome.started) < 40 * SECOND


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"directory": "/nowhere/at/all"}, "directory '/nowhere/at/all' cannot be entered"),
        ({"command": Command(argv=("no-such-shell", "-c", ":"))}, "'no-such-shell' could not be"),
        ({"command": Command(argv=("/dev/null",))}, "Permission denied"),
        (
            {"command": Command(argv=("bash", "-c", ":"), variables={"BIG": "x" * 200_000})},
            "variable BIG has 200000 bytes",
        ),
        ({"command": Command(argv=("echo", "x" * 200_000))}, "argument of the command has 200000"),
    ],
)
def test_a_command_that_cannot_start_is_an_outcome(
    shop: Workshop, given: dict[str, object], sentence: str
) -> None:
    outcome = shop.run("never", **given)
    assert (outcome.status, outcome.phase, outcome.reason) == ("FAILED", "submit", "error")
    assert sentence in outcome.detail
    assert outcome.exit_code is None


def test_a_script_of_any_length_runs(shop: Workshop) -> None:
    word = "y" * 1_000_000
    outcome = shop.run(f"x={word}; echo ${{#x}}")
    assert outcome.status == "FINISHED"
    assert shop.stdout == b"1000000\n"


def test_an_image_alone_is_no_container(shop: Workshop) -> None:
    with pytest.raises(BackendError, match="does not say how its container is made"):
        shop.submit(":", environment=ImageEnvironment(image="i", digest=Digest("sha256:0")))


# ---------------------------------------------------------------- output


def test_output_is_passed_on_and_kept_byte_for_byte(
    shop: Workshop, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    shop.run(r"printf 'a\0b\xff\r\n\x1b[0mno newline'; printf 'err\n' >&2")
    shown = capfdbinary.readouterr()
    assert shown.out == shop.stdout == b"a\0b\xff\r\n\x1b[0mno newline"
    assert shown.err == shop.stderr == b"err\n"


def test_output_is_live(shop: Workshop) -> None:
    handle = shop.submit("printf now; sleep 60")
    shop.until(b"now", within=40)
    handle.cancel()
    assert handle.wait(60 * SECOND) is not None


def test_logs_are_appended_to(shop: Workshop, tmp_path: Path) -> None:
    log = tmp_path / "stdout.log"
    log.write_bytes(b"before\n")
    shop.run("echo after", stdout=str(log))
    assert log.read_bytes() == b"before\nafter\n"


def test_fifty_megabytes_pass_quickly(
    shop: Workshop, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    began = time.monotonic()
    outcome = shop.run("head -c 50000000 /dev/zero")
    assert outcome.status == "FINISHED"
    assert len(shop.stdout) == 50_000_000
    assert len(capfdbinary.readouterr().out) == 50_000_000
    assert time.monotonic() - began < 40


def test_secrets_are_masked_in_logs_also_across_writes(shop: Workshop) -> None:
    secret = "hunter2 und mehr"
    script = 'printf "%s" "a ${S:0:5}"; sleep .1; echo "${S:5} z"; echo "$S" >&2'
    shop.run(script, command=Command(argv=("bash", "-c", script), variables={"S": secret}))
    assert shop.stdout == b"a *** z\n"
    assert shop.stderr == b"***\n"


def test_a_log_that_cannot_be_written_hurts_nobody(
    shop: Workshop, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = shop.run("echo hello; echo world >&2", stdout="/dev/full")
    assert (outcome.status, outcome.exit_code) == ("FINISHED", 0)
    assert outcome.detail == "6 bytes of stdout are not in the log: No space left on device"
    assert capfd.readouterr().out == "hello\n"
    assert shop.stderr == b"world\n"


def test_a_log_that_cannot_be_opened_hurts_nobody(shop: Workshop, tmp_path: Path) -> None:
    outcome = shop.run("echo hello", stdout=str(tmp_path))
    assert outcome.status == "FINISHED"
    assert outcome.detail == "6 bytes of stdout are not in the log: Is a directory"


def test_background_processes_do_not_hold_the_run_open(shop: Workshop) -> None:
    began = time.monotonic()
    outcome = shop.run("sleep 60 & echo $!; exit 0")
    assert time.monotonic() - began < 40
    assert outcome.status == "FINISHED"
    assert "background processes" in outcome.detail
    background = int(shop.stdout)
    os.kill(background, signal.SIGKILL)  # it was left alone: the command ended by itself


def test_the_last_words_of_background_processes_are_kept(shop: Workshop) -> None:
    outcome = shop.run("(sleep .3; echo late) & echo early")
    assert shop.stdout == b"early\nlate\n"
    assert outcome.detail == ""


# ---------------------------------------------------------------- the end on request


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_ends_the_command(shop: Workshop, signum: signal.Signals) -> None:
    handle = shop.submit(f"{sys.executable} -c 'import time; print(1); time.sleep(60)' && echo no")
    shop.until(b"1")
    assert handle.poll() is None
    handle.cancel(signum)
    outcome = handle.wait(60 * SECOND)
    assert outcome is not None
    assert (outcome.status, outcome.reason) == ("KILLED", "cancelled")
    assert outcome.detail == f"cancelled by {signum.name}"
    assert b"no" not in shop.stdout


def test_a_request_counts_also_where_the_signal_is_ignored(shop: Workshop) -> None:
    """As in a background job of a script, where SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        handle = shop.submit("echo ready; sleep 60")
        shop.until(b"ready")
        handle.cancel(signal.SIGINT)
        assert handle.wait(timedelta(seconds=0.2)) is None, "the command ignores it, too"
        handle.cancel(signal.SIGINT)
        outcome = handle.wait(60 * SECOND)
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome is not None
    assert (outcome.reason, outcome.signal) == ("cancelled", signal.SIGTERM)


def test_a_request_comes_once(shop: Workshop) -> None:
    handle = shop.submit(
        "n=0; trap 'echo once; n=1' INT; echo ready; "
        "until [ $n = 1 ]; do sleep .02; done; sleep .5; exit 9"
    )
    shop.until(b"ready")
    handle.cancel(signal.SIGINT)
    outcome = handle.wait(60 * SECOND)
    assert outcome is not None
    assert (outcome.status, outcome.exit_code) == ("KILLED", 9)
    assert shop.stdout.count(b"once") == 1


def test_a_command_that_finishes_in_spite_of_ctrl_c_has_finished(shop: Workshop) -> None:
    handle = shop.submit("trap 'echo saving; exit 0' INT; echo ready; while :; do sleep .01; done")
    shop.until(b"ready")
    handle.cancel(signal.SIGINT)
    outcome = handle.wait(60 * SECOND)
    assert outcome is not None
    assert (outcome.status, outcome.reason, outcome.exit_code) == ("FINISHED", "exit", 0)


def test_who_ignores_a_request_is_killed_after_the_grace(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE", 0.3)
    handle = shop.submit("trap '' INT TERM; echo ready; while :; do sleep .05; done")
    shop.until(b"ready")
    asked = time.monotonic()
    handle.cancel(signal.SIGINT)
    outcome = handle.wait(60 * SECOND)
    assert outcome is not None
    assert (outcome.status, outcome.signal) == ("KILLED", signal.SIGKILL)
    assert 0.6 <= time.monotonic() - asked < 40, "two grace periods: SIGTERM, then SIGKILL"


def test_a_second_request_insists(shop: Workshop) -> None:
    handle = shop.submit("trap '' TERM; echo ready; while :; do sleep .05; done")
    shop.until(b"ready")
    handle.cancel()
    assert handle.wait(timedelta(seconds=0.2)) is None
    handle.cancel()
    outcome = handle.wait(60 * SECOND)
    assert outcome is not None
    assert outcome.signal == signal.SIGKILL


DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
null = os.open(os.devnull, os.O_RDWR)
print(os.getpid(), flush=True)
for d in (0, 1, 2): os.dup2(null, d)
time.sleep(60)
"""


def test_daemons_and_deaf_grandchildren_go_too(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local, "GRACE", 0.2)
    (tmp_path / "daemon.py").write_text(DAEMON)
    handle = shop.submit(
        f"{sys.executable} daemon.py; (trap '' TERM; sleep 61 & wait) & "
        "env -i /bin/sleep 62 & echo ready; wait"
    )
    shop.until(b"ready")
    shop.wait_for(lambda: len(shop.leftovers()) >= 4)  # each may be between fork and exec
    handle.cancel()
    outcome = handle.wait(60 * SECOND)
    assert outcome is not None
    assert outcome.status == "KILLED"
    assert shop.leftovers() == []
    assert subprocess.run(["pgrep", "-f", "^/bin/sleep 62$"], check=False).returncode == 1


def test_stopped_processes_hear_the_request(shop: Workshop) -> None:
    handle = shop.submit("echo ready; kill -STOP $$")
    shop.until(b"ready")
    handle.cancel()
    outcome = handle.wait(60 * SECOND)
    assert outcome is not None
    assert outcome.signal == signal.SIGTERM


def test_a_shell_that_is_killed_takes_its_children_along(shop: Workshop) -> None:
    outcome = shop.run("sleep 60 & sleep 61 & kill -KILL $$")
    assert (outcome.status, outcome.reason, outcome.signal) == ("KILLED", "signal", 9)
    assert shop.leftovers() == []


# ---------------------------------------------------------------- handles


def test_a_handle_can_be_selected_on(shop: Workshop) -> None:
    handle = shop.submit("sleep 2")
    assert not local._is_readable(handle.fileno(), 0)
    assert local._is_readable(handle.fileno(), 60)
    assert handle.poll() is not None


def test_waiting_ends_in_time(shop: Workshop) -> None:
    handle = shop.submit("sleep 60")
    began = time.monotonic()
    assert handle.wait(timedelta(seconds=0.1)) is None
    assert 0.1 <= time.monotonic() - began < 40
    handle.cancel()
    assert handle.wait() is not None


def test_another_process_finds_the_job_again(shop: Workshop) -> None:
    handle = shop.submit("echo ready; exec sleep 60")
    shop.until(b"ready")
    other = LocalBackend(environ={}).attach(handle.locator)
    assert other.locator == handle.locator
    assert other.poll() is None
    assert other.wait(timedelta(seconds=0.05)) is None
    assert not local._is_readable(other.fileno(), 0)
    other.cancel()
    outcome = other.wait(60 * SECOND)
    assert outcome == handle.wait(60 * SECOND)
    assert outcome is not None
    assert outcome.reason == "cancelled"
    other.release()


def test_a_job_that_nobody_runs_is_lost(tmp_path: Path) -> None:
    outcome = AttachedJob(str(tmp_path / "aaaa")).poll()
    assert outcome is not None
    assert (outcome.status, outcome.reason, outcome.phase) == ("KILLED", "lost", "prepare")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2}', b'{"version": 1}'])
def test_a_broken_outcome_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "outcome.json").write_bytes(content)
    assert local.outcome(str(tmp_path)) is None


def test_cancelling_what_has_ended_does_nothing(shop: Workshop) -> None:
    handle = shop.submit("exit 5")
    first = handle.wait()
    handle.cancel()
    assert handle.poll() == first
    handle.release()
    handle.release()
    handle.cancel()
    assert handle.poll() == first


def test_a_lease_is_held_as_long_as_the_command_runs(shop: Workshop, tmp_path: Path) -> None:
    path = str(tmp_path / "tree.lock")
    mine = Lock(path)
    mine.acquire(blocking=True)
    handle = shop.submit("echo ready; read line < <(sleep 60)", leases=(mine.descriptor,))
    shop.until(b"ready")
    mine.release()
    assert not Lock(path).acquire(blocking=False), "the supervisor holds it"
    handle.cancel()
    handle.wait()
    again = Lock(path)
    assert again.acquire(blocking=False)
    again.release()


def test_many_jobs_at_once(shop: Workshop) -> None:
    handles = [shop.submit(f"sleep .2; exit {code}") for code in range(12)]
    assert [h.wait().exit_code for h in handles] == list(range(12))  # type: ignore[union-attr]


def test_a_threaded_process_starts_jobs_too(shop: Workshop) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert not local.is_single_threaded()
        shop.environ["BULK"] = "b" * 100_000  # more than a pipe holds
        outcome = shop.run(
            'echo "$RUNPROJ_JOB $S ${#BULK}"; exit 6',
            command=Command(
                argv=("bash", "-c", 'echo "$RUNPROJ_JOB $S ${#BULK}"; exit 6'),
                variables={"S": "line one\nline two", "T": "x=y"},
            ),
            timeout=30 * SECOND,
        )
    finally:
        stop.set()
        thread.join()
    assert outcome.exit_code == 6
    assert shop.stdout.decode() == f"{shop.jobs[-1].run_id} *** 100000\n"


def test_one_thread_waits_and_another_cancels(shop: Workshop) -> None:
    handle = shop.submit("echo ready; sleep 60")
    shop.until(b"ready")
    seen: list[object] = []
    waiting = [threading.Thread(target=lambda: seen.append(handle.wait())) for _ in range(4)]
    for thread in waiting:
        thread.start()
    handle.cancel()
    for thread in waiting:
        thread.join(60)
    assert seen == [handle.poll()] * 4


FULL = """
import os, resource, signal, sys
from runner.backends import local
from runner.model.lock import ProcessEnvironment
from runner.model.plan import Command
from runner.model.run import Job, StoreAccess

folder = sys.argv[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
handle = local.LocalBackend(environ=dict(os.environ)).submit(
    Job(run_id="full", folder=f"{folder}/full", directory=folder,
        command=Command(argv=("bash", "-c", "echo hello; exit 3")),
        environment=ProcessEnvironment(), access=StoreAccess(),
        stdout=f"{folder}/out", stderr=f"{folder}/err"))
outcome = handle.wait()
handle.release()
print(outcome.exit_code, outcome.detail)
"""


def test_an_outcome_arrives_when_no_file_can_be_written(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert done.stdout.decode() == (
        "hello\n3 the command ended with exit code 3; "
        "6 bytes of stdout are not in the log: File too large\n"
    ), done.stderr.decode()


FORKING = """
import os, resource, sys, time
from runner.backends import local
from runner.model.lock import ProcessEnvironment
from runner.model.plan import Command
from runner.model.run import Job, StoreAccess

assert local.is_single_threaded()
folder = sys.argv[1]
def job(name, script):
    return Job(run_id=name, folder=f"{folder}/{name}", directory=folder,
               command=Command(argv=("bash", "-c", script)), environment=ProcessEnvironment(),
               access=StoreAccess(), stdout=f"{folder}/{name}.out", stderr=f"{folder}/{name}.err")
backend = local.LocalBackend(environ=dict(os.environ))
def run(name, script):
    handle = backend.submit(job(name, script))
    outcome = handle.wait()
    handle.release()
    return outcome
times = []
for at in range(20):
    before = time.process_time()
    began = time.perf_counter()
    handle = backend.submit(job(f"n{at}", "exit 3"))
    times.append(time.perf_counter() - began)
    assert handle.wait().exit_code == 3
    handle.release()
print("submit", sorted(times)[10])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
assert run("idle", "sleep 1").exit_code == 0
after = resource.getrusage(resource.RUSAGE_CHILDREN)
print("idle", after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime)
"""


def test_a_forked_supervisor_is_cheap(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", FORKING, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr.decode()
    figures = dict(line.split() for line in done.stdout.decode().splitlines())
    assert float(figures["submit"]) < 0.02, "about 1 ms on a quiet machine"
    assert float(figures["idle"]) < 0.1, "command and supervisor together, over a second of sleep"
    assert supervise.tree("idle", everyone=True) == []
