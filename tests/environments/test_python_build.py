"""What is built: real uv, real interpreters, packages made by hand, no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from packages import Bench, make_sdist, make_source, make_wheel

from runner.environments.catalog import Catalog
from runner.environments.installed import damage, distributions
from runner.environments.store import found, prefix_of
from runner.errors import EnvError
from runner.model.event import Step
from runner.model.lock import HostLock
from runner.model.value import Digest

if TYPE_CHECKING:
    from runner.model.lock import ProcessEnvironment


def says(made: ProcessEnvironment, program: str, **variables: str) -> str:
    """Run a program as the backend does: paths first, variables set, others gone."""
    environ = {k: v for k, v in {**os.environ, **variables}.items() if k not in made.removed}
    environ |= made.variables
    environ["PATH"] = os.pathsep.join([*made.bin_paths, os.environ["PATH"]])
    done = subprocess.run(
        ["python", "-c", program], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def marker(made: ProcessEnvironment) -> dict[str, Any]:
    with open(str(made.description)) as file:
        found: dict[str, Any] = json.load(file)
    return found


def test_what_is_locked_is_what_runs(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0", requires=["beta"])
    make_wheel(bench.wheels, "beta", "1.5")
    made = bench.build("alpha")
    assert says(made, "import alpha, beta; print(alpha.VERSION, beta.VERSION)") == "1.0 1.5"
    assert says(made, "import sys; print(sys.prefix)") == made.variables["VIRTUAL_ENV"]


def test_the_marker_describes_it(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    make_sdist(bench.wheels, "built", "2.0")
    described = marker(bench.build("alpha", "built"))
    rows = {p["name"]: (p["version"], p["source"], p["built"]) for p in described["packages"]}
    assert rows == {"alpha": ("1.0", "wheel", False), "built": ("2.0", "sdist", True)}
    assert all(p["installed"].startswith("sha256:") for p in described["packages"])
    assert described["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert described["lock"]["name"] == "pylock.toml"


def test_an_empty_environment_is_one_too(bench: Bench) -> None:
    made = bench.build()
    assert says(made, "print(1)") == "1"
    assert marker(made)["packages"] == []


def test_w17_the_callers_python_path_does_not_leak_in(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    evil = bench.project.parent / "evil"
    evil.mkdir()
    (evil / "alpha.py").write_text("VERSION = 'evil'\n")
    made = bench.build("alpha")
    assert says(made, "import alpha; print(alpha.VERSION)", PYTHONPATH=str(evil)) == "1.0"


def test_w18_spaces_in_paths_are_no_matter(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    bench.home = bench.home / "my envs" / "ü"
    assert says(bench.build("alpha"), "import alpha; print(alpha.VERSION)") == "1.0"


def test_w14_changed_local_code_runs(bench: Bench) -> None:
    make_source(bench.project / "pkg", "mine", "1.0")
    assert says(bench.build("./pkg"), "import mine; print(mine.VERSION)") == "1.0"
    (bench.project / "pkg" / "mine.py").write_text("VERSION = 'changed'\n")
    assert says(bench.build("./pkg"), "import mine; print(mine.VERSION)") == "changed"


def test_a_poisoned_package_is_refused_and_nothing_stays(bench: Bench) -> None:
    wheel = make_wheel(bench.wheels, "alpha", "1.0")
    lock = bench.lock("alpha")
    wheel.unlink()
    make_wheel(bench.wheels, "alpha", "1.0", body="POISON = 1\n")
    bench.environ["UV_CACHE_DIR"] += "-other"
    with pytest.raises(EnvError, match=r"'alpha.*' does not have the locked hash") as caught:
        bench.builder().build(lock)
    assert "\n" not in caught.value.message
    assert not os.path.exists(prefix_of(str(bench.home), lock.environment))


def test_a_package_that_vanished_is_named(bench: Bench) -> None:
    wheel = make_wheel(bench.wheels, "alpha", "1.0")
    lock = bench.lock("alpha")
    wheel.unlink()
    bench.environ["UV_CACHE_DIR"] += "-other"
    with pytest.raises(EnvError, match="alpha"):
        bench.builder().build(lock)


def test_the_same_files_elsewhere_will_do(bench: Bench) -> None:
    """A lock names hashes: a mirror that has the files can serve it."""
    wheel = make_wheel(bench.wheels, "alpha", "1.0")
    lock = bench.lock("alpha")
    mirror = bench.project.parent / "mirror"
    mirror.mkdir()
    wheel.rename(mirror / wheel.name)
    bench.environ |= {"PIP_FIND_LINKS": str(mirror), "UV_CACHE_DIR": str(mirror / "cache")}
    assert says(bench.builder().build(lock), "import alpha; print(alpha.VERSION)") == "1.0"


def test_a_build_that_fails_shows_its_last_words(bench: Bench) -> None:
    make_sdist(bench.wheels, "broken", "1.0", hook="raise SystemExit('no compiler here')")
    with pytest.raises(EnvError, match="broken") as caught:
        bench.build("broken")
    assert "no compiler here" in str(caught.value.hint)
    assert "\n" not in caught.value.message


def test_a_locked_repository_is_built_at_its_commit(bench: Bench) -> None:
    folder = make_source(bench.project.parent / "repository", "versioned", "1.0")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    lock = bench.lock(f"versioned @ git+file://{folder}")
    (folder / "versioned.py").write_text("VERSION = 'later'\n")
    subprocess.run(["git", "commit", "-qam", "second"], cwd=folder, check=True)
    made = bench.builder().build(lock)
    assert says(made, "import versioned; print(versioned.VERSION)") == "1.0"


def test_an_editable_package_stays_where_it_is(bench: Bench) -> None:
    hook = "raise NotImplementedError"
    source = make_source(bench.project / "pkg", "mine", "1.0", hook=hook)
    backend = source / "backend.py"
    backend.write_text(
        backend.read_text()
        + "\ndef build_editable(folder, config_settings=None, metadata_directory=None):\n"
        "    info = f'{NAME}-{VERSION}.dist-info'\n"
        "    name = f'{NAME}-{VERSION}-py3-none-any.whl'\n"
        "    with zipfile.ZipFile(os.path.join(folder, name), 'w') as archive:\n"
        "        archive.writestr(NAME + '.pth', os.getcwd())\n"
        "        archive.writestr(info + '/METADATA',\n"
        "            f'Metadata-Version: 2.1\\nName: {NAME}\\nVersion: {VERSION}\\n')\n"
        "        archive.writestr(info + '/WHEEL', 'Wheel-Version: 1.0\\n'\n"
        "            'Root-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
        "        archive.writestr(info + '/RECORD',\n"
        "            f'{NAME}.pth,,\\n{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n')\n"
        "    return name\n"
    )
    made = bench.build("-e ./pkg")
    (source / "mine.py").write_text("VERSION = 'edited'\n")
    assert bench.build("-e ./pkg").bin_paths == made.bin_paths
    assert says(made, "import mine; print(mine.VERSION)") == "edited"


# --- reuse


def test_w13_a_wreck_is_rebuilt(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    lock = bench.lock("alpha")
    prefix = prefix_of(str(bench.home), lock.environment)
    os.makedirs(os.path.join(prefix, "bin"))
    made = bench.builder().build(bench.lock("alpha"))
    assert says(made, "import alpha; print(alpha.VERSION)") == "1.0"


@pytest.mark.parametrize("damage", ["no marker", "half a marker", "no python", "moved"])
def test_what_is_not_whole_is_not_used(bench: Bench, damage: str) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    made = bench.build("alpha")
    path, python = str(made.description), os.path.join(made.bin_paths[0], "python")
    if damage == "no marker":
        os.unlink(path)
    elif damage == "half a marker":
        with open(path, "r+") as file:
            file.truncate(100)
    elif damage == "no python":
        os.unlink(python)
        os.symlink("/nowhere", python)
    else:
        with open(path) as file:
            text = file.read().replace(made.variables["VIRTUAL_ENV"], "/elsewhere")
        with open(path, "w") as file:
            file.write(text)
    assert found(made.variables["VIRTUAL_ENV"]) is None
    assert says(bench.build("alpha"), "import alpha; print(alpha.VERSION)") == "1.0"


def test_an_interpreter_that_was_exchanged_is_noticed(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    made = bench.build("alpha")
    described = marker(made)
    described["python"]["modified"] -= 1
    with open(str(made.description), "w") as file:
        json.dump(described, file)
    assert found(made.variables["VIRTUAL_ENV"]) is None


def test_a_folder_that_cannot_be_written_is_said(bench: Bench) -> None:
    lock = bench.lock()
    (bench.home / "envs").mkdir(exist_ok=True)
    prefix = prefix_of(str(bench.home), lock.environment)
    os.mkdir(f"{prefix}.lock")  # a folder, where a file should be: no rights are needed for it
    with pytest.raises(EnvError, match="cannot be built: Is a directory") as caught:
        bench.builder().build(lock)
    assert caught.value.where == f"{prefix}.lock"


def test_a_lock_of_the_host_is_none_of_ours(bench: Bench) -> None:
    with pytest.raises(EnvError, match="not for the environment manager 'uv'"):
        bench.builder().build(HostLock(builder="local", platform="p", digest=Digest("sha256:0")))


def test_verify_finds_what_was_changed(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    make_wheel(bench.wheels, "beta", "1.0")
    made = bench.build("alpha", "beta")
    catalog = Catalog(home=str(bench.home), environ=bench.environ)
    (environment,) = catalog.all()
    assert catalog.damage(environment) == ()
    site = says(made, "import alpha, os; print(os.path.dirname(alpha.__file__))")
    os.unlink(os.path.join(site, "beta.py"))
    os.unlink(os.path.join(site, "alpha.py"))
    with open(os.path.join(site, "alpha.py"), "w") as file:
        file.write("VERSION = 'changed'\n")
    assert catalog.damage(environment) == (
        "alpha: alpha.py was changed",
        "beta: beta.py is missing",
    )


def test_verify_passes_over_folders_of_byte_code(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    bench.build("alpha")
    catalog = Catalog(home=str(bench.home), environ=bench.environ)
    (environment,) = catalog.all()
    (alpha,) = distributions(environment.path)
    with open(os.path.join(alpha.info, "RECORD"), "a") as file:
        file.write("alpha/__pycache__,,\r\n")  # as virtualenv writes them for what it seeds
    assert list(damage(environment.path, alpha)) == []
    (again,) = distributions(environment.path)
    assert again.digest == alpha.digest


def test_steps_are_reported(bench: Bench) -> None:
    make_wheel(bench.wheels, "alpha", "1.0")
    bench.build("alpha")
    steps = [f"{s.verb} {s.subject}" for s in bench.watcher.events if isinstance(s, Step)]
    python = ".".join(map(str, sys.version_info[:3]))
    assert steps == [
        "locking python_env.yaml",
        f"building environment with Python {python} and 1 package",
    ]
