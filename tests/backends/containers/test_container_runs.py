"""What a command finds in its container, what it leaves, and how its end is told."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.backends.containers.conftest import containers_of

if TYPE_CHECKING:
    from pathlib import Path

    import docker
    from docker_projects import DockerProject

pytestmark = pytest.mark.slow


def test_the_whole_command_runs_in_a_copy_of_the_project(project: DockerProject) -> None:
    (project.folder / "a folder").mkdir()
    (project.folder / "a folder" / "data.txt").write_text("from the project\n")
    (project.folder / "run.sh").write_text("echo ran\n")
    (project.folder / "run.sh").chmod(0o755)
    (project.folder / ".env").write_text("PASSWORD=x\n")

    done = project.go(
        "pwd && cat 'a folder/data.txt' | tr a-z A-Z; test -x run.sh && ls -A && "
        "hostname > made-inside && echo $(cat made-inside) {word}",
        "-P",
        "word=a b; echo $HOME `id`",
        parameters={"word": "string"},
    )

    lines = done.stdout.splitlines()
    assert done.exit_code == 0, done.stderr
    assert lines[:2] == ["/mlflow/projects/code", "FROM THE PROJECT"]
    assert sorted(lines[2:-1]) == ["MLproject", "a folder", "run.sh"]  # the .env stays at home
    assert lines[-1].endswith(" a b; echo $HOME `id`")
    assert os.uname().nodename not in lines[-1]
    assert not (project.folder / "made-inside").exists()
    assert done.record["container"]["code"] == "copy"


def test_what_git_ignores_and_deletes_stays_at_home(project: DockerProject) -> None:
    for name in ("tracked.py", "new.py", "ignored.bin", "deleted.py"):
        (project.folder / name).write_text(name)
    (project.folder / ".gitignore").write_text("*.bin\n")
    project.write("ls -A")
    git = ["git", "-C", str(project.folder)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "tracked.py", "deleted.py", ".gitignore", "MLproject"], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    (project.folder / "deleted.py").unlink()

    done = project.run()

    assert done.stdout.split() == [".gitignore", "MLproject", "new.py", "tracked.py"]


def test_a_mounted_project_cannot_be_written_to(project: DockerProject) -> None:
    (project.folder / "data.txt").write_text("from the project\n")

    done = project.go("cat data.txt; echo x > data.txt; echo $?; touch new; echo $?", code="mount")

    assert done.stdout.splitlines() == ["from the project", "1", "1"]
    assert (project.folder / "data.txt").read_text() == "from the project\n"


def test_a_read_only_container(project: DockerProject) -> None:
    (project.folder / "data.txt").write_text("from the project\n")

    done = project.go(
        "cat data.txt; echo {pw}; touch /x /tmp/y 2>/dev/null; ls /x /tmp/y 2>/dev/null",
        *("-A", "read-only", "-A", "tmpfs=/tmp", "-A", "cap-drop=ALL", "-P", "pw=hush"),
        code="mount",
        parameters={"pw": {"type": "string", "secret": True}},
    )

    assert done.stdout.split() == ["from", "the", "project", "hush", "/tmp/y"]


def test_code_in_the_image(project: DockerProject) -> None:
    done = project.go("test -e MLproject || echo not here", code="image")

    assert done.stdout == "not here\n"
    assert "not the project's files that are recorded" in done.stderr


@pytest.mark.parametrize(
    ("command", "code", "status", "said"),
    [
        ("exit 7", 7, "FAILED", "exit code 7"),
        ("kill -9 $$", 137, "KILLED", "SIGKILL"),
        ("kill -TERM $$", 143, "KILLED", "SIGTERM"),
        ("kill -SEGV $$", 139, "FAILED", "SIGSEGV"),
    ],
)
def test_ends(project: DockerProject, command: str, code: int, status: str, said: str) -> None:
    done = project.go(command)

    assert done.exit_code == code
    assert (done.outcome["status"], done.outcome["phase"]) == (status, "command")
    assert said in done.outcome["detail"]
    assert ("signal" in done.outcome) == (code > 128)


def test_output_keeps_its_streams_and_its_bytes(project: DockerProject) -> None:
    done = project.go("printf 'a\\0b'; echo err >&2; printf '\\303\\244'")

    assert done.stdout == "a\0bä"
    assert "err\n" in done.stderr


def test_a_terminal_of_its_own(project: DockerProject) -> None:
    done = project.go("test -t 1 && echo a terminal; exit 4", "-A", "t")

    assert (done.exit_code, done.stdout) == (4, "a terminal\n")


def test_volumes_belong_to_the_caller(project: DockerProject) -> None:
    (project.folder / "in put").mkdir()
    (project.folder / "in put" / "a").write_text("data\n")

    done = project.go(
        "cat '/in here/a' && ! touch '/in here/b' 2>/dev/null && mkdir /out/sub && id > /out/sub/f",
        volumes=["./in put:/in here:ro", "./not there yet:/out", "/scratch"],
    )

    made = project.folder / "not there yet" / "sub" / "f"
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "data\n"
    assert made.stat().st_uid == os.getuid()


def test_another_user_has_a_home_and_owns_what_it_makes(
    project: DockerProject, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)

    done = project.go(
        "id -u && id -g && touch ~/x here /out/made && ls -ld . && echo $HOME",
        "--allow-host-access",
        user="12345:23456",
        volumes=[f"{tmp_path}/out:/out"],
    )

    assert done.exit_code == 0, done.stderr
    assert done.stdout.split()[:2] == ["12345", "23456"]
    assert done.stdout.endswith("/mlflow/home\n")
    made = (tmp_path / "out" / "made").stat()
    assert (made.st_uid, made.st_gid) == (12345, 23456)


def test_inputs_are_where_the_command_is_told(project: DockerProject) -> None:
    (project.caller / "my data.csv").write_text("1,2\n")

    done = project.go(
        "cat {data} && ! echo x 2>/dev/null > {data}",
        "-P",
        "data=my data.csv",
        parameters={"data": "path"},
    )

    assert done.exit_code == 0, done.stderr
    assert done.stdout == "1,2\n"


def test_variables(project: DockerProject) -> None:
    project.environ["TOKEN"] = "hun'ter 2; exit 1"

    done = project.go(
        'echo "$GREETING|$TOKEN|$EXTRA|$MLFLOW_RUN_ID"',
        "-A",
        "env=EXTRA=from $HOME",
        environment=[["GREETING", "hello world; echo $(touch /oops) `id`"], "TOKEN"],
    )

    greeting, token, extra, run_id = done.stdout.strip().split("|")
    assert greeting == "hello world; echo $(touch /oops) `id`"
    assert token == "hun'ter 2; exit 1"
    assert extra == "from $HOME"
    assert run_id == done.record["run_id"]
    assert "hun'ter" not in (str(done.record) + done.stderr)


def test_limits_and_shared_memory(project: DockerProject) -> None:
    done = project.go(
        "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes 2>/dev/null || cat memory.max;"
        "df -k /dev/shm | tail -1 | awk '{{print $2}}'; ls /sys/class/net",
        *("--memory", "64m", "--shm-size", "32m", "--cpus", "0.5", "--network", "none"),
    )

    limit, shared, *network = done.stdout.split()
    assert (int(limit), int(shared)) == (64 << 20, 32 << 10)
    assert network == ["lo"]
    assert "cannot log to the tracking store" in done.stderr
    assert done.record["container"]["settings"]["NanoCpus"] == 500_000_000


def test_too_little_memory_is_told_from_other_kills(
    project: DockerProject, python_image: str
) -> None:
    project.image = python_image
    hungry = "python3 -c 'len(bytearray(500 << 20))'"

    done = project.go(hungry, "--memory", "48m")
    child = project.go(f"{hungry}; exit 5", "--memory", "48m")

    assert done.exit_code == 137
    assert done.outcome["status"] == "KILLED"
    assert "too little memory" in done.outcome["detail"]
    assert child.exit_code == 5
    assert child.outcome["exit_code"] == 5


def test_an_image_without_a_shell(project: DockerProject, bare_image: str) -> None:
    project.image = bare_image

    done = project.go("/echo --x={x} 'two words'", "-P", "x=a b", parameters={"x": "string"})
    refused = project.go("/echo a && /echo b")

    assert (done.exit_code, done.stdout) == (0, "--x=a b two words\n"), done.stderr
    assert refused.exit_code == 125
    assert "the image has no shell, and the command needs one" in refused.stderr
    assert refused.outcome["status"] == "FAILED"


def test_a_long_script_and_a_secret(project: DockerProject, python_image: str) -> None:
    project.image = python_image
    done = project.go(
        f"word={'y' * 200_000}; echo ${{{{#word}}}} {{pw}} && test ! -s /mlflow/private/none",
        *("-P", "pw=s3cr3t 'x'"),
        parameters={"pw": {"type": "string", "secret": True}},
    )

    assert done.stdout == "200000 s3cr3t 'x'\n", done.stderr
    (log,) = project.caller.glob("mlruns/0/*/artifacts/runproj/stdout.log")
    assert log.read_text() == "200000 ***\n"


def test_nothing_confidential_can_be_inspected(
    project: DockerProject, engine: docker.DockerClient, home: Path
) -> None:
    project.environ["TOKEN"] = "the-token-of-the-caller"
    project.write(
        "echo $TOKEN {pw}; until test -e /out/seen; do sleep 0.1; done; ls -A /mlflow",
        environment=["TOKEN"],
        volumes=["./out:/out"],
        parameters={"pw": {"type": "string", "secret": True}},
    )
    process = project.start("-P", "pw=the-secret-parameter")
    (identity,) = containers_of(engine, home)
    shown = str(engine.api.inspect_container(identity)) + str(engine.api.top(identity))
    (project.folder / "out" / "seen").touch()
    code, rest = project.ended(process)

    assert project.first_line == "the-token-of-the-caller the-secret-parameter"
    assert (code, rest) == (0, "projects\n")
    assert "the-token" not in shown
    assert "the-secret" not in shown
    assert "/r/" not in shown  # the endpoint's address


def test_a_project_changes_nothing_of_modes(project: DockerProject) -> None:
    script = project.folder / "tool"
    script.write_text("#!/bin/sh\necho tool\n")
    script.chmod(0o750)
    (project.folder / "link").symlink_to("tool")
    (project.folder / "second").hardlink_to(script)

    done = project.go("./link && ./second && ls -l tool link | cut -c1-10")

    assert done.stdout.split() == ["tool", "tool", "lrwxrwxrwx", "-rwxr-x---"]
    assert stat.S_IMODE(script.stat().st_mode) == 0o750
