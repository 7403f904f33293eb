"""Many at once, and killed at any moment: the store heals and never lends half an environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from packages import Bench, make_sdist, make_wheel

from runner.environments import store
from runner.environments.catalog import Catalog
from runner.environments.store import found, opened, prefix_of
from runner.model.value import Digest
from runner.system.files import Lock

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json, sys
from runner.environments.python import PythonBuilder
from runner.model.lock import LockRequest
from runner.model.spec import PythonSpec
home, project, environ, lines = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4:]

class Say:
    def report(self, event):
        if type(event).__name__ == "Step":
            print(event.verb, flush=True)

builder = PythonBuilder(manager="uv", home=home, environ=environ, reporter=Say())
spec = PythonSpec(origin="p", kind="python_env", requirements=tuple(lines))
made = builder.build(builder.lock(LockRequest(spec=spec, project=project)))
import os, subprocess
code = "import alpha; print('found', alpha.VERSION)"
subprocess.run([os.path.join(made.bin_paths[0], "python"), "-c", code], check=True)
"""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def started(bench: Bench, *lines: str) -> subprocess.Popen[str]:
    import json

    arguments = [str(bench.home), str(bench.project), json.dumps(bench.environ), *lines]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )


def test_w12_eight_first_runs_at_once_build_once(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    bench.lock("alpha")  # the locking is not what is tested here
    children = [started(bench, "alpha") for _ in range(8)]
    ended = [(*child.communicate(), child.returncode) for child in children]
    assert [code for _, _, code in ended] == [0] * 8, ended
    assert [out.count("found 1.0") for out, _, _ in ended] == [1] * 8
    assert sum(out.count("building") for out, _, _ in ended) == 1


@pytest.mark.slow
def test_w12_eight_first_runs_with_nothing_remembered_succeed(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    children = [started(bench, "alpha") for _ in range(8)]
    ended = [(*child.communicate(), child.returncode) for child in children]
    assert [code for _, _, code in ended] == [0] * 8, ended
    assert sum(out.count("building") for out, _, _ in ended) == 1


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [True, False])
def test_w13_killed_at_any_moment_the_next_run_heals(bench: Bench, whole_group: bool) -> None:  # noqa: FBT001 - parametrized
    make_wheel(bench.wheels, "alpha", "1.0")
    for name in ("beta", "gamma"):
        make_sdist(bench.wheels, name, "1.0", hook="import time; time.sleep(0.3)")
    lines = ("alpha", "beta", "gamma")
    healed = 0
    for delay in (0.05, 0.2, 0.4, 0.6, 0.9, 1.2, 1.6):
        child = started(bench, *lines)
        time.sleep(delay)
        if whole_group:
            os.killpg(child.pid, signal.SIGKILL)
        else:  # its uv lives on, and holds the lock until it ends
            child.kill()
        child.communicate()
        after = started(bench, *lines)
        out, err = after.communicate(timeout=120)
        assert after.returncode == 0, err
        assert "found 1.0" in out
        healed += out.count("building")
        catalog = Catalog(home=str(bench.home), environ=bench.environ)
        assert all(catalog.damage(e) == () for e in catalog.all() if e.state == "ready")
        for environment in catalog.all():
            os.unlink(os.path.join(environment.path, store.MARKER))
    assert healed


def test_an_orphaned_tool_keeps_the_lock(tmp_path: Path) -> None:
    """Killed runproj, living uv: nobody may build beside it."""
    ready = tmp_path / "ready"
    program = (
        "import subprocess, sys, os, time\n"
        "from runner.system.files import Lock\n"
        "from runner.system.process import run\n"
        f"with Lock({str(tmp_path / 'x.lock')!r}) as held:\n"
        f"    run(['sh', '-c', 'echo $$ > {ready}.part; mv {ready}.part {ready}; exec sleep 30'],\n"
        "        variables=dict(os.environ), keep=(held.descriptor,))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    while not ready.exists():
        time.sleep(0.01)
    child.kill()
    child.wait()
    lock = Lock(str(tmp_path / "x.lock"))
    try:
        assert lock.acquire(blocking=False) is False
    finally:
        os.kill(int(ready.read_text()), signal.SIGKILL)
    assert lock.acquire(blocking=True)
    lock.release()


def test_a_build_that_fails_leaves_nothing_and_the_next_may_try(tmp_path: Path) -> None:
    environment = Digest("sha256:" + "ab" * 32)
    prefix = prefix_of(str(tmp_path), environment)

    def broken(at: str, _held: Lock) -> dict[str, object]:
        os.makedirs(at)
        with open(os.path.join(at, "half"), "w") as file:
            file.write("x")
        message = "no"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError):
        opened(str(tmp_path), environment, broken)
    assert not os.path.exists(prefix)
    assert os.listdir(tmp_path / "trash") == []

    def whole(at: str, _held: Lock) -> dict[str, object]:
        os.makedirs(os.path.join(at, "bin"))
        os.symlink(sys.executable, os.path.join(at, "bin", "python"))
        status = os.stat(sys.executable)
        return {"python": {"size": status.st_size, "modified": status.st_mtime_ns}}

    assert opened(str(tmp_path), environment, whole)["prefix"] == prefix
    assert found(prefix) is not None
    assert opened(str(tmp_path), environment, broken)["prefix"] == prefix, "found, not built"


def test_a_full_disk_is_an_error_with_a_hint() -> None:
    """What uv says of a full disk, as it was seen."""
    from runner.environments.uv import failure
    from runner.system.process import Completed

    done = Completed(
        exit_code=2,
        stdout=b"",
        stderr=b"error: Failed to install: a.whl\n  cause: No space left on device (os error 28)\n",
    )
    error = failure(done, "the environment cannot be built")
    assert error.message == "the environment cannot be built: the disk is full"
    assert "prune" in str(error.hint)


# --- pruning


def test_what_is_in_use_is_never_pruned(bench: Bench) -> None:
    from datetime import timedelta

    make_wheel(bench.wheels, "alpha", "1.0")
    child = started_and_waiting(bench)
    catalog = Catalog(home=str(bench.home), environ=bench.environ)
    (environment,) = catalog.all()
    assert environment.in_use
    assert catalog.prune(timedelta(0)) == ()
    child.communicate("end\n")
    assert [e.identifier for e in catalog.prune(timedelta(0))] == [environment.identifier]
    assert catalog.all() == ()
    assert sorted(p.name for p in (bench.home / "envs").iterdir()) == []


def started_and_waiting(bench: Bench) -> subprocess.Popen[str]:
    import json

    program = PROGRAM + "print('ready', flush=True)\ninput()\n"
    arguments = [str(bench.home), str(bench.project), json.dumps(bench.environ), "alpha"]
    child = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert child.stdout
    while "ready" not in (line := child.stdout.readline()):
        assert line
    return child


def test_an_environment_of_a_job_that_nobody_closed_is_kept(bench: Bench) -> None:
    import json
    from datetime import timedelta

    made = bench.build()
    prefix = made.variables["VIRTUAL_ENV"]
    store._LEASES.pop(prefix).release()
    job = bench.home / "jobs" / "0123"
    job.mkdir(parents=True)
    (job / "job.json").write_text(json.dumps({"environment": {"bin_paths": made.bin_paths}}))
    catalog = Catalog(home=str(bench.home), environ=bench.environ)
    assert catalog.prune(timedelta(0)) == ()
    (job / "job.json").unlink()
    assert len(catalog.prune(timedelta(0), dry_run=True)) == 1
    assert os.path.exists(prefix)
    assert len(catalog.prune(timedelta(0))) == 1


def test_only_what_was_unused_for_long_goes(bench: Bench) -> None:
    from datetime import timedelta

    make_wheel(bench.wheels, "alpha", "1.0")
    old, new = bench.build(), bench.build("alpha")
    for made in (old, new):
        store._LEASES.pop(made.variables["VIRTUAL_ENV"]).release()
    prefix = old.variables["VIRTUAL_ENV"]
    then = time.time() - 40 * 86400
    os.utime(f"{prefix}.use", (then, then))
    catalog = Catalog(home=str(bench.home), environ=bench.environ)
    assert [e.path for e in catalog.prune(timedelta(days=30))] == [prefix]
    assert [e.path for e in catalog.all()] == [new.variables["VIRTUAL_ENV"]]


def test_use_is_noted_once_a_day(bench: Bench) -> None:
    prefix = bench.build().variables["VIRTUAL_ENV"]
    for age, noted in ((2 * 86400.0, True), (3600.0, False)):
        store._LEASES.pop(prefix).release()
        then = time.time() - age
        os.utime(f"{prefix}.use", (then, then))
        bench.build()
        assert (os.stat(f"{prefix}.use").st_mtime > then + 60) is noted


def test_wrecks_and_left_overs_go_with_any_pruning(bench: Bench) -> None:
    from datetime import timedelta

    wreck = bench.home / "envs" / ("ab" * 16)
    wreck.mkdir(parents=True)
    left = bench.home / "scratch" / "tmp1"
    left.mkdir(parents=True)
    then = time.time() - 2 * 86400
    os.utime(left, (then, then))
    fresh = bench.home / "scratch" / "tmp2"
    fresh.mkdir()
    catalog = Catalog(home=str(bench.home), environ=bench.environ)
    assert [e.state for e in catalog.prune(timedelta(days=30))] == ["broken"]
    assert (wreck.exists(), left.exists(), fresh.exists()) == (False, False, True)
