"""A conda environment file -> ``PythonSpec`` where Python and pip suffice, else ``CondaSpec``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runner.documents.conda_packages import (
    CondaPackage,
    NotForPip,
    parsed_package,
    pip_requirement,
    python_version,
)
from runner.documents.requirement_lines import RequirementLines
from runner.documents.schema_check import check
from runner.documents.yaml_document import read_yaml
from runner.model.spec import CondaSpec, PythonSpec

if TYPE_CHECKING:
    from runner.documents.findings import Findings
    from runner.documents.remembered import ProjectFiles
    from runner.documents.yaml_document import YamlDocument
    from runner.model.spec import Place

BUILD_PACKAGES = frozenset({"pip", "setuptools", "wheel"})
"""Conda packages that pip provides as well."""


def read_conda_environment(
    content: bytes, name: str, files: ProjectFiles, findings: Findings
) -> PythonSpec | CondaSpec | None:
    """Read a conda environment file; None when it cannot be used."""
    document = read_yaml(content, name, findings)
    if document is None:
        return None
    if _is_python_environment(document.data):
        message = f"{name} is a python_env file, not a conda environment file"
        hint = f"name it as 'python_env: {name}' instead of 'conda_env'"
        findings.error("wrong-kind", message, document.place(()), hint=hint)
        return None
    check(document, "conda_env", findings)
    if not isinstance(document.data, dict):
        return None
    return _CondaFile(document, files, findings).spec()


def _is_python_environment(data: Any) -> bool:  # noqa: ANN401 - whatever YAML holds
    if not isinstance(data, dict) or "channels" in data or "name" in data:
        return False
    return "build_dependencies" in data or isinstance(data.get("python"), str)


class _CondaFile:
    """A conda environment file whose shape is known, minus what the schema complained about."""

    def __init__(self, document: YamlDocument, files: ProjectFiles, findings: Findings) -> None:
        self.document, self.findings = document, findings
        self.directory = os.path.dirname(document.file)
        self.lines = RequirementLines(self.directory, files, findings)
        self.packages: list[str] = []
        self.pip: list[str] = []
        self.needs_conda = False
        self.python: str | None = None
        self.build: list[str] = []

    def spec(self) -> PythonSpec | CondaSpec:
        """Read all dependencies and decide what kind of environment they make."""
        for key in ("name", "prefix"):
            if key in self.document.data:
                message = f"{key!r} is not used: environments are named by what is in them"
                self.findings.note("unused-key", message, self.document.key_place((key,)))
        entries = self.document.data.get("dependencies")
        for at, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, str):
                self._package(entry, self.document.place(("dependencies", at)))
            elif isinstance(entry, dict):
                self._pip(entry.get("pip"), at)
        return self._conda_spec() if self.needs_conda else self._python_spec()

    def _package(self, line: str, place: Place) -> None:
        package = parsed_package(line)
        self.packages.append(line.strip())
        if package is None:
            message = f"'{line}' is no conda package"
            self.findings.error("package", message, place, hint="write 'name=version'")
            return
        try:
            self._for_pip(package)
        except NotForPip:
            self.needs_conda = True

    def _for_pip(self, package: CondaPackage) -> None:
        """Take a package that pip or an interpreter search provides as well."""
        if package.name == "python":
            self.python = python_version(package)
        elif package.name in BUILD_PACKAGES:
            self.build.append(pip_requirement(package))
        else:
            self.needs_conda = True

    def _pip(self, entries: object, at: int) -> None:
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, str):
                place = self.document.place(("dependencies", at, "pip", index))
                if line := self.lines.line(entry, place):
                    self.pip.append(line)

    def _python_spec(self) -> PythonSpec:
        if variables := self.document.data.get("variables"):
            message = f"the variables of the environment are not set: {', '.join(variables)}"
            place = self.document.key_place(("variables",))
            self.findings.warn("variables", message, place, hint="set them in the command")
        return PythonSpec(
            origin=self.document.file,
            kind="conda",
            directory=self.directory,
            python=self.python,
            build_requirements=tuple(self.build),
            requirements=tuple(self.pip),
            place=self.document.place(()),
        )

    def _conda_spec(self) -> CondaSpec:
        data = self.document.data
        variables, channels = data.get("variables"), data.get("channels")
        return CondaSpec(
            origin=self.document.file,
            name=None if data.get("name") is None else str(data["name"]),
            channels=tuple(map(str, channels)) if isinstance(channels, list) else (),
            packages=tuple(self.packages),
            pip=tuple(self.pip),
            variables=_texts(variables) if isinstance(variables, dict) else {},
            place=self.document.place(()),
        )


def _texts(variables: dict[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in variables.items()}
