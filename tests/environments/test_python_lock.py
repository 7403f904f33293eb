"""What is locked: real uv, packages made by hand, no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from packages import Bench, make_sdist, make_source, make_wheel

from runner.codec import sha256
from runner.environments import python as python_module
from runner.environments.locking import Locking
from runner.errors import EnvError
from runner.model.event import Warned
from runner.model.spec import CondaSpec, DockerSpec
from runner.system.files import read

if TYPE_CHECKING:
    from runner.model.lock import LockRequest, PackageLock

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


def versions(lock: PackageLock) -> dict[str, str]:
    with open(lock.document, "rb") as file:
        return {p["name"]: p.get("version", "") for p in tomllib.load(file)["packages"]}


def locking(bench: Bench) -> Locking:
    return Locking(home=str(bench.home), environ=bench.environ, reporter=bench.watcher)


def draw(bench: Bench, request: LockRequest, **given: Any) -> tuple[str, ...]:
    made = locking(bench).drawn(request, **given)
    (bench.project / made.name).write_bytes(made.content)
    return made.changes


def test_the_whole_set_is_locked_with_hashes(bench: Bench) -> None:
    made = make_wheel(bench.wheels, "alpha", "1.0", requires=["beta>=1"])
    make_wheel(bench.wheels, "beta", "1.5")
    lock = bench.lock("alpha")
    assert versions(lock) == {"alpha": "1.0", "beta": "1.5"}
    text = read(lock.document)
    assert sha256(made.read_bytes()).removeprefix("sha256:").encode() in text
    assert lock.digest == sha256(text)
    assert (lock.origin, lock.name, lock.builder) == ("resolved", "pylock.toml", "uv")


def test_a_second_run_neither_resolves_nor_starts_anything(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    first = bench.lock("alpha")
    bench.builder().build(first)
    make_wheel(bench.wheels, "alpha", "2.0")
    monkeypatch.setattr("subprocess.Popen", None)
    monkeypatch.setattr("os.posix_spawn", None)
    again = bench.lock("alpha")
    assert (again.origin, again.environment) == ("remembered", first.environment)
    assert bench.builder().build(again).bin_paths


def test_a_warm_lock_takes_no_time_to_speak_of(bench: Bench) -> None:
    (bench.project / "r.txt").write_text("alpha\n")
    make_wheel(bench.wheels, "alpha", "1.0")
    bench.build("-r r.txt")
    spans = []
    for _ in range(20):
        begun = time.process_time()
        bench.builder().build(bench.lock("-r r.txt"))
        spans.append(time.process_time() - begun)
    assert min(spans) < 0.0015


def test_warm_modules_import_nothing_slow() -> None:
    program = (
        "import sys; before = {*sys.modules}; import runner.environments.python; "
        "print(*sorted({*sys.modules} - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    slow = {"typing", "pathlib", "subprocess", "tempfile", "tomllib", "packaging", "datetime", "uv"}
    assert not slow & {name.partition(".")[0] for name in done.stdout.split()}


def test_refresh_resolves_anew(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    bench.lock("alpha")
    make_wheel(bench.wheels, "alpha", "2.0")
    assert versions(bench.lock("alpha", refresh=True)) == {"alpha": "2.0"}
    assert versions(bench.lock("alpha")) == {"alpha": "2.0"}


def test_w14c_a_nested_file_counts_and_a_comment_does_not(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    make_wheel(bench.wheels, "beta", "1.0")
    nested = bench.project / "r.txt"
    nested.write_text("alpha\n")
    first = bench.lock("-r r.txt")
    nested.write_text("# why\nalpha\n")
    assert bench.lock("-r r.txt").environment == first.environment
    nested.write_text("alpha\nbeta\n")
    assert bench.lock("-r r.txt").environment != first.environment


def test_constraints_hold(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    make_wheel(bench.wheels, "alpha", "2.0")
    (bench.project / "c.txt").write_text("alpha<2\n")
    assert versions(bench.lock("-c c.txt", "alpha")) == {"alpha": "1.0"}


def test_markers_and_extras(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0", requires=["beta; extra == 'more'"])
    make_wheel(bench.wheels, "beta", "1.0")
    found = versions(bench.lock("alpha[more]", "nowhere; sys_platform == 'win32'"))
    assert found == {"alpha": "1.0", "beta": "1.0"}


def test_build_requirements_are_locked_too(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    make_wheel(bench.wheels, "wheel", "0.4")
    assert versions(bench.lock("alpha", build_requirements=("wheel",))) == {
        "alpha": "1.0",
        "wheel": "0.4",
    }


def test_dependencies_win_over_build_requirements(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0", requires=["wheel>=2"])
    make_wheel(bench.wheels, "wheel", "1.0")
    make_wheel(bench.wheels, "wheel", "2.0")
    lock = bench.lock("alpha", build_requirements=("wheel<2",))
    assert versions(lock)["wheel"] == "2.0"
    (warned,) = bench.watcher.named(Warned)
    assert "build_dependencies contradict" in str(warned)


@pytest.mark.parametrize(
    ("lines", "said", "where"),
    [
        (("alpha", "nosuch"), "no package 'nosuch' in the package index", "python_env.yaml:3"),
        (("alpha", "beta=="), "'beta==' is no requirement", "python_env.yaml:3"),
        (("alpha", "???"), r"^'\?\?\?' is no requirement$", "python_env.yaml:3"),
        (("alpha>5",), "alpha>5", None),
        (("alpha==1", "alpha==2"), "alpha", None),
    ],
)
def test_what_cannot_be_locked_is_said_in_a_sentence(
    bench: Bench, lines: tuple[str, ...], said: str, where: str | None
) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    with pytest.raises(EnvError, match=said) as caught:
        bench.lock(*lines)
    assert "\n" not in caught.value.message
    assert where is None or caught.value.where == where


def test_the_place_of_a_bad_line_is_in_the_nested_file(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    (bench.project / "r.txt").write_text("alpha\n# c\nnosuch\n")
    with pytest.raises(EnvError) as caught:
        bench.lock("-r r.txt")
    assert caught.value.where == "r.txt:3"


def test_an_unreachable_index_is_named_without_its_credentials(bench: Bench) -> None:
    bench.environ.pop("PIP_NO_INDEX")
    bench.environ |= {
        "UV_DEFAULT_INDEX": "http://bob:s3cret@127.0.0.1:9/simple",
        "UV_HTTP_RETRIES": "0",
    }
    with pytest.raises(
        EnvError, match=r"index cannot be reached \(http://127\.0\.0\.1:9"
    ) as caught:
        bench.lock("alpha")
    said = repr((caught.value.message, caught.value.hint, bench.watcher.events))
    assert "s3cret" not in said


def test_credentials_of_an_index_are_kept_and_shown_nowhere(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    seen = bench.project.parent / "seen"
    make_source(
        bench.project / "pkg",
        "mine",
        "1.0",
        hook=f"os.system('ps -eo args > {seen}')",
    )
    url = "https://bob:s3cret@127.0.0.1:9/simple"
    lock = bench.lock(f"--extra-index-url {url}", "--no-index", "alpha", "./pkg")
    bench.builder().build(lock)
    assert "uv pip install" in seen.read_text().replace("/uv", " uv")
    assert "s3cret" not in seen.read_text()
    for path in bench.home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert b"s3cret" not in path.read_bytes(), path
    assert "s3cret" not in repr(bench.watcher.events)


# --- local packages


def test_w14_a_changed_local_package_is_another_environment(bench: Bench) -> None:
    make_source(bench.project / "pkg", "mine", "1.0")
    first = bench.lock("./pkg")
    assert bench.lock("./pkg").environment == first.environment
    (bench.project / "pkg" / "mine.py").write_text("VERSION = 'changed'\n")
    second = bench.lock("./pkg")
    assert second.environment != first.environment
    assert second.origin == "remembered", "code alone does not ask for another resolution"


def test_results_and_caches_are_no_part_of_a_local_package(bench: Bench) -> None:
    make_source(bench.project, "mine", "1.0")
    first = bench.lock(".")
    for junk in ("mlruns/0/a", "__pycache__/a.pyc", ".git/HEAD", "mine.egg-info/PKG-INFO"):
        path = bench.project / junk
        path.parent.mkdir(parents=True)
        path.write_text("x")
    (bench.project / "mlflow.db").write_text("x")
    assert bench.lock(".").environment == first.environment


def test_a_local_package_is_never_built_in_place(bench: Bench) -> None:
    source = make_source(bench.project / "pkg", "mine", "1.0")
    before = sorted(path.name for path in source.iterdir())
    bench.build("./pkg")
    assert sorted(path.name for path in source.iterdir()) == before


def test_paths_in_the_lock_are_relative_to_the_project(bench: Bench) -> None:
    make_source(bench.project / "my pkg", "mine", "1.0")
    lock = bench.lock(f"mine @ file://{bench.project}/my%20pkg")
    with open(lock.document, "rb") as file:
        (package,) = tomllib.load(file)["packages"]
    assert package["directory"]["path"] == "my pkg"


# --- git


@pytest.fixture
def repository(bench: Bench) -> str:
    folder = make_source(bench.project.parent / "repository", "versioned", "1.0")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return f"git+file://{folder}"


def test_a_repository_is_pinned_to_its_commit(bench: Bench, repository: str) -> None:
    lock = bench.lock(f"versioned @ {repository}")
    folder = repository.removeprefix("git+file://")
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=folder, text=True).strip()
    with open(lock.document, "rb") as file:
        (package,) = tomllib.load(file)["packages"]
    assert package["vcs"]["commit-id"] == commit


# --- the project's own lock


def test_a_lock_in_the_project_is_honoured(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    request = bench.request("alpha")
    assert draw(bench, request) == ("+ alpha 1.0",)
    make_wheel(bench.wheels, "alpha", "2.0")
    lock = bench.lock("alpha", locked=True)
    assert (lock.origin, versions(lock)) == ("project", {"alpha": "1.0"})
    assert bench.lock("alpha", locked=True).origin == "project", "also when it is remembered"
    assert lock.digest == sha256((bench.project / "pylock.toml").read_bytes())


def test_drawing_again_keeps_versions_unless_upgraded(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    draw(bench, bench.request("alpha"))
    make_wheel(bench.wheels, "alpha", "2.0")
    make_wheel(bench.wheels, "beta", "1.0")
    assert draw(bench, bench.request("alpha", "beta")) == ("+ beta 1.0",)
    assert draw(bench, bench.request("alpha", "beta"), upgrade=True) == ("~ alpha 1.0 -> 2.0",)


def test_locked_without_a_lock_is_refused(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    bench.lock("alpha")
    with pytest.raises(EnvError, match="the project has no lock") as caught:
        bench.lock("alpha", locked=True)
    assert "runproj lock" in str(caught.value.hint)


def test_a_stale_lock_is_refused_or_passed_over(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    make_wheel(bench.wheels, "beta", "1.0")
    draw(bench, bench.request("alpha"))
    before = (bench.project / "pylock.toml").read_bytes()
    with pytest.raises(EnvError, match=r"pylock\.toml is stale: 'beta' was added"):
        bench.lock("alpha", "beta", locked=True)
    for _ in range(2):  # resolved, remembered
        bench.watcher.events.clear()
        assert versions(bench.lock("alpha", "beta")) == {"alpha": "1.0", "beta": "1.0"}
        assert "'beta' was added" in str(bench.watcher.named(Warned))
    assert (bench.project / "pylock.toml").read_bytes() == before


def test_staleness_knows_python_and_date(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    draw(bench, bench.request("alpha"))
    check = locking(bench).staleness
    assert check(bench.request("alpha")) is None
    assert "Python" in str(check(bench.request("alpha", python=MINOR)))
    when = datetime(2024, 5, 31, tzinfo=UTC)
    assert "as of no date" in str(check(bench.request("alpha", as_of=when)))
    assert "'alpha' was removed" in str(check(bench.request()))
    (bench.project / "pylock.toml").unlink()
    with pytest.raises(EnvError, match="has no lock"):
        check(bench.request("alpha"))


FOREIGN = """\
lock-version = "1.0"
created-by = "another"
requires-python = ">=3.6"
[[packages]]
name = "alpha"
version = "1.0"
wheels = [{{ url = "file://{0}", hashes = {{ sha256 = "{1}" }} }}]
"""


def test_a_lock_of_another_tool_is_checked_against_the_requirements(bench: Bench) -> None:
    made = make_wheel(bench.wheels, "alpha", "1.0")
    digest = sha256(made.read_bytes()).removeprefix("sha256:")
    (bench.project / "pylock.toml").write_text(FOREIGN.format(made, digest))
    assert bench.lock("alpha<2", locked=True).origin == "project"
    with pytest.raises(EnvError, match=r"it has alpha 1\.0, and 'alpha>=2' is asked for"):
        bench.lock("alpha>=2", locked=True)
    with pytest.raises(EnvError, match="it lacks 'beta'"):
        bench.lock("alpha", "beta", locked=True)


def test_the_date_is_part_of_the_lock(bench: Bench) -> None:
    make_sdist(bench.wheels, "built", "1.0")
    when = datetime(2024, 5, 31, tzinfo=UTC)
    dated = bench.lock("built", as_of=when)
    assert dated.as_of == when
    assert dated.environment != bench.lock("built").environment, "it is built with older tools"


# --- pyproject


def test_a_pyproject_without_a_build_gives_its_dependencies(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    (bench.project / "pyproject.toml").write_text(
        '[project]\nname = "p"\nversion = "1"\ndependencies = ["alpha"]\n'
    )
    given = {"kind": "pyproject", "origin": "pyproject.toml"}
    assert versions(bench.lock("alpha", **given)) == {"alpha": "1.0"}


def test_a_pyproject_that_builds_is_installed_with_its_dependencies(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    make_source(bench.project, "mine", "1.0", requires=["alpha"])
    given = {"kind": "pyproject", "origin": "pyproject.toml"}
    made = bench.build("alpha", **given)
    with open(str(made.description)) as file:
        names = {p["name"]: p["source"] for p in json.load(file)["packages"]}
    assert names == {"alpha": "wheel", "mine": "local"}


def test_w14b_a_uv_lock_is_honoured_and_counts(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    (bench.project / "pyproject.toml").write_text(
        '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.8"\n'
        'dependencies = ["alpha"]\n'
    )
    uv = locking(bench).uv
    assert uv.attempt("lock", directory=str(bench.project)).exit_code == 0
    given: dict[str, Any] = {"kind": "pyproject", "origin": "pyproject.toml", "python": ">=3.8"}
    first = bench.lock("alpha", **given)
    assert (first.origin, versions(first)) == ("project", {"alpha": "1.0"})
    make_wheel(bench.wheels, "alpha", "2.0")
    assert bench.lock("alpha", **given).environment == first.environment
    assert uv.attempt("lock", "--upgrade", directory=str(bench.project)).exit_code == 0
    second = bench.lock("alpha", **given, locked=True)
    assert versions(second) == {"alpha": "2.0"}
    assert second.environment != first.environment


# --- refusals


def test_conda_and_docker_are_refused_by_name(bench: Bench) -> None:
    conda = CondaSpec(
        origin="conda.yaml", packages=("numpy", "scipy", "r-base", "gcc"), variables={}
    )
    said = str(bench.builder().refusal(conda))
    assert "conda.yaml needs conda packages (numpy, scipy, r-base, ...)" in said
    docker = DockerSpec(image="python:3.11", variables={})
    assert "python:3.11" in str(bench.builder().refusal(docker))
    assert bench.builder().refusal(bench.request().spec) is None


def test_w16_the_manager_is_part_of_the_address(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    uv, virtualenv = bench.lock("alpha"), bench.lock("alpha", manager="virtualenv")
    assert uv.digest == virtualenv.digest
    assert uv.environment != virtualenv.environment
    with pytest.raises(EnvError, match="not for the environment manager 'virtualenv'"):
        bench.builder("virtualenv").build(uv)


def test_the_child_is_shielded_from_the_callers_python(bench: Bench) -> None:
    bench.environ |= {"CONDA_PREFIX": "/c", "CONDA_PREFIX_1": "/d", "CONDA_EXE": "/e"}
    made = bench.build()
    assert made.removed >= {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX_1"}
    assert "CONDA_EXE" not in made.removed
    assert made.variables["PYTHONNOUSERSITE"] == "1"
    assert made.variables["VIRTUAL_ENV"] == os.path.dirname(made.bin_paths[0])
    assert made.removed >= python_module.REMOVED


def test_a_cache_that_cannot_be_written_is_said(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    bench.home.write_text("a file, where a folder should be")
    said = r"cannot be locked: (File exists|Not a directory)"
    with pytest.raises(EnvError, match=said) as caught:
        bench.lock("alpha")
    assert str(bench.home) in str(caught.value.where)
