from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import runner
from runner.api import ExecutionError
from runner.errors import FilterError, ParameterError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "MLproject").write_text(
        """
entry_points:
  main:
    parameters:
      n: {type: int, default: 1}
      flag: {type: bool, default: false}
    command: 'echo {n} {flag} > "$OUT"'
  fail: {command: 'exit 3'}
  sleep: {command: 'sleep 60'}
"""
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUT", str(tmp_path / "out.txt"))
    return str(folder)


def test_a_run_is_waited_for(project: str, tmp_path: Path) -> None:
    handle = runner.run(project, parameters={"n": 3, "flag": True}, env_manager="local")
    assert (tmp_path / "out.txt").read_text() == "3 true\n"
    assert handle.status == handle.get_status() == "FINISHED"
    assert handle.exit_code == 0
    assert handle.wait()
    handle.cancel()
    assert handle.status == "FINISHED"


def test_a_failed_run_raises_and_names_the_run(project: str) -> None:
    with pytest.raises(ExecutionError, match="FAILED"):
        runner.run(project, "fail", env_manager="local")


def test_a_run_in_the_background(project: str) -> None:
    handle = runner.run(project, "sleep", env_manager="local", synchronous=False)
    assert handle.status == "RUNNING"
    assert handle.exit_code is None
    other = runner.run(project, env_manager="local", synchronous=False)
    assert other.wait()
    assert handle.status == "RUNNING"
    begun = time.monotonic()
    handle.cancel()
    assert time.monotonic() - begun < 20
    assert handle.status == "KILLED"
    assert not handle.wait()
    assert handle.run_id != other.run_id


def test_many_at_once(project: str) -> None:
    handles = [runner.run(project, env_manager="local", synchronous=False) for _ in range(6)]
    assert all(handle.wait() for handle in handles)
    assert len({handle.run_id for handle in handles}) == 6


def test_bad_arguments_raise_before_anything_is_recorded(project: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        runner.run(project, experiment_name="a", experiment_id="0")
    with pytest.raises(ParameterError):
        runner.run(project, parameters={"n": "abc"}, env_manager="local")
    assert not (tmp_path / "mlflow.db").exists()


def test_runs_are_found_again(project: str) -> None:
    for n in (1, 2, 3):
        runner.run(project, parameters={"n": n}, env_manager="local", tags={"odd": str(n % 2)})
    found = runner.search_runs("tags.odd = '1'", order_by=["params.n DESC"], max_results=5)
    assert [run.params["n"] for run in found] == ["3", "1"]
    assert len(runner.search_runs(experiments=["Default"])) == 3
    assert len(runner.search_runs(max_results=2)) == 2
    with pytest.raises(FilterError):
        runner.search_runs("n = 1")
