"""What is particular to the SQLite store: the file, its making, and what can happen to it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.errors import StoreError
from runner.model.tracking import Metric, TrackedRun
from runner.model.value import RunId
from runner.stores import database, mlflow_schema
from runner.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def fresh(**given: object) -> TrackedRun:
    fields: dict[str, object] = {
        "run_id": RunId(""),
        "experiment_id": "0",
        "name": "",
        "status": "RUNNING",
        "started": 1,
        "ended": None,
        "artifact_uri": "",
    }
    return TrackedRun(**{**fields, **given})  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "mlflow.db")


@pytest.fixture
def store(path: str) -> Iterator[SqliteStore]:
    opened = SqliteStore(path)
    yield opened
    opened.close()


def made(path: str, *statements: str) -> None:
    """Make a database with some tables of somebody's."""
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_nothing_is_made_before_the_first_write(store: SqliteStore, tmp_path: Path) -> None:
    assert [e.name for e in store.experiments()] == ["Default"]
    assert store.runs(["0"]).runs == ()
    with pytest.raises(StoreError):
        store.run(RunId("f" * 32))
    assert os.listdir(tmp_path) == []
    run = store.create_run(fresh())
    assert store.run(run.run_id) == run
    assert "mlflow.db" in os.listdir(tmp_path)
    assert "mlruns" not in os.listdir(tmp_path), "folders come with the first file"


def test_a_history_reads_its_own_run_only(store: SqliteStore) -> None:
    """SQLite's own choice would be the primary key, which has the metric of all runs."""
    runs = [store.create_run(fresh()).run_id for _ in range(100)]
    metrics = [Metric(key="loss", value=n / 7, timestamp=n, step=n) for n in range(10)]
    for run_id in runs:
        store.log(run_id, metrics=metrics)
    steps = []
    with store._database.reading() as connection:
        connection.set_progress_handler(lambda: steps.append(1), 10)
    assert store.history(runs[50], "loss") == tuple(metrics)
    assert store.histories(runs[50]) == tuple(metrics)
    assert 0 < 10 * len(steps) < 2500


def test_an_empty_file_is_taken(store: SqliteStore, path: str) -> None:
    Path(path).touch()
    assert store.runs(["0"]).runs == ()
    run = store.create_run(fresh())
    assert store.run(run.run_id) == run


def test_missing_folders_are_made(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "a" / "b" / "x.db"))
    run = store.create_run(fresh())
    assert run.artifact_uri == f"{tmp_path}/a/b/mlruns/0/{run.run_id}/artifacts"
    store.artifacts(run).put("a.txt", b"made with the first file")
    assert os.listdir(run.artifact_uri) == ["a.txt"]
    store.close()


def test_closing_leaves_one_file(store: SqliteStore, path: str) -> None:
    store.create_run(fresh())
    store.close()
    assert not os.path.exists(f"{path}-wal")
    assert not os.path.exists(f"{path}-shm")


def journal(path: str) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.parametrize(("is_local", "mode"), [(True, "wal"), (False, "delete")])
def test_a_write_ahead_log_is_for_local_disks(
    is_local: bool,  # noqa: FBT001 - a parameter of the test
    mode: str,
    store: SqliteStore,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "_is_local", lambda _path: is_local)
    store.create_run(fresh())
    store.close()
    assert journal(path) == mode


def test_the_mode_of_an_existing_file_stays(store: SqliteStore, path: str) -> None:
    connection = sqlite3.connect(path)
    mlflow_schema.create(connection, "/art", 1)
    connection.commit()
    connection.close()
    run = store.create_run(fresh())
    store.update_run(run.run_id, status="FINISHED", ended=2)
    store.close()
    assert journal(path) == "delete"
    assert run.artifact_uri == f"/art/0/{run.run_id}/artifacts"


def test_local_file_systems_are_recognised(tmp_path: Path) -> None:
    assert not database._is_local("/proc/self/x.db")
    kinds = Path("/proc/self/mounts").read_text(encoding="utf-8")
    if " /dev/shm tmpfs " in kinds:
        assert database._is_local("/dev/shm/x.db")
    assert isinstance(database._is_local(str(tmp_path / "x.db")), bool)


