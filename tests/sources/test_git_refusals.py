"""Locations and revisions that are refused, in one sentence, before git is started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from git_repositories import Repo, Watcher
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import RunprojError, SourceError
from runner.model.project import ProjectReference
from runner.sources.git import GitSource
from runner.sources.remote import checked_revision, key, parsed_remote
from runner.system import process

if TYPE_CHECKING:
    from pathlib import Path

LOCATIONS = [
    ("ext::sh -c 'touch pwned'", "transport"),
    ("ext::git-upload-pack /tmp", "transport"),
    ("fd::17", "transport"),
    ("EXT::sh -c x", "transport"),
    ("testgit::/tmp/x", "transport"),
    ("ftp://example.org/p.git", "transport"),
    ("rsync://example.org/p.git", "transport"),
    ("javascript://example.org/p", "transport"),
    ("file+ext://x/y", "transport"),
    ("--upload-pack=touch pwned", "looks like an option"),
    ("-oProxyCommand=touch pwned", "looks like an option"),
    ("ssh://-oProxyCommand=touch/p", "names no host"),
    ("ssh://-l@host/p", "names no host"),
    ("ssh:///p", "names no host"),
    ("https:///p.git", "names no host"),
    ("-host:path", "looks like an option"),
    ("user@-oProxyCommand=x:path", "names no host"),
    ("-user@host:path", "looks like an option"),
    ("https://host/p\n.git", "control characters"),
    ("https://host/\x00p", "control characters"),
    ("https://u%0ax:p@host/p", "control characters"),
    ("https://u:p%0d@host/p", "control characters"),
    ("/no/such/directory", "no project at"),
    ("no-such-directory", "no project at"),
    ("file:///no/such", "no project at"),
    ("file://other.host/path", "no project at"),
    ("~nobody-here/p", "no project at"),
]

REVISIONS = [
    "-v",
    "--upload-pack=x",
    "--exec=x",
    "a b",
    "a..b",
    "HEAD~1",
    "HEAD^",
    "main@{1}",
    "a:b",
    "+refs/heads/*",
    "refs/heads/*",
    "x?",
    "[x]",
    "a\\b",
    "a\nb",
    "a\x00b",
    "/a",
    "a/",
    "a//b",
    ".a",
    "a.lock",
    "a.",
    "",
    "\x7f",
]


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> process.Completed:
        pytest.fail("a process was started")

    monkeypatch.setattr(process, "capture", refuse)
    monkeypatch.setattr(process, "run", refuse)


@pytest.mark.usefixtures("no_processes")
@pytest.mark.parametrize(("location", "words"), LOCATIONS)
def test_locations_that_are_refused(
    location: str, words: str, home: str, environ: dict[str, str]
) -> None:
    source = GitSource(home=home, environ=environ, reporter=Watcher())
    with pytest.raises(SourceError, match=words) as caught:
        source.fetch(ProjectReference(location=location))
    assert "\n" not in caught.value.message
    assert not os.path.exists("pwned")


@pytest.mark.usefixtures("no_processes")
@pytest.mark.parametrize("revision", REVISIONS)
def test_revisions_that_are_refused(
    revision: str, repo: Repo, home: str, environ: dict[str, str]
) -> None:
    source = GitSource(home=home, environ=environ, reporter=Watcher())
    with pytest.raises(SourceError, match="no name of a branch, a tag or a commit"):
        source.fetch(ProjectReference(location=str(repo.path), revision=revision))


@given(st.text(max_size=60))
def test_no_text_makes_anything_but_a_remote_or_a_sentence(text: str) -> None:
    try:
        remote = parsed_remote(text)
    except RunprojError:
        return
    assert not remote.url.startswith("-")
    assert "::" not in remote.url.partition("/")[0] or "@" in remote.url


@given(st.text(max_size=60))
def test_no_revision_can_be_taken_for_an_option(text: str) -> None:
    try:
        revision = checked_revision(text)
    except SourceError:
        return
    assert revision == text
    assert not revision.startswith("-")


@pytest.mark.parametrize(
    ("location", "url", "shown", "secret"),
    [
        ("https://u:t0k@h/p.git", "https://h/p.git", "https://h/p.git", ("u", "t0k")),
        ("https://t0k@h:8/p", "https://h:8/p", "https://h:8/p", ("t0k", "")),
        ("git+https://u:a%40b@h/p", "https://h/p", None, ("u", "a@b")),
        ("ssh://git:t0k@h/p", "ssh://git@h/p", "ssh://git@h/p", ("", "")),
        ("ssh+git://git@h/p", "ssh://git@h/p", None, ("", "")),
        ("git+ssh://git@h/p", "ssh://git@h/p", None, ("", "")),
        ("git@h:p.git", "git@h:p.git", "git@h:p.git", ("", "")),
        ("h:p.git", "h:p.git", "h:p.git", ("", "")),
        ("git://h/p", "git://h/p", "git://h/p", ("", "")),
    ],
)
def test_locations_that_are_taken(
    location: str, url: str, shown: str | None, secret: tuple[str, str]
) -> None:
    remote = parsed_remote(location)
    assert remote.url == url
    assert (remote.username, remote.password) == secret
    assert "t0k" not in remote.url + remote.shown
    assert shown is None or remote.shown == shown


def test_the_cache_does_not_depend_on_the_credentials() -> None:
    one, two = (parsed_remote(f"https://{user}@h/p") for user in ("a:b", "c"))
    assert key(one) == key(two) != key(parsed_remote("https://h/q"))


def test_odd_names_of_local_repositories(tmp_path: Path, environ: dict[str, str]) -> None:
    from git_repositories import make_repo

    for name in ("with space", "per%20cent", "qu'ote\"", "ünï", "col:on", "ha#sh", "que?ry"):
        repo = make_repo(tmp_path / name, {"MLproject": "name: p\n"})
        source = GitSource(home=str(tmp_path / "home"), environ=environ, reporter=Watcher())
        tree = source.fetch(ProjectReference(location=str(repo.path), revision="main"))
        assert tree.provenance.tree == repo.tree
        os.close(tree.lease or -1)
