from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runner.documents.project import read_project
from runner.documents.remembered import ProjectFiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.documents.remembered import Reading


pytest.register_assert_rewrite("readings")


@pytest.fixture
def read(tmp_path: Path) -> Callable[[dict[str, str]], Reading]:
    """Write a project's files and read the project."""

    def written_and_read(files: dict[str, str]) -> Reading:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        content = (tmp_path / "MLproject").read_bytes()
        return read_project(ProjectFiles(str(tmp_path), str(tmp_path)), "MLproject", content)

    return written_and_read
