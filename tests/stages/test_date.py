"""As of when packages are seen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from runner.errors import EnvError, UsageError
from runner.model.project import ProjectReference, Provenance, WorkingTree
from runner.model.spec import CondaSpec, DockerSpec, PythonSpec
from runner.model.value import Commit, Digest, changed
from runner.stages.date import PackageDate, as_of, package_date

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model.spec import EnvironmentSpec

COMMITTED = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)
OF_COMMIT = PackageDate(moment=COMMITTED, by_commit=True)
PYTHON = PythonSpec(origin="python_env.yaml", kind="python_env", directory="envs")
CONDA = CondaSpec(origin="conda.yaml", variables={})
DOCKER = DockerSpec(image="busybox:1", variables={})


@pytest.fixture
def fetched(tmp_path: Path) -> WorkingTree:
    """Return a commit in a work tree of our own."""
    provenance = Provenance(
        reference=ProjectReference(location="https://git.example.org/x.git"),
        tree=Digest("swh:1:dir:" + "a" * 40),
        commit=Commit("c" * 40),
        committed=COMMITTED,
    )
    root = str(tmp_path)
    return WorkingTree(root=root, project=root, provenance=provenance, lease=0)


@pytest.mark.parametrize(("spec", "manager"), [(PYTHON, "uv"), (CONDA, "rattler")])
def test_a_fetched_commit_is_seen_as_of_its_date(
    fetched: WorkingTree, spec: EnvironmentSpec, manager: str
) -> None:
    assert package_date(None, fetched, spec, manager) == OF_COMMIT
    assert package_date("now", fetched, spec, manager) == PackageDate()


@pytest.mark.parametrize(
    "name",
    ["pylock.toml", "pylock.dev.toml", "uv.lock", "conda-lock.yml", "conda-lock.gpu.yml",
     "envs/pylock.toml", "conda.linux-64.txt", "conda-linux-64.lock"],
)  # fmt: skip
def test_a_lock_needs_no_date(fetched: WorkingTree, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert package_date(None, fetched, PYTHON, "uv") == PackageDate()
    assert package_date("2024-05-31", fetched, PYTHON, "uv").moment is not None


def test_folders_and_archives_are_seen_as_of_now(fetched: WorkingTree) -> None:
    folder = changed(fetched, lease=None)
    assert package_date(None, folder, PYTHON, "uv") == PackageDate()
    archive = changed(fetched, provenance=changed(fetched.provenance, committed=None))
    assert package_date(None, archive, PYTHON, "uv") == PackageDate()


def test_what_has_no_date_is_left_alone_or_refused(fetched: WorkingTree) -> None:
    assert package_date(None, fetched, PYTHON, "local") == PackageDate()
    assert package_date(None, fetched, DOCKER, "docker") == PackageDate()
    with pytest.raises(EnvError, match="registries keep no history") as caught:
        package_date("commit", fetched, DOCKER, "docker")
    assert "@sha256:" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["yesterday", "2024-13-01", "", "commit ", "runs"])
def test_what_is_no_date_is_refused(fetched: WorkingTree, text: str) -> None:
    with pytest.raises(UsageError, match="is no date"):
        as_of(text, fetched)


def test_a_day_means_its_last_moment(fetched: WorkingTree) -> None:
    assert as_of("2024-05-31", fetched) == datetime(2024, 5, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert as_of("2024-05-31T12:00:00+02:00", fetched) == datetime(2024, 5, 31, 10, tzinfo=UTC)
    assert as_of("commit", fetched) == COMMITTED
