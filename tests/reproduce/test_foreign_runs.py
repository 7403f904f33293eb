"""Runs that ``mlflow run`` made, and those that nobody can make again."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from driving import new_run
from git_repositories import make_repo
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import StoreError
from runner.pipeline.foreign import foreign_record, unquoted
from runner.pipeline.recorded import recorded_run
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from machines import Machine

PROJECT = """\
name: old
entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.5}
      title: {type: string, default: "a title"}
      data: {type: path, default: data.csv}
    command: 'python train.py {alpha} {title} {data}'
"""
TRAIN = """\
import sys, mlflow
alpha, title, data = sys.argv[1:]
mlflow.log_param("rows", open(data).read().count("\\n"))
mlflow.log_metric("score", float(alpha) * 3)
mlflow.log_text(title, "title.txt")
"""


@given(st.text())
def test_what_mlflow_quoted_is_read_again(value: str) -> None:
    assert unquoted(shlex.quote(value)) == value


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({}, "neither by 'mlflow run' nor by a script"),
        ({"mlflow.source.type": "PROJECT", "mlflow.source.name": "/p"}, "no commit"),
        ({"mlflow.source.type": "LOCAL", "mlflow.source.name": "/opt/ipykernel"}, "nor by"),
        ({"mlflow.source.type": "LOCAL", "mlflow.source.name": "train.py"}, "no commit"),
        (
            {
                "mlflow.source.type": "LOCAL",
                "mlflow.source.name": "/nowhere/train.py",
                "mlflow.source.git.commit": "c" * 40,
            },
            "its script is in no repository here",
        ),
    ],
)
def test_runs_that_nobody_can_make_again_are_refused(
    tmp_path: Path, tags: dict[str, str], why: str
) -> None:
    store = open_store(None, directory=str(tmp_path), environ={})
    try:
        run = new_run(store, status="FINISHED", ended=1_700_000_000_001, tags=tags)
        with pytest.raises(StoreError, match=why):
            recorded_run(store, run)
    finally:
        store.close()


def test_what_the_tags_do_not_tell_is_listed(tmp_path: Path) -> None:
    store = open_store(None, directory=str(tmp_path), environ={})
    tags = {
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": "file:///some%20where/repo#sub",
        "mlflow.source.git.commit": "c" * 40,
    }
    try:
        record = foreign_record(new_run(store, status="FINISHED", tags=tags))
    finally:
        store.close()
    assert record["source"]["location"] == "/some where/repo"
    assert record["source"]["project"] == "sub"
    assert record["as_of"] == "2023-11-14T22:13:20+00:00"
    assert any("no lock was recorded" in sentence for sentence in record["missing"])
    assert any("packages of its host" in sentence for sentence in record["missing"])


@pytest.mark.slow
def test_a_run_of_mlflow_run_gets_a_verdict(
    tmp_path: Path, machine: Callable[[str], Machine], mlflow_python: Callable[[str], str]
) -> None:
    tools = Path(mlflow_python("3.17.2")).parent
    repo = make_repo(
        tmp_path / "old", {"p/MLproject": PROJECT, "p/train.py": TRAIN, "p/data.csv": "1\n2\n"}
    )
    here = machine("here")
    here.environ["PATH"] = f"{tools}:{here.environ['PATH']}"
    uri = f"sqlite:///{here.here / 'mlflow.db'}"
    here.environ["MLFLOW_TRACKING_URI"] = uri
    data = repo.path / "p" / "data.csv"  # MLflow looks for relative paths where it was called
    given = ("-P", "alpha=0.25", "-P", f"data={data}")
    made = subprocess.run(
        [tools / "mlflow", "run", f"{repo.path}#p", "--env-manager", "local", *given],
        cwd=here.here,
        env=here.environ,
        check=False,
        capture_output=True,
    )
    assert made.returncode == 0, made.stderr.decode()
    store = open_store(uri, directory=str(here.here), environ={})
    try:
        (reference,) = store.runs(["0"]).runs
    finally:
        store.close()
    repo.commit({"p/train.py": "raise SystemExit('a later version')\n"})
    found = here.verdict(reference.run_id, "--env-manager", "local")
    assert found["status"] == "IDENTICAL"
    judged = {c["name"]: c["judgement"] for c in found["comparisons"]}
    assert judged == dict.fromkeys(
        ("status", "alpha", "title", "data", "rows", "score", "title.txt"), "identical"
    )
    assert any("no lock was recorded" in warning for warning in found["warnings"])
    again = here.tracked(found["reproduction"])
    assert again.tags["runproj.reproduces"] == reference.run_id
    assert again.params["title"] == "'a title'"
    assert here.verdict(reference.run_id, "--env-manager", "local", "-P", "alpha=0.5", code=1)[
        "varied"
    ] == {"alpha": "0.5"}


SCRIPT = """\
import mlflow
mlflow.log_param("rows", open("data.csv").read().count("\\n"))
mlflow.log_metric("score", 0.75)
"""


@pytest.mark.slow
def test_a_run_of_a_script_with_mlflow_gets_a_verdict(
    tmp_path: Path, machine: Callable[[str], Machine], mlflow_python: Callable[[str], str]
) -> None:
    python = mlflow_python("3.17.2")
    repo = make_repo(tmp_path / "old", {"src/train.py": SCRIPT, "src/data.csv": "1\n2\n"})
    here = machine("here")
    here.environ["PATH"] = f"{Path(python).parent}:{here.environ['PATH']}"
    uri = f"sqlite:///{here.here / 'mlflow.db'}"
    here.environ["MLFLOW_TRACKING_URI"] = uri
    folder = repo.path / "src"
    argv = [python, "train.py"]
    made = subprocess.run(argv, cwd=folder, env=here.environ, check=False, capture_output=True)
    assert made.returncode == 0, made.stderr.decode()
    store = open_store(uri, directory=str(here.here), environ={})
    try:
        (reference,) = store.runs(["0"]).runs
    finally:
        store.close()
    repo.commit({"src/train.py": "raise SystemExit('a later version')\n"})

    lost = here.call("reproduce", reference.run_id, "--json")
    assert lost.returncode == 3
    assert "in no repository here" in lost.stdout + lost.stderr
    here.here, here.environ["PWD"] = folder, str(folder)
    unknown = here.call("reproduce", reference.run_id, "--json")
    assert unknown.returncode == 3
    assert "nothing says which packages" in unknown.stdout + unknown.stderr
    found = here.verdict(reference.run_id, "--env-manager", "local")
    assert found["status"] == "IDENTICAL"
    assert {c["name"] for c in found["comparisons"]} == {"status", "rows", "score"}
    assert any("arguments of the script" in sentence for sentence in found["warnings"])
