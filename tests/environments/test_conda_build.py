"""Conda environments without conda, from a channel made here."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conda_channel import (
    DAY,
    EPOCH,
    FULL,
    Channel,
    CondaPackage,
    File,
    pure,
    python_real,
)

from runner.environments.catalog import Catalog
from runner.environments.conda import contents, lockfile
from runner.environments.store import found
from runner.errors import EnvError
from runner.model.event import Step
from runner.system.files import remove_tree

if TYPE_CHECKING:
    from conda_bench import CondaBench

    from runner.model.lock import ProcessEnvironment


def said(environment: ProcessEnvironment, command: str, **variables: str) -> str:
    """Run a command as a run would."""
    kept = {k: v for k, v in os.environ.items() if k not in environment.removed}
    path = os.pathsep.join([*environment.bin_paths, kept["PATH"]])
    done = subprocess.run(
        ["bash", "-c", command],
        env={**kept, **environment.variables, **variables, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def prefix_of(environment: ProcessEnvironment) -> str:
    return environment.variables["CONDA_PREFIX"]


def test_packages_are_solved_linked_and_found(conda: CondaBench) -> None:
    made = conda.build("python", "alpha=1", "beta", "tool")
    assert said(made, "python -c 'import alpha; print(alpha.VERSION)'") == "1.1"
    assert said(made, "beta; tool") == "beta 2.0\ntool"
    assert said(made, "python -c 'import sys; print(sys.prefix)'") == prefix_of(made)


def test_an_environment_needs_no_python(conda: CondaBench) -> None:
    made = conda.build("tool")
    assert said(made, "tool") == "tool"
    assert found(prefix_of(made)) is not None
    assert conda.build("tool") == made
    assert conda.steps() == ["locking", "building"]


def test_the_second_time_nothing_is_done(conda: CondaBench) -> None:
    first = conda.lock("tool", "active")
    conda.builder().build(first)
    again = conda.lock("tool", "active")
    assert (again.environment, again.digest) == (first.environment, first.digest)
    assert again.origin == "remembered"
    conda.builder().build(again)
    assert conda.steps() == ["locking", "building"]


def test_activation_sets_what_packages_and_the_file_say(conda: CondaBench) -> None:
    made = conda.build("python", "active", variables={"MINE": "a b$HOME", "ACTIVE_FILE": "mine"})
    prefix = prefix_of(made)
    assert said(made, 'echo "$ACTIVE"') == f"on:{prefix}"
    assert said(made, 'echo "$ACTIVE_LINES"') == "a\nb=c"
    assert said(made, 'echo "$MINE"') == "a b$HOME"
    assert said(made, 'echo "$ACTIVE_FILE"') == "mine"
    state = json.loads(Path(prefix, "conda-meta", "state").read_text())
    assert state["env_vars"] == {"ACTIVE_FILE": "mine", "MINE": "a b$HOME"}


def test_the_caller_s_conda_environment_is_not_seen(conda: CondaBench) -> None:
    conda.environ["CONDA_PREFIX_1"] = "/elsewhere"
    conda.environ["MAMBA_ROOT_PREFIX"] = "/elsewhere"
    made = conda.build("tool")
    assert {"CONDA_PREFIX_1", "MAMBA_ROOT_PREFIX", "PYTHONPATH", "VIRTUAL_ENV"} <= made.removed
    assert made.variables["CONDA_SHLVL"] == "1"


def test_a_script_may_put_folders_on_the_path(conda: CondaBench) -> None:
    script = b'export PATH="$CONDA_PREFIX/extra/bin:$PATH"\n'
    conda.channel.add(
        CondaPackage("extra", "1.0", files={"etc/conda/activate.d/extra.sh": File(script)})
    )
    made = conda.build("extra")
    prefix = prefix_of(made)
    assert made.bin_paths == (f"{prefix}/extra/bin", f"{prefix}/bin")
    assert "PATH" not in made.variables


def test_a_failing_script_is_named_and_leaves_nothing(conda: CondaBench) -> None:
    script = b"echo broken tool >&2\nfalse_command\nreturn 1\n"
    conda.channel.add(
        CondaPackage("bad", "1.0", files={"etc/conda/activate.d/bad.sh": File(script)})
    )
    with pytest.raises(EnvError, match=r"one of its scripts \(bad\.sh\) failed") as caught:
        conda.build("bad")
    assert "broken tool" in str(caught.value.hint)
    assert not any(len(p.name) == 32 for p in (conda.home / "envs").iterdir())


def test_prefixes_are_written_into_texts_and_binaries(conda: CondaBench) -> None:
    made = conda.build("active")
    prefix = prefix_of(made)
    assert said(made, "active") == prefix
    binary = Path(prefix, "lib", "active.bin").read_bytes()
    assert binary.startswith(b"\x7fBIN" + prefix.encode() + b"/share\0")


def test_links_of_packages_stay_links(conda: CondaBench) -> None:
    files = {"lib/libx.so.1": File(b"library"), "lib/libx.so": File(link="libx.so.1")}
    conda.channel.add(CondaPackage("libx", "1.0", files=files))
    prefix = prefix_of(conda.build("python", "libx"))
    assert os.readlink(os.path.join(prefix, "lib", "libx.so")) == "libx.so.1"
    assert os.path.islink(os.path.join(prefix, "bin", "python"))
    assert contents.kept(prefix)["lib/libx.so"] == "-> libx.so.1"


def test_two_builds_are_the_same_bytes(conda: CondaBench, tmp_path: Path) -> None:
    lock = conda.lock("python", "alpha", "beta", "active", "tool")
    prefix = prefix_of(conda.builder().build(lock))
    first = contents.listing(prefix)
    os.rename(prefix, tmp_path / "aside")
    second = prefix_of(
        conda.builder().build(conda.lock("python", "alpha", "beta", "active", "tool"))
    )
    assert second == prefix
    assert contents.listing(prefix) == first
    assert any(path.startswith("conda-meta/") for path in first)
    compared = subprocess.run(
        ["diff", "-r", "--no-dereference", "-x", "__pycache__", "-x", "runproj.json", prefix,
         tmp_path / "aside"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert compared.returncode == 0, compared.stdout


def test_packages_that_bring_the_same_files_make_no_difference(conda: CondaBench) -> None:
    shared = {f"share/both/{n}": File(b"the same" if n % 2 else b"a") for n in range(60)}
    other = {path: File(b"other") for path in shared}
    conda.channel.add(
        CondaPackage("one", "1.0", files=shared), CondaPackage("two", "1.0", files=other)
    )
    digests = set()
    for _ in range(4):
        prefix = prefix_of(conda.build("one", "two"))
        digests.add(found(prefix)["contents"])  # type: ignore[index]
        remove_tree(prefix)
    assert len(digests) == 1


def test_two_caches_make_the_same_contents(conda: CondaBench) -> None:
    lock = conda.lock("python", "alpha", "active")
    prefix = prefix_of(conda.builder().build(lock))
    first = contents.kept(prefix)
    remove_tree(prefix)
    remove_tree(str(conda.home / "conda"))
    conda.build("python", "alpha", "active")
    assert contents.kept(prefix) == first


def test_a_poisoned_package_cache_is_noticed_and_healed(conda: CondaBench) -> None:
    lock = conda.lock("python", "alpha=1.0")
    made = conda.builder().build(lock)
    prefix = prefix_of(made)
    module = next(Path(prefix).glob("lib/python*/site-packages/alpha.py"))
    assert module.stat().st_nlink > 1
    module.write_text("VERSION = 'poison'\n")  # through the hard link into the cache
    remove_tree(prefix)
    again = conda.build("python", "alpha=1.0")
    assert said(again, "python -c 'import alpha; print(alpha.VERSION)'") == "1.0"


def test_a_changed_package_file_is_refused(conda: CondaBench) -> None:
    lock = conda.lock("tool")
    archive = next(conda.channel.path.glob("*/tool-1.0-0.conda"))
    archive.write_bytes(archive.read_bytes() + b"x")
    with pytest.raises(EnvError, match="'tool' does not have the locked hash") as caught:
        conda.builder().build(lock)
    assert "sha256:" in caught.value.message
    assert not os.path.exists(conda.prefix(lock))


def test_a_package_that_is_gone_is_named(conda: CondaBench) -> None:
    lock = conda.lock("tool")
    next(conda.channel.path.glob("*/tool-1.0-0.conda")).unlink()
    with pytest.raises(EnvError, match="the package 'tool' is not where the lock says"):
        conda.builder().build(lock)


def test_the_catalog_verifies_every_file(conda: CondaBench) -> None:
    made = conda.build("python", "alpha", "tool")
    catalog = Catalog(home=str(conda.home), environ=conda.environ)
    (environment,) = catalog.all()
    assert environment.state == "ready"
    assert catalog.damage(environment) == ()
    Path(prefix_of(made), "bin", "tool").write_text("#!/bin/sh\necho changed\n")
    Path(prefix_of(made), "added").write_text("x")
    os.unlink(Path(prefix_of(made), "share", "tz"))
    assert sorted(catalog.damage(environment)) == [
        "added was added", "bin/tool was changed", "share/tz is missing",
    ]  # fmt: skip


def test_a_second_environment_costs_little(conda: CondaBench) -> None:
    big = CondaPackage("big", "1.0", files={"share/big": File(os.urandom(300_000))})
    conda.channel.add(big)
    conda.build("big")
    conda.build("big", "tool")
    for environment in Catalog(home=str(conda.home), environ=conda.environ).all():
        assert environment.size > 300_000
        assert environment.own < 20_000


def test_the_marker_tells_packages_with_their_hashes(conda: CondaBench) -> None:
    lock = conda.lock("python", "tool")
    made = conda.builder().build(lock)
    marker = json.loads(Path(str(made.description)).read_text())
    rows = {row["name"]: row for row in marker["packages"]}
    assert rows["tool"]["version"] == "1.0"
    assert rows["tool"]["source"] == "conda"
    assert rows["tool"]["installed"].startswith("sha256:")
    assert marker["python"]["version"] == FULL == lock.python


def test_channels_have_their_order(conda: CondaBench, tmp_path: Path) -> None:
    second = Channel(tmp_path / "second").add(
        CondaPackage("tool", "9.0", files={"bin/tool": File(b"#!/bin/sh\necho 9\n", mode=0o755)})
    )
    channels = (conda.channel.url, second.url)
    assert said(conda.build("tool", channels=channels), "tool") == "tool"
    assert said(conda.build("tool", channels=channels[::-1]), "tool") == "9"
    conda.channel.add(CondaPackage("user", "1.0", depends=("tool >=5",)))
    mixed = conda.build("user", "tool", channels=channels)
    assert said(mixed, "tool") == "9"
    assert any("channels were mixed" in str(event) for event in conda.watcher.events)


def test_as_of_hides_later_packages(conda: CondaBench) -> None:
    from datetime import UTC, datetime

    when = datetime.fromtimestamp(EPOCH + 2 * DAY, UTC)
    lock = conda.lock("python", "alpha", as_of=when)
    assert lock.as_of == when
    assert "alpha 1.1" in conda.locked_texts(lock)
    assert "alpha 2.0" in conda.locked_texts(conda.lock("python", "alpha"))


def test_old_archives_are_installed_too(conda: CondaBench) -> None:
    assert said(conda.build("tool=0.9"), "tool") == "old"


UNSATISFIABLE = {
    ("nothing-of-the-kind",): "no channel has 'nothing-of-the-kind'",
    ("tool >=7",): "no channel has 'tool >=7'",
    ("python", "beta=2", "gamma"): "the packages cannot be installed together",
    ("needs_cuda",): "the packages cannot be installed together",
}


@pytest.mark.parametrize("specs", UNSATISFIABLE)
def test_what_cannot_be_had_is_told(conda: CondaBench, specs: tuple[str, ...]) -> None:
    with pytest.raises(EnvError) as caught:
        conda.lock(*specs)
    assert UNSATISFIABLE[specs] in caught.value.message
    assert caught.value.where == "conda.yaml"
    assert "Traceback" not in str(caught.value.hint)


def test_the_conflicting_packages_are_named(conda: CondaBench) -> None:
    with pytest.raises(EnvError) as caught:
        conda.lock("python", "beta=2", "gamma", "tool")
    hint = str(caught.value.hint)
    assert "beta" in hint
    assert "gamma" in hint
    assert "tool" not in hint


def test_a_system_that_was_overridden_counts(conda: CondaBench) -> None:
    conda.environ["CONDA_OVERRIDE_CUDA"] = "12.4"
    assert "needs_cuda 1.0" in conda.locked_texts(conda.lock("needs_cuda"))


def test_a_channel_that_is_no_folder_is_named(conda: CondaBench) -> None:
    with pytest.raises(EnvError, match=r"the channel './gone' is no folder"):
        conda.lock("tool", channels=("./gone",))


@pytest.mark.slow
def test_a_real_python_is_moved_to_its_place(conda: CondaBench) -> None:
    conda.channel.remove(
        next(p for p in conda.packages if p.name == "python" and p.version == FULL)
    )
    conda.channel.add(python_real(), pure("delta", "1.0"))
    made = conda.build("python", "delta")
    prefix = prefix_of(made)
    assert said(made, "python -c 'import sys; print(sys.base_prefix)'") == prefix
    program = "import ssl, sqlite3, ctypes, lzma, bz2, delta; print(delta.VERSION)"
    assert said(made, f"python -c '{program}'") == "1.0"
    assert lockfile.load(conda.lock("python", "delta").document, shown="l", platform="x").packages
    assert isinstance(conda.watcher.named(Step)[0], Step)
