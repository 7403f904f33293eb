"""The whole line with real parts: shell, supervisor, SQLite store, loopback endpoint."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.cli.main import main
from runner.schema import validator

if TYPE_CHECKING:
    from typing import Any

LOCAL = ("--env-manager", "local")
LOGGING = """
import json, os, urllib.request
def post(path, **body):
    url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/" + path
    kind = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), kind)
    return json.load(urllib.request.urlopen(request))
run = os.environ["MLFLOW_RUN_ID"]
post("runs/log-metric", run_id=run, key="loss", value=0.25, timestamp=1, step=3)
post("runs/log-parameter", run_id=run, key="inner", value="x")
post("runs/set-tag", run_id=run, key="colour", value="red")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "log.py").write_text(LOGGING)
    (folder / "MLproject").write_text(
        """
name: line
entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.5}
      name: {type: string, default: it's}
      token: {type: string, secret: true, optional: true}
    command: 'printf "%s|%s|%s\\n" {alpha} {name} {token}; echo oops >&2'
  code:
    parameters:
      code: {type: int}
    command: 'exit {code}'
  log: {command: 'python log.py'}
  env: {command: env}
  sleep: {command: 'echo ready; sleep 60'}
  suicide: {command: 'kill -9 $$'}
  nested:
    command: '"$RUNPROJ_PYTHON" -m runner run . -e inner -q --experiment-name steps'
  inner: {command: 'true'}
"""
    )
    caller = tmp_path / "caller"
    caller.mkdir()
    monkeypatch.chdir(caller)
    monkeypatch.setenv("RUNPROJ_PYTHON", sys.executable)
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", root)
    return folder


def started(*arguments: object) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "runner", "run", *map(str, arguments), *LOCAL]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(*arguments: object) -> subprocess.CompletedProcess[str]:
    with started(*arguments) as process:
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def rows(query: str, *values: object) -> list[tuple[Any, ...]]:
    with sqlite3.connect("mlflow.db") as connection:
        found = connection.execute(query, values).fetchall()
    connection.close()
    return found


def tags_of(run_id: str) -> dict[str, str]:
    return dict(rows("SELECT key, value FROM tags WHERE run_uuid = ?", run_id))


def params_of(run_id: str) -> dict[str, str]:
    return dict(rows("SELECT key, value FROM params WHERE run_uuid = ?", run_id))


def only_run() -> tuple[str, str, Path]:
    ((run_id, status, uri),) = rows("SELECT run_uuid, status, artifact_uri FROM runs")
    return run_id, status, Path(uri.removeprefix("file://"))


