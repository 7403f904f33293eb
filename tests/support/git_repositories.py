"""Real git repositories, small and local, and the checks that several tests share."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model.event import Event

IDENTITY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "C",
    "GIT_COMMITTER_EMAIL": "c@example.org",
    "GIT_AUTHOR_DATE": "2024-01-02T03:04:05+01:00",
    "GIT_COMMITTER_DATE": "2024-02-03T04:05:06+02:00",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Repo:
    """A repository under test, driven by the real git."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *arguments: str, stdin: bytes | None = None) -> str:
        result = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", "-C", str(self.path), *arguments],
            env={**os.environ, **IDENTITY},
            input=stdin,
            capture_output=True,
            check=False,
        )
        assert not result.returncode, result.stderr.decode()
        return result.stdout.decode("utf-8", "surrogateescape").strip()

    def write(self, files: dict[str, str | bytes]) -> None:
        for name, content in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, files: dict[str, str | bytes] | None = None, message: str = "change") -> str:
        self.write(files or {})
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    @property
    def tree(self) -> str:
        return "swh:1:dir:" + self.git("rev-parse", "HEAD^{tree}")


def make_repo(path: Path, files: dict[str, str | bytes] | None = None, *options: str) -> Repo:
    path.mkdir(parents=True, exist_ok=True)
    repo = Repo(path)
    repo.git("init", "-q", "-b", "main", *options)
    if files is not None:
        repo.commit(files)
    return repo


class Watcher:
    """Keeps the events it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)

    def named(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def fingerprint(path: Path) -> dict[str, tuple[int, int, str]]:
    """Everything that can change below a directory.

    The times of object files are left out: git renews them when it looks whether it has an object.
    """
    result = {}
    for place in sorted(path.rglob("*")):
        status = place.lstat()
        content = place.read_bytes().hex() if place.is_file() and not place.is_symlink() else ""
        time = 0 if ".git/objects/" in str(place) else status.st_mtime_ns
        result[str(place)] = (status.st_mode, time, content)
    return result
