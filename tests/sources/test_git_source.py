"""Git repositories: every kind of revision, pooled trees, what each run costs."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from git_repositories import Repo, Watcher, fingerprint, make_repo

from runner.errors import SourceError
from runner.model.event import Progress, Step, StepDone, Warned
from runner.model.project import ProjectReference, WorkingTree
from runner.sources import remote as remotes
from runner.sources.git import GitSource
from runner.system import process
from runner.system.pool import prune_all

if TYPE_CHECKING:
    from collections.abc import Callable

    Fetch = Callable[..., WorkingTree]


@pytest.fixture
def fetch(
    home: str, environ: dict[str, str], watcher: Watcher, released: list[WorkingTree]
) -> Fetch:
    def call(location: object, revision: str | None = None, subdirectory: str = "") -> WorkingTree:
        source = GitSource(home=home, environ=environ, reporter=watcher)
        reference = ProjectReference(
            location=str(location), revision=revision, subdirectory=subdirectory
        )
        assert source.accepts(reference)
        released.append(source.fetch(reference))
        return released[-1]

    return call


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The git commands that are run, by their first word."""
    seen: list[str] = []
    capture, run = process.capture, process.run

    def noted(real: Callable[..., process.Completed]) -> Callable[..., process.Completed]:
        def call(argv: tuple[str, ...], **more: object) -> process.Completed:
            seen.append(argv[3])
            return real(argv, **more)

        return call

    monkeypatch.setattr(process, "capture", noted(capture))
    monkeypatch.setattr(process, "run", noted(run))
    return seen


def give_back(tree: WorkingTree) -> None:
    assert tree.lease is not None
    fcntl.flock(tree.lease, fcntl.LOCK_UN)


def history(repo: Repo) -> dict[str, str]:
    """Commits under every kind of name."""
    first = repo.git("rev-parse", "HEAD")
    repo.git("tag", "-a", "v1.0", "-m", "annotated")
    repo.git("tag", "light")
    second = repo.commit({"train.py": "print(2)\n"})
    repo.git("checkout", "-q", "-b", "feature/x")
    third = repo.commit({"train.py": "print(3)\n"})
    repo.git("update-ref", "refs/pull/7/head", third)
    repo.git("checkout", "-q", "main")
    return {
        "v1.0": first,
        "light": first,
        "refs/tags/v1.0": first,
        "main": second,
        "HEAD": second,
        "refs/heads/main": second,
        "feature/x": third,
        "refs/pull/7/head": third,
        first: first,
        second.upper(): second,
        third[:7]: third,
        first[:12]: first,
        repo.git("rev-parse", "v1.0"): first,
    }


@pytest.mark.parametrize("form", ["path", "file", "bare"])
def test_every_kind_of_revision(form: str, repo: Repo, fetch: Fetch, tmp_path: Path) -> None:
    expected = history(repo)
    location = str(repo.path)
    if form == "file":
        location = f"file://{repo.path}"
    if form == "bare":
        repo.git("clone", "-q", "--mirror", str(repo.path), str(tmp_path / "bare.git"))
        location = str(tmp_path / "bare.git")
    for revision, commit in expected.items():
        tree = fetch(location, revision)
        found = tree.provenance
        assert (revision, found.commit) == (revision, commit)
        assert Repo(Path(tree.root)).git("rev-parse", "HEAD") == commit
        content = repo.git("show", f"{commit}:train.py")
        assert Path(tree.project, "train.py").read_text().strip() == content
        assert found.tree == "swh:1:dir:" + repo.git("rev-parse", f"{commit}^{{tree}}")
        assert found.committed == datetime(2024, 2, 3, 2, 5, 6, tzinfo=UTC)
        branch = {"main": "main", "HEAD": "main", "refs/heads/main": "main"}.get(revision)
        assert found.branch == ("feature/x" if revision == "feature/x" else branch)
        assert not found.dirty


def test_the_default_branch(fetch: Fetch, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "p", {"MLproject": "name: p\n"})
    repo.git("branch", "-m", "trunk")
    bare = tmp_path / "p.git"
    repo.git("clone", "-q", "--bare", str(repo.path), str(bare))
    found = fetch(bare).provenance
    assert (found.branch, found.commit) == ("trunk", repo.git("rev-parse", "HEAD"))
    assert found.repository == str(bare)
    moved = repo.commit({"x": "1"})
    repo.git("push", "-q", str(bare), "trunk")
    assert fetch(bare).provenance.commit == moved


