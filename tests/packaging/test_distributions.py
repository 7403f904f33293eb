"""The wheel and the sdist: what is in them, and that they work away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from runner.system.process import executable
from runner.version import __version__

ROOT = Path(__file__).parents[2]
SCHEMAS = sorted(path.name for path in (ROOT / "schemas").iterdir())
HELLO = ROOT / "example_projects/hello"

pytestmark = pytest.mark.slow


def called(*argv: str | Path, cwd: Path) -> str:
    """Run a command to its end and return what it wrote."""
    ended = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.exists() else executable("uv", os.environ)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist from the checkout and the wheel from the sdist, as for publishing."""
    folder = tmp_path_factory.mktemp("dist")
    called(uv(), "build", "--quiet", "--out-dir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    return distributions / f"runproj-{__version__}-py3-none-any.whl"


def test_the_wheel_holds_the_package_and_its_schemas(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "runner").rglob("*.py")}
    assert modules <= names
    assert {f"runner/_schemas/{name}" for name in SCHEMAS} <= names
    assert "runner/py.typed" in names


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"runner", f"runproj-{__version__}.dist-info"}


def test_the_wheel_made_of_the_sdist_is_the_one_made_of_the_checkout(
    wheel: Path, tmp_path: Path
) -> None:
    called(uv(), "build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT, cwd=tmp_path)
    ours = zipfile.ZipFile(tmp_path / wheel.name)
    theirs = zipfile.ZipFile(wheel)
    assert {i.filename: i.CRC for i in ours.infolist()} == {
        i.filename: i.CRC for i in theirs.infolist()
    }


def test_the_sdist_holds_what_is_needed_to_test_it(distributions: Path) -> None:
    with tarfile.open(distributions / f"runproj-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {"tests/conftest.py", "example_projects/hello/MLproject", "README.md", "LICENSE"}
    assert expected | {f"schemas/{name}" for name in SCHEMAS} <= names


def test_the_installed_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    called(uv(), "venv", "--quiet", "--python", sys.executable, environment, cwd=tmp_path)
    called(uv(), "pip", "install", "--quiet", "--python", environment, wheel, cwd=tmp_path)
    python, runproj = environment / "bin/python", environment / "bin/runproj"
    caller = tmp_path / "caller"
    caller.mkdir()

    where = "import runner, runner.schema as s; print(runner.__file__, s.schema_directory())"
    for place in called(python, "-c", where, cwd=caller).split():
        assert Path(place).is_relative_to(environment)
    assert called(runproj, "--version", cwd=caller) == f"runproj {__version__}\n"
    called(runproj, "validate", HELLO, cwd=caller)
    assert called(runproj, "run", HELLO, "-P", "name=wheel", cwd=caller) == "Hello, wheel!\n"
    assert sorted(os.listdir(caller)) == ["mlflow.db", "mlruns"]