def test_a_run_is_two_transactions_and_its_end_is_synced(store: SqliteStore) -> None:
    store.create_run(fresh())
    said: list[str] = []
    connection = store._database._connection
    assert connection is not None
    store._database._wal = True
    connection.set_trace_callback(said.append)
    run = store.create_run(fresh(params={f"p{i}": "1" for i in range(50)}, tags={"a": "b"}))
    begun = [s for s in said if s.startswith(("BEGIN", "COMMIT", "PRAGMA"))]
    assert begun == ["BEGIN IMMEDIATE", "COMMIT"]
    said.clear()
    store.update_run(run.run_id, status="FINISHED", ended=3, tags={"c": "d"})
    begun = [s for s in said if s.startswith(("BEGIN", "COMMIT", "PRAGMA"))]
    assert begun == [
        "PRAGMA synchronous = FULL",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "PRAGMA synchronous = NORMAL",
    ]
    connection.set_trace_callback(None)


def test_eight_processes_make_one_store(path: str) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from runner.stores.sqlite import SqliteStore\n"
        "from runner.model.tracking import TrackedRun\n"
        "store = SqliteStore(sys.argv[1])\n"
        "for i in range(3):\n"
        "    run = store.create_run(TrackedRun(run_id='', experiment_id='0', name='',\n"
        "        status='RUNNING', started=1, ended=None, artifact_uri='', params={'a': 'b'}))\n"
        "    store.update_run(run.run_id, status='FINISHED', ended=2)\n"
        "store.close()\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", script, path, str(ROOT)], stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    for worker in workers:
        assert worker.communicate()[1] == b""
        assert worker.returncode == 0
    store = SqliteStore(path)
    assert [run.status for run in store.runs(["0"]).runs] == ["FINISHED"] * 24
    assert [e.name for e in store.experiments()] == ["Default"]
    store.close()


def test_a_killed_writer_leaves_nothing_half(path: str) -> None:
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from runner.stores import rows\n"
        "from runner.stores.sqlite import SqliteStore\n"
        "from runner.model.tracking import TrackedRun\n"
        "store = SqliteStore(sys.argv[1])\n"
        "def new(): return TrackedRun(run_id='', experiment_id='0', name='', status='RUNNING',\n"
        "    started=1, ended=None, artifact_uri='', params={'a': 'b'})\n"
        "store.create_run(new())\n"
        "rows.write = lambda *a, **k: os.kill(os.getpid(), 9)\n"
        "store.create_run(new())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path, str(ROOT)], check=False)
    assert done.returncode == -9
    store = SqliteStore(path)
    assert [run.params for run in store.runs(["0"]).runs] == [{"a": "b"}]
    store.create_run(fresh())
    store.close()


def test_a_file_deleted_behind_us_is_made_anew(store: SqliteStore, path: str) -> None:
    old = store.create_run(fresh())
    for end in ("", "-wal", "-shm"):
        Path(path + end).unlink(missing_ok=True)
    assert store.runs(["0"]).runs == ()
    new = store.create_run(fresh())
    assert [run.run_id for run in store.runs(["0"]).runs] == [new.run_id]
    assert new.run_id != old.run_id


def refusal(store: SqliteStore) -> StoreError:
    with pytest.raises(StoreError) as caught:
        store.create_run(fresh())
    assert "\n" not in caught.value.message
    assert caught.value.where
    return caught.value