def test_a_branch_wins_over_a_tag_of_the_same_name(repo: Repo, fetch: Fetch) -> None:
    tagged = repo.git("rev-parse", "HEAD")
    repo.git("tag", "both")
    moved = repo.commit({"x": "1"})
    repo.git("branch", "both")
    assert fetch(repo.path, "both").provenance.commit == moved
    assert fetch(repo.path, "refs/tags/both").provenance.commit == tagged


def test_a_local_clone_is_left_alone(repo: Repo, fetch: Fetch) -> None:
    history(repo)
    repo.write({"train.py": "uncommitted\n", "untracked": "x"})
    before = fingerprint(repo.path)
    tree = fetch(repo.path, "v1.0")
    assert fetch(repo.path, "main").root != tree.root
    assert fingerprint(repo.path) == before
    assert not tree.root.startswith(str(repo.path))


def test_a_clone_tells_where_it_comes_from(repo: Repo, fetch: Fetch) -> None:
    repo.git("remote", "add", "origin", "https://me:pw@example.org/p.git")
    assert fetch(repo.path, "main").provenance.repository == "https://example.org/p.git"


def test_folders_inside_a_repository(repo: Repo, fetch: Fetch) -> None:
    repo.commit({"sub.d/deep/MLproject": "name: d\n"})
    for location, subdirectory in (
        (repo.path, "sub.d/deep"),
        (repo.path / "sub.d", "deep"),
        (repo.path / "sub.d" / "deep", ""),
    ):
        tree = fetch(location, "main", subdirectory)
        assert tree.project == f"{tree.root}/sub.d/deep"
    with pytest.raises(SourceError, match="Could not find subdirectory 'fake'"):
        fetch(repo.path, "main", "fake")


def test_a_failed_fetch_gives_its_tree_back(repo: Repo, fetch: Fetch) -> None:
    with pytest.raises(SourceError):
        fetch(repo.path, "main", "fake")
    assert fetch(repo.path, "main").root.endswith("/1")


def test_what_a_warm_run_costs(repo: Repo, fetch: Fetch, calls: list[str]) -> None:
    commit = history(repo)["main"]
    give_back(fetch(repo.path, "main"))
    del calls[:]
    give_back(fetch(repo.path, "main"))
    assert calls == ["ls-remote", "clean", "status", "config"]
    del calls[:]
    give_back(fetch(repo.path, commit))
    assert calls == ["clean", "status", "config"]


def test_a_pinned_commit_needs_no_remote(fetch: Fetch, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "p", {"MLproject": "name: p\n"})
    commit = repo.git("rev-parse", "HEAD")
    bare = tmp_path / "p.git"
    repo.git("clone", "-q", "--bare", str(repo.path), str(bare))
    url = f"file://{bare}"
    first = fetch(url)
    os.rename(bare / "objects", tmp_path / "gone")
    (bare / "objects").mkdir()
    (bare / "config").write_text("[")
    assert fetch(url, commit).provenance.tree == first.provenance.tree
    with pytest.raises(SourceError, match="git cannot read"):
        fetch(url, "main")


def test_leftovers_of_a_run_are_gone(repo: Repo, fetch: Fetch) -> None:
    repo.commit({".gitignore": "*.log\n", "sub/keep": "k"})
    first = fetch(repo.path, "main")
    root = Path(first.root)
    (root / "empty" / "folder").mkdir(parents=True)
    (root / "ignored.log").write_text("x")
    (root / "__pycache__").mkdir()
    (root / "__pycache__" / "x.pyc").write_text("x")
    (root / "train.py").write_text("spoilt")
    (root / "sub" / "keep").unlink()
    make_repo(root / "nested", {"a": "b"})
    give_back(first)
    again = fetch(repo.path, "main")
    assert again.root == first.root
    names = sorted(str(p.relative_to(root)) for p in root.rglob("*") if ".git/" not in str(p))
    assert names == [".git", ".gitignore", "MLproject", "sub", "sub/keep", "train.py"]
    assert (root / "train.py").read_text() == "print(1)\n"


