"""git, told to ask no questions and to run nothing that a project or its repository names."""

from __future__ import annotations

import os

from runner.errors import SourceError
from runner.model.value import Value
from runner.redaction import masked, without_credentials
from runner.system import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TypeAlias

    Config: TypeAlias = Iterable[tuple[str, str]]

NETWORK = ("http", "https", "ssh", "git")
"""The transports that may be used; ``file`` is added where the repository itself is local."""

SHA1 = 40
"""Hexadecimal digits of the object names that most repositories use, and SWHIDs too."""

ARMOUR = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("safe.bareRepository", "explicit"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
)
"""Settings that win over every configuration file (git-config(1), ``GIT_CONFIG_COUNT``)."""

VERBATIM = (
    ("core.autocrlf", "false"),
    ("core.eol", "lf"),
    ("core.attributesFile", os.devnull),
    ("core.excludesFile", os.devnull),
    ("core.symlinks", "true"),
    ("filter.lfs.smudge", ""),
    ("filter.lfs.process", ""),
    ("filter.lfs.required", "false"),
)
"""What makes a checkout the same bytes for every user: nothing of theirs takes part in it."""

_KEPT = (
    "GIT_SSH",
    "GIT_SSL_",
    "GIT_HTTP_",
    "GIT_PROXY_",
    "GIT_ASKPASS",
    "GIT_CONFIG_",
    "GIT_EXEC_PATH",
)
_DROPPED = ("GIT_CONFIG_PARAMETERS",)


class Git(Value):
    """git in one directory, with the variables it is to see."""

    directory: str
    variables: Mapping[str, str]

    def capture(self, *arguments: str) -> process.Completed:
        """Run git to its end, whatever the end is."""
        return process.capture(("git", "-C", self.directory, *arguments), variables=self.variables)

    def text(self, *arguments: str) -> str:
        """Return what git prints, without the last newline.

        Raises:
            SourceError: git failed.
        """
        completed = self.capture(*arguments)
        if completed.exit_code:
            raise SourceError(f"git {arguments[0]} failed: {reason(completed)}")
        return completed.text.rstrip("\n")

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        keep: Sequence[int] = (),
    ) -> process.Completed:
        """Run git to its end while somebody watches; see ``process.run``."""
        return process.run(
            ("git", "-C", self.directory, *arguments),
            variables=self.variables,
            stdin=stdin,
            on_line=on_line,
            keep=keep,
        )


def variables(
    environ: Mapping[str, str],
    *,
    config: Config = (),
    local: bool = False,
    interactive: bool = False,
    isolated: bool = False,
) -> dict[str, str]:
    """Return the variables for git: the caller's, without those that would lead it elsewhere.

    ``local`` allows the ``file`` transport, ``interactive`` lets git ask on the terminal, and
    ``isolated`` shuts the user's own configuration out.
    """
    result = {name: value for name, value in environ.items() if _is_welcome(name)}
    result.update(
        LC_ALL="C",
        GIT_OPTIONAL_LOCKS="0",
        GIT_LFS_SKIP_SMUDGE="1",
        GIT_TERMINAL_PROMPT="1" if interactive else "0",
        GIT_ALLOW_PROTOCOL=":".join((*NETWORK, "file") if local else NETWORK),
    )
    if isolated:
        result.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1")
        config = (*VERBATIM, *config)
    configure(result, (*ARMOUR, *config))
    return result


def configure(variables: dict[str, str], config: Config) -> None:
    """Add settings to git's variables, after those that the caller has given the same way."""
    given = variables.get("GIT_CONFIG_COUNT", "")
    count = int(given) if given.isdecimal() else 0
    for name, value in config:
        variables[f"GIT_CONFIG_KEY_{count}"] = name
        variables[f"GIT_CONFIG_VALUE_{count}"] = value
        count += 1
    variables["GIT_CONFIG_COUNT"] = str(count)


def _is_welcome(name: str) -> bool:
    if not name.startswith("GIT_"):
        return True
    return name.startswith(_KEPT) and name not in _DROPPED


_BOILERPLATE = (
    "fatal: Could not read from remote repository",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
)
"""What git adds when ssh has already said what is wrong."""


def reason(completed: process.Completed, secrets: Iterable[str] = ()) -> str:
    """Return git's own words for what went wrong, in one line that shows no credentials."""
    said = [line.strip() for line in completed.complaint.splitlines() if line.strip()]
    lines = [line for line in said if not line.startswith(_BOILERPLATE)] or said
    telling = [line for line in lines if line.lower().startswith(("fatal:", "error:"))]
    for line in (telling or lines)[-1:]:
        words = line.partition(": ")[2] if telling else line
        return masked(without_urls_secrets(words), secrets)
    code = completed.exit_code
    return f"it was ended by signal {-code}" if code < 0 else f"exit code {code}"


def without_urls_secrets(text: str) -> str:
    """Take the credentials out of every URL in a text."""
    import re

    return re.sub(r"[A-Za-z][\w+.-]*://[^\s'\"]+", lambda url: without_credentials(url[0]), text)


def repository_root(directory: str) -> str | None:
    """Return the nearest directory upwards that holds a ``.git``, None when there is none."""
    while True:
        if os.path.lexists(os.path.join(directory, ".git")):
            return directory
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def is_bare(directory: str) -> bool:
    """Whether a directory looks like a repository without a work tree (gitrepository-layout(5))."""
    return (
        os.path.isfile(os.path.join(directory, "HEAD"))
        and os.path.isdir(os.path.join(directory, "objects"))
        and os.path.isdir(os.path.join(directory, "refs"))
    )


class Status(Value):
    """What ``git status --porcelain=v2 --branch -z`` says.

    ``commit`` and ``branch`` are None where there is none (no commit yet, detached HEAD).
    ``changed`` are tracked paths, ``dirty_modules`` submodules with changes inside, ``untracked``
    paths, folders with a slash at the end.
    """

    commit: str | None
    branch: str | None
    changed: tuple[str, ...]
    dirty_modules: tuple[str, ...]
    untracked: tuple[str, ...]


def parsed_status(text: str) -> Status:
    """Read the output of ``git status --porcelain=v2 --branch -z --no-renames``."""
    header: dict[str, str] = {}
    changed: list[str] = []
    modules: list[str] = []
    untracked: list[str] = []
    for record in text.split("\0"):
        kind = record[:1]
        if kind == "#":
            name, _, value = record[2:].partition(" ")
            header[name] = value
        elif kind == "?":
            untracked.append(record[2:])
        elif kind in {"1", "u"}:
            fields = record.split(" ", 8 if kind == "1" else 10)
            changed.append(fields[-1])
            if fields[2][0] == "S" and fields[2][2:] != "..":
                modules.append(fields[-1])
    commit = header.get("branch.oid", "(initial)")
    branch = header.get("branch.head", "(detached)")
    return Status(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        changed=tuple(changed),
        dirty_modules=tuple(modules),
        untracked=tuple(untracked),
    )
