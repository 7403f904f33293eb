"""Folders: used in place, described by git where git has a say, by their files where not."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from git_repositories import Repo, fingerprint, make_repo

from runner.errors import SourceError
from runner.model.project import ProjectReference, WorkingTree
from runner.sources.folder import FolderSource
from runner.system import process


def fetch(path: object, home: str, environ: dict[str, str], **more: str) -> WorkingTree:
    reference = ProjectReference(location=str(path), **more)
    source = FolderSource(home=home, environ=environ)
    assert source.accepts(reference)
    return source.fetch(reference)


def test_a_clean_repository_is_named_by_its_commit(
    repo: Repo, home: str, environ: dict[str, str]
) -> None:
    repo.git("remote", "add", "other", "https://example.org/other.git")
    repo.git("remote", "add", "origin", "https://bob:s3cret@example.org/p.git")
    tree = fetch(repo.path, home, environ)
    found = tree.provenance
    assert (tree.root, tree.project, tree.lease) == (str(repo.path), str(repo.path), None)
    assert found.commit == repo.git("rev-parse", "HEAD")
    assert found.committed == datetime(2024, 2, 3, 2, 5, 6, tzinfo=UTC)
    assert found.branch == "main"
    assert found.repository == "https://example.org/p.git"
    assert found.tree == repo.tree
    assert not found.dirty
    assert (found.patch, found.untracked, found.omitted) == (None, None, ())


@pytest.mark.parametrize("form", ["{}", "{}/", "file://{}", "file:{}", "file://localhost{}"])
def test_every_way_of_writing_a_folder_means_the_same(
    form: str, repo: Repo, home: str, environ: dict[str, str]
) -> None:
    tree = fetch(form.format(repo.path), home, environ)
    assert tree.project == str(repo.path)
    assert tree.provenance.reference.location == str(repo.path)


def test_escaped_file_urls_and_relative_paths(
    tmp_path: Path, home: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a b%").mkdir()
    assert fetch(f"file://{tmp_path}/a%20b%25", home, environ).root == str(tmp_path / "a b%")
    monkeypatch.chdir(tmp_path)
    assert fetch("a b%", home, environ).root == str(tmp_path / "a b%")


def test_nothing_of_the_repository_changes(repo: Repo, home: str, environ: dict[str, str]) -> None:
    repo.write({"train.py": "print(2)\n", "new.txt": "x", "staged.txt": "s"})
    repo.git("add", "staged.txt")
    before = fingerprint(repo.path)
    for _ in range(2):
        assert fetch(repo.path, home, environ).provenance.dirty
    assert fingerprint(repo.path) == before


def test_a_warm_clean_run_starts_one_process(
    repo: Repo, home: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch(repo.path, home, environ)
    started = []
    real = process.capture

    def counted(argv: tuple[str, ...], **more: dict[str, str]) -> process.Completed:
        started.append(argv)
        return real(argv, **more)

    monkeypatch.setattr(process, "capture", counted)
    assert fetch(repo.path, home, environ) == first
    assert [argv[3] for argv in started] == ["status"]


def test_what_was_remembered_is_forgotten_when_the_repository_changes(
    repo: Repo, home: str, environ: dict[str, str]
) -> None:
    assert fetch(repo.path, home, environ).provenance.repository is None
    repo.git("remote", "add", "origin", "git@example.org:p.git")
    assert fetch(repo.path, home, environ).provenance.repository == "git@example.org:p.git"
    repo.commit({"train.py": "print(3)\n"})
    assert fetch(repo.path, home, environ).provenance.tree == repo.tree
    for note in Path(home, "git", "facts").iterdir():
        note.write_text("[1")
    assert fetch(repo.path, home, environ).provenance.tree == repo.tree


def test_subdirectories(repo: Repo, home: str, environ: dict[str, str]) -> None:
    repo.commit({"sub.d/x/MLproject": "name: x\n"})
    tree = fetch(repo.path, home, environ, subdirectory="sub.d/x")
    assert (tree.root, tree.project) == (str(repo.path), f"{repo.path}/sub.d/x")
    assert tree.provenance.tree == repo.tree
    assert fetch(repo.path / "sub.d" / "x", home, environ).root == str(repo.path)
    with pytest.raises(SourceError, match="Could not find subdirectory 'fake'"):
        fetch(repo.path, home, environ, subdirectory="fake")
    (repo.path / "out").symlink_to("/")
    with pytest.raises(SourceError, match="leads out of the project"):
        fetch(repo.path, home, environ, subdirectory="out/tmp")


def test_a_folder_that_the_repository_ignores_is_no_part_of_it(
    repo: Repo, home: str, environ: dict[str, str]
) -> None:
    repo.commit({".gitignore": "scratch/\n"})
    repo.write({"scratch/MLproject": "name: s\n"})
    tree = fetch(repo.path / "scratch", home, environ)
    assert tree.root == str(repo.path / "scratch")
    assert tree.provenance.commit is None
    assert tree.provenance.omitted == ()


def test_without_git_the_files_still_have_the_name_git_gives_them(
    repo: Repo, home: str, environ: dict[str, str], tmp_path: Path
) -> None:
    (repo.path / "empty" / "er").mkdir(parents=True)
    subprocess.run(["cp", "-a", repo.path, tmp_path / "plain"], check=True)
    subprocess.run(["rm", "-rf", tmp_path / "plain" / ".git"], check=True)
    tree = fetch(tmp_path / "plain", home, environ)
    assert tree.provenance.tree == repo.tree
    assert tree.provenance.commit is None


@pytest.mark.parametrize("damage", ["no git", "corrupt", "not ours"])
def test_a_repository_that_cannot_be_read_is_said_to_be_so(
    damage: str, repo: Repo, home: str, environ: dict[str, str], tmp_path: Path
) -> None:
    if damage == "no git":
        environ["PATH"] = str(tmp_path / "nowhere")
        words = "'git' is not on the PATH"
    elif damage == "corrupt":
        (repo.path / ".git" / "HEAD").write_text("nonsense")
        words = "not a git repository"
    else:
        if os.getuid() != 0:
            pytest.skip("only root can give a folder away")
        for place in (repo.path, *repo.path.rglob("*")):
            os.lchown(place, 12345, 12345)
        words = "dubious ownership"
    found = fetch(repo.path, home, environ).provenance
    assert (
        found.tree
        == make_repo(tmp_path / "same", {"MLproject": "name: p\n", "train.py": "print(1)\n"}).tree
    )
    assert found.commit is None
    (omission,) = found.omitted
    assert omission.path == ".git"
    assert words in omission.reason


def test_a_repository_without_a_commit(tmp_path: Path, home: str, environ: dict[str, str]) -> None:
    repo = make_repo(tmp_path / "young")
    nothing = fetch(repo.path, home, environ).provenance
    assert (nothing.commit, nothing.branch, nothing.committed) == (None, "main", None)
    repo.write({"a.txt": "a", "b.txt": "b"})
    repo.git("add", "a.txt")
    some = fetch(repo.path, home, environ).provenance
    assert some.dirty
    repo.commit()
    assert some.tree == repo.tree


def test_a_detached_head_has_no_branch(repo: Repo, home: str, environ: dict[str, str]) -> None:
    repo.git("checkout", "-q", "--detach")
    found = fetch(repo.path, home, environ).provenance
    assert (found.branch, found.commit) == (None, repo.git("rev-parse", "HEAD"))


def test_linked_work_trees(repo: Repo, home: str, environ: dict[str, str], tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = Repo(tmp_path / "side")
    side.commit({"train.py": "print(9)\n"})
    found = fetch(side.path, home, environ).provenance
    assert (found.branch, found.tree) == ("side", side.tree)
    side.write({"train.py": "print(10)\n"})
    assert fetch(side.path, home, environ).provenance.dirty


def test_hostile_variables_and_configuration_have_no_effect(
    repo: Repo, home: str, environ: dict[str, str], tmp_path: Path
) -> None:
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
    evil.chmod(0o755)
    repo.commit({".gitattributes": "*.py filter=evil diff=evil\n"})
    for name in ("core.fsmonitor", "filter.evil.clean", "filter.evil.process", "diff.external"):
        repo.git("config", name, str(evil))
    repo.git("config", "diff.evil.textconv", str(evil))
    repo.git("config", "diff.evil.command", str(evil))
    hooks = repo.path / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-index-change", "fsmonitor-watchman"):
        (hooks / hook).write_text(evil.read_text())
        (hooks / hook).chmod(0o755)
    repo.write({"train.py": "print('changed')\n", "new.py": "x\n"})
    environ |= {"GIT_DIR": "/nowhere", "GIT_INDEX_FILE": "/nowhere", "GIT_EXTERNAL_DIFF": str(evil)}
    tree = fetch(repo.path, home, environ)
    assert b"+print('changed')" in tree.changes.patch
    assert not (tmp_path / "pwned").exists()


def test_a_bare_repository_hidden_in_a_project_is_not_believed(
    repo: Repo, home: str, environ: dict[str, str], tmp_path: Path
) -> None:
    inner = repo.path / "inner"
    for folder in ("objects", "refs"):
        (inner / folder).mkdir(parents=True)
    (inner / "HEAD").write_text("ref: refs/heads/main\n")
    (inner / "config").write_text(
        f"[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = {inner}\n"
        f"\tfsmonitor = touch {tmp_path}/pwned\n"
    )
    (inner / "MLproject").write_text("name: x\n")
    assert fetch(inner, home, environ).root == str(repo.path)
    assert not (tmp_path / "pwned").exists()


def test_what_is_not_a_folder_is_left_to_others(
    repo: Repo, home: str, environ: dict[str, str], tmp_path: Path
) -> None:
    source = FolderSource(home=home, environ=environ)
    bare = make_repo(tmp_path / "bare.git", None, "--bare")
    for text in ("https://example.org/p", "git@host:p", f"{repo.path}/train.py", "/no/where"):
        assert not source.accepts(ProjectReference(location=text))
    assert not source.accepts(ProjectReference(location=str(bare.path)))
    assert not source.accepts(ProjectReference(location=f"file://{bare.path}"))
    assert not source.accepts(ProjectReference(location=str(repo.path), revision="main"))


def test_a_version_of_a_plain_folder_is_refused(
    tmp_path: Path, home: str, environ: dict[str, str]
) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(SourceError, match="only supported for Git project URIs"):
        fetch(tmp_path / "plain", home, environ, revision="v1")


def test_a_cache_that_cannot_be_written_costs_only_time(
    repo: Repo, environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    found = fetch(repo.path, str(tmp_path / "file"), environ).provenance
    assert found.tree == repo.tree


def test_the_filters_of_submodules_are_not_run_either(
    repo: Repo, home: str, environ: dict[str, str], tmp_path: Path
) -> None:
    library = make_repo(
        tmp_path / "library", {"lib.py": "1\n", ".gitattributes": "* filter=evil\n"}
    )
    repo.git("submodule", "add", "-q", str(library.path), "lib")
    repo.commit()
    inside = Repo(repo.path / "lib")
    inside.git("config", "filter.evil.clean", f"touch {tmp_path}/pwned; cat")
    inside.git("config", "filter.evil.required", "true")
    inside.write({"lib.py": "2\n"})
    assert fetch(repo.path, home, environ).provenance.dirty
    assert not (tmp_path / "pwned").exists()


def test_a_plain_folder_remembers_its_large_files(
    home: str, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.system.blobs.RECENT", -1.0)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "data.bin").write_bytes(b"x" * (1 << 20))
    first = fetch(tmp_path / "p", home, environ)
    assert len(list(Path(home, "blobs").iterdir())) == 1
    assert fetch(tmp_path / "p", home, environ) == first
