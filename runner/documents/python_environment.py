"""``python_env.yaml``, ``requirements.txt`` and ``pyproject.toml`` -> ``PythonSpec``."""

from __future__ import annotations

import os
import re
import tomllib
from typing import TYPE_CHECKING, Any

from runner.documents.decoding import decoded
from runner.documents.requirement_lines import RequirementLines
from runner.documents.schema_check import check, found
from runner.documents.yaml_document import read_yaml
from runner.model.spec import Place, PythonSpec

if TYPE_CHECKING:
    from runner.documents.findings import Findings
    from runner.documents.remembered import ProjectFiles
    from runner.documents.yaml_document import YamlDocument

CONDA_KEYS = ("channels", "name", "prefix")


def read_python_environment(
    content: bytes, name: str, files: ProjectFiles, findings: Findings
) -> PythonSpec | None:
    """Read a ``python_env.yaml``; None when it cannot be used."""
    document = read_yaml(content, name, findings)
    if document is None:
        return None
    if _is_conda(document.data):
        message = f"{name} is a conda environment file"
        hint = f"name it as 'conda_env: {name}' instead of 'python_env'"
        findings.error("wrong-kind", message, document.place(()), hint=hint)
        return None
    check(document, "python_env", findings)
    if not isinstance(document.data, dict):
        return None
    lines = RequirementLines(os.path.dirname(name), files, findings)
    return PythonSpec(
        origin=name,
        kind="python_env",
        directory=os.path.dirname(name),
        python=_python(document, findings),
        build_requirements=_requirements(document, "build_dependencies", lines),
        requirements=_requirements(document, "dependencies", lines),
        place=document.place(()),
    )


def _is_conda(data: Any) -> bool:  # noqa: ANN401 - whatever YAML holds
    if not isinstance(data, dict) or "build_dependencies" in data:
        return False
    dependencies = data.get("dependencies")
    nested = isinstance(dependencies, list) and any(isinstance(one, dict) for one in dependencies)
    return nested or any(key in data for key in CONDA_KEYS)


def _python(document: YamlDocument, findings: Findings) -> str | None:
    value = document.data.get("python")
    if not isinstance(value, str) or not value.strip():
        return None
    text = value.strip()
    if not _is_version(text):
        message = f"'{text}' is neither a Python version nor a version specifier"
        hint = "write for example '3.11' or '>=3.9,<3.12'"
        findings.warn("python-version", message, document.place(("python",)), hint=hint)
    return text


def _is_version(text: str) -> bool:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if re.fullmatch(r"\d+(\.\d+)*(\.\*)?", text):
        return True
    try:
        return bool(str(SpecifierSet(text)))
    except InvalidSpecifier:
        return bool(re.fullmatch(r"\d+\.\d+\.\d+(a|b|rc)\d+", text))


def _requirements(document: YamlDocument, key: str, lines: RequirementLines) -> tuple[str, ...]:
    entries = document.data.get(key)
    if not isinstance(entries, list):
        return ()
    read = [
        lines.line(entry, document.place((key, at)))
        for at, entry in enumerate(entries)
        if isinstance(entry, str)
    ]
    return tuple(line for line in read if line)


def read_requirements(name: str, _findings: Findings) -> PythonSpec:
    """Refer to a requirements file as it is: pip's own grammar is read where it is resolved."""
    return PythonSpec(
        origin=name,
        kind="requirements",
        directory=os.path.dirname(name),
        requirements=(f"-r {os.path.basename(name)}",),
        place=Place(file=name, line=1, column=1),
    )


def read_pyproject(content: bytes, name: str, findings: Findings) -> PythonSpec | None:
    """Read ``project.dependencies`` and ``project.requires-python`` of a ``pyproject.toml``."""
    start = Place(file=name, line=1, column=1)
    text = decoded(content, name, findings)
    if text is None:
        return None
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        place, why = _toml_place(str(error), text, name)
        findings.error("toml", f"this is not valid TOML: {why}", place)
        return None
    project = data.get("project")
    if not isinstance(project, dict):
        hint = "add '[project]' with 'dependencies'" + (
            "; the tables of poetry are not read" if "poetry" in data.get("tool", {}) else ""
        )
        findings.error("missing-key", f"{name} has no [project] table", start, hint=hint)
        return None
    return _PyProject(project, text, name, findings).spec()


class _PyProject:
    """The ``[project]`` table of a ``pyproject.toml``."""

    def __init__(self, table: dict[str, Any], text: str, name: str, findings: Findings) -> None:
        self.table, self.text, self.name, self.findings = table, text, name, findings

    def spec(self) -> PythonSpec | None:
        dependencies = self.table.get("dependencies", [])
        python = self.table.get("requires-python")
        sound = isinstance(dependencies, list) and all(isinstance(d, str) for d in dependencies)
        if not sound:
            self._wrong("dependencies", f"must be a list of texts, not {found(dependencies)}")
        if python is not None and not isinstance(python, str):
            self._wrong("requires-python", f"must be a text, not {found(python)}")
            sound = False
        dynamic = self.table.get("dynamic")
        if isinstance(dynamic, list) and "dependencies" in dynamic:
            message = "the dependencies of the project are dynamic, which cannot be read"
            hint = "write them into 'project.dependencies'"
            self.findings.warn("dynamic", message, self._place("dynamic"), hint=hint)
        if not sound:
            return None
        return PythonSpec(
            origin=self.name,
            kind="pyproject",
            directory=os.path.dirname(self.name),
            python=python.strip() if python else None,
            requirements=tuple(dependencies),
            place=self._place("[project]"),
        )

    def _wrong(self, key: str, why: str) -> None:
        self.findings.error("wrong-type", f"'project.{key}' {why}", self._place(key))

    def _place(self, key: str) -> Place:
        """Find the line of a key; TOML readers do not tell."""
        match = re.search(rf"^\s*{re.escape(key)}", self.text, re.MULTILINE)
        line = self.text.count("\n", 0, match.end()) + 1 if match else 1
        return Place(file=self.name, line=line, column=1)


def _toml_place(message: str, text: str, name: str) -> tuple[Place, str]:
    """Take the place out of tomllib's message, which ends in ``(at line 3, column 5)``."""
    match = re.fullmatch(r"(.*?) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if match:
        line, column = int(match[2]), int(match[3])
        return Place(file=name, line=line, column=column), match[1].lower()
    why = message.partition(" (at ")[0].lower()
    return Place(file=name, line=text.count("\n") + 1, column=1), why
