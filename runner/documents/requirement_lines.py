"""Lines of requirements that stand in environment files."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.documents.findings import Findings
    from runner.documents.remembered import ProjectFiles
    from runner.model.spec import Place

INCLUDE = re.compile(r"(?P<option>-[rc]|--requirement|--constraint)(?P<gap>[\s=]*)(?P<name>\S.*)")
CONDA_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+(?:\[[^\]]*\])?)=(?P<version>[0-9][^=\s]*)")


class RequirementLines:
    """Reads requirement lines of an environment file that lies in ``directory``.

    An included file is looked for beside the environment file, as pip does, and else in the
    project directory, as mlflow does; the line is rewritten so that it fits ``directory``.
    """

    def __init__(self, directory: str, files: ProjectFiles, findings: Findings) -> None:
        self.directory, self.files, self.findings = directory, files, findings

    def line(self, text: str, place: Place) -> str | None:
        """Return one line, ready for pip in ``directory``; None when it holds nothing."""
        line = text.strip()
        if not line or line.startswith("#"):
            return None
        if pin := CONDA_PIN.fullmatch(line):
            message = f"'{line}' is no requirement that pip understands"
            hint = f"write '{pin['name']}=={pin['version']}'"
            self.findings.warn("requirement", message, place, hint=hint)
        include = INCLUDE.fullmatch(line)
        return self._included(include, line, place) if include else line

    def _included(self, include: re.Match[str], line: str, place: Place) -> str:
        name = include["name"]
        if "://" in name or os.path.isabs(name):
            return line
        beside = os.path.normpath(os.path.join(self.directory, name))
        if self.files.is_file(beside):
            return f"{include['option']} {name}"
        at_root = os.path.normpath(name)
        if self.files.is_file(at_root):
            return f"{include['option']} {os.path.relpath(at_root, self.directory or '.')}"
        message = f"there is no file '{name}' to include"
        self.findings.warn("missing-file", message, place, hint="create it, or correct the line")
        return f"{include['option']} {name}"
