"""What a repository is known to say: asked of git once, remembered until it can have changed."""

from __future__ import annotations

import json
import os

from runner.hashing import sha256
from runner.model.value import Value
from runner.redaction import without_credentials
from runner.system.files import cache_directory, read, write_whole
from runner.system.git import Git, variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

LFS_COMMANDS = frozenset(
    {
        "git-lfs clean -- %f",
        "git-lfs smudge -- %f",
        "git-lfs smudge --skip -- %f",
        "git-lfs filter-process",
        "git-lfs filter-process --skip",
        "true",
        "false",
    }
)
"""The filter settings that ``git lfs install --local`` writes."""


class Head(Value):
    """A commit's tree and date (seconds since 1970), and the URL of the repository's remote."""

    tree: str | None
    committed: int | None
    remote: str | None


class RepositoryFacts:
    """The few things that every run asks about a local repository.

    A repository whose configuration is one plain file is remembered by that file's digest and the
    commit: then a clean work tree costs a run one process, ``git status``.
    """

    def __init__(self, root: str, *, home: str, environ: Mapping[str, str]) -> None:
        self._git = Git(directory=root, variables=variables(environ))
        self._root = root
        self._config = _plain_config(root)
        self._path = os.path.join(home, "git", "facts", f"{_hex(os.fsencode(root))}.json")
        self.home = home
        self._known = self._remembered()

    def _remembered(self) -> dict[str, Any]:
        if self._config is None:
            return {}
        try:
            known = json.loads(read(self._path))
        except (OSError, ValueError):
            return {}
        complete = isinstance(known, dict) and known.keys() >= set(Head.FIELDS)
        return known if complete and known.get("config") == _hex(self._config) else {}

    def neutral_filters(self) -> tuple[tuple[str, str], ...]:
        """Return settings that switch off the programs named by the repository's own filters.

        ``git status`` and ``git add`` would run them on changed files (gitattributes(5)).
        """
        files = [path for path in _module_configs(self._root) if b"filter" in read(path).lower()]
        wheres = [("--file", path) for path in files]
        if self._config is None or b"filter" in self._config.lower():
            wheres.append(("--local", "--includes"))
        found = [entry.partition("\n") for where in wheres for entry in self._filters(where)]
        foreign = {name.rpartition(".")[0] for name, _, value in found if value not in LFS_COMMANDS}
        return tuple(
            (f"{name}.{key}", value)
            for name in sorted(foreign)
            for key, value in (
                ("clean", ""),
                ("smudge", ""),
                ("process", ""),
                ("required", "false"),
            )
        )

    def _filters(self, where: tuple[str, ...]) -> list[str]:
        pattern = r"^filter\..*\.(clean|smudge|process)$"
        completed = self._git.capture("config", *where, "-z", "--get-regexp", pattern)
        return [entry for entry in completed.text.split("\0") if entry]

    def head(self, git: Git, commit: str | None) -> Head:
        """Return what belongs to the commit that is checked out."""
        if commit is None:
            return Head(tree=None, committed=None, remote=self._remote(git))
        if self._known.get("commit") != commit:
            tree, committed = git.text(
                "log", "-1", "--no-show-signature", "--format=%T %ct", commit
            ).split()
            remote = self._remote(git)
            self._known = {
                "commit": commit,
                "tree": tree,
                "committed": int(committed),
                "remote": remote,
            }
            self._remember()
        return Head(**{name: self._known[name] for name in Head.FIELDS})

    def _remember(self) -> None:
        if self._config is None:
            return
        document = {**self._known, "config": _hex(self._config)}
        try:
            cache_directory(self.home, "git", "facts")
            write_whole(self._path, json.dumps(document).encode())
        except OSError:
            return  # a full or read-only disk costs the next run two processes, no more

    def _remote(self, git: Git) -> str | None:
        """Return the URL of ``origin``, else of the first remote, without credentials."""
        completed = git.capture("config", "-z", "--get-regexp", r"^remote\..*\.url$")
        found = [entry.partition("\n") for entry in completed.text.split("\0") if entry]
        urls = {name: url for name, _, url in reversed(found)}
        url = urls.get("remote.origin.url") or next(reversed(urls.values()), None)
        return without_credentials(url) if url else None


def _plain_config(root: str) -> bytes | None:
    """Return the repository's configuration if it is all in one file."""
    try:
        content = read(os.path.join(root, ".git", "config"))
    except OSError:
        return None
    return (
        None if b"include" in content.lower() or b"worktreeconfig" in content.lower() else content
    )


def _module_configs(root: str) -> list[str]:
    """Find the configurations of a repository's submodules, which git reads as well."""
    found = []
    pending = [os.path.join(root, ".git", "modules")]
    while pending:
        folder = pending.pop()
        if not os.path.isdir(folder):
            continue
        for name in os.listdir(folder):
            if name == "config":
                found.append(os.path.join(folder, name))
            elif name not in {"objects", "refs", "logs", "hooks", "info", "lfs"}:
                pending.append(os.path.join(folder, name))
    return found


def _hex(content: bytes) -> str:
    return sha256(content).hexdigest()[:40]


def clock(seconds: int | None) -> datetime | None:
    """Return a time for seconds since 1970, aware and in UTC."""
    if seconds is None:
        return None
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC)
