"""``runproj runs logs``: from artifacts, from a server, from a job that is under way."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from some_runs import add
from teaming import serving

from runner.cli.commands.runs.logs import Log, last_lines
from runner.cli.main import main
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from runner.ports import TrackingStore


def test_a_log_on_a_server_is_fetched_from_where_we_are(
    store: TrackingStore, tmp_path: Path
) -> None:
    run = add(store)
    folder = store.artifacts(run).folder()
    assert folder is not None
    path = os.path.join(folder, "runproj", "stdout.log")
    with serving(store) as server:
        remote = open_store(server.uri, directory=str(tmp_path), environ={})
        known = remote.run(run.run_id)
        assert remote.artifacts(known).folder() is None
        log = Log(remote, str(tmp_path / "home"), "stdout.log")
        assert [*log.more(known)] == []
        os.makedirs(os.path.dirname(path))
        written = b""
        for piece in (b"one\n", b"two\n" * 50_000, b"", b"\xff three"):
            with open(path, "ab") as file:
                file.write(piece)
            written += piece
            assert b"".join(log.more(known)) == piece
        assert log.found
        again = Log(remote, str(tmp_path / "home"), "stdout.log")
        assert b"".join(again.more(known)) == written
        remote.close()


def test_a_job_of_this_machine_is_read_from_its_folder(
    store: TrackingStore, home: Path, tmp_path: Path
) -> None:
    """The logs of a run whose store is a server come there when the run has ended."""
    run = add(store)
    with serving(store) as server:
        remote = open_store(server.uri, directory=str(tmp_path), environ={})
        known = remote.run(run.run_id)
        folder = home / "jobs" / run.run_id
        folder.mkdir(parents=True)
        (folder / "stdout.log").write_bytes(b"live\n")
        log = Log(remote, str(home), "stdout.log")
        assert b"".join(log.more(known)) == b"live\n"
        remote.artifacts(known).put("runproj/stdout.log", b"live\nand the end\n")
        (folder / "stdout.log").unlink()
        assert b"".join(log.more(known)) == b"and the end\n"
        remote.close()


@pytest.mark.parametrize(
    ("chunks", "count", "expected"),
    [
        ([b"a\nb", b"\nc\n"], 2, b"b\nc\n"),
        ([b"a\nb\nc"], 2, b"b\nc"),
        ([b"a\nb\nc"], 0, b""),
        ([b"a\n"], 5, b"a\n"),
        ([], 5, b""),
        ([b"a\r\n\n\nb\n"], 2, b"\nb\n"),
    ],
)
def test_the_last_lines(chunks: list[bytes], count: int, expected: bytes) -> None:
    assert b"".join(last_lines(iter(chunks), count)) == expected


def test_lines_on_the_command_line(
    store: TrackingStore, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    run = add(store, status="FINISHED", ended=5)
    store.artifacts(run).put("runproj/stdout.log", b"1\n2\n3\n")
    store.close()
    assert main(["runs", "logs", run.run_id, "-n", "2"]) == 0
    assert capfdbinary.readouterr().out == b"2\n3\n"
    assert main(["runs", "logs", run.run_id, "-f", "-n", "1"]) == 0
    assert capfdbinary.readouterr().out == b"3\n"
    assert main(["runs", "logs", run.run_id, "-n", "-1"]) == 2
