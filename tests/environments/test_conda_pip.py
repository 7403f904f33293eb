"""The ``pip:`` section of conda environments: what pip adds to what conda has."""

from __future__ import annotations

import hashlib
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conda_channel import DAY, EPOCH
from dated_index import dated_index
from packages import make_sdist, make_source, make_wheel

from runner.environments.conda import contents, lockfile
from runner.environments.conda.platforms import platform_here
from runner.errors import EnvError
from runner.system.files import remove_tree

if TYPE_CHECKING:
    from conda_bench import CondaBench

    from runner.model.lock import PackageLock, ProcessEnvironment


def ran(environment: ProcessEnvironment, program: str) -> str:
    python = os.path.join(environment.bin_paths[0], "python")
    done = subprocess.run(
        [python, "-c", program], env={**os.environ, **environment.variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def pip_part(lock: PackageLock) -> dict[str, lockfile.Package]:
    found = lockfile.load(lock.document, shown="lock", platform=platform_here())
    return {p.name: p for p in found.part(platform_here(), "pip")}


def test_pip_adds_what_conda_lacks(conda: CondaBench) -> None:
    wheel = make_wheel(conda.wheels, "wheely", "1.0", requires=["alpha>=1", "more"])
    make_wheel(conda.wheels, "more", "2.0")
    make_wheel(conda.wheels, "alpha", "9.0")
    lock = conda.lock("python", "alpha=1", pip=("wheely",))
    assert pip_part(lock).keys() == {"wheely", "more"}
    assert pip_part(lock)["wheely"].sha256 == hashlib.sha256(wheel.read_bytes()).hexdigest()
    made = conda.builder().build(lock)
    assert ran(made, "import wheely, more, alpha; print(alpha.VERSION, more.VERSION)") == "1.1 2.0"


def test_python_comes_along_when_only_pip_needs_it(conda: CondaBench) -> None:
    make_wheel(conda.wheels, "wheely", "1.0")
    made = conda.build("tool", pip=("wheely",))
    assert ran(made, "import wheely; print(wheely.VERSION)") == "1.0"


def test_what_contradicts_conda_is_refused(conda: CondaBench) -> None:
    make_wheel(conda.wheels, "wheely", "1.0", requires=["alpha>=2"])
    with pytest.raises(EnvError, match="alpha") as caught:
        conda.lock("python", "alpha=1", pip=("wheely",))
    assert caught.value.where


def test_two_builds_with_pip_are_the_same(conda: CondaBench) -> None:
    make_wheel(conda.wheels, "wheely", "1.0")
    lock = conda.lock("python", "alpha", pip=("wheely",))
    prefix = str(conda.builder().build(lock).variables["CONDA_PREFIX"])
    first = contents.kept(prefix)
    remove_tree(prefix)
    conda.build("python", "alpha", pip=("wheely",))
    assert contents.kept(prefix) == first
    assert any(path.endswith("wheely.py") for path in first)


def test_a_wheel_that_changed_is_refused(conda: CondaBench) -> None:
    make_wheel(conda.wheels, "wheely", "1.0")
    lock = conda.lock("python", pip=("wheely",))
    make_wheel(conda.wheels, "wheely", "1.0", body="EVIL = 1\n")
    remove_tree(conda.environ["UV_CACHE_DIR"])
    with pytest.raises(EnvError, match="hash"):
        conda.builder().build(lock)
    assert not os.path.exists(conda.prefix(lock))


def test_included_files_and_local_packages_count(conda: CondaBench) -> None:
    make_wheel(conda.wheels, "wheely", "1.0")
    (conda.project / "more.txt").write_text("wheely\n")
    make_source(conda.project / "pkg", "mine", "0.1", module="WORD = 'one'\n")
    asked = ("-r more.txt", "./pkg")
    first = conda.build("python", pip=asked)
    assert ran(first, "import wheely, mine; print(mine.WORD)") == "one"
    make_source(conda.project / "pkg", "mine", "0.1", module="WORD = 'two'\n")
    second = conda.build("python", pip=asked)
    assert first.variables["CONDA_PREFIX"] != second.variables["CONDA_PREFIX"]
    assert ran(second, "import mine; print(mine.WORD)") == "two"
    assert not (conda.project / "pkg" / "built-here").exists()


def test_an_editable_package_is_linked(conda: CondaBench) -> None:
    make_source(conda.project / "pkg", "mine", "0.1", module="WORD = 'one'\n")
    lock = conda.lock("python", pip=("-e ./pkg",))
    assert lock.environment == conda.lock("python", pip=("-e ./pkg",)).environment
    assert "mine" not in pip_part(lock)


def test_a_source_package_is_built_and_marked(conda: CondaBench) -> None:
    make_sdist(conda.wheels, "srcy", "1.0")
    lock = conda.lock("python", pip=("srcy",))
    assert pip_part(lock)["srcy"].file == "srcy-1.0.tar.gz"
    made = conda.builder().build(lock)
    assert ran(made, "import srcy; print(srcy.VERSION)") == "1.0"
    marker = Path(str(made.description)).read_text()
    assert '"name": "srcy"' in marker
    assert '"built": true' in marker


def test_a_git_repository_is_pinned(conda: CondaBench, tmp_path: Path) -> None:
    source = make_source(tmp_path / "repo", "gitty", "1.0")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=source, check=True)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=source, text=True).strip()
    lock = conda.lock("python", pip=(f"gitty @ git+file://{source}",))
    assert pip_part(lock)["gitty"].url == f"git+file://{source}@{commit}"
    made = conda.builder().build(lock)
    assert ran(made, "import gitty; print(gitty.VERSION)") == "1.0"


def test_a_missing_pip_package_is_told_with_its_place(conda: CondaBench) -> None:
    with pytest.raises(EnvError, match="nothing-there") as caught:
        conda.lock("python", pip=("nothing-there",))
    assert str(caught.value.where).startswith("conda.yaml")


@pytest.mark.slow
def test_a_date_hides_what_came_later_to_the_channel_and_to_the_index(conda: CondaBench) -> None:
    """Of ``alpha`` 1.1 was a day old then, and 2.0 came later; of ``wheely`` likewise."""
    when = datetime.fromtimestamp(EPOCH + 2 * DAY, UTC)
    uploaded = {
        make_wheel(conda.wheels / "dated", "wheely", version): time.isoformat()
        for version, time in (("1.0", when - timedelta(days=1)), ("2.0", when + timedelta(days=1)))
    }
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        del conda.environ[name]
    with dated_index(uploaded) as conda.environ["UV_DEFAULT_INDEX"]:
        dated = conda.lock("python", "alpha", pip=("wheely",), as_of=when)
        today = conda.lock("python", "alpha", pip=("wheely",))
        made = conda.builder().build(dated)
    assert {"alpha 1.1", "wheely 1.0"} <= set(conda.locked_texts(dated))
    assert {"alpha 2.0", "wheely 2.0"} <= set(conda.locked_texts(today))
    assert ran(made, "import alpha, wheely; print(alpha.VERSION, wheely.VERSION)") == "1.1 1.0"