@pytest.mark.parametrize(
    "trick",
    [
        *("assume-unchanged", "skip-worktree", "exclude", "commit", "worktree", "no .git"),
        *("index", "sparse", "filter"),
    ],
)
def test_a_tree_that_pretends_to_be_clean(trick: str, repo: Repo, fetch: Fetch) -> None:
    first = fetch(repo.path, "main")
    inside = Repo(Path(first.root))
    if trick in {"assume-unchanged", "skip-worktree"}:
        inside.git("update-index", f"--{trick}", "train.py")
        inside.write({"train.py": "spoilt"})
    elif trick == "exclude":
        inside.write({".git/info/exclude": "*\n", "left.txt": "x"})
    elif trick == "commit":
        inside.commit({"train.py": "spoilt"})
    elif trick == "worktree":
        inside.git("config", "core.worktree", "/tmp")
        (inside.path / "train.py").unlink()
    elif trick == "no .git":
        (inside.path / ".git").rename(inside.path / "git")
    elif trick == "sparse":
        inside.git("sparse-checkout", "set", "--no-cone", "/MLproject")
        assert not (inside.path / "train.py").exists()
    elif trick == "filter":
        inside.write({".git/info/attributes": "*.py filter=evil\n", "train.py": "spoilt"})
        inside.git("config", "filter.evil.clean", f"touch {inside.path.parent}/pwned; cat")
    else:
        inside.write({".git/index": "garbage", ".git/index.lock": ""})
    give_back(first)
    again = fetch(repo.path, "main")
    assert Path(again.root, "train.py").read_text() == "print(1)\n"
    assert sorted(os.listdir(again.root)) == [".git", "MLproject", "train.py"]
    assert not (inside.path.parent / "pwned").exists()


def test_git_in_the_project_may_refresh_the_index(repo: Repo, fetch: Fetch) -> None:
    first = fetch(repo.path, "main")
    os.utime(Path(first.root, "train.py"))
    Repo(Path(first.root)).git("status")
    give_back(first)
    assert fetch(repo.path, "main").root == first.root


def test_owned_trees_are_never_shared(repo: Repo, fetch: Fetch) -> None:
    trees = [fetch(repo.path, "main") for _ in range(3)]
    assert len({tree.root for tree in trees}) == 3


def test_idle_trees_are_pruned(repo: Repo, fetch: Fetch, home: str) -> None:
    trees = [fetch(repo.path, "main") for _ in range(6)]
    for tree in trees[1:]:
        give_back(tree)
    assert prune_all(home) == 2
    assert [os.path.isdir(tree.root) for tree in trees] == [True] * 4 + [False] * 2
    give_back(trees[0])
    for number in range(9):
        give_back(fetch(repo.path, repo.commit({"x": str(number)})))
    assert not os.path.exists(trees[0].root)
    assert os.path.isdir(fetch(repo.path, "main").root)


def test_links_out_of_the_tree_are_refused(repo: Repo, fetch: Fetch) -> None:
    (repo.path / "fine").symlink_to("train.py")
    repo.commit({"sub/x": "x"})
    (repo.path / "sub" / "up").symlink_to("../train.py")
    repo.commit()
    assert fetch(repo.path, "main").root
    (repo.path / "sub" / "out").symlink_to("../../../etc/passwd")
    bad = repo.commit()
    for revision in ("main", bad):
        with pytest.raises(SourceError, match="'sub/out' leads out of the project"):
            fetch(repo.path, revision)


def test_an_unknown_version_is_answered_with_near_ones(repo: Repo, fetch: Fetch) -> None:
    history(repo)
    for revision in ("featur/x", "v1.00", "0" * 40, "deadbeef", "refs/heads/no"):
        with pytest.raises(SourceError, match="Unable to checkout version") as caught:
            fetch(repo.path, revision)
        assert revision in caught.value.message
    with pytest.raises(SourceError) as caught:
        fetch(repo.path, "featur/x")
    assert caught.value.hint == "did you mean feature/x?"


def test_an_ambiguous_commit_lists_the_candidates(repo: Repo, fetch: Fetch) -> None:
    repo.git("config", "core.abbrev", "40")
    seen: dict[str, str] = {}
    pair: list[str] = []
    tree = repo.git("rev-parse", "HEAD^{tree}")
    parent = repo.git("rev-parse", "HEAD")
    for number in range(3000):
        commit = repo.git("commit-tree", tree, "-p", parent, "-m", str(number))
        if commit[:4] in seen:
            pair = [seen[commit[:4]], commit]
            break
        seen[commit[:4]] = commit
    assert pair, "no two of 3000 commits share four digits"
    for name, commit in zip(("one", "two"), pair, strict=True):
        repo.git("branch", name, commit)
    with pytest.raises(SourceError, match="is the beginning of 2 commits") as caught:
        fetch(repo.path, pair[0][:4])
    assert caught.value.hint is not None
    assert all(commit[:12] in caught.value.hint for commit in pair)


