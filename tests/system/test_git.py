"""git's variables, its words, its status."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from runner.errors import RunprojError, SourceError
from runner.system.git import (
    Git,
    configure,
    is_bare,
    parsed_status,
    reason,
    repository_root,
    variables,
    without_urls_secrets,
)
from runner.system.process import Completed

if TYPE_CHECKING:
    from pathlib import Path


def plain(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nowhere", **more}


def test_variables_that_lead_elsewhere_are_dropped() -> None:
    found = variables(
        plain(
            GIT_DIR="/x",
            GIT_WORK_TREE="/x",
            GIT_INDEX_FILE="/x",
            GIT_TRACE="1",
            GIT_EXTERNAL_DIFF="x",
            GIT_CONFIG_PARAMETERS="'a.b=c'",
            GIT_SSH_COMMAND="ssh -4",
            GIT_SSL_CAINFO="/ca",
            GIT_CONFIG_GLOBAL="/mine",
            OTHER="kept",
        )
    )
    kept = {name for name in found if not name.startswith(("GIT_CONFIG_KEY", "GIT_CONFIG_VALUE"))}
    assert kept == {
        *("PATH", "HOME", "OTHER", "LC_ALL", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO"),
        *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_COUNT", "GIT_OPTIONAL_LOCKS", "GIT_LFS_SKIP_SMUDGE"),
        *("GIT_TERMINAL_PROMPT", "GIT_ALLOW_PROTOCOL"),
    }


def test_settings_are_added_after_those_of_the_caller(tmp_path: Path) -> None:
    given = plain(GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="core.fsmonitor", GIT_CONFIG_VALUE_0="bad")
    git = Git(directory=str(tmp_path), variables=variables(given))
    assert git.text("config", "core.fsmonitor") == "false"
    assert git.text("config", "core.hooksPath") == os.devnull
    own = dict(git.variables)
    configure(own, [("core.fsmonitor", "later")])
    assert Git(directory=str(tmp_path), variables=own).text("config", "core.fsmonitor") == "later"


def test_isolation_and_transports(tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Somebody\n")
    environ = plain(HOME=str(tmp_path))
    seen = Git(directory="/", variables=variables(environ))
    alone = Git(directory="/", variables=variables(environ, isolated=True))
    assert seen.text("config", "user.name") == "Somebody"
    assert alone.capture("config", "user.name").exit_code == 1
    assert variables(environ)["GIT_ALLOW_PROTOCOL"] == "http:https:ssh:git"
    assert variables(environ, local=True)["GIT_ALLOW_PROTOCOL"] == "http:https:ssh:git:file"


def test_failures_are_errors_in_gits_words(tmp_path: Path) -> None:
    git = Git(directory=str(tmp_path), variables=variables(plain()))
    with pytest.raises(SourceError, match="git log failed: not a git repository"):
        git.text("log")
    with pytest.raises(RunprojError, match="'git' is not on the PATH"):
        Git(directory="/", variables={"PATH": str(tmp_path)}).text("log")


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("warning: x\nfatal: bad thing\n", "bad thing"),
        ("error: first\nfatal: last\n\n", "last"),
        ("ssh: no route\n", "ssh: no route"),
        ("fatal: unable to access 'https://u:t0k@h/p?token=t1': x\n", None),
        ("fatal: t0k was wrong", "*** was wrong"),
        (
            "Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n"
            "Please make sure you have the correct access rights\nand the repository exists.\n",
            "Permission denied (publickey).",
        ),
        ("fatal: Could not read from remote repository.", "Could not read from remote repository."),
        ("", "exit code 128"),
    ],
)
def test_reasons_show_no_secrets(stderr: str, words: str | None) -> None:
    found = reason(Completed(exit_code=128, stdout=b"", stderr=stderr.encode()), ["t0k"])
    assert "t0k" not in found
    assert "t1" not in found
    assert words is None or found == words
    assert "\n" not in found


def test_a_signal_is_a_reason() -> None:
    assert reason(Completed(exit_code=-9, stdout=b"", stderr=b"")) == "it was ended by signal 9"


def test_urls_in_texts_lose_their_credentials() -> None:
    text = "from 'https://a:b@h/p' to ssh://git:x@h/q, user@host"
    assert without_urls_secrets(text) == "from 'https://h/p' to ssh://git@h/q, user@host"


def test_status_of_every_kind(tmp_path: Path) -> None:
    git = Git(directory=str(tmp_path), variables=variables(plain(), isolated=True))

    def real(*arguments: str) -> None:
        names = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *names, "-C", tmp_path, *arguments], check=True, capture_output=True)

    ask = ("status", "--porcelain=v2", "--branch", "-z", "--no-renames")
    real("init", "-q", "-b", "trunk")
    assert parsed_status(git.text(*ask)).commit is None
    for name in ("a b", "c", "d\n", "é"):
        (tmp_path / name).write_text("1")
    real("add", "-A")
    real("commit", "-q", "-m", "x")
    (tmp_path / "a b").write_text("22")
    (tmp_path / "c").unlink()
    (tmp_path / "d\n").chmod(0o755)
    real("mv", "é", "e e")
    (tmp_path / "new one").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("")
    status = parsed_status(git.text(*ask))
    assert status.branch == "trunk"
    assert set(status.changed) == {"a b", "c", "d\n", "é", "e e"}
    assert set(status.untracked) == {"new one", "folder/"}
    assert status.dirty_modules == ()


def test_where_repositories_begin(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path / "r"], check=True)
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "b"], check=True)
    (tmp_path / "r" / "a" / "b").mkdir(parents=True)
    assert repository_root(str(tmp_path / "r" / "a" / "b")) == str(tmp_path / "r")
    assert repository_root(str(tmp_path)) is None
    assert is_bare(str(tmp_path / "b"))
    assert not is_bare(str(tmp_path / "r"))
