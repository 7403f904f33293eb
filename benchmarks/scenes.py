"""What is measured: each scene prepares a folder and returns tables of variants."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from conda_scene import conda
from docker_scene import docker
from measure import Table, Variant
from stores import fill_files, fill_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
NOOP = """\
name: noop
entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.5}
    command: python train.py {alpha}
"""
DAEMON_PORT = 29418
MANY = 10_000
SCIENCE = "dependencies:\n  - numpy==2.2.6\n  - pandas==2.3.3\n  - scikit-learn==1.7.2\n"


@dataclass(frozen=True)
class Bench:
    """Where to work and with which programs."""

    folder: Path
    runproj: str
    uv: str
    mlflow: str | None

    @property
    def variables(self) -> dict[str, str]:
        """The variables of every measured process: the caller's, less what changes the result."""
        foreign = ("MLFLOW_", "RUNPROJ_", "PYTHON", "VIRTUAL_ENV", "GIT_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        return {
            **kept,
            "RUNPROJ_HOME": str(self.folder / "home"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TMPDIR": str(self.fresh("tmp")),
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def fresh(self, name: str) -> Path:
        """Return a folder below ours, made when it is not there."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def call(self, *argv: str, cwd: Path) -> str:
        """Run a command of the preparation."""
        return subprocess.run(
            argv, cwd=cwd, env=self.variables, check=True, capture_output=True, text=True
        ).stdout

    def project(self, name: str, files: dict[str, str]) -> Path:
        """Write a project into a git repository."""
        path = self.fresh(f"projects/{name}")
        for file, text in files.items():
            (path / file).write_text(text)
        self.call("git", "init", "-q", "-b", "main", cwd=path)
        self.call("git", "add", "-A", cwd=path)
        identity = ("-c", "user.name=b", "-c", "user.email=b@example.org")
        self.call("git", *identity, "commit", "-qm", "one", "--allow-empty", cwd=path)
        return path

    def run(self, name: str, *arguments: str, **variables: str) -> Variant:
        """Return a variant that calls runproj in a folder of its own."""
        cwd = self.fresh(f"callers/{name.replace(' ', '-')}")
        argv = (self.runproj, "run", *arguments, "--quiet")
        return Variant(name, argv, str(cwd), {**self.variables, **variables})

    def mlflow_run(self, name: str, *arguments: str, **variables: str) -> list[Variant]:
        """Return a variant that calls mlflow, when there is one."""
        if self.mlflow is None:
            return []
        cwd = self.fresh(f"callers/{name.replace(' ', '-')}")
        argv = (self.mlflow, "run", *arguments, "--env-manager", "local")
        return [Variant(name, argv, str(cwd), {**self.variables, **variables})]


def noop(bench: Bench) -> Path:
    """Return the project that does nothing."""
    path = bench.folder / "projects/noop"
    return path if path.exists() else bench.project("noop", {"MLproject": NOOP, "train.py": ""})


def bare(bench: Bench) -> Variant:
    """Return the bare command of the no-op project."""
    argv = ("bash", "-c", "python train.py 0.5")
    return Variant("bare command", argv, str(noop(bench)), bench.variables)


def warm(bench: Bench) -> Iterator[Table]:
    """Measure a warm run of a no-op project in a git repository."""
    project = str(noop(bench))
    files = {"MLFLOW_TRACKING_URI": str(bench.folder / "callers/files/mlruns")}
    folder = bench.fresh("server")
    argv = (sys.executable, str(HERE / "tracking_server.py"), str(folder))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None  # noqa: S101 - we have asked for it
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        try:
            yield Table(
                "Warm run of a project that does nothing",
                [
                    bare(bench),
                    Variant("python -c pass", ("python", "-c", "pass"), project, bench.variables),
                    bench.run("runproj SQLite", project),
                    bench.run("runproj files", project, **files),
                    bench.run("runproj HTTP server", project, MLFLOW_TRACKING_URI=address),
                    bench.run("runproj local manager", project, "--env-manager", "local"),
                    *bench.mlflow_run("mlflow SQLite", project),
                    *bench.mlflow_run(
                        "mlflow files", project, MLFLOW_ALLOW_FILE_STORE="true", **files
                    ),
                ],
                note="The environment is ready; CPU above base is the price of a run. "
                "`python -c pass` tells how fast the machine is.",
            )
        finally:
            server.kill()


def git(bench: Bench) -> Iterator[Table]:
    """Measure a warm run from a git server."""
    project = noop(bench)
    commit = bench.call("git", "rev-parse", "HEAD", cwd=project).strip()
    url = f"git://127.0.0.1:{DAEMON_PORT}/noop"
    argv = ("git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1")
    where = (f"--port={DAEMON_PORT}", f"--base-path={project.parent}", str(project.parent))
    with subprocess.Popen((*argv, *where), env=bench.variables) as daemon:
        ask = ("git", "ls-remote", url, "HEAD")
        try:
            yield Table(
                "Warm run from a git server",
                [
                    bench.run("runproj local folder", str(project)),
                    Variant("git ls-remote alone", ask, str(project), bench.variables),
                    bench.run("runproj git pinned commit", url, "-v", commit),
                    bench.run("runproj git branch", url, "-v", "main"),
                    *bench.mlflow_run("mlflow git branch", url, "-v", "main"),
                ],
            )
        finally:
            daemon.terminate()


def listing(bench: Bench) -> Iterator[Table]:
    """Measure listing the latest of many runs."""
    variants = []
    for kind, fill in (("SQLite", fill_sqlite), ("files", fill_files)):
        cwd = bench.fresh(f"callers/list-{kind}")
        uri = "sqlite:///mlflow.db" if kind == "SQLite" else "mlruns"
        if not (cwd / "filled").exists():
            seed = (bench.runproj, "run", str(noop(bench)), "--quiet", "--tracking-uri", uri)
            bench.call(*seed, cwd=cwd)
            fill(cwd, MANY)
            (cwd / "filled").touch()
        ask = ("runs", "list", "--tracking-uri", uri)
        variants.append(
            Variant(f"runproj {kind}", (bench.runproj, *ask), str(cwd), bench.variables)
        )
        if bench.mlflow:
            asked = (bench.mlflow, "runs", "list", "--experiment-id", "0")
            variables = {**bench.variables, "MLFLOW_ALLOW_FILE_STORE": "true"}
            where = {"MLFLOW_TRACKING_URI": uri}
            variants.append(Variant(f"mlflow {kind}", asked, str(cwd), {**variables, **where}))
    yield Table(f"Listing the latest of {MANY:,} runs", variants)


def parameters(bench: Bench) -> Iterator[Table]:
    """Measure the logging of 1,000 parameters; the base opens the store and makes a run."""
    for kind, uri in (("SQLite", "sqlite:///mlflow.db"), ("files", "mlruns")):
        cwd = str(bench.fresh(f"callers/parameters-{kind}"))
        argv = (bench_python(bench), str(HERE / "log_parameters.py"), uri)
        yield Table(
            f"1,000 parameters, {kind}",
            [
                Variant("none", (*argv, "0"), cwd, bench.variables),
                Variant("1,000", (*argv, "1000"), cwd, bench.variables),
            ],
        )


def environment(bench: Bench) -> Iterator[Table]:
    """Measure the building of an environment from a lock, packages in uv's cache."""
    main = "name: science\npython_env: python_env.yaml\nentry_points:\n  main: {command: 'true'}\n"
    python = f'python: "{sys.version_info.major}.{sys.version_info.minor}"\n'
    files = {"MLproject": main, "python_env.yaml": python + SCIENCE}
    project = bench.project("science", files)
    if not (project / "pylock.toml").exists():
        bench.call(bench.runproj, "lock", str(project), cwd=project)
    raw, home = bench.folder / "raw", bench.folder / "new-home"
    build = f"{bench.uv} venv -q {raw} && {bench.uv} pip sync -q --python {raw} pylock.toml"
    alone = bench.run("runproj run new environment", str(project), RUNPROJ_HOME=str(home))
    together = bench.run("runproj run 8 at once", str(project), RUNPROJ_HOME=str(home))
    forget = remover(home)
    yield Table(
        "New environment of numpy, pandas and scikit-learn from a lock",
        [
            Variant(
                "uv venv and uv pip sync",
                ("bash", "-c", build),
                str(project),
                bench.variables,
                prepare=remover(raw),
            ),
            Variant(alone.name, alone.argv, alone.cwd, alone.variables, prepare=forget),
            Variant(
                together.name, together.argv, together.cwd, together.variables, forget, copies=8
            ),
        ],
        note="Runs include the run itself; eight at once share one build, and all succeed.",
    )


def remover(path: Path) -> Callable[[], None]:
    """Return a function that removes a folder."""
    return lambda: shutil.rmtree(path, ignore_errors=True)


def bench_python(bench: Bench) -> str:
    """Return the interpreter that runproj is installed for."""
    beside = Path(bench.runproj).parent / "python"
    return str(beside) if beside.exists() else sys.executable


SCENES = {
    "warm": warm,
    "git": git,
    "listing": listing,
    "parameters": parameters,
    "environment": environment,
    "conda": conda,
    "docker": docker,
}