def test_a_shallow_clone_is_good_enough(fetch: Fetch, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "p", {"MLproject": "name: p\n"})
    old = repo.git("rev-parse", "HEAD")
    new = repo.commit({"x": "1"})
    shallow = Repo(tmp_path / "shallow")
    repo.git("clone", "-q", "--depth=1", f"file://{repo.path}", str(shallow.path))
    for revision in ("main", new, new[:8], "origin/main"):
        assert fetch(shallow.path, revision).provenance.commit == new
    with pytest.raises(SourceError, match="Unable to checkout version"):
        fetch(shallow.path, old)


def test_an_empty_repository(fetch: Fetch, tmp_path: Path) -> None:
    bare = make_repo(tmp_path / "e.git", None, "--bare")
    with pytest.raises(SourceError, match="no commit yet"):
        fetch(bare.path)


def test_sha256_repositories(fetch: Fetch, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"MLproject": "name: p\n", "d/x": "1"}
    modern = make_repo(tmp_path / "m", files, "--object-format=sha256")
    classic = make_repo(tmp_path / "c", files)
    found = fetch(modern.path, "main").provenance
    assert found.commit == modern.git("rev-parse", "HEAD")
    assert found.tree == classic.tree


def test_submodules_are_fetched_recursively_by_relative_urls_too(
    fetch: Fetch, tmp_path: Path
) -> None:
    inner = make_repo(tmp_path / "inner", {"inner.txt": "i"})
    library = make_repo(tmp_path / "library", {"lib.txt": "l"})
    library.git("submodule", "add", "-q", str(inner.path), "deps/inner")
    library.commit()
    main = make_repo(tmp_path / "main", {"MLproject": "name: m\n"})
    main.git("remote", "add", "origin", str(main.path))
    main.git("submodule", "add", "-q", "../library", "lib")
    main.commit()
    library.commit({"lib.txt": "newer"})
    first = fetch(main.path, "main")
    assert Path(first.root, "lib/lib.txt").read_text() == "l"
    assert Path(first.root, "lib/deps/inner/inner.txt").read_text() == "i"
    assert first.provenance.tree == main.tree
    for name in ("lib/left.txt", "lib/deps/inner/left.txt"):
        Path(first.root, name).write_text("x")
    give_back(first)
    again = fetch(main.path, "main")
    assert again.root == first.root
    assert not Path(again.root, "lib/left.txt").exists()
    assert not Path(again.root, "lib/deps/inner/left.txt").exists()
    Path(again.root, "lib/lib.txt").write_text("spoilt")
    give_back(again)
    assert Path(fetch(main.path, "main").root, "lib/lib.txt").read_text() == "l"


@pytest.mark.parametrize(
    "url", ["ext::sh -c 'touch /tmp/runproj-pwned'", "--upload-pack=touch x", "fd::3"]
)
def test_submodules_with_other_transports_are_refused(
    url: str, fetch: Fetch, tmp_path: Path
) -> None:
    library = make_repo(tmp_path / "library", {"lib.txt": "l"})
    main = make_repo(tmp_path / "main", {"MLproject": "name: m\n"})
    main.git("submodule", "add", "-q", str(library.path), "lib")
    main.git("config", "-f", ".gitmodules", "submodule.lib.url", url)
    main.commit()
    with pytest.raises(SourceError, match="submodule"):
        fetch(main.path, "main")
    assert not os.path.exists("/tmp/runproj-pwned")


def test_the_bytes_do_not_depend_on_the_users_configuration(
    repo: Repo, fetch: Fetch, environ: dict[str, str], tmp_path: Path
) -> None:
    repo.commit({"data.txt": "a\nb\n", ".gitattributes": "*.bin filter=up\n", "x.bin": "abc"})
    Path(environ["HOME"], ".gitconfig").write_text(
        "[core]\n\tautocrlf = true\n\thooksPath = hooks\n[init]\n\ttemplateDir = /nowhere\n"
        f'[filter "up"]\n\tsmudge = touch {tmp_path}/pwned; tr a-z A-Z\n'
    )
    tree = fetch(repo.path, "main")
    assert Path(tree.root, "data.txt").read_bytes() == b"a\nb\n"
    assert Path(tree.root, "x.bin").read_bytes() == b"abc"
    assert not (tmp_path / "pwned").exists()


