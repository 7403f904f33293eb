"""What a warm run may import, start, ask and leave behind: counts, no clocks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FOREIGN_MODULES = 46
"""Modules that are not ours that a warm run may import beyond the interpreter's own; see
``docs/design/startup.md``."""
OWN_MODULES = 70
"""Modules of ours that a warm run may import: each costs a seventh of a millisecond."""
BANNED = frozenset(
    {
        "_hashlib",
        "argcomplete", "asyncio", "click", "conda_lock", "dataclasses", "difflib", "docker",
        "email", "git", "http", "importlib.metadata", "inspect", "jsonschema", "logging",
        "mlflow", "packaging", "pathlib", "platform", "rattler", "requests", "rich", "shutil",
        "socketserver", "ssl", "subprocess", "tempfile", "tomllib", "typing", "urllib.request",
        "uuid", "virtualenv", "yaml",
    }
)  # fmt: skip
PROJECT = """\
name: noop
entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.5}
    command: "true {alpha}"
"""


@dataclass(frozen=True)
class Observation:
    """What a call of the command imported and started."""

    imported: frozenset[str]
    started: tuple[tuple[str, ...], ...]

    def programs(self, name: str) -> list[tuple[str, ...]]:
        """Return the argument lists of all starts of a program."""
        return [argv[1:] for argv in self.started if argv[1:] and os.path.basename(argv[1]) == name]


@dataclass(frozen=True)
class Scene:
    """A project in a git repository, a caller's folder, a cache and a temporary folder."""

    folder: Path

    @property
    def project(self) -> Path:
        """The project."""
        return self.folder / "project"

    @property
    def caller(self) -> Path:
        """The folder that the command is called in."""
        return self.folder / "caller"

    @property
    def temporary(self) -> Path:
        """The folder for temporary files."""
        return self.folder / "tmp"

    def call(self, *arguments: str) -> Observation:
        """Call ``runproj`` and return what it did."""
        report = self.folder / "report.json"
        ended = subprocess.run(
            (sys.executable, str(Path(__file__).parent / "probe.py"), str(report), *arguments),
            cwd=self.caller,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "RUNPROJ_HOME": str(self.folder / "home"),
                "TMPDIR": str(self.temporary),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        found = json.loads(report.read_text())
        return Observation(
            imported=frozenset(found["imported"]),
            started=tuple(tuple(argv) for argv in found["started"]),
        )

    def warm(self, *arguments: str) -> Observation:
        """Call twice and return what the second call did."""
        self.call(*arguments)
        return self.call(*arguments)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Make a project and folders around it."""
    made = Scene(tmp_path)
    for path in (made.project, made.caller, made.temporary):
        path.mkdir()
    (made.project / "MLproject").write_text(PROJECT)
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "one")):
        subprocess.run(("git", *command), cwd=made.project, check=True)
    return made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Start a tracking server that writes down its requests; return its URL and the log."""
    folder = tmp_path / "server"
    folder.mkdir()
    argv = (sys.executable, str(ROOT / "benchmarks/tracking_server.py"), str(folder))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}", folder / "requests.log"
        process.kill()


STORES = pytest.mark.parametrize("store", ["sqlite:///mlflow.db", "mlruns"])
MANAGERS = pytest.mark.parametrize("manager", ["uv", "local"])


def below(folder: Path) -> dict[str, tuple[float, bytes | None]]:
    """Return every file and folder below a folder, with its time and content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in folder.rglob("*")
    }


@STORES
@MANAGERS
def test_a_warm_run_imports_little(store: str, manager: str, scene: Scene) -> None:
    seen = scene.warm(
        "run", str(scene.project), "--tracking-uri", store, "--env-manager", manager
    ).imported
    assert not seen & BANNED, sorted(seen & BANNED)
    own = {name for name in seen if name.partition(".")[0] == "runner"}
    assert len(seen - own) <= FOREIGN_MODULES, sorted(seen - own)
    assert len(own) <= OWN_MODULES, sorted(own)


@STORES
@MANAGERS
def test_a_warm_run_starts_git_and_its_command(store: str, manager: str, scene: Scene) -> None:
    seen = scene.warm("run", str(scene.project), "--tracking-uri", store, "--env-manager", manager)
    assert len(seen.programs("git")) == 1, seen.started
    assert [argv[0] for argv in seen.started].count("os.fork") == 1
    assert len(seen.started) == 2, seen.started


def test_a_run_over_http_asks_three_times_on_one_connection(
    scene: Scene, server: tuple[str, Path]
) -> None:
    address, log = server
    scene.call("run", str(scene.project), "--env-manager", "local", "--tracking-uri", address)
    requests = [line.split() for line in log.read_text().splitlines()]
    assert [path.rpartition("mlflow/")[2] for _number, _method, path in requests] == [
        "runs/create",
        "runs/log-batch",
        "runs/update",
    ]
    assert len({number for number, _method, _path in requests}) == 1


def test_a_warm_run_of_a_branch_asks_the_remote_once(scene: Scene) -> None:
    seen = scene.warm("run", f"file://{scene.project}", "-v", "main", "--env-manager", "local")
    assert sum("ls-remote" in argv for argv in seen.programs("git")) == 1, seen.started
    assert not any({"fetch", "clone"} & set(argv) for argv in seen.programs("git"))
    assert not seen.imported & BANNED, sorted(seen.imported & BANNED)


def test_a_warm_run_of_a_commit_asks_no_remote(scene: Scene) -> None:
    commit = subprocess.run(
        ("git", "rev-parse", "HEAD"), cwd=scene.project, check=True, capture_output=True, text=True
    ).stdout.strip()
    seen = scene.warm("run", f"file://{scene.project}", "-v", commit, "--env-manager", "local")
    remote = {"ls-remote", "fetch", "clone"}
    assert not any(remote & set(argv) for argv in seen.programs("git")), seen.started
    assert not seen.imported & BANNED, sorted(seen.imported & BANNED)


@STORES
@MANAGERS
def test_a_run_writes_only_where_it_may(store: str, manager: str, scene: Scene) -> None:
    before = below(scene.project)
    scene.warm("run", str(scene.project), "--tracking-uri", store, "--env-manager", manager)
    assert below(scene.project) == before
    assert os.listdir(scene.temporary) == []
    assert set(os.listdir(scene.caller)) <= {"mlflow.db", "mlruns"}
    assert os.listdir(scene.folder / "home" / "jobs") == []


def test_a_run_of_another_revision_leaves_the_checkout_alone(scene: Scene) -> None:
    (scene.project / "notes.txt").write_text("not committed\n")
    before = below(scene.project)
    scene.warm("run", str(scene.project), "-v", "main", "--env-manager", "local")
    assert below(scene.project) == before
    assert os.listdir(scene.temporary) == []


def test_the_version_is_told_without_importing_a_command(scene: Scene) -> None:
    seen = scene.call("--version")
    assert not any(name.startswith("runner.cli.commands") for name in seen.imported)
    assert seen.started == ()
