from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from runner.environments.interpreters import Interpreters, specifier
from runner.environments.uv import Uv
from runner.errors import EnvError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RUNNING = ".".join(map(str, sys.version_info[:3]))


def interpreters(home: Path, environ: Mapping[str, str] | None = None) -> Interpreters:
    variables = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", **(environ or {})}
    return Interpreters(home=str(home), environ=variables, uv=Uv(environ=variables))


def test_the_default_is_the_minor_version_that_runs_runproj(tmp_path: Path) -> None:
    found = interpreters(tmp_path).find(None)
    assert found.minor == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_what_is_found_is_a_real_file_that_says_the_same(tmp_path: Path) -> None:
    found = interpreters(tmp_path).find(RUNNING)
    assert found.version == RUNNING
    assert found.path == os.path.realpath(found.path)
    assert found.implementation == sys.implementation.name
    assert (found.size, found.modified) == (
        os.stat(found.path).st_size,
        os.stat(found.path).st_mtime_ns,
    )


def test_w20_a_partial_version_is_the_newest_installed_one(tmp_path: Path) -> None:
    all_ = interpreters(tmp_path)
    minor = ".".join(RUNNING.split(".")[:2])
    newest = max(Version(i.version) for i in all_.installed() if i.minor == minor)
    assert Version(all_.find(minor).version) == newest


def test_a_version_is_no_prefix_of_text(tmp_path: Path) -> None:
    """MLflow takes 3.14 for ``3.1``."""
    with pytest.raises(EnvError, match=r"there is no Python 3\.1 on this machine"):
        interpreters(tmp_path).find("3.1")


def test_specifiers_take_the_newest_that_fits(tmp_path: Path) -> None:
    all_ = interpreters(tmp_path)
    below = f"<{sys.version_info.major}.{sys.version_info.minor + 1}"
    fitting = [
        Version(i.version) for i in all_.installed() if Version(i.version) in specifier(below)
    ]
    assert Version(all_.find(below).version) == max(fitting)


def test_an_explicit_path_is_taken(tmp_path: Path) -> None:
    assert interpreters(tmp_path).find(sys.executable).version == RUNNING
    with pytest.raises(EnvError, match="no working Python interpreter at"):
        interpreters(tmp_path).find(str(tmp_path / "bin" / "python"))


def test_a_missing_version_names_the_installed_ones(tmp_path: Path) -> None:
    with pytest.raises(EnvError, match=r"there is no Python 3\.5\.99") as caught:
        interpreters(tmp_path).find("3.5.99")
    assert RUNNING in str(caught.value.hint)


@pytest.mark.parametrize("asked", ["three", "3.x", ">=", "=> 3.9", "3.11 or so", "py3"])
def test_what_is_no_version_is_refused(tmp_path: Path, asked: str) -> None:
    with pytest.raises(EnvError, match="is no Python version") as caught:
        interpreters(tmp_path).find(asked)
    assert repr(asked) in caught.value.message


@pytest.mark.parametrize(
    ("asked", "fits", "fits_not"),
    [
        ("3.11", "3.11.7", "3.12.0"),
        ("3.11.7", "3.11.7", "3.11.8"),
        ("3", "3.13.0", "4.0"),
        ("3.11.*", "3.11.2", "3.1.1"),
        (">=3.8,<3.11", "3.10.4", "3.11.0"),
        ("~=3.10", "3.12.1", "3.9.0"),
        ("python-3.11", "3.11.1", "3.10.1"),
        ("cpython3.9", "3.9.1", "3.10.1"),
    ],
)
def test_what_can_be_asked_for(asked: str, fits: str, fits_not: str) -> None:
    assert fits in specifier(asked)
    assert fits_not not in specifier(asked)


def test_wrappers_such_as_shims_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    shim = folder / "python3"
    shim.write_text("#!/bin/sh\ntouch ran\nexit 127\n")
    shim.chmod(0o755)
    found = interpreters(tmp_path / "home", {"PATH": f"{folder}:{os.environ['PATH']}"})
    assert found.find(RUNNING).version == RUNNING
    assert not (tmp_path / "ran").exists()


def test_an_active_environment_stands_for_its_base(tmp_path: Path) -> None:
    """The environments that Runproj makes must not depend on somebody else's."""
    import venv

    venv.create(tmp_path / "theirs", with_pip=False)
    path = f"{tmp_path / 'theirs' / 'bin'}:{os.environ['PATH']}"
    found = interpreters(tmp_path / "home", {"PATH": path}).find(RUNNING)
    assert str(tmp_path) not in found.path


@pytest.mark.slow
def test_what_was_asked_once_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    interpreters(tmp_path).installed()
    note = tmp_path / "interpreters.json"
    document = json.loads(note.read_text())
    name, entry = next((k, v) for k, v in document["interpreters"].items() if v["found"])
    entry["found"]["version"] = "3.99.1"
    note.write_text(json.dumps(document))
    assert "3.99.1" in {i.version for i in interpreters(tmp_path).installed()}
    document["interpreters"][name]["seen"] = [0, 0]
    note.write_text(json.dumps(document))
    assert "3.99.1" not in {i.version for i in interpreters(tmp_path).installed()}


def test_a_damaged_memory_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "interpreters.json").write_text("{half")
    assert interpreters(tmp_path).find(RUNNING).version == RUNNING
