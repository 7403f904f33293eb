"""Whatever is killed, the record tells the truth and nothing is left running."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from theatre import FOLLOWING

from runner.backends import supervise
from runner.system.pool import lease

if TYPE_CHECKING:
    from theatre import Theatre

WAIT = ": > ready; sleep 60"
"""No ``touch``: bash forgets a SIGINT that comes while a command is about to end well."""


def test_a_run_that_nobody_disturbs(theatre: Theatre) -> None:
    run_id = theatre.follow("echo hello; exit 3")
    assert theatre.ended(run_id) == 3
    run = theatre.run(run_id)
    assert run.status == "FAILED"
    assert run.tags["runproj.exit_code"] == "3"
    assert run.tags["runproj.phase"] == "command"
    assert run.tags["runproj.reason"] == "exit"
    assert float(run.tags["runproj.duration"]) >= 0
    assert int(run.tags["runproj.peak_memory"]) > 1_000_000
    assert run.ended is not None
    assert theatre.record(run_id)["outcome"]["exit_code"] == 3
    assert theatre.log(run_id) == b"hello\n"
    assert not (theatre.home / "jobs" / run_id).exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_follower_ends_the_tree(theatre: Theatre, signum: signal.Signals) -> None:
    """W21, W22: with ``mlflow run`` the grandchild runs on."""
    run_id = theatre.follow(": > ready; (sleep 60; echo no) && sleep 61")
    theatre.started(run_id)
    theatre.followers[run_id].send_signal(signum)
    assert theatre.ended(run_id) == 128 + signum
    run = theatre.run(run_id)
    assert (run.status, run.tags["runproj.reason"]) == ("KILLED", "cancelled")
    assert supervise.tree(run_id, everyone=True) == []


def test_nested_runs_end_together_and_each_tells_the_truth(theatre: Theatre) -> None:
    inner = "b" * 32
    script = "trap 'echo once; exit 9' TERM; : > ready; while :; do sleep .02; done"
    options = json.dumps({"run_id": inner})
    words = (sys.executable, FOLLOWING, script, options)
    outer = theatre.follow(" ".join(map(shlex.quote, words)))
    theatre.started(outer)
    assert len(supervise.tree(inner, everyone=True)) < len(supervise.tree(outer, everyone=True))
    theatre.followers[outer].terminate()
    assert theatre.ended(outer) == 9
    for run_id in (outer, inner):
        run = theatre.run(run_id)
        assert (run.status, run.tags["runproj.reason"]) == ("KILLED", "cancelled")
        assert run.tags["runproj.exit_code"] == "9"
    assert theatre.log(inner) == b"once\n"
    assert theatre.log(outer) == b"once\n"


def test_a_run_that_is_continued_gets_its_new_end(theatre: Theatre) -> None:
    run_id = theatre.follow("exit 3")
    assert theatre.ended(run_id) == 3
    options = json.dumps({"run_id": run_id, "again": True})
    argv = [sys.executable, FOLLOWING, "exit 0", options]
    subprocess.run(argv, cwd=theatre.path, env=theatre.environ, check=True)
    assert theatre.run(run_id).status == "FINISHED"


def test_a_run_under_way_has_one_owner(theatre: Theatre) -> None:
    run_id = theatre.follow(WAIT)
    theatre.started(run_id)
    options = json.dumps({"run_id": run_id, "again": True})
    argv = [sys.executable, FOLLOWING, "exit 0", options]
    second = subprocess.run(
        argv, cwd=theatre.path, env=theatre.environ, check=False, capture_output=True
    )
    assert b"is under way: another process owns it" in second.stderr
    theatre.followers[run_id].terminate()
    theatre.ended(run_id)
    assert theatre.run(run_id).tags["runproj.reason"] == "cancelled"


def test_the_supervisor_finishes_for_a_killed_follower(theatre: Theatre) -> None:
    run_id = theatre.follow(WAIT)
    theatre.started(run_id)
    theatre.followers[run_id].kill()
    theatre.until(lambda: theatre.is_closed(run_id))
    run = theatre.run(run_id)
    assert (run.status, run.tags["runproj.reason"]) == ("KILLED", "orphaned")
    assert run.tags["runproj.detail"] == "runproj was killed, so the command was ended"
    assert theatre.record(run_id)["outcome"]["reason"] == "orphaned"


def test_a_detached_command_runs_on_to_its_own_end(theatre: Theatre) -> None:
    run_id = theatre.follow(": > ready; sleep .5; echo done; exit 7", **{"continue": True})
    theatre.started(run_id)
    theatre.followers[run_id].kill()
    theatre.until(lambda: theatre.is_closed(run_id))
    run = theatre.run(run_id)
    assert (run.status, run.tags["runproj.exit_code"]) == ("FAILED", "7")
    assert theatre.log(run_id) == b"done\n"


def test_a_follower_killed_just_before_it_closes(theatre: Theatre) -> None:
    run_id = theatre.follow("exit 0", stop="before-close")
    assert theatre.ended(run_id) == -signal.SIGKILL
    theatre.until(lambda: theatre.is_closed(run_id))
    assert theatre.run(run_id).status == "FINISHED"


def test_a_killed_supervisor_takes_the_command_along(theatre: Theatre) -> None:
    run_id = theatre.follow(WAIT)
    theatre.started(run_id)
    os.kill(theatre.supervisor(run_id), signal.SIGKILL)
    assert theatre.ended(run_id) == 128
    run = theatre.run(run_id)
    assert (run.status, run.tags["runproj.reason"]) == ("KILLED", "lost")
    assert "supervisor was killed" in run.tags["runproj.detail"]
    assert supervise.tree(run_id, everyone=True) == []


def test_both_killed_the_doctor_waits_for_the_command(theatre: Theatre) -> None:
    run_id = theatre.follow(": > ready; sleep .8")
    theatre.started(run_id)
    _kill_both(theatre, run_id)
    found = theatre.doctor()["findings"]
    assert [(f["state"], f["subject"]) for f in found] == [("unfollowed", run_id)]
    assert theatre.run(run_id).status == "RUNNING"
    theatre.until(lambda: not supervise.tree(run_id, everyone=True))
    found = theatre.doctor()["findings"]
    assert [(f["state"], f["status"]) for f in found] == [("closed", "KILLED")]
    run = theatre.run(run_id)
    assert (run.status, run.tags["runproj.reason"]) == ("KILLED", "lost")
    assert theatre.doctor()["findings"] == []


def test_both_killed_the_doctor_ends_the_command_when_told(theatre: Theatre) -> None:
    run_id = theatre.follow(WAIT)
    theatre.started(run_id)
    _kill_both(theatre, run_id)
    assert supervise.tree(run_id, everyone=True)
    found = theatre.doctor("--end")["findings"]
    assert [(f["state"], f["status"]) for f in found] == [("closed", "KILLED")]
    assert supervise.tree(run_id, everyone=True) == []


def test_the_doctor_ends_an_unfollowed_run_through_its_supervisor(theatre: Theatre) -> None:
    run_id = theatre.follow(WAIT, **{"continue": True})
    theatre.started(run_id)
    theatre.followers[run_id].kill()
    theatre.ended(run_id)
    assert theatre.doctor("--dry-run", "--end")["findings"][0]["state"] == "unfollowed"
    assert theatre.doctor("--end")["findings"][0]["state"] == "closed"
    run = theatre.run(run_id)
    assert (run.status, run.tags["runproj.reason"]) == ("KILLED", "cancelled")


def _kill_both(theatre: Theatre, run_id: str) -> None:
    supervisor = theatre.supervisor(run_id)
    os.kill(supervisor, signal.SIGSTOP)
    theatre.followers[run_id].kill()
    os.kill(supervisor, signal.SIGKILL)
    theatre.ended(run_id)
    theatre.until(lambda: not supervise.is_live(supervisor))


def test_a_follower_killed_before_the_command_started(theatre: Theatre) -> None:
    run_id = theatre.follow("exit 0", stop="before-submit")
    assert theatre.ended(run_id) == -signal.SIGKILL
    dry = theatre.doctor("--dry-run")
    assert dry["findings"][0]["state"] == "closed"
    assert theatre.run(run_id).status == "RUNNING"
    found = theatre.doctor()
    assert (found["findings"][0]["status"], found["exit_code"]) == ("KILLED", 0)
    run = theatre.run(run_id)
    assert (run.status, run.tags["runproj.phase"]) == ("KILLED", "prepare")
    assert "before the command" in run.tags["runproj.detail"]


def test_a_run_whose_job_folder_was_deleted(theatre: Theatre) -> None:
    run_id = theatre.follow("exit 0", stop="before-submit")
    theatre.ended(run_id)
    subprocess.run(["rm", "-r", str(theatre.home)], check=True)
    assert theatre.doctor()["findings"][0]["state"] == "closed"
    assert theatre.run(run_id).status == "KILLED"
    assert theatre.record(run_id)["outcome"]["reason"] == "lost"


def test_a_cache_that_is_deleted_meanwhile_hurts_nobody(theatre: Theatre) -> None:
    run_id = theatre.follow(": > ready; until [ -e go ]; do sleep .02; done; exit 5")
    theatre.started(run_id)
    subprocess.run(["rm", "-r", str(theatre.home)], check=True)
    (theatre.path / "go").touch()
    assert theatre.ended(run_id) == 5
    assert theatre.run(run_id).tags["runproj.exit_code"] == "5"


def test_idle_work_trees_are_deleted(theatre: Theatre) -> None:
    family = theatre.home / "trees" / "remote"
    for number in range(9):
        path, lock = lease(str(family / f"commit{number}"))
        os.mkdir(path)
        Path(path, "data").write_bytes(b"x" * 10_000)
        os.utime(family / f"commit{number}", (number, number))
        lock.release()
    assert theatre.doctor("--dry-run")["findings"] == []
    assert len(os.listdir(family)) == 9
    (finding,) = theatre.doctor()["findings"]
    assert (finding["state"], finding["subject"]) == ("removed", str(family.parent))
    assert finding["detail"].startswith("1 idle work tree, ")
    assert finding["detail"].endswith(" KiB")
    assert len(os.listdir(family)) == 8


def test_a_job_whose_run_is_gone_says_what_to_delete(theatre: Theatre) -> None:
    run_id = theatre.follow("exit 0", stop="before-submit")
    theatre.ended(run_id)
    (theatre.path / "mlflow.db").rename(theatre.path / "away.db")
    found = theatre.doctor()
    assert (found["findings"][0]["state"], found["exit_code"]) == ("undelivered", 1)
    assert f"delete {theatre.home / 'jobs' / run_id}" in found["findings"][0]["detail"]


def test_a_run_in_progress_is_left_alone(theatre: Theatre) -> None:
    run_id = theatre.follow(WAIT)
    theatre.started(run_id)
    found = theatre.doctor("--end")["findings"]
    assert [(f["state"], f["subject"]) for f in found] == [("under-way", run_id)]
    theatre.followers[run_id].terminate()
    theatre.ended(run_id)
    assert theatre.run(run_id).tags["runproj.reason"] == "cancelled"


def test_another_machines_jobs_are_left_alone(theatre: Theatre) -> None:
    run_id = theatre.follow("exit 0", stop="before-submit")
    theatre.ended(run_id)
    path = theatre.home / "jobs" / run_id / "job.json"
    path.write_text(path.read_text().replace(os.uname().nodename, "elsewhere"))
    assert theatre.doctor()["findings"][0]["state"] == "elsewhere"
    assert theatre.run(run_id).status == "RUNNING"


def test_a_store_that_is_out_of_reach_at_the_end_gets_it_later(theatre: Theatre) -> None:
    run_id = theatre.follow("exit 4", unreachable=str(theatre.path / "mlflow.db"))
    theatre.ended(run_id)
    os.rename(theatre.path / "mlflow.db.away", theatre.path / "mlflow.db")
    theatre.until(lambda: not _is_supervised(theatre, run_id))
    theatre.until(lambda: theatre.is_closed(run_id) or _is_closed_by_doctor(theatre, run_id))
    run = theatre.run(run_id)
    assert (run.status, run.tags["runproj.exit_code"]) == ("FAILED", "4")


def _is_closed_by_doctor(theatre: Theatre, run_id: str) -> bool:
    """Let the doctor look, unless the supervisor's heir is at it just now."""
    theatre.doctor()
    return theatre.is_closed(run_id)