def record_of(artifacts: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((artifacts / "runproj/record.json").read_text())
    assert [error.message for error in validator("record").iter_errors(record)] == []
    return record


def test_a_run_is_shown_recorded_and_answered_by_its_own_exit_code(project: Path) -> None:
    done = finished(project, "-P", "alpha=0.7", "--tag", "team=blue", "--run-name", "first")
    assert done.returncode == 0
    assert done.stdout == "0.7|it's|\n"
    assert "oops" in done.stderr
    run_id, status, artifacts = only_run()
    assert status == "FINISHED"
    assert artifacts == Path.cwd() / "mlruns" / "0" / run_id / "artifacts"
    assert params_of(run_id) == {"alpha": "0.7", "name": "it's"}
    tags = tags_of(run_id)
    assert tags["mlflow.runName"] == "first"
    assert tags["mlflow.source.type"] == "PROJECT"
    assert tags["mlflow.source.name"] == str(project)
    assert tags["mlflow.project.entryPoint"] == "main"
    assert tags["mlflow.project.backend"] == "local"
    assert tags["team"] == "blue"
    assert (artifacts / "runproj/stdout.log").read_text() == "0.7|it's|\n"
    assert (artifacts / "runproj/stderr.log").read_text() == "oops\n"
    record = record_of(artifacts)
    assert record["parameters"] == {"alpha": "0.7", "name": "it's"}
    assert record["outcome"]["status"] == "FINISHED"
    assert record["outcome"]["exit_code"] == 0
    assert record["outcome"]["usage"]["peak_memory"] > 0
    assert sorted(os.listdir(project)) == ["MLproject", "log.py"]
    assert sorted(p for p in os.listdir() if "-" not in p) == ["mlflow.db", "mlruns"]


@pytest.mark.parametrize("code", [1, 2, 42, 125, 255])
def test_the_exit_code_is_the_commands_own(project: Path, code: int) -> None:
    assert finished(project, "-e", "code", "-P", f"code={code}").returncode == code
    run_id, status, artifacts = only_run()
    assert status == "FAILED"
    assert tags_of(run_id)["runproj.exit_code"] == str(code)
    assert record_of(artifacts)["outcome"]["exit_code"] == code


def test_a_command_that_is_killed_is_answered_by_128_and_the_signal(project: Path) -> None:
    assert finished(project, "-e", "suicide").returncode == 137
    _, status, artifacts = only_run()
    assert status in {"KILLED", "FAILED"}
    assert record_of(artifacts)["outcome"]["signal"] == 9


def test_a_secret_is_in_the_command_and_nowhere_else(project: Path, home: Path) -> None:
    done = finished(project, "-P", "token=hunter2hunter2")
    assert done.returncode == 0, done.stderr
    assert "hunter2" in done.stdout
    assert "hunter2" not in done.stderr
    run_id, _, artifacts = only_run()
    assert "***" in (artifacts / "runproj/stdout.log").read_text()
    for folder in (Path.cwd(), home):
        for path in folder.rglob("*"):
            assert not path.is_file() or b"hunter2" not in path.read_bytes(), path
    assert params_of(run_id)["token"] == "***"


def test_credentials_in_urls_reach_the_command_and_nothing_else(project: Path, home: Path) -> None:
    (project / "MLproject").write_text(
        """
entry_points:
  main:
    parameters:
      remote: uri
      key: {type: string, secret: true, default: hunter2hunter2}
    command: 'echo {remote} {key}'
"""
    )
    url = "https://bob:hunter2@example.org"
    done = finished(project, "-P", f"remote={url}/a", "-P", f"more={url}/b")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{url}/a hunter2hunter2 --more {url}/b\n"
    assert "hunter2" not in done.stderr
    run_id, _, artifacts = only_run()
    clean = "https://example.org"
    assert params_of(run_id) == {"remote": f"{clean}/a", "more": f"{clean}/b", "key": "***"}
    assert record_of(artifacts)["parameters"]["remote"] == f"{clean}/a"
    for folder in (Path.cwd(), home):
        for path in folder.rglob("*"):
            assert not path.is_file() or b"hunter2" not in path.read_bytes(), path


def test_a_command_logs_into_its_own_run(project: Path) -> None:
    done = finished(project, "-e", "log")
    assert done.returncode == 0, done.stderr
    run_id, status, _ = only_run()
    assert status == "FINISHED"
    assert rows("SELECT key, value, step FROM metrics WHERE key = 'loss'") == [("loss", 0.25, 3)]
    assert params_of(run_id) == {"inner": "x"}
    assert tags_of(run_id)["colour"] == "red"


def test_the_command_knows_its_run_and_nothing_leaks_from_ours(project: Path) -> None:
    done = finished(project, "-e", "env")
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    run_id, _, _ = only_run()
    assert found["MLFLOW_RUN_ID"] == run_id
    assert found["MLFLOW_EXPERIMENT_ID"] == "0"
    assert found["MLFLOW_TRACKING_URI"].startswith("http://127.0.0.1:")
    assert Path(found["PWD"]) == project


@pytest.mark.parametrize(
    ("given", "uri"), [("sqlite:///own.db", "sqlite:///{}/own.db"), ("own", "file://{}/own")]
)
def test_a_command_may_reach_the_store_directly(project: Path, given: str, uri: str) -> None:
    done = finished(project, "-e", "env", "--tracking", "direct", "--tracking-uri", given)
    seen = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert seen["MLFLOW_TRACKING_URI"] == uri.format(os.getcwd())
    assert "RUNPROJ_ENDPOINT" not in seen


def test_a_nested_run_is_a_child_in_the_same_store(project: Path) -> None:
    done = finished(project, "-e", "nested")
    assert done.returncode == 0, done.stderr
    found = dict(rows("SELECT run_uuid, experiment_id FROM runs"))
    parents = dict(rows("SELECT run_uuid, value FROM tags WHERE key = 'mlflow.parentRunId'"))
    ((child, parent),) = parents.items()
    assert set(found) == {child, parent}
    assert found[parent] == 0
    assert rows("SELECT name FROM experiments ORDER BY experiment_id") == [("Default",), ("steps",)]
    assert found[child] != 0
    assert not (project / "mlflow.db").exists()
    assert rows("SELECT value FROM tags WHERE key = 'mlflow.project.env'") == [], "not inherited"


def test_experiments_by_name_are_made_once_and_by_id_must_exist(project: Path) -> None:
    for _ in range(2):
        assert finished(project, "-e", "inner", "--experiment-name", "mine").returncode == 0
    assert rows("SELECT name FROM experiments WHERE experiment_id != 0") == [("mine",)]
    done = finished(project, "-e", "inner", "--experiment-id", "77")
    assert done.returncode == 125
    assert "77" in done.stderr
    both = finished(project, "--experiment-id", "0", "--experiment-name", "x")
    assert both.returncode == 2


def test_a_run_can_be_continued(project: Path) -> None:
    finished(project, "-e", "inner")
    run_id, _, _ = only_run()
    assert finished(project, "-e", "code", "-P", "code=3", "--run-id", run_id).returncode == 3
    assert only_run()[:2] == (run_id, "FAILED")
    done = finished(project, "--run-id", "0" * 32)
    assert done.returncode == 125
    assert "0" * 32 in done.stderr


def test_json_is_the_only_thing_on_standard_output(project: Path) -> None:
    done = finished(project, "--json")
    told = json.loads(done.stdout)
    run_id, _, _ = only_run()
    assert told["run_id"] == run_id
    assert told["outcome"]["status"] == "FINISHED"
    assert "0.5|it's|" in done.stderr


def test_a_dry_run_executes_and_records_nothing(project: Path) -> None:
    done = finished(project, "--dry-run", "-P", "alpha=0.9")
    assert done.returncode == 0
    assert "0.9" in done.stdout
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_command_and_the_record_says_so(
    project: Path, number: signal.Signals, code: int
) -> None:
    with started(project, "-e", "sleep") as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        process.communicate(timeout=120)
    assert process.returncode == code
    _, status, artifacts = only_run()
    assert status == "KILLED"
    outcome = record_of(artifacts)["outcome"]
    assert outcome["reason"] == "cancelled"
    assert outcome["phase"] == "command"


EARLY = """
import os, signal, sys
from runner.app import Application
from runner.model.event import Started
from runner.model.plan import RunRequest
from runner.pipeline.request import parsed_reference
from runner.pipeline.run import run
from runner.settings import settings

class Signaller:
    def report(self, event):
        if isinstance(event, Started):
            os.kill(os.getpid(), signal.SIGTERM)

request = RunRequest(
    reference=parsed_reference(sys.argv[1], None), caller=os.getcwd(), entry_point="sleep",
    parameters={}, environment_manager="local",
)
print(run(request, Application(settings(), Signaller())).outcome.signal)
"""
"""Gets a signal when the command has started and nobody follows it yet."""


def test_a_signal_before_the_command_is_followed_reaches_it(project: Path) -> None:
    argv = [sys.executable, "-c", EARLY, str(project)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["15"], done.stderr
    _, status, artifacts = only_run()
    outcome = record_of(artifacts)["outcome"]
    found = (status, outcome["phase"], outcome["reason"])
    assert found == ("KILLED", "command", "cancelled")


def test_time_is_limited(project: Path) -> None:
    begun = time.monotonic()
    assert finished(project, "-e", "sleep", "--timeout", "0.5").returncode == 124
    assert time.monotonic() - begun < 20
    _, status, artifacts = only_run()
    assert status == "KILLED"
    assert record_of(artifacts)["outcome"]["reason"] == "timeout"


def test_runproj_killed_the_record_is_closed_all_the_same(project: Path, home: Path) -> None:
    with started(project, "-e", "sleep") as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.kill()
        process.communicate(timeout=120)
    deadline = time.monotonic() + 30
    while only_run()[1] == "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.1)
    _, status, artifacts = only_run()
    assert status == "KILLED"
    assert record_of(artifacts)["outcome"]["reason"] == "orphaned"
    while os.listdir(home / "jobs") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert os.listdir(home / "jobs") == []


def test_a_job_folder_that_cannot_be_made_is_a_failed_run(project: Path, home: Path) -> None:
    home.mkdir()
    (home / "jobs").write_text("no folder")
    done = finished(project, "-e", "inner")
    assert done.returncode == 125
    assert "Traceback" not in done.stderr
    run_id, status, _ = only_run()
    assert status == "FAILED"
    assert tags_of(run_id)["runproj.phase"] == "prepare"


@pytest.mark.slow
def test_an_environment_that_cannot_be_had_is_a_failed_run(project: Path) -> None:
    (project / "python_env.yaml").write_text('python: "2.0"\n')
    argv = [sys.executable, "-m", "runner", "run", str(project), "-e", "inner"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 125
    assert "2.0" in done.stderr
    assert "Traceback" not in done.stderr
    _, status, artifacts = only_run()
    assert status == "FAILED"
    outcome = record_of(artifacts)["outcome"]
    assert outcome["phase"] == "lock"
    assert "2.0" in outcome["detail"]


@pytest.mark.parametrize(
    "arguments",
    [("nowhere",), ("-e", "nothing"), ("-P", "alpha=abc"), ("-b", "nowhere"), ("-v", "main")],
)
def test_a_request_that_is_not_sound_leaves_no_record(
    project: Path, arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    uri = [] if arguments == ("nowhere",) else [str(project)]
    code = main(["run", *uri, *arguments, *LOCAL])
    assert code in {2, 125}
    assert capfd.readouterr().err.startswith("error[")
    assert os.listdir() == []
