from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.environments import pylock
from runner.environments.interpreters import Interpreter
from runner.errors import EnvError

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = Interpreter(
    path="/usr/bin/python3.9",
    version="3.9.18",
    implementation="cpython",
    abi="cpython-39-x86_64-linux-gnu",
    platform="linux-x86_64",
    size=1,
    modified=1,
)


def wheel(name: str, version: str, digest: str = "aa", **given: Any) -> dict[str, Any]:
    file = {"url": f"https://x.example/{name}-{version}-py3-none-any.whl"}
    row = {"name": name, "version": version, "wheels": [{**file, "hashes": {"sha256": digest}}]}
    return {**row, **given}


texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, max_size=4), texts)
def test_whatever_is_written_is_read_back(head: dict[str, Any], name: str) -> None:
    head = {k: v for k, v in head.items() if k not in {"packages", "tool"}}
    row = {**{f"x{k}": v for k, v in head.items()}, "name": name}
    table = {**head, "packages": [row], "tool": {"runproj": head}}
    again = tomllib.loads(pylock.render(table).decode())
    assert _without_urls(again) == _without_urls(table)


def _without_urls(value: Any) -> Any:
    """Credentials are taken out on purpose: compare the rest."""
    if isinstance(value, dict):
        return {k: _without_urls(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_urls(v) for v in value]
    return "url" if isinstance(value, str) and "://" in value else value


def test_credentials_are_not_written() -> None:
    row = wheel("a", "1")
    row["wheels"][0]["url"] = "https://bob:s3cret@x.example/a-1-py3-none-any.whl?token=t0k"
    text = pylock.render({"lock-version": "1.0", "packages": [row]}).decode()
    assert "s3cret" not in text
    assert "t0k" not in text
    assert "https://x.example/a-1-py3-none-any.whl" in text


def test_markers_decide_for_the_interpreter_not_for_ours() -> None:
    rows = [
        wheel("old", "1", marker="python_version < '3.10'"),
        wheel("new", "1", marker="python_full_version >= '3.10'"),
        wheel("windows", "1", marker="sys_platform == 'win32'"),
    ]
    assert [p.name for p in pylock.packages({"packages": rows}, PYTHON)] == ["old"]
    assert len(pylock.packages({"packages": rows})) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not toml", "no TOML"),
        ("a = 1", "no 'lock-version'"),
        ('lock-version = "2.0"', "of version 2.0"),
        ('lock-version = "1.0"\npackages = 3', "not a list"),
        ('lock-version = "1.0"\n[[packages]]\nversion = "1"', "not a list"),
    ],
)
def test_what_is_no_lock_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "pylock.toml"
    path.write_text(text)
    with pytest.raises(EnvError, match=said) as caught:
        pylock.load(str(path), shown="pylock.toml")
    assert caught.value.where == "pylock.toml"


def test_a_file_without_a_hash_is_refused() -> None:
    row = wheel("a", "1")
    row["wheels"][0].pop("hashes")
    with pytest.raises(EnvError, match="no hash for a file of 'a'"):
        pylock.packages({"packages": [row]})


def test_a_package_without_a_file_is_refused() -> None:
    with pytest.raises(EnvError, match="names no file for 'a'"):
        pylock.packages({"packages": [{"name": "a", "version": "1"}]})


def test_a_wrong_marker_is_refused() -> None:
    with pytest.raises(EnvError, match="the marker of 'a' is wrong"):
        pylock.packages({"packages": [wheel("a", "1", marker="python >")]}, PYTHON)


def test_changes_are_named() -> None:
    before = [wheel("a", "1"), wheel("b", "1"), wheel("c", "1"), wheel("same", "1")]
    after = [wheel("a", "2"), wheel("b", "1", "bb"), wheel("d", "1"), wheel("Same", "1")]
    found = pylock.changes(
        pylock.packages({"packages": before}), pylock.packages({"packages": after})
    )
    assert [str(c) for c in found] == ["~ a 1 -> 2", "~ b 1 -> 1 (other files)", "- c 1", "+ d 1"]


def test_requirements_for_pip_carry_every_hash() -> None:
    row = wheel("a", "1")
    row["sdist"] = {"url": "https://x.example/a-1.tar.gz", "hashes": {"sha256": "cc"}}
    archive = {"url": "https://x.example/b.zip", "hashes": {"sha256": "dd"}}
    found = pylock.packages({"packages": [row, {"name": "b", "archive": archive}]})
    assert pylock.as_requirements(found) == (
        "a==1 --hash=sha256:aa --hash=sha256:cc\nb @ https://x.example/b.zip#sha256=dd\n"
    )
