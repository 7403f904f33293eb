"""``runproj runs``: the command as users call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.cli.main import main
from runner.cli.run_views import id_width, size, span
from runner.cli.text import printable
from runner.model.tracking import Metric, TrackedRun
from runner.model.value import RunId
from runner.stores import runfolder
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.ports import TrackingStore

ROOT = Path(__file__).parents[2]
RECORD = {
    "source": {
        "location": "https://example.org/p.git",
        "commit": "c" * 40,
        "branch": "dev",
        "dirty": True,
        "tree": "swh:1:dir:" + "d" * 40,
    },
    "entry_point": "train",
    "command": {"script": "python train.py --alpha 0.5"},
    "environment": {
        "manager": "uv",
        "lock": {"name": "pylock.toml", "python": "3.11.7", "digest": "sha256:" + "e" * 64},
    },
    "outcome": {
        "status": "FAILED",
        "phase": "command",
        "reason": "exit",
        "exit_code": 3,
        "usage": {"user": 1.0, "system": 0.5, "peak_memory": 12_300_000},
    },
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setenv("PWD", str(tmp_path))
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(params=["sqlite:///mlflow.db", "mlruns"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> TrackingStore:
    return open_store(request.param, directory=str(tmp_path), environ={})


def add(store: TrackingStore, **given: object) -> TrackedRun:
    fields: dict[str, object] = {
        "run_id": RunId(""),
        "experiment_id": "0",
        "name": "",
        "status": "RUNNING",
        "started": 1_795_245_547_000,
        "ended": None,
        "artifact_uri": "",
    }
    run = store.create_run(TrackedRun(**{**fields, **given}))  # type: ignore[arg-type]
    store.close()
    return run


def test_nothing_yet(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["runs", "list"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"no runs in sqlite:///{tmp_path}/mlflow.db" in err
    assert main(["runs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert os.listdir(tmp_path) == []


def test_the_table(store: TrackingStore, capsys: pytest.CaptureFixture[str]) -> None:
    second = store.create_experiment("second")
    old = add(store, name="old", status="FINISHED", ended=1_795_245_549_500)
    tags = {"mlflow.source.name": "https://h/me/wine/", "mlflow.project.entryPoint": "train"}
    new = add(
        store,
        name="ne\x1b[31mw",
        status="FAILED",
        experiment_id=second.experiment_id,
        started=1_795_245_560_000,
        ended=1_795_245_860_000,
        tags=tags,
    )
    assert main(["runs", "list"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].split() == ["RUN", "STATUS", "STARTED", "TOOK", "EXPERIMENT", "NAME", "SOURCE"]
    assert lines[1].split("  ")[0] == new.run_id[:8]
    assert "FAILED" in lines[1]
    assert "2026-11-21 07:19:20" in lines[1]
    assert "5 min 0 s" in lines[1]
    assert "second" in lines[1]
    assert "ne\\x1b[31mw" in lines[1]
    assert lines[1].endswith("wine:train")
    assert lines[2].startswith(old.run_id[:8])
    assert "2.5 s" in lines[2]
    column = lines[0].index("STATUS")
    assert {line[column - 1] for line in lines} == {" "}
    assert all(line[column] != " " for line in lines)


def test_limits(store: TrackingStore, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(5):
        add(store, started=1000 + i, params={"i": str(i)})

    def listed(*options: str) -> list[str]:
        assert main(["runs", "list", "--json", *options]) == 0
        return [run["params"]["i"] for run in json.loads(capsys.readouterr().out)]

    assert listed("--limit", "2") == ["4", "3"]
    assert listed("--all") == ["4", "3", "2", "1", "0"]
    assert main(["runs", "list", "--limit", "2"]) == 0
    assert "--all" in capsys.readouterr().err


def test_experiments_and_deleted_runs(
    store: TrackingStore, capsys: pytest.CaptureFixture[str]
) -> None:
    wine = store.create_experiment("wine")
    inside = add(store, experiment_id=wine.experiment_id)
    gone = add(store)
    store.delete_run(gone.run_id)
    store.close()

    def listed(*options: str) -> set[str]:
        assert main(["runs", "list", "--json", *options]) == 0
        return {run["run_id"] for run in json.loads(capsys.readouterr().out)}

    assert listed() == {inside.run_id}
    assert listed("--deleted") == {inside.run_id, gone.run_id}
    assert listed("--experiment", "wine") == {inside.run_id}
    assert listed("--experiment", wine.experiment_id) == {inside.run_id}
    assert listed("--experiment", "Default") == set()
    assert main(["runs", "list", "--experiment", "wien"]) == 125
    assert "did you mean 'wine'?" in capsys.readouterr().err


def test_one_run(store: TrackingStore, capsys: pytest.CaptureFixture[str]) -> None:
    run = add(
        store,
        name="brave-otter-417",
        user="ada",
        params={"alpha": "0.50", "text": "a\nb"},
        tags={"t": "x"},
    )
    nan, loss = float("nan"), Metric(key="loss", value=0.125, timestamp=5, step=7)
    store.log(run.run_id, metrics=[loss, Metric(key="bad", value=nan, timestamp=5)])
    store.artifacts(run).put("runproj/record.json", json.dumps(RECORD).encode())
    store.artifacts(run).put("model/weights.bin", b"x" * 2345)
    store.update_run(run.run_id, status="FAILED", ended=1_795_245_549_000)
    store.close()
    assert main(["runs", "show", run.run_id[:10]]) == 0
    out = capsys.readouterr().out
    for words in (
        f"brave-otter-417 ({run.run_id})",
        "Default (0)",
        "FAILED (exit code 3)",
        "2.0 s",
        "ada",
        "https://example.org/p.git",
        f"{'c' * 40} (branch dev, with changes)",
        "swh:1:dir:",
        "python train.py --alpha 0.5",
        "uv, Python 3.11.7, pylock.toml sha256:eee",
        "1.5 s CPU, 12.3 MB memory",
        "alpha",
        "0.50",
        "a\\nb",
        "0.125  (step 7)",
        "model/weights.bin",
        "2.3 kB",
    ):
        assert words in out
    assert main(["runs", "show", run.run_id, "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["metrics"]["bad"]["value"] == "NaN"
    assert found["metrics"]["loss"] == {
        "value": 0.125,
        "step": 7,
        "time": "1970-01-01T00:00:00.005+00:00",
    }
    assert found["params"] == {"alpha": "0.50", "text": "a\nb"}
    assert found["record"] == RECORD
    assert found["duration"] == 2.0
    assert {"path": "model/weights.bin", "size": 2345} in found["artifacts"]


def test_a_run_of_somebody_else(store: TrackingStore, capsys: pytest.CaptureFixture[str]) -> None:
    run = add(store, started=None)
    assert main(["runs", "show", run.run_id]) == 0
    assert "RUNNING" in capsys.readouterr().out
    assert main(["runs", "show", run.run_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["record"] is None
    assert main(["runs", "logs", run.run_id]) == 125
    assert "-f" in capsys.readouterr().err


def test_beginnings_of_ids(store: TrackingStore, capsys: pytest.CaptureFixture[str]) -> None:
    for end in "ab":
        add(store, run_id=RunId("abc" + end * 29), name=f"name-{end}")
    add(store, run_id=RunId("abc"), name="short")
    assert main(["runs", "show", "abca"]) == 0
    assert "name-a" in capsys.readouterr().out
    assert main(["runs", "show", "abc"]) == 0
    assert "short" in capsys.readouterr().out
    assert main(["runs", "show", "ab"]) == 125
    err = capsys.readouterr().err
    assert all(name in err for name in ("name-a", "name-b", "short"))
    assert main(["runs", "show", "zzz"]) == 125
    assert "there is no run 'zzz'" in capsys.readouterr().err
    assert main(["runs", "show", "../x"]) == 125
    assert "is no run id" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"],
        ["logs"],
        ["list", "abc"],
        ["list", "-f"],
        ["list", "--stderr"],
        ["show", "abc", "--limit", "3"],
        ["show", "abc", "--all"],
        ["logs", "abc", "--json"],
        ["list", "--limit", "0"],
        ["list", "--limit", "-1"],
        ["list", "--limit", "x"],
        ["list", "--limit", "3", "--all"],
        ["nonsense"],
        ["list", "--nonsense"],
    ],
)
def test_odd_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", *arguments]) == 2
    err = capsys.readouterr().err
    assert err
    assert "Traceback" not in err


def test_an_odd_store(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list", "--tracking-uri", "ftp://me:secret@h/x"]) == 125
    err = capsys.readouterr().err
    assert "ftp://h/x" in err
    assert "secret" not in err


def test_logs(store: TrackingStore, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    run = add(store)
    store.artifacts(run).put("runproj/stdout.log", b"out \xff\n" * 20_000)
    store.artifacts(run).put("runproj/stderr.log", b"err")
    store.close()
    command = [sys.executable, "-P", "-m", "runner", "runs", "logs", run.run_id[:8]]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, check=False, env=environ).returncode == 0
    assert capfdbinary.readouterr().out == b"out \xff\n" * 20_000
    assert subprocess.run([*command, "--stderr"], check=False, env=environ).returncode == 0
    assert capfdbinary.readouterr().out == b"err"


def test_following_goes_on_until_the_end(store: TrackingStore, tmp_path: Path) -> None:
    run = add(store)
    folder = store.artifacts(run).folder()
    assert folder is not None
    command = [sys.executable, "-P", "-u", "-m", "runner", "runs", "logs", "-f", run.run_id]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, cwd=tmp_path) as follower:
        assert follower.stdout is not None
        os.makedirs(os.path.join(folder, "runproj"))
        with open(os.path.join(folder, "runproj", "stdout.log"), "wb", buffering=0) as log:
            log.write(b"first\n")
            assert follower.stdout.readline() == b"first\n"
            assert follower.poll() is None
            log.write(b"last\n")
        store.update_run(run.run_id, status="FINISHED", ended=5)
        store.close()
        assert follower.stdout.read() == b"last\n"
        assert follower.wait(60) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_sizes_and_ids() -> None:
    assert [size(n) for n in (0, 999, 1000, 1_500_000, 2 * 10**12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.5 MB",
        "2.0 TB",
    ]
    assert id_width([]) == 8
    assert id_width(["a" * 32, "b" * 32]) == 8
    assert id_width(["a" * 10 + "b", "a" * 10 + "c"]) == 11
    assert printable("a\x1b\n\u202eé") == "a\\x1b\\n\\u202eé"


def test_only_runs_that_are_shown_are_read(tmp_path: Path) -> None:
    """Of the others a listing knows the start time only: 10,000 runs take 0.1 s."""
    store: Any = open_store("mlruns", directory=str(tmp_path), environ={})
    for i in range(120):
        store.create_run(
            TrackedRun(
                run_id=RunId(""),
                experiment_id="0",
                name="",
                status="RUNNING",
                started=i,
                ended=None,
                artifact_uri="",
            )
        )
    read: list[str] = []
    original = runfolder.run

    def noted(folder: str, run_id: str) -> TrackedRun:
        read.append(run_id)
        return original(folder, run_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runfolder, "run", noted)
        assert len(store.runs(["0"], limit=50).runs) == 50
    assert len(read) == 50