def test_somebody_else_writes_for_ever(
    store: SqliteStore, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    store.create_run(fresh())
    store.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    error = refusal(store)
    assert time.monotonic() - begun < 15
    assert error.status == "TEMPORARILY_UNAVAILABLE"
    assert "another process" in error.message
    assert len(store.runs(["0"]).runs) == 1  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    store.create_run(fresh())


def test_a_full_disk(store: SqliteStore) -> None:
    run = store.create_run(fresh())
    connection = store._database._connection
    assert connection is not None
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    big = {f"p{i}": "x" * 6000 for i in range(20)}
    with pytest.raises(StoreError, match="the disk is full") as caught:
        store.log(run.run_id, params=big)
    assert caught.value.status == "TEMPORARILY_UNAVAILABLE"
    assert store.run(run.run_id).params == {}
    connection.execute("PRAGMA max_page_count = 1000000")
    store.log(run.run_id, params=big)
    assert store.run(run.run_id).params == big


def test_no_database(store: SqliteStore, path: str) -> None:
    Path(path).write_bytes(b"this is no database, " * 500)
    assert "no SQLite database" in refusal(store).message


def test_a_damaged_database(store: SqliteStore, path: str) -> None:
    for _ in range(30):
        store.create_run(fresh(params={f"p{i}": "x" * 300 for i in range(20)}))
    store.close()
    content = bytearray(Path(path).read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    Path(path).write_bytes(content)
    assert "damaged" in refusal(store).message


def test_a_folder_in_its_place(store: SqliteStore, path: str) -> None:
    os.mkdir(path)
    assert "cannot be opened" in refusal(store).message


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    assert "folder" in refusal(SqliteStore(str(tmp_path / "f" / "x.db"))).message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    assert refusal(SqliteStore(str(folder / "x.db"))).status == "PERMISSION_DENIED"


def test_a_database_of_something_else(store: SqliteStore, path: str) -> None:
    made(path, "CREATE TABLE songs (title TEXT)")
    error = refusal(store)
    assert "other tables" in error.message
    assert "--tracking-uri" in str(error.hint)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]
    connection.close()


def test_an_mlflow_too_old(store: SqliteStore, path: str) -> None:
    connection = sqlite3.connect(path)
    mlflow_schema.create(connection, "/art", 1)
    connection.execute("ALTER TABLE runs DROP COLUMN deleted_time")
    connection.commit()
    connection.close()
    error = refusal(store)
    assert "deleted_time" in error.message
    assert "mlflow db upgrade" in str(error.hint)


def test_a_half_made_database(store: SqliteStore, path: str) -> None:
    made(path, f"CREATE TABLE runs ({mlflow_schema.TABLES['runs']})")
    assert "lacks tables" in refusal(store).message


def test_artifacts_of_a_server_lie_where_it_keeps_them(store: SqliteStore, tmp_path: Path) -> None:
    experiment = store.create_experiment("proxied", artifact_location="mlflow-artifacts:/7")
    run = store.create_run(fresh(experiment_id=experiment.experiment_id))
    assert run.artifact_uri == f"mlflow-artifacts:/7/{run.run_id}/artifacts"
    store.artifacts(run).put("a", b"x")
    place = tmp_path / "mlartifacts" / "7" / run.run_id / "artifacts" / "a"
    assert place.read_bytes() == b"x"


@pytest.mark.parametrize("uri", ["mlflow-artifacts:/../../x", "mlflow-artifacts://h:1/../../x"])
def test_artifacts_of_a_server_do_not_climb(store: SqliteStore, uri: str, tmp_path: Path) -> None:
    run = store.create_run(fresh(artifact_uri=uri))
    assert store.artifacts(run).folder() == f"{tmp_path}/mlartifacts/x"


def test_a_database_that_was_moved_finds_its_files(store: SqliteStore, tmp_path: Path) -> None:
    run = store.create_run(fresh())
    store.artifacts(run).put("a", b"x")
    store.close()
    elsewhere = tmp_path / "moved here"
    elsewhere.mkdir()
    for name in ("mlflow.db", "mlruns"):
        os.rename(tmp_path / name, elsewhere / name)
    moved = SqliteStore(str(elsewhere / "mlflow.db"))
    assert [a.path for a in moved.artifacts(moved.run(run.run_id)).list()] == ["a"]
    moved.close()


def test_artifacts_in_the_cloud_say_so(store: SqliteStore) -> None:
    experiment = store.create_experiment("s3", artifact_location="s3://key:secret@bucket/x")
    run = store.create_run(fresh(experiment_id=experiment.experiment_id))
    artifacts = store.artifacts(run)
    assert artifacts.folder() is None
    for action in (lambda: artifacts.put("a", b""), lambda: artifacts.list()):
        with pytest.raises(StoreError, match="s3://bucket/x") as caught:
            action()
        assert "secret" not in caught.value.message
        assert caught.value.status == "NOT_IMPLEMENTED"


def test_hostile_experiment_ids(store: SqliteStore) -> None:
    for experiment_id in ("0; DROP TABLE runs", "0 OR 1=1", "٣", "-1", "1e3"):
        with pytest.raises(StoreError):
            store.create_run(fresh(experiment_id=experiment_id))
        assert store.runs([experiment_id]).runs == ()