def _is_supervised(theatre: Theatre, run_id: str) -> bool:
    path = theatre.home / "jobs" / run_id / "supervisor.json"
    if not path.exists():
        return False
    return supervise.is_live(theatre.supervisor(run_id))


def test_wreckage_of_a_job_folder_is_cleared(theatre: Theatre) -> None:
    (theatre.home / "jobs" / "half").mkdir(parents=True)
    (theatre.home / "trash" / "old").mkdir(parents=True)
    os.utime(theatre.home / "trash" / "old", (1, 1))
    (theatre.home / "trash" / "fresh").mkdir()
    states = sorted(f["state"] for f in theatre.doctor()["findings"])
    assert states == ["emptied", "removed"]
    assert os.listdir(theatre.home / "jobs") == []
    assert os.listdir(theatre.home / "trash") == ["fresh"]


def test_a_reader_that_goes_away_hurts_nobody(theatre: Theatre) -> None:
    """As in ``runproj run . | head -1``."""
    run_id = theatre.follow("seq 200000; echo end", pipe=subprocess.PIPE)
    out = theatre.followers[run_id].stdout
    assert out is not None
    assert out.readline() == b"1\n"
    out.close()
    theatre.followers[run_id].stdout = None
    assert theatre.ended(run_id) == 0
    assert theatre.log(run_id).endswith(b"200000\nend\n")
    assert theatre.run(run_id).status == "FINISHED"


