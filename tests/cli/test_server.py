"""``runproj server`` as a process: its start, its end, what it refuses, its users."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driving import PROXY, Client
from teaming import Member, basic

ROOT = Path(__file__).parents[2]

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested
Start = Callable[..., tuple[subprocess.Popen[str], str]]


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RUNPROJ_"))}
    return {**kept, "PYTHONPATH": str(ROOT)}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "runner", "server", *words]


def called(folder: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        check=False,
        cwd=folder,
        env=environment(),
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def start(*words: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            command("--port", "0", *words),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[2]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_server_lives_and_ends(start: Start, tmp_path: Path) -> None:
    process, uri = start()
    client = Client(uri)
    run = client.post("runs/create", experiment_id="0")["run"]["info"]
    address = f"{PROXY}/0/{run['run_id']}/artifacts/a.txt"
    assert client.raw("PUT", address, b"text") == (200, b"{}")
    client.connection.close()
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    folder = tmp_path / "mlruns" / "0" / run["run_id"] / "artifacts"
    assert [path.name for path in folder.iterdir()] == ["a.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlruns"]
    second, uri = start("--backend-store-uri", "sqlite:///mlflow.db")
    client = Client(uri)
    assert client.get("runs/get", run_id=run["run_id"])["run"]["info"]["status"] == "RUNNING"
    client.connection.close()
    second.send_signal(signal.SIGINT)
    assert second.wait(60) == 0


def test_a_killed_server_keeps_what_it_acknowledged(start: Start) -> None:
    process, uri = start()
    client = Client(uri)
    run_id = client.post("runs/create", experiment_id="0")["run"]["info"]["run_id"]
    for step in range(50):
        client.post("runs/log-metric", run_id=run_id, key="m", value=step, timestamp=step)
    process.kill()
    process.wait()
    client.connection.close()
    _, uri = start()
    client = Client(uri)
    found = client.get("metrics/get-history", run_id=run_id, metric_key="m")["metrics"]
    assert [metric["value"] for metric in found] == [float(step) for step in range(50)]
    client.connection.close()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--host", EVERYWHERE], 2, "everybody who reaches 0.0.0.0"),
        (["--port", "70000"], 2, "70000 is no port"),
        (["--threads", "0"], 2, "must be positive"),
        (["--max-body", "much"], 2, "'much' is no size"),
        (["--tls-key", "key.pem"], 2, "needs --tls-cert"),
        (["--tls-cert", "none.pem"], 2, "certificate cannot be used"),
        (["--users", "none.json"], 2, "accounts cannot be read"),
        (["--tracking-uri", "http://127.0.0.1:1"], 2, "is a server already"),
        (["--tracking-uri", "sqlite:///no.db"], 125, "damaged or is no SQLite"),
        (["--access-log", "none/access.log"], 125, "access log"),
        (["user"], 2, "does not know 'user'"),
        (["users", "add"], 2, "takes 1 words"),
        (["users", "jump"], 2, "does not know 'jump'"),
        (["users", "list"], 2, "give --users FILE"),
        (["users", "list", "--users", "none.json"], 2, "cannot be read"),
        (["users", "grant", "ann", "READ", "--users", "u.json"], 2, "--experiment ID or --model"),
        (["users", "default", "ALL", "--users", "u.json"], 2, "no permission 'ALL'"),
        (["users", "remove", "ann", "--users", "u.json"], 2, "no user 'ann'"),
        (["users", "add", "a:b", "--users", "u.json"], 2, "cannot be the name"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, words: list[str], code: int, message: str) -> None:
    (tmp_path / "no.db").write_text("this is no database, whatever its name says" * 100)
    done = called(tmp_path, *words, given="a long password\n")
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error[")


@pytest.mark.slow
def test_users_from_first_to_last(start: Start, tmp_path: Path) -> None:
    def users(*words: str, given: str = "") -> str:
        done = called(tmp_path, "users", *words, "--users", "team.json", given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    users("add", "ann", "--admin", given="ann's password\n")
    users("add", "bob", given="bob's password\n")
    users("grant", "bob", "edit", "--experiment", "0")
    users("grant", "bob", "MANAGE", "--model", "m")
    users("default", "no_permissions")
    token = users("token", "bob", "--label", "ci", "--days", "30").strip()
    found = json.loads(users("list", "--json"))
    assert found["default_permission"] == "NO_PERMISSIONS"
    assert [(u["name"], u["admin"]) for u in found["users"]] == [("ann", True), ("bob", False)]
    assert found["users"][1]["experiments"] == {"0": "EDIT"}
    assert token not in json.dumps(found)
    process, uri = start("--users", "team.json", "--host", EVERYWHERE)
    uri = f"http://127.0.0.1:{uri.rpartition(':')[2]}"
    members = [Member(uri, basic("bob", "bob's password"))]
    members.append(Member(uri, {"Authorization": f"Bearer {token}"}))
    for member in members:
        member.post("runs/create", experiment_id="0")
    users("grant", "bob", "default", "--experiment", "0")
    assert members[0].refused("POST", "runs/create", experiment_id="0")[0] == 403
    users("token", "bob", "--revoke", "ci")
    assert members[1].refused("POST", "runs/create", experiment_id="0")[0] == 401
    users("passwd", "bob", given="bob's new password\n")
    assert members[0].refused("POST", "runs/create", experiment_id="0")[0] == 401
    users("admin", "bob")
    users("admin", "bob", "--revoke")
    users("remove", "bob")
    assert "bob" not in users("list")
    for member in members:
        member.connection.close()
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert "travel unencrypted" in errors
    assert "Traceback" not in errors
