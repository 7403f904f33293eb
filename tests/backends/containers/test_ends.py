"""Cancelled, timed out, killed: the container is gone, and the record tells the truth."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest
from docker_projects import until

from runner.backends.containers import this_place
from tests.backends.containers.conftest import containers_of

if TYPE_CHECKING:
    from pathlib import Path

    import docker
    from docker_projects import DockerProject

pytestmark = pytest.mark.slow

PATIENT = "trap 'echo told; exit 3' TERM INT; echo started; while :; do sleep 0.1; done"
DEAF = "trap '' TERM INT; echo started; while :; do sleep 0.1; done"


def job_of(home: Path) -> Path:
    (found,) = (home / "jobs").iterdir()
    return found


def pid_of_client(folder: Path) -> int:
    """Return the process that stands for the container: the supervisor's child."""
    supervisor = json.loads((folder / "supervisor.json").read_text())["pid"]
    children = f"/proc/{supervisor}/task/{supervisor}/children"
    with open(children, encoding="ascii") as file:
        return int(file.read().split()[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_command_is_told_and_says_goodbye(
    project: DockerProject, number: signal.Signals
) -> None:
    project.write(PATIENT)
    process = project.start()
    process.send_signal(number)

    code, output = project.ended(process)

    assert (code, output) == (3, "told\n")
    assert project.latest().outcome["status"] == "KILLED"
    assert project.latest().outcome["reason"] == "cancelled"


def test_the_whole_process_group_is_told(project: DockerProject) -> None:
    (project.folder / "child.sh").write_text(PATIENT)
    project.write("trap : TERM; sh child.sh; echo the child ended with $?")
    process = project.start()
    process.send_signal(signal.SIGTERM)

    _, output = project.ended(process)

    assert output == "told\nthe child ended with 3\n"


def test_a_timeout_ends_what_does_not_listen(
    project: DockerProject, engine: docker.DockerClient, home: Path
) -> None:
    project.environ["RUNPROJ_JOB"] = ":".join("outer" * 4)  # deep inside, where patience is short
    done = project.go(DEAF, "--timeout", "6")

    assert done.exit_code == 124, done.stderr
    assert (done.outcome["status"], done.outcome["reason"]) == ("KILLED", "timeout")
    assert done.outcome.get("signal") in {None, signal.SIGKILL}  # None: it was still being made
    assert not containers_of(engine, home)


@pytest.mark.parametrize("victim", ["runproj", "client", "supervisor"])
def test_nothing_is_left_when_a_process_is_killed(
    project: DockerProject, engine: docker.DockerClient, home: Path, victim: str
) -> None:
    project.write("echo started; while :; do sleep 0.1; done")
    process = project.start()
    folder = job_of(home)
    supervisor = json.loads((folder / "supervisor.json").read_text())["pid"]
    pids = {"runproj": process.pid, "client": pid_of_client(folder), "supervisor": supervisor}

    os.kill(pids[victim], signal.SIGKILL)
    project.ended(process)

    until("the container is gone", lambda: not containers_of(engine, home))
    until("the record is closed", lambda: not folder.exists())
    assert project.latest().outcome["status"] in {"KILLED", "FAILED"}


def test_the_doctor_removes_what_everybody_left(
    project: DockerProject, engine: docker.DockerClient, home: Path
) -> None:
    project.write("echo started; while :; do sleep 0.1; done")
    process = project.start()
    folder = job_of(home)
    supervisor = json.loads((folder / "supervisor.json").read_text())["pid"]
    for pid in (supervisor, process.pid, pid_of_client(folder)):
        os.kill(pid, signal.SIGKILL)
    project.ended(process)
    assert containers_of(engine, home)

    cured = project.tool("doctor")

    assert cured.returncode == 0, cured.stdout + cured.stderr
    assert not containers_of(engine, home)
    assert project.latest().outcome["reason"] == "lost"


def test_the_doctor_removes_containers_whose_jobs_are_gone(
    project: DockerProject, engine: docker.DockerClient, home: Path, sh_image: str
) -> None:
    gone = {"runproj.run_id": "gone", "runproj.job": str(home / "jobs" / "gone")}
    made = engine.containers.create(
        sh_image, "sleep 100", labels={**gone, "runproj.host": this_place()}
    )
    somebody = {**gone, "runproj.job": "/somebody/elses", "runproj.host": f"{this_place()}0"}
    other = engine.containers.create(sh_image, "sleep 100", labels=somebody)

    looked = project.tool("doctor", "--dry-run")
    assert containers_of(engine, home) == [made.id]
    cured = project.tool("doctor")

    short = str(made.id)[:12]
    assert short in looked.stdout + looked.stderr
    assert short in cured.stdout + cured.stderr
    assert not containers_of(engine, home)
    other.remove()  # it was left alone


def test_an_engine_that_refuses_the_container(project: DockerProject) -> None:
    done = project.go("true", "--network", "no-such-network")

    assert done.exit_code == 125
    assert "no-such-network" in done.stderr
    assert (done.outcome["status"], done.outcome["phase"]) == ("FAILED", "submit")


def test_no_engine(project: DockerProject, tmp_path: Path) -> None:
    project.environ["DOCKER_HOST"] = f"unix://{tmp_path}/none.sock"

    done = project.go("true")

    assert done.exit_code == 125
    assert "there is no container engine at" in done.stderr
    assert "hint: start docker" in done.stderr
    assert "Traceback" not in done.stderr
