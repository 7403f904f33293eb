from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from runner.environments.host import HostBuilder
from runner.errors import EnvError
from runner.model.lock import HostLock, LockRequest
from runner.model.spec import CondaSpec, DockerSpec, PythonSpec

if TYPE_CHECKING:
    from pathlib import Path


def builder(tmp_path: Path, **variables: str) -> HostBuilder:
    folder = os.path.dirname(sys.executable)
    environ = {**os.environ, "PATH": f"{folder}:/usr/bin:/bin", **variables}
    return HostBuilder(home=str(tmp_path / "home"), environ=environ)


def observed(tmp_path: Path, **variables: str) -> HostLock:
    lock = builder(tmp_path, **variables).lock(
        LockRequest(spec=PythonSpec(), project=str(tmp_path))
    )
    assert isinstance(lock, HostLock)
    return lock


def test_the_host_is_observed_and_left_as_it_is(tmp_path: Path) -> None:
    lock = observed(tmp_path)
    made = builder(tmp_path).build(lock)
    assert (made.bin_paths, dict(made.variables), made.removed) == ((), {}, frozenset())
    with open(str(made.description)) as file:
        described = json.load(file)
    assert described["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert "pytest" in {p["name"] for p in described["packages"]}


def test_the_second_look_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = observed(tmp_path)
    monkeypatch.setattr("subprocess.Popen", None)
    monkeypatch.setattr("os.posix_spawn", None)
    assert observed(tmp_path) == first


def test_a_new_package_is_noticed(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    first = observed(tmp_path, PYTHONPATH=str(site))
    info = site / "fresh-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fresh\nVersion: 1.0\n")
    second = observed(tmp_path, PYTHONPATH=str(site))
    assert second.digest != first.digest


def test_a_host_without_python_will_do(tmp_path: Path) -> None:
    lock = observed(tmp_path, PATH=str(tmp_path))
    made = builder(tmp_path).build(lock)
    with open(str(made.description)) as file:
        assert json.load(file)["python"] is None
    assert lock.platform


def test_nothing_can_be_pinned(tmp_path: Path) -> None:
    spec, project = PythonSpec(), str(tmp_path)
    when = datetime(2024, 1, 1, tzinfo=UTC)
    with pytest.raises(EnvError, match="--locked makes no sense"):
        builder(tmp_path).lock(LockRequest(spec=spec, project=project, locked=True))
    with pytest.raises(EnvError, match="--as-of makes no sense"):
        builder(tmp_path).lock(LockRequest(spec=spec, project=project, as_of=when))


def test_everything_but_containers_is_served(tmp_path: Path) -> None:
    host = builder(tmp_path)
    assert host.refusal(PythonSpec()) is None
    assert host.refusal(CondaSpec(origin="conda.yaml", variables={})) is None
    assert "alpine" in str(host.refusal(DockerSpec(image="alpine", variables={})))
