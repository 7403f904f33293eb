"""What bad input gets: one error that says what and where, and nothing left behind."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from runner.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EXIT_CODES = {"usage": 2, "spec": 2, "parameter": 2}
"""Exit codes of the kinds of error; 125 for all the others."""
HEADLINE = re.compile(r"^error\[(\w+)\]: (.+)$", re.MULTILINE)
PLACE_OR_HINT = re.compile(r"^  (at \S|hint: \S|\S+:\d+:\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Complaint:
    """What a refused command wrote."""

    kind: str
    text: str

    def names(self, *things: str) -> None:
        """Check that the things are named as the user wrote them."""
        for thing in things:
            assert thing in self.text, f"{thing!r} is not named in:\n{self.text}"


@dataclass(frozen=True)
class Refusal:
    """Runs commands that have to be refused, in a folder of their own."""

    folder: Path
    temporary: Path
    home: Path
    capture: pytest.CaptureFixture[str]

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Put files into the folder."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode("utf-8") if isinstance(content, str) else content
            path.write_bytes(data)

    def __call__(self, *arguments: str, kind: str) -> Complaint:
        """Run a command in this process and check how it is refused."""
        before = _below(self.folder)
        self.capture.readouterr()
        code = main(arguments)
        written = self.capture.readouterr()
        self.check(code, written.out, written.err, kind)
        assert _below(self.folder) == before, "files were left in the caller's folder"
        return Complaint(kind, written.err)

    def check(self, code: int, out: str, err: str, kind: str) -> None:
        """Check what a refused command returned, wrote and left behind."""
        assert "Traceback" not in out + err
        headlines = HEADLINE.findall(err)
        assert len(headlines) == 1, f"not one error but {len(headlines)} in:\n{err}\n{out}"
        assert headlines[0][0] == kind, err
        assert code == EXIT_CODES.get(kind, 125), err
        assert PLACE_OR_HINT.search(err), f"neither place nor hint in:\n{err}"
        assert os.listdir(self.temporary) == [], "files were left in the temporary folder"
        assert not (self.home / "jobs").exists() or not os.listdir(self.home / "jobs")


def _below(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def refused(
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Refusal:
    """Give the test a folder to be refused in, and watch what is left behind."""
    folder, temporary = tmp_path / "caller", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", str(folder))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(sys, "argv", ["runproj"])
    return Refusal(folder, temporary, home, capsys)
