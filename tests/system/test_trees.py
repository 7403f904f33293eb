"""Names of trees, compared with git's own; links that lead out."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.system import trees
from runner.system.blobs import LARGE, BlobMemory
from runner.system.trees import directory_digest, is_secret, outward_link

if TYPE_CHECKING:
    from pathlib import Path


def named_by_git(folder: Path) -> str:
    """The tree id after ``git add`` of everything."""
    own = {
        "GIT_DIR": str(folder) + ".git",
        "GIT_WORK_TREE": str(folder),
        "PATH": os.environ["PATH"],
    }
    own |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], env=own, check=True, capture_output=True)
        return done.stdout.decode().strip()

    git("init", "-q")
    git("add", "-A", "-f")
    return "swh:1:dir:" + git("write-tree")


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_a_folder_is_named_as_git_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    write(folder, {"a": b"", "a.b": b"1", "a-b/x": b"2", "ab/y/z": b"3" * 3_000_000, "ü": b"4"})
    write(folder, {"run.sh": b"#!/bin/sh\n", "other.sh": b"#!/bin/sh\n"})
    (folder / "run.sh").chmod(0o744)
    (folder / "other.sh").chmod(0o654)
    (folder / "link").symlink_to("a-b")
    (folder / "dangling").symlink_to("/no/where")
    (folder / "empty" / "er").mkdir(parents=True)
    found = directory_digest(str(folder), everything=True)
    assert found.digest == named_by_git(folder)
    assert found.omitted == ()


def test_the_empty_folder(tmp_path: Path) -> None:
    empty = "swh:1:dir:4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert directory_digest(str(tmp_path)).digest == empty


PARTS = st.text(st.sampled_from("ab.-_A0 é"), min_size=1, max_size=4).filter(
    lambda part: part not in {".", ".."} and part.lower() != ".git"
)


@settings(max_examples=12, deadline=None)
@given(
    st.dictionaries(st.lists(PARTS, min_size=1, max_size=3).map("/".join), st.binary(max_size=9))
)
def test_any_folder_is_named_as_git_names_it(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("any") / "f"
    folder.mkdir()
    for name, content in files.items():
        try:
            write(folder, {name: content})
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue  # one file's name is another's folder
    assert directory_digest(str(folder), everything=True).digest == named_by_git(folder)


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "mlruns/0/x": b"",
            "mlflow.db": b"",
            "__pycache__/x": b"",
            "venv/pyvenv.cfg": b"",
            "conda/conda-meta/x": b"",
            "cache/CACHEDIR.TAG": b"",
            ".env": b"",
            "keep/.env.example": b"",
            "keep/mlruns.py": b"",
            ".git/HEAD": b"",
        },
    )
    os.mkfifo(tmp_path / "pipe")
    found = directory_digest(str(tmp_path))
    assert sorted((o.path, o.reason) for o in found.omitted) == [
        (".env", "may hold secrets"),
        ("__pycache__", "made by tools, not part of the project"),
        ("cache", "a cache"),
        ("conda", "a conda environment"),
        ("mlflow.db", "made by tools, not part of the project"),
        ("mlruns", "made by tools, not part of the project"),
        ("pipe", "not a regular file"),
        ("venv", "a virtual environment"),
    ]
    rest = tmp_path / "rest"
    write(rest, {"keep/.env.example": b"", "keep/mlruns.py": b""})
    expected = directory_digest(str(rest)).digest
    subprocess.run(["rm", "-rf", rest], check=True)
    assert found.digest == expected


@pytest.mark.skipif(os.getuid() == 0, reason="root can read everything")
def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"closed/x": b"", "secret": b""})
    (tmp_path / "closed").chmod(0)
    (tmp_path / "secret").chmod(0)
    reasons = {o.path: o.reason for o in directory_digest(str(tmp_path)).omitted}
    (tmp_path / "closed").chmod(0o700)
    assert reasons.keys() == {"closed", "secret"}


def test_very_deep_folders(tmp_path: Path) -> None:
    deep = str(tmp_path)
    for _ in range(1100):
        deep += "/d"
        os.mkdir(deep)
    with open(f"{deep}/x", "wb") as file:
        file.write(b"x")
    found = directory_digest(str(tmp_path))
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)
    assert found.omitted == ()
    assert found.digest != directory_digest(str(tmp_path)).digest


@pytest.mark.parametrize(
    ("links", "bad"),
    [
        ({"ok": "file", "sub/up": "../file", "dangling": "missing", "self": "."}, None),
        ({"loop": "loop"}, None),
        ({"out": "/etc"}, "out"),
        ({"sub/out": "../../x"}, "sub/out"),
        ({"hop": "sub/deep", "sub/deep": "../../x"}, "sub/deep"),
        ({"sneaky": "sub/../../x"}, "sneaky"),
    ],
)
def test_links_that_lead_out(links: dict[str, str], bad: str | None, tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, {"file": b"", "sub/x": b""})
    for name, target in links.items():
        (root / name).symlink_to(target)
    found = outward_link(str(root))
    if bad is None:
        assert found is None
    else:
        assert found is not None
        assert found in links.items()


def test_a_sibling_with_the_same_beginning_is_outside(tmp_path: Path) -> None:
    write(tmp_path, {"root/x": b"", "root-2/x": b""})
    (tmp_path / "root" / "link").symlink_to("../root-2/x")
    assert outward_link(str(tmp_path / "root")) == ("link", "../root-2/x")


def test_names_of_secrets() -> None:
    secret = [".env", ".env.local", ".netrc", "id_rsa", "server.pem", "tls.key"]
    assert all(map(is_secret, secret))
    assert not any(map(is_secret, [".env.example", "env", "keys.py", "id_rsa.pub", ".envrc.md"]))


def test_large_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, folder = str(tmp_path / "home"), tmp_path / "f"
    write(folder, {"large": b"x" * LARGE, "small": b"y"})
    os.utime(folder / "large", (1, 1))
    monkeypatch.setattr("runner.system.blobs.RECENT", -1.0)

    def digest() -> str:
        return directory_digest(str(folder), memory=BlobMemory(home, str(folder))).digest

    first = digest()
    assert first == directory_digest(str(folder)).digest
    real, opened = trees._file_blob, []

    def noted(path: str) -> bytes:
        opened.append(os.path.basename(path))
        return real(path)

    monkeypatch.setattr(trees, "_file_blob", noted)
    assert digest() == first
    assert opened == ["small"]
    write(folder, {"large": b"z" * LARGE})
    os.utime(folder / "large", (1, 1))
    assert digest() == directory_digest(str(folder)).digest != first
    for place in (tmp_path / "home" / "blobs").iterdir():
        place.write_text('{"large": 7}')
    assert digest() == directory_digest(str(folder)).digest


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path) -> None:
    home, folder = str(tmp_path / "home"), tmp_path / "f"
    for content in (b"a" * LARGE, b"b" * LARGE):
        write(folder, {"large": content})
        os.utime(folder / "large", (1, 1))
        memory = BlobMemory(home, str(folder))
        found = directory_digest(str(folder), memory=memory).digest
        assert found == directory_digest(str(folder)).digest
    assert not (tmp_path / "home" / "blobs").exists()