def test_lfs_pointers_are_named(repo: Repo, fetch: Fetch, watcher: Watcher) -> None:
    repo.git("config", "filter.lfs.required", "false")
    repo.commit(
        {
            ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
            "w.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        }
    )
    tree = fetch(repo.path, "main")
    assert [omission.path for omission in tree.provenance.omitted] == ["w.bin"]
    assert len(watcher.named(Warned)) == 1
    give_back(tree)
    assert fetch(repo.path, "main").provenance == tree.provenance


def test_progress_is_reported(repo: Repo, fetch: Fetch, watcher: Watcher) -> None:
    fetch(repo.path, "main")
    steps = [(e.verb, e.subject) for e in watcher.events if isinstance(e, Step)]
    assert [verb for verb, _ in steps] == ["fetching", "checking out"]
    done = [(e.verb, e.subject) for e in watcher.events if isinstance(e, StepDone)]
    assert done == steps
    assert watcher.named(Progress)


def emptied(cache: Path, root: Path) -> None:
    for place in (cache / "objects").rglob("*"):
        if place.is_file():
            place.unlink()
    (root / ".git" / "runproj.json").unlink()


def rotten(cache: Path, root: Path) -> None:
    for place in (cache / "objects").glob("??/*"):
        place.chmod(0o644)
        place.write_bytes(place.read_bytes()[:-4] + b"rot!")
    (root / ".git" / "runproj.json").unlink()


def locked(cache: Path, root: Path) -> None:
    for name in ("shallow.lock", "config.lock", "packed-refs.lock", "HEAD.lock"):
        (cache / name).write_text("")
    (root / ".git" / "index.lock").write_text("")
    (root / "train.py").write_text("spoilt")


def halved(cache: Path, root: Path) -> None:
    (cache / "config").unlink()
    (root / ".git" / "runproj.json").unlink()


def misread(_: Path, root: Path) -> None:
    (root / ".git" / "runproj.json").write_text(json.dumps({"tree": 1}))


def gutted(_: Path, root: Path) -> None:
    shutil.rmtree(root / ".git")
    (root / "train.py").unlink()


def gone(cache: Path, _: Path) -> None:
    shutil.rmtree(cache)


@pytest.mark.parametrize("wreck", [emptied, rotten, locked, halved, misread, gutted, gone])
def test_wrecks_are_healed(
    wreck: Callable[[Path, Path], None], repo: Repo, fetch: Fetch, home: str
) -> None:
    tree = fetch(repo.path, "main")
    give_back(tree)
    (cache,) = (p for p in Path(home, "git").iterdir() if p.is_dir() and p.name != "facts")
    wreck(cache, Path(tree.root))
    again = fetch(repo.path, "main")
    assert Path(again.root, "train.py").read_text() == "print(1)\n"
    assert again.provenance == tree.provenance
    second = repo.commit({"train.py": "print(2)\n"})
    assert fetch(repo.path, "main").provenance.commit == second


def fetch_in_process(location: str, home: str, environ: dict[str, str], begin: float) -> str:
    time.sleep(max(0.0, begin - time.time()))
    source = GitSource(home=home, environ=environ, reporter=Watcher())
    tree = source.fetch(ProjectReference(location=location, revision="main"))
    content = Path(tree.root, "train.py").read_text()
    Path(tree.root, "train.py").write_text(f"spoilt by {os.getpid()}")
    time.sleep(0.3)
    assert content == "print(1)\n"
    return tree.root


@pytest.mark.slow
def test_eight_processes_at_once(repo: Repo, home: str, environ: dict[str, str]) -> None:
    begin = time.time() + 2
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        jobs = [(str(repo.path), home, environ, begin)] * 8
        roots = pool.starmap(fetch_in_process, jobs, chunksize=1)
    assert len(set(roots)) == 8


def test_all_warm_modules_are_light() -> None:
    script = (
        "import sys, runner.sources.folder, runner.sources.git\n"
        "heavy = {'typing', 'pathlib', 'dataclasses', 'subprocess', 'tempfile', 'shutil',"
        " 'logging', 'yaml', 'git', 'urllib', 'datetime'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    root = Path(remotes.__file__).parents[2]
    python = (
        "python3",
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(root)!r})\n{script}",
    )
    done = process.run(python, variables={**os.environ}, directory=str(root))
    assert done.text.strip() == "[]", done.complaint
