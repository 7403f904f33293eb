"""Which commit flips a verdict."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from git_repositories import Repo, Watcher, fingerprint, make_repo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machines import TRAIN
from packages import make_wheel

from runner.errors import SourceError
from runner.model.project import ProjectReference, Provenance, RecordedSource
from runner.model.value import Commit, Digest
from runner.pipeline.bisect_code import Span
from runner.schema import validator
from runner.sources.history import History

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from machines import Machine

    from runner.pipeline.bisect_code import Answer


def history_of(repo: Repo, commit: str, home: Path) -> History:
    recorded = RecordedSource(
        provenance=Provenance(
            reference=ProjectReference(location=str(repo.path)),
            tree=Digest(""),
            commit=Commit(commit),
        )
    )
    return History(recorded, home=str(home), environ=os.environ, reporter=Watcher())


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> tuple[History, list[str]]:
    """Return a straight history of twelve commits, the oldest first."""
    folder = tmp_path_factory.mktemp("line")
    repo = make_repo(folder / "repo")
    commits = [repo.commit({"n.txt": str(number)}) for number in range(12)]
    return history_of(repo, commits[0], folder / "home"), commits


@given(st.data())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_first_bad_commit_is_found(
    line: tuple[History, list[str]], data: st.DataObject
) -> None:
    history, commits = line
    first = data.draw(st.integers(1, len(commits) - 1))
    broken = data.draw(st.sets(st.integers(1, len(commits) - 2), max_size=2)) - {first, first - 1}
    asked: list[str] = []

    def answer(commit: str) -> Answer:
        asked.append(commit)
        at = commits.index(commit)
        return "unclear" if at in broken else "bad" if at >= first else "good"

    span = Span(history, answer)
    found = span.first(commits[0], commits[-1])
    assert commits[first] in found
    assert {commits.index(commit) for commit in found} - {first} <= broken
    assert len(asked) == len(set(asked)) == span.trials <= 4 + 2 * len(broken)


def test_a_commit_that_changes_nothing_is_not_run_again(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", {"n.txt": "0"})
    old = repo.git("rev-parse", "HEAD")
    for _ in range(5):
        repo.commit(message="empty")
    new = repo.commit({"n.txt": "1"})
    history = history_of(repo, old, tmp_path / "home")
    span = Span(history, lambda commit: "bad" if commit == new else "good")
    span.know(old, "good")
    assert span.first(old, new) == (new,)
    assert span.trials == 0


def test_a_merge_leads_to_the_branch_that_broke_it(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", {"a": "0", "b": "0"})
    old = repo.git("rev-parse", "HEAD")
    repo.git("checkout", "-q", "-b", "side")
    culprit = repo.commit({"b": "1"})
    repo.commit({"b2": "1"})
    repo.git("checkout", "-q", "main")
    repo.commit({"a": "1"})
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    history = history_of(repo, old, tmp_path / "home")

    def answer(commit: str) -> Answer:
        return "bad" if culprit in repo.git("rev-list", commit).split() else "good"

    assert Span(history, answer).first(old, history.commit("main")) == (culprit,)
    assert history.commit(culprit[:9]) == culprit
    assert history.commit(None) == repo.git("rev-parse", "HEAD")
    assert history.common_ancestor(culprit, old) == old
    with pytest.raises(SourceError, match="no branch, tag or commit 'nope'"):
        history.commit("nope")


BROKEN = "metric('score', 0.1 + tensorish.score(alpha))\n"
FINE = "metric('score', tensorish.score(alpha))\n"


def evolved(project: Repo) -> list[str]:
    """Let six commits follow, the fourth of which changes the score; return them."""
    head, _, tail = TRAIN.partition('metric("score", tensorish.score(alpha))\n')
    commits = []
    for number in range(6):
        score = BROKEN if number >= 3 else FINE
        text = f"# {number}\n{head}{score}{tail}"
        commits.append(project.commit({"train.py": text}, message=f"change {number}"))
    return commits


@pytest.mark.slow
def test_the_commit_that_changed_the_result_is_found(
    project: Repo, machine: Callable[[str], Machine]
) -> None:
    here = machine("here")
    reference = here.run(project.path)
    commits = evolved(project)
    project.write({"train.py": "raise SystemExit('work in progress')\n"})
    before = fingerprint(project.path)
    found = here.verdict(reference, "--bisect", "code", code=1)
    assert fingerprint(project.path) == before
    assert found["bisection"]["names"] == [commits[3]]
    assert found["bisection"]["detail"] == "change 3"
    assert 2 <= found["bisection"]["trials"] <= 4
    first = found["differences"][0]
    assert (first["axis"], first["name"]) == ("code", f"commit {commits[3][:12]}")
    assert [*validator("verdict").iter_errors(found)] == []
    assert "runproj.reproduced" not in here.tracked(reference).tags
    again = here.tracked(found["reproduction"])
    assert again.tags["mlflow.source.git.commit"] == commits[-1]
    assert again.tags["runproj.verdict"] == "DIVERGED"

    assert here.verdict(reference, "-v", commits[2][:10])["status"] == "IDENTICAL"
    later = here.run(project.path, "-v", "main")
    back = here.call("reproduce", later, "-v", commits[0], "--bisect", "code")
    assert back.returncode == 1
    assert f"since commit {commits[3][:12]} (change 3) the results are those" in back.stdout


@pytest.mark.slow
def test_commits_and_packages_are_told_apart(
    project: Repo, machine: Callable[[str], Machine], wheels: Path
) -> None:
    here = machine("here")
    reference = here.run(project.path)
    project.commit({"notes.txt": "nothing that matters"})
    make_wheel(wheels, "tensorish", "2.0", body="def score(alpha):\n    return alpha * 3\n")
    asked = (reference, "--refresh", "-v", "main", "--bisect")
    found = here.verdict(*asked, "code", code=1)["bisection"]
    assert found["names"] == []
    assert "the packages are the cause" in found["detail"]
    assert here.verdict(*asked, "env", code=1)["bisection"]["names"] == ["tensorish"]
    evolved(project)
    wheels.joinpath("tensorish-2.0-py3-none-any.whl").unlink()
    found = here.verdict(reference, "-v", "main", "--bisect", "code", code=1)["bisection"]
    assert found["detail"] == "change 3"
    nothing = here.call("reproduce", reference, "-v", reference[:3] + "zz", "--bisect", "code")
    assert nothing.returncode == 3
    assert "no branch, tag or commit" in nothing.stderr
