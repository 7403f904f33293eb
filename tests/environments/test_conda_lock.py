"""``conda-lock.yml``: made, honoured, refused when stale, compared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from conda_channel import SUBDIR, pure
from hypothesis import given
from hypothesis import strategies as st
from packages import make_wheel

from runner.environments.conda import lockfile
from runner.environments.conda.lockfile import CondaLock, Package
from runner.environments.conda.locking import CondaLocking
from runner.environments.conda.platforms import platform_here
from runner.environments.mixing import Mixer
from runner.errors import EnvError
from runner.model.lock import RecordedLock
from runner.model.value import Digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from conda_bench import CondaBench

    from runner.model.lock import ProjectLock

HERE = platform_here()


def drawn(conda: CondaBench, *packages: str, **given: Any) -> ProjectLock:
    options = {k: given.pop(k) for k in ("upgrade", "update", "platforms") if k in given}
    locking = CondaLocking(home=str(conda.home), environ=conda.environ, reporter=conda.watcher)
    made = locking.drawn(conda.request(*packages, **given), **options)
    (conda.project / made.name).write_bytes(made.content)
    return made


def stale(conda: CondaBench, *packages: str, **given: object) -> str | None:
    locking = CondaLocking(home=str(conda.home), environ=conda.environ)
    return locking.staleness(conda.request(*packages, **given))


def test_a_lock_in_the_project_is_used_as_it_is(conda: CondaBench) -> None:
    made = drawn(conda, "python", "alpha=1.0", "tool")
    assert made.name == "conda-lock.yml"
    conda.channel.add(pure("alpha", "1.0", build="py_7"))
    lock = conda.lock("python", "alpha=1.0", "tool", locked=True)
    assert lock.origin == "project"
    rows = lockfile.load(lock.document, shown="l", platform=HERE).part(HERE, "conda")
    assert {str(p) for p in rows if p.name == "alpha"} == {"alpha 1.0 py_0"}
    conda.builder().build(lock)


def test_without_a_lock_locked_refuses(conda: CondaBench) -> None:
    conda.lock("tool")
    with pytest.raises(EnvError, match="the project has no lock") as caught:
        conda.lock("tool", locked=True)
    assert "runproj lock" in str(caught.value.hint)


def test_a_stale_lock_is_named_and_passed_over(conda: CondaBench) -> None:
    made = drawn(conda, "tool")
    with pytest.raises(EnvError, match=r"conda-lock.yml is stale: 'active' was added"):
        conda.lock("tool", "active", locked=True)
    lock = conda.lock("tool", "active")
    assert lock.origin == "resolved"
    assert any("passed over" in str(event) for event in conda.watcher.events)
    assert (conda.project / "conda-lock.yml").read_bytes() == made.content
    assert stale(conda, "tool") is None
    assert stale(conda, "tool", channels=("conda-forge",)) is not None


def test_locks_keep_versions_unless_upgraded(conda: CondaBench) -> None:
    drawn(conda, "python", "alpha=2", "tool")
    conda.channel.add(pure("alpha", "2.1"))
    assert drawn(conda, "python", "alpha=2", "tool").changes == ()
    assert drawn(conda, "python", "alpha=2", "tool", upgrade=True).changes == (
        "~ alpha 2.0 py_0 -> 2.1 py_0",
    )


def test_one_package_can_be_updated_alone(conda: CondaBench) -> None:
    make_wheel(conda.wheels, "wheely", "1.0")
    make_wheel(conda.wheels, "other", "1.0")
    asked = ("python", "alpha", "delta")
    conda.channel.add(pure("delta", "1.0"))
    drawn(conda, *asked, pip=("wheely", "other"))
    conda.channel.add(pure("alpha", "2.1"), pure("delta", "1.1"))
    make_wheel(conda.wheels, "wheely", "1.1")
    make_wheel(conda.wheels, "other", "1.1")
    pip = ("wheely", "other")
    changes = drawn(conda, *asked, pip=pip, update=["alpha"]).changes
    assert changes == ("~ alpha 2.0 py_0 -> 2.1 py_0",)
    assert drawn(conda, *asked, pip=pip, update=["wheely"]).changes == ("~ wheely 1.0 -> 1.1",)
    with pytest.raises(EnvError, match="'gamma' is not in the lock"):
        drawn(conda, *asked, pip=pip, update=["gamma"])


def test_locks_are_made_for_other_platforms(conda: CondaBench) -> None:
    rows = {**conda.channel.rows[SUBDIR]}
    conda.channel.rows["osx-arm64"] = {
        name: {**row, "subdir": "osx-arm64", "depends": ["__osx >=11"]}
        for name, row in rows.items()
        if name.startswith("tool")
    }
    conda.channel.write()
    made = drawn(conda, "tool", platforms=["osx-arm64", HERE])
    lock = lockfile.parsed(made.content, shown="l")
    assert {(p.name, p.platform) for p in lock.packages} == {("tool", "osx-arm64"), ("tool", HERE)}
    assert stale(conda, "tool") is None
    conda.builder().build(conda.lock("tool", locked=True))
    assert drawn(conda, "tool").changes == ()
    with pytest.raises(EnvError, match="'amiga' is no platform"):
        drawn(conda, "tool", platforms=["amiga"])


def test_the_same_question_has_the_same_bytes(conda: CondaBench) -> None:
    make_wheel(conda.wheels, "wheely", "1.0")
    first = drawn(conda, "python", "alpha", pip=("wheely",))
    (conda.project / first.name).unlink()
    assert drawn(conda, "python", "alpha", pip=("wheely",)).content == first.content


def test_a_channel_in_the_project_moves_with_it(conda: CondaBench, tmp_path: Path) -> None:
    os.rename(conda.channel.path, conda.project / "channel")
    drawn(conda, "tool", channels=("./channel",))
    text = (conda.project / "conda-lock.yml").read_text()
    assert "./channel/" in text
    assert str(tmp_path) not in text
    conda.project = conda.project.rename(tmp_path / "moved")
    lock = conda.lock("tool", channels=("./channel",), locked=True)
    conda.builder().build(lock)
    assert os.access(os.path.join(conda.prefix(lock), "bin", "tool"), os.X_OK)


def test_the_lock_of_an_earlier_run_is_used_as_it_is(conda: CondaBench, tmp_path: Path) -> None:
    os.rename(conda.channel.path, conda.project / "channel")
    first = conda.lock("python", "alpha=1.0", channels=("./channel",))
    content = Path(first.document).read_bytes()
    assert str(tmp_path).encode() not in content
    conda.project = conda.project.rename(tmp_path / "elsewhere")
    recorded = RecordedLock(
        content=content, digest=first.digest, name=first.name, python=first.python
    )
    lock = conda.lock("python", "alpha=2.0", channels=("./channel",), recorded=recorded)
    assert (lock.origin, lock.digest, lock.environment) == (
        "recorded", first.digest, first.environment,
    )  # fmt: skip
    conda.builder().build(lock)
    other = RecordedLock(
        content=content.replace(HERE.encode(), b"win-64"), digest=Digest("sha256:00"),
        name=first.name, python=first.python,
    )  # fmt: skip
    with pytest.raises(EnvError, match="the recorded lock is for win-64"):
        conda.lock("tool", recorded=other)


def test_locks_are_mixed_by_packages(conda: CondaBench) -> None:
    old = drawn(conda, "python", "alpha=1.0", "tool=0.9").content
    new = drawn(conda, "python", "alpha=2.0", "tool=1.0").content
    mixer = Mixer()
    assert mixer.differing(old, new) == ("alpha", "tool")
    mixed = lockfile.parsed(mixer.mixed(old, new, frozenset({"tool"})), shown="l")
    versions = {p.name: p.version for p in mixed.packages}
    assert (versions["alpha"], versions["tool"]) == ("1.0", "1.0")


def foreign(conda: CondaBench, *packages: str, **given: Any) -> dict[str, Any]:
    """Return a lock as conda-lock writes it: nothing of ours in it."""
    document: dict[str, Any] = yaml.safe_load(drawn(conda, *packages, **given).content)
    document["metadata"].pop("custom_metadata")
    document["metadata"]["content_hash"] = dict.fromkeys(document["metadata"]["content_hash"], "0")
    for row in document["package"]:
        row.pop("build", None)
    return document


def test_the_lock_of_another_tool_is_honoured_if_it_fits(conda: CondaBench) -> None:
    make_wheel(conda.wheels, "wheely", "1.0")
    document = foreign(conda, "python", "alpha=1.0", pip=("wheely",))
    (conda.project / "conda-lock.yml").write_text(yaml.safe_dump(document))
    lock = conda.lock("python", "alpha", pip=("wheely>=1",), locked=True)
    conda.builder().build(lock)
    assert "alpha 1.0" in conda.locked_texts(lock)
    cases = {
        ("python", "alpha>=2"): "it has alpha 1.0 py_0, and 'alpha>=2' is asked for",
        ("python", "tool"): "it lacks 'tool': 'tool' is asked for",
    }
    for asked, reason in cases.items():
        assert stale(conda, *asked, pip=("wheely",)) == reason
    assert "it has wheely 1.0" in str(stale(conda, "python", "alpha", pip=("wheely>1",)))
    assert "it lacks 'other'" in str(stale(conda, "python", "alpha", pip=("other",)))


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_an_explicit_list_is_honoured(conda: CondaBench, algorithm: str) -> None:
    packages = lockfile.parsed(drawn(conda, "tool", "active").content, shown="l").packages
    (conda.project / "conda-lock.yml").unlink()
    hashes: dict[str, Callable[[Package], str]] = {
        "md5": lambda p: p.md5,
        "sha256": lambda p: f"sha256:{p.sha256}",
    }
    lines = [f"{p.url}#{hashes[algorithm](p)}" for p in packages]
    (conda.project / f"conda-{HERE}.lock").write_text("\n".join(["@EXPLICIT", *lines, ""]))
    lock = conda.lock("tool", "active", locked=True)
    conda.builder().build(lock)
    assert sorted(conda.locked_texts(lock)) == ["active 1.0", "tool 1.0"]
    with pytest.raises(EnvError, match=f"conda-{HERE}.lock is stale: it lacks 'alpha'"):
        conda.lock("tool", "alpha", locked=True)


def test_an_explicit_list_without_hashes_is_refused(conda: CondaBench) -> None:
    text = f"@EXPLICIT\n{conda.channel.url}/{HERE}/tool-1.0-0.conda\n"
    (conda.project / "explicit.txt").write_text(text)
    with pytest.raises(EnvError, match="the package has no hash") as caught:
        conda.lock("tool")
    assert caught.value.where == "explicit.txt:2"


def test_a_lock_for_another_platform_is_stale(conda: CondaBench) -> None:
    content = drawn(conda, "tool").content.replace(HERE.encode(), b"win-64")
    (conda.project / "conda-lock.yml").write_bytes(content)
    assert stale(conda, "tool") == f"it is for win-64, and this is {HERE}"


BROKEN = {
    "a: [": "the lock is no YAML",
    "a: 1": "is no conda-lock.yml",
    "version: 2\nmetadata: {}\npackage: []\n": "of version 2",
    "version: 1\nmetadata: {}\npackage: [{name: a}]\n": "makes no sense",
    "version: 1\nmetadata: {}\npackage: [{name: a, version: 1, manager: conda, platform: p, "
    "url: 'http://h/p/a-1-0.conda', hash: {}}]\n": "there is no hash for 'a'",
    "version: 1\nmetadata: {}\npackage: [{name: a, version: 1, manager: conda, platform: p, "
    "url: 'http://u:pw@h/a.zip', hash: {md5: x}}]\n": "names no conda package",
}


@pytest.mark.parametrize("text", BROKEN)
def test_broken_locks_are_told(conda: CondaBench, text: str) -> None:
    (conda.project / "conda-lock.yml").write_text(text)
    with pytest.raises(EnvError, match=BROKEN[text]) as caught:
        conda.lock("tool")
    assert caught.value.where == "conda-lock.yml"
    assert "pw" not in caught.value.message


words = st.text("abcdefghijklmnopqrstuvwxyz0123456789._", min_size=1, max_size=8)
hexes = st.text("0123456789abcdef", min_size=32, max_size=32)
locked_packages = st.builds(
    lambda name, version, build, md5, sha, depends: Package(
        manager="conda", name=name, version=version, build=build, platform=HERE, md5=md5,
        sha256=sha + sha, url=f"https://h/c/{HERE}/{name}-{version}-{build}.conda",
        depends=depends,
    ),
    words, words, words, hexes, hexes, st.dictionaries(words, st.text(max_size=5), max_size=3),
)  # fmt: skip


@given(st.lists(locked_packages, unique_by=lambda p: p.name, max_size=6))
def test_locks_survive_being_written(packages: list[Package]) -> None:
    lock = CondaLock(
        packages=tuple(sorted(packages, key=lambda p: p.name)),
        channels=("https://h/c",),
        platforms=(HERE,),
        source="conda.yaml",
        inputs={HERE: "00"},
        ours={"format": "1", "requirements": ["a"]},
    )
    again = lockfile.parsed(lockfile.render(lock), shown="l")
    assert again == lock
    assert lockfile.changes(lock.packages, again.packages) == ()
