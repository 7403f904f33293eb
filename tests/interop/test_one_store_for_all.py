"""Projects with MLflow 1.30, 2.22 and 3.17 in locked environments, curl and a container: one store.

Nothing of it is arranged: each is a project that ``runproj run`` locks, builds and starts, with no
word about tracking in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docker_projects import DockerProject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
HERE = Path(__file__).parent
LOCKED = {
    "1.30.1": ("3.10", ["mlflow==1.30.1", "setuptools<70"]),
    "2.22.5": ("3.11", ["mlflow==2.22.5"]),
    "3.17.2": ("3.11", ["mlflow==3.17.2"]),
}
"""By the version of MLflow: the Python and the requirements of the project."""
CONTAINED = "3.1.4-skinny"
SCRIPT = """\
set -e
runs=$MLFLOW_TRACKING_URI/api/2.0/mlflow/runs
files=$MLFLOW_TRACKING_URI/api/2.0/mlflow-artifacts/artifacts
id="\\"run_id\\": \\"$MLFLOW_RUN_ID\\""
say() { curl -sSf "$1" -H 'Content-Type: application/json' -d "{$2}"; }
api=$MLFLOW_TRACKING_URI/api/2.0/mlflow
curl -sSf -G "$api/experiments/get-by-name" --data-urlencode experiment_name=shared > experiment
curl -sSf "$runs/get?run_id=$MLFLOW_RUN_ID" > run
experiment=$(sed 's/.*"experiment_id":"\\([0-9]*\\)".*/\\1/' run)
metrics=""
for step in 0 1 2 3 4; do
  value=$(awk "BEGIN { printf \\"%.17g\\", 1 / ($step + 1) }")
  metrics="$metrics,{\\"key\\":\\"loss\\",\\"value\\":$value,\\"timestamp\\":1,\\"step\\":$step}"
done
say "$runs/log-batch" "$id, \\"metrics\\": [${metrics#,}],
  \\"params\\": [{\\"key\\": \\"alpha\\", \\"value\\": \\"0.5\\"},
               {\\"key\\": \\"text\\", \\"value\\": \\"naïve ✓\\"}],
  \\"tags\\": [{\\"key\\": \\"client\\", \\"value\\": \\"curl\\"},
             {\\"key\\": \\"multi\\", \\"value\\": \\"a\\\\nb\\"}]"
printf 'made by curl' |
  curl -sSf -T - "$files/$experiment/$MLFLOW_RUN_ID/artifacts/notes/made%20by.txt"
"""


class Team:
    """People with a project each, who share a store and know nothing of each other."""

    def __init__(self, command: Path, folder: Path, home: Path) -> None:
        self.command, self.folder = command, folder
        self.environ = {**os.environ, "RUNPROJ_HOME": str(home)}

    def project(self, name: str, environment: dict[str, Any], **commands: str) -> Path:
        """Write a project with the shared program in it."""
        folder = self.folder / name
        folder.mkdir()
        shutil.copy(HERE / "shared_log.py", folder)
        points = {point: {"command": command} for point, command in commands.items()}
        files = {"MLproject": {"name": name, "entry_points": points}}
        if environment:
            files["MLproject"]["python_env"] = "python_env.yaml"
            files["python_env.yaml"] = environment
        for file, document in files.items():
            (folder / file).write_text(json.dumps(document))
        return folder

    def run(self, project: Path, store: str, *arguments: str) -> str:
        """Run a project in the folder of the caller; return what it printed."""
        done = subprocess.run(
            [str(self.command), "run", str(project), "--tracking-uri", store, *arguments],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def team(runproj: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Team:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return Team(runproj, tmp_path, shared / "interop-home")


@pytest.fixture
def container(
    runproj: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    mlflow_python: Callable[[str], str],
) -> Iterator[DockerProject | None]:
    """Return a project that logs from a container; None where there is no engine, but not in CI."""
    try:
        image = request.getfixturevalue("python_image")
    except pytest.skip.Exception:
        yield None
        return
    (tmp_path / "contained").mkdir()
    made = DockerProject(tmp_path / "contained", runproj, image)
    python = mlflow_python(CONTAINED)
    environment = Path(python).parents[1]
    shutil.copy(HERE / "shared_log.py", made.folder)
    made.write(f"{python} shared_log.py log", volumes=[f"{environment}:{environment}:ro"])
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["sqlite", "files"])
def test_one_store(kind: str, team: Team, container: DockerProject | None) -> None:
    store = {
        "sqlite": f"sqlite:///{team.folder}/mlflow.db",
        "files": str(team.folder / "mlruns"),
    }[kind]
    projects = {}
    for version, (python, packages) in LOCKED.items():
        projects[version] = team.project(
            version,
            {"python": python, "dependencies": packages},
            main="python shared_log.py log",
            read="python shared_log.py read",
        )
        team.run(projects[version], store)
    curl = team.project("curl", {}, main="bash script.sh")
    (curl / "script.sh").write_text(SCRIPT)
    team.run(curl, store, "--env-manager", "local")
    logged = [*LOCKED, "curl"]
    if container is not None:
        done = container.run("--allow-host-access", "--tracking-uri", store)
        assert done.exit_code == 0, done.stderr
        logged.append(CONTAINED.partition("-")[0])

    read = {
        version: json.loads(team.run(project, store, "-e", "read").splitlines()[-1])
        for version, project in projects.items()
    }

    first = read["1.30.1"]
    assert [run["client"] for run in first] == sorted(logged)
    for run in first:
        assert run["status"] == "FINISHED"
        assert run["params"] == {"alpha": "0.5", "text": "naïve ✓"}
        assert run["multi"] == "a\nb"
        assert run["history"] == [[step, 1 / (step + 1)] for step in range(5)]
        assert run["text"] == f"made by {run['client']}"
    for version, runs in read.items():
        assert runs == first, version
    for version, project in projects.items():
        (lock,) = {
            path.read_text()
            for path in team.folder.rglob("runproj/pylock.toml")
            if f"mlflow-{version}" in path.read_text()
        }
        assert "sha256" in lock, project
