"""What is recorded of a dirty tree: applied to the commit it gives exactly what ran."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from git_repositories import Repo, make_repo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.model.project import ProjectReference, WorkingTree
from runner.sources import changes
from runner.sources.folder import FolderSource
from runner.system import packing
from runner.system.trees import directory_digest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def fetched(home: str, environ: dict[str, str]) -> FolderSource:
    return FolderSource(home=home, environ=environ)


def described(source: FolderSource, repo: Repo) -> WorkingTree:
    return source.fetch(ProjectReference(location=str(repo.path)))


def rebuilt(tree: WorkingTree, repo: Repo, place: Path) -> Path:
    """Check the commit out elsewhere, apply the patch, unpack the untracked files."""
    repo.git("clone", "-q", str(repo.path), str(place))
    copy = Repo(place)
    if tree.changes.patch:
        copy.git("apply", "--binary", "--whitespace=nowarn", stdin=tree.changes.patch)
    if tree.changes.untracked:
        with tarfile.open(fileobj=io.BytesIO(tree.changes.untracked)) as archive:
            archive.extractall(place, filter="tar")
    subprocess.run(["rm", "-rf", place / ".git"], check=True)
    return place


def same(tree: WorkingTree, repo: Repo, place: Path) -> None:
    assert tree.provenance.dirty
    copy = rebuilt(tree, repo, place)
    assert directory_digest(str(copy)).digest == tree.provenance.tree


def test_every_kind_of_change_survives(fetched: FolderSource, tmp_path: Path) -> None:
    repo = make_repo(
        tmp_path / "p",
        {
            "edited.txt": "a\nb\nc\n",
            "no-newline": "x",
            "deleted.txt": "d\n",
            "binary.bin": bytes(range(256)),
            "mode.sh": "#!/bin/sh\n",
            "staged.txt": "1\n",
            "was-file": "f\n",
            "kind": "text\n",
            "naïve name\t.txt": "u\n",
        },
    )
    repo.write(
        {
            "edited.txt": "a\nB\nc\n",
            "no-newline": "y",
            "binary.bin": bytes(reversed(range(256))),
            "staged.txt": "2\n",
            "added-staged.txt": "new\n",
            "naïve name\t.txt": "v\r\n",
            "untracked.txt": "u",
            "deep/er/run.sh": "#!/bin/sh\n",
            "deep/ünï.txt": "ü",
        }
    )
    (repo.path / "deleted.txt").unlink()
    (repo.path / "mode.sh").chmod(0o755)
    (repo.path / "deep/er/run.sh").chmod(0o700)
    (repo.path / "kind").unlink()
    (repo.path / "kind").symlink_to("edited.txt")
    (repo.path / "was-file").unlink()
    repo.write({"was-file/inside": "now a folder\n"})
    (repo.path / "dangling").symlink_to("nowhere")
    repo.git("add", "staged.txt", "added-staged.txt")
    repo.write({"staged.txt": "3\n"})
    tree = described(fetched, repo)
    assert tree.provenance.omitted == ()
    same(tree, repo, tmp_path / "copy")


def test_the_patch_is_gits_own(fetched: FolderSource, repo: Repo) -> None:
    repo.write({"train.py": "print(2)\n"})
    tree = described(fetched, repo)
    assert tree.changes.patch.decode().strip() == repo.git(
        "diff", "--binary", "--full-index", "HEAD"
    )
    assert tree.provenance.patch is not None
    assert tree.changes.untracked == b""


def test_a_change_in_the_same_tick_as_the_index_is_seen(fetched: FolderSource, repo: Repo) -> None:
    tick = 1_700_000_000_000_000_000
    repo.git("config", "core.trustctime", "false")
    os.utime(repo.path / "train.py", ns=(tick, tick))
    repo.git("update-index", "--refresh")
    repo.write({"train.py": "print(2)\n"})
    for place in (repo.path / "train.py", repo.path / ".git" / "index"):
        os.utime(place, ns=(tick, tick))
    tree = described(fetched, repo)
    assert tree.provenance.dirty
    assert b"+print(2)" in tree.changes.patch


def test_the_users_configuration_does_not_change_the_patch(
    fetched: FolderSource, repo: Repo, environ: dict[str, str]
) -> None:
    repo.write({"train.py": "print(2)\n"})
    plain = described(fetched, repo).changes.patch
    with open(os.path.join(environ["HOME"], ".gitconfig"), "w") as file:
        file.write(
            "[diff]\n\tnoprefix = true\n\tmnemonicPrefix = true\n\trenames = copies\n"
            "\tcontext = 0\n\texternal = false\n\tsuppressBlankEmpty = true\n"
            "[color]\n\tui = always\n\tdiff = always\n[core]\n\tpager = false\n"
            "[status]\n\tshowUntrackedFiles = no\n\trelativePaths = true\n\tshort = true\n"
        )
    repo.write({"new.txt": "n"})
    tree = described(fetched, repo)
    assert tree.changes.patch == plain
    assert tree.changes.untracked


def test_a_conflict_is_recorded_as_it_stands(
    fetched: FolderSource, repo: Repo, tmp_path: Path
) -> None:
    repo.git("checkout", "-q", "-b", "side")
    repo.commit({"train.py": "print('side')\n"})
    repo.git("checkout", "-q", "main")
    repo.commit({"train.py": "print('main')\n"})
    with pytest.raises(AssertionError):
        repo.git("merge", "-q", "side")
    tree = described(fetched, repo)
    assert b"<<<<<<<" in tree.changes.patch
    same(tree, repo, tmp_path / "copy")


def test_archives_depend_on_contents_alone(fetched: FolderSource, repo: Repo) -> None:
    repo.write({"b.txt": "b", "a.txt": "a"})
    first = described(fetched, repo).changes.untracked
    os.utime(repo.path / "a.txt", (1, 1))
    (repo.path / "b.txt").chmod(0o600)
    assert described(fetched, repo).changes.untracked == first
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert archive.getnames() == ["a.txt", "b.txt"]
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in archive} == {(0, 0, 0, "", 0o644)}


def test_what_is_left_out_is_named(
    fetched: FolderSource, repo: Repo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(changes, "LARGEST_FILE", 1000)
    monkeypatch.setattr(changes, "LARGEST_TOTAL", 1500)
    repo.commit({".gitignore": "*.log\n"})
    repo.write(
        {
            "mlruns/0/meta.yaml": "x",
            "mlflow.db": "x",
            "mlflow.db-wal": "x",
            "src/__pycache__/m.pyc": "x",
            "src/m.py": "m",
            ".venv/pyvenv.cfg": "x",
            "src/env/pyvenv.cfg": "x",
            ".env": "TOKEN=1",
            "src/.env.example": "TOKEN=",
            "big.csv": "x" * 1001,
            "one.csv": "x" * 900,
            "two.csv": "x" * 900,
            "ignored.log": "x",
        }
    )
    make_repo(repo.path / "nested", {"a": "b"})
    tree = described(fetched, repo)
    reasons = {omission.path: omission.reason for omission in tree.provenance.omitted}
    assert reasons == {
        "mlruns/": "made by tools, not part of the project",
        "mlflow.db": "made by tools, not part of the project",
        "mlflow.db-wal": "made by tools, not part of the project",
        ".venv/": "a virtual environment",
        "src/env/": "a virtual environment",
        ".env": "may hold secrets",
        "big.csv": "larger than 10 MiB",
        "two.csv": "more than 100 MiB of untracked files",
        "nested/": "a repository of its own",
    }
    with tarfile.open(fileobj=io.BytesIO(tree.changes.untracked)) as archive:
        assert archive.getnames() == ["one.csv", "src/.env.example", "src/m.py"]
    same(tree, repo, tmp_path / "copy")


def test_a_file_that_vanishes_meanwhile_is_told_in_a_sentence(
    fetched: FolderSource, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write({"fleeting.txt": "x"})
    real = packing.packed

    def late(root: str, files: list[str]) -> bytes:
        (repo.path / "fleeting.txt").unlink()
        return real(root, files)

    monkeypatch.setattr(changes, "packed", late)
    (omission,) = described(fetched, repo).provenance.omitted
    assert omission.reason == "'fleeting.txt' cannot be recorded: No such file or directory"


def test_only_generated_files_leave_a_tree_clean(fetched: FolderSource, repo: Repo) -> None:
    repo.write({"mlruns/0/meta.yaml": "x", "mlflow.db": "x", "__pycache__/a.pyc": "x"})
    tree = described(fetched, repo)
    assert not tree.provenance.dirty
    assert tree.provenance.tree == repo.tree


def test_a_touched_file_is_no_change(fetched: FolderSource, repo: Repo) -> None:
    os.utime(repo.path / "train.py", (1, 1))
    assert not described(fetched, repo).provenance.dirty


def test_a_huge_change_is_left_out_and_named(
    fetched: FolderSource, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "LARGEST_CHANGE", 100)
    repo.write({"train.py": "x" * 101, "MLproject": "name: q\n", "staged.bin": "y" * 101})
    repo.git("add", "staged.bin")
    tree = described(fetched, repo)
    assert {o.path for o in tree.provenance.omitted} == {"train.py", "staged.bin"}
    assert tree.provenance.dirty
    assert b"MLproject" in tree.changes.patch
    assert b"train.py" not in tree.changes.patch
    assert b"staged.bin" not in tree.changes.patch


def test_submodules(fetched: FolderSource, repo: Repo, tmp_path: Path) -> None:
    library = make_repo(tmp_path / "library", {"lib.py": "1\n"})
    repo.git("submodule", "add", "-q", str(library.path), "lib")
    repo.commit()
    assert described(fetched, repo).provenance.tree == repo.tree
    Repo(repo.path / "lib").write({"lib.py": "2\n"})
    dirty = described(fetched, repo).provenance
    assert dirty.dirty
    assert [(o.path, o.reason) for o in dirty.omitted] == [("lib", "changes inside the submodule")]
    moved = Repo(repo.path / "lib").commit()
    tree = described(fetched, repo)
    assert f"+Subproject commit {moved}".encode() in tree.changes.patch
    repo.commit()
    assert tree.provenance.tree == repo.tree


def test_line_endings_that_git_converts(fetched: FolderSource, repo: Repo) -> None:
    repo.commit({".gitattributes": "*.txt text eol=crlf\n", "a.txt": "one\r\ntwo\r\n"})
    assert not described(fetched, repo).provenance.dirty
    repo.write({"a.txt": "one\r\n2\r\n"})
    tree = described(fetched, repo)
    repo.commit()
    assert tree.provenance.tree == repo.tree


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 200)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    files=st.dictionaries(NAMES, st.binary(max_size=60), min_size=1, max_size=4),
    data=st.data(),
)
def test_any_names_and_contents_survive(
    files: dict[str, bytes], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("any")
    repo = make_repo(place / "p", {"keep": "k"})
    (repo.path / "f").mkdir()
    tracked = {f"f/{name}": content for name, content in files.items()}
    try:
        repo.commit(dict(tracked))
    except (OSError, AssertionError):
        return  # a name that this file system or git itself refuses (".git" in disguise)
    for name, content in tracked.items():
        action = data.draw(st.sampled_from(["edit", "delete", "mode", "leave", "copy"]))
        if action == "edit":
            repo.write({name: data.draw(st.binary(max_size=60))})
        elif action == "delete":
            (repo.path / name).unlink()
        elif action == "mode":
            (repo.path / name).chmod(0o755)
        elif action == "copy":
            repo.write({f"g/{name}": content})
    kept = {k: v for k, v in os.environ.items() if k == "PATH"}
    source = FolderSource(home=str(place / "home"), environ={**kept, "HOME": str(place)})
    tree = described(source, repo)
    if not tree.provenance.omitted:
        copy = rebuilt(tree, repo, place / "copy")
        assert directory_digest(str(copy), everything=True).digest == tree.provenance.tree
