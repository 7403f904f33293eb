"""Stores that only MLflow can open: a real PostgreSQL, MLflow in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from libraries import fill
from postgres import PASSWORD, Postgres, programs

from runner.app import Application
from runner.cli.output import SilentReporter
from runner.errors import StoreError
from runner.pipeline.store_digest import compare
from runner.pipeline.tally import Scope
from runner.pipeline.transfer import transfer
from runner.settings import settings
from runner.stores.bridge import VERSION, bridged
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.ports import TrackingStore

ROOTS = ("mlruns", "mlartifacts")


@pytest.mark.parametrize(
    ("scheme", "variables", "packages"),
    [
        ("postgresql", {}, (f"mlflow=={VERSION}", "psycopg2-binary")),
        ("postgresql+psycopg2", {}, (f"mlflow=={VERSION}", "psycopg2-binary")),
        ("mysql+pymysql", {}, (f"mlflow=={VERSION}", "pymysql", "cryptography")),
        ("mssql+pymssql", {}, (f"mlflow=={VERSION}", "pymssql")),
        ("databricks", {}, (f"mlflow=={VERSION}",)),
        ("ftp", {}, None),
        (
            "ours",
            {"RUNPROJ_MLFLOW_PACKAGES": "our-plugin>=2"},
            (f"mlflow=={VERSION}", "our-plugin>=2"),
        ),
        (
            "postgresql",
            {"RUNPROJ_MLFLOW_VERSION": "2.22.5"},
            ("mlflow==2.22.5", "sqlalchemy<2.1", "psycopg2-binary"),
        ),
    ],
)
def test_what_a_bridge_needs(
    scheme: str, variables: dict[str, str], packages: tuple[str, ...] | None
) -> None:
    assert bridged(scheme, variables) == packages


def test_an_environment_without_mlflow_is_told_in_a_sentence(tmp_path: Path) -> None:
    """The Python of the tests has no MLflow: the bridge must say so and be gone."""
    with pytest.raises(StoreError) as caught:
        open_store(
            f"postgresql://ada:{PASSWORD}@127.0.0.1:1/x",
            directory=str(tmp_path),
            environ={"PATH": os.defpath},
            environment=lambda _packages: os.path.realpath("/proc/self/exe"),
        )
    assert "No module named 'mlflow'" in caught.value.message
    assert PASSWORD not in caught.value.message
    assert caught.value.where == "postgresql://127.0.0.1:1/x"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    if programs() is None and not os.environ.get("CI"):
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with Postgres() as server:
        yield server


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_postgresql_store(
    postgres: Postgres,
    tmp_path: Path,
    home: Path,
    runproj: Path,
) -> None:
    """The environment is built by us; runs, copies and MLflow's own client share one database."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "MLproject").write_text(
        "name: p\nentry_points:\n  main:\n    parameters: {alpha: {type: float, default: 0.5}}\n"
        '    command: "echo trained {alpha}; python3 log.py"\n'
    )
    (tmp_path / "project" / "log.py").write_text(LOG)
    environ = {**os.environ, "MLFLOW_TRACKING_URI": postgres.uri}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (str(runproj), *arguments),
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )

    done = call("run", "project", "--env-manager", "local", "--experiment-name", "by runproj")
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stderr + done.stdout
    assert (tmp_path / "mlruns").is_dir()
    _copies_there_and_back(postgres.uri, tmp_path)
    seen = subprocess.run(
        (python_of(home), "-c", READ, postgres.uri),
        cwd=tmp_path,
        check=False,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert seen.returncode == 0, seen.stderr
    assert json.loads(seen.stdout) == {
        "experiment": "by runproj",
        "status": "FINISHED",
        "alpha": "0.5",
        "loss": [1.0, 0.5],
        "log": "trained 0.5\n",
        "backend": "local",
    }
    done = call("runs", "list")
    assert done.returncode == 125
    assert "the database was made by another version of MLflow" in done.stderr
    assert "RUNPROJ_MLFLOW_VERSION" in done.stderr
    assert PASSWORD not in done.stderr


def _copies_there_and_back(uri: str, folder: Path) -> None:
    services = Application(settings({**os.environ, "PWD": str(folder)}), SilentReporter())
    here = open_store("sqlite:///one.db", directory=str(folder), environ={})
    fill(here)
    there: TrackingStore = services.opened(uri)
    try:
        scope = Scope(registry=True)
        copied = transfer(here, there, reporter=SilentReporter(), scope=scope)
        assert copied.problems == ()
        assert compare(here, there, scope=scope).differences == ()
        assert transfer(here, there, reporter=SilentReporter(), scope=scope).made == {}
    finally:
        there.close()
        here.close()


def python_of(home: Path) -> str:
    """Return the Python of the environment that was built for the bridge."""
    (python,) = (home / "envs").glob("*/bin/python")
    return str(python)


LOG = """
import json, os, urllib.request

for step, value in enumerate((1.0, 0.5)):
    document = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "loss", "value": value,
                "timestamp": step, "step": step}
    request = urllib.request.Request(
        os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric",
        json.dumps(document).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=60).read()
"""
READ = """
import json, sys, mlflow, psycopg2
client = mlflow.MlflowClient(sys.argv[1].replace("postgresql:", "postgresql+psycopg2:"))
(experiment,) = [e for e in client.search_experiments() if e.name == "by runproj"]
(run,) = client.search_runs([experiment.experiment_id])
print(json.dumps({
    "experiment": experiment.name,
    "status": run.info.status,
    "alpha": run.data.params["alpha"],
    "loss": [m.value for m in client.get_metric_history(run.info.run_id, "loss")],
    "log": open(client.download_artifacts(run.info.run_id, "runproj/stdout.log")).read(),
    "backend": run.data.tags["mlflow.project.backend"],
}))
with psycopg2.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
    cursor.execute("UPDATE alembic_version SET version_num = 'acf3f17fdcc7'")
"""