def test_a_reader_that_waits_holds_up_no_request(theatre: Theatre) -> None:
    """As in ``runproj run . | less``: the pipe is full, and the user gives up."""
    run_id = theatre.follow(": > ready; yes", pipe=subprocess.PIPE)
    theatre.started(run_id)
    time.sleep(0.3)
    theatre.followers[run_id].terminate()
    theatre.until(lambda: not supervise.tree(run_id, everyone=True))
    theatre.followers[run_id].terminate()
    assert theatre.ended(run_id) == 128 + signal.SIGTERM
    assert theatre.run(run_id).status == "KILLED"


@pytest.mark.slow
def test_kills_at_random_moments(theatre: Theatre) -> None:
    """Whoever is killed, whenever: the record is closed in the end, and nothing runs on."""
    for at in range(30):
        run_id = theatre.follow("sleep .05; echo done", stop="")
        time.sleep(random.uniform(0.0, 0.4))  # noqa: S311 - no cryptography
        if at % 2:
            theatre.followers[run_id].kill()
        else:
            path = theatre.home / "jobs" / run_id / "supervisor.json"
            if path.exists():
                supervise.send([theatre.supervisor(run_id)], signal.SIGKILL)
    for run_id in theatre.followers:
        theatre.ended(run_id)
    theatre.until(lambda: not any(supervise.tree(r, everyone=True) for r in theatre.followers))
    time.sleep(1.0)
    assert theatre.doctor()["exit_code"] == 0
    assert os.listdir(theatre.home / "jobs") == []
    recorded = [run_id for run_id in theatre.followers if theatre.has(run_id)]
    assert {theatre.run(run_id).status for run_id in recorded} <= {"FINISHED", "FAILED", "KILLED"}
    assert len(recorded) >= len(theatre.followers) // 3, "most were not killed before they began"
