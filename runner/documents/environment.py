"""Which environment a project asks for: the key in the MLproject file, or a file by its name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runner.documents.conda_environment import read_conda_environment
from runner.documents.docker_environment import docker_environment
from runner.documents.findings import did_you_mean
from runner.documents.pinned_python import with_pinned_python
from runner.documents.python_environment import (
    read_pyproject,
    read_python_environment,
    read_requirements,
)
from runner.documents.remembered import ABSENT, OUTSIDE
from runner.model.spec import PythonSpec

if TYPE_CHECKING:
    from runner.documents.findings import Findings
    from runner.documents.remembered import ProjectFiles
    from runner.documents.yaml_document import YamlDocument
    from runner.model.spec import EnvironmentSpec

KEYS = ("python_env", "conda_env", "docker_env")
CONDA_NAMES = ("conda.yaml", "environment.yml", "environment.yaml")


def chosen_environment(
    document: YamlDocument, files: ProjectFiles, findings: Findings
) -> EnvironmentSpec | None:
    """Read the environment that a valid MLproject document names, or the project's default.

    None when it cannot be read; the findings say why.
    """
    data: dict[str, Any] = document.data
    given = [key for key in data if key in KEYS]
    if not given:
        return default_environment(files, findings)
    if len(given) > 1:
        message = f"'{given[1]}' beside '{given[0]}': a project has one environment"
        place = document.key_place((given[1],))
        findings.error("two-environments", message, place, hint="remove one of the two")
        return None
    key = given[0]
    if key == "docker_env":
        return docker_environment(document, files, findings)
    if not isinstance(data[key], str):
        return None
    return _EnvironmentFile(document, key, findings).read(files)


class _EnvironmentFile:
    """An environment file that an MLproject file names."""

    def __init__(self, document: YamlDocument, key: str, findings: Findings) -> None:
        self.document, self.key, self.findings = document, key, findings
        self.given = str(document.data[key])
        self.name = os.path.normpath(self.given)

    def read(self, files: ProjectFiles) -> EnvironmentSpec | None:
        """Read it, whatever kind it is; None when it cannot be had or used."""
        content = files.read(self.name)
        if content is None:
            self._report_missing(files)
            return None
        if self.key == "conda_env":
            return read_conda_environment(content, self.name, files, self.findings)
        if self.name.endswith(".toml"):
            return _pyproject(content, self.name, files, self.findings)
        if self.name.endswith((".txt", ".in")):
            return read_requirements(self.name, self.findings)
        return read_python_environment(content, self.name, files, self.findings)

    def _report_missing(self, files: ProjectFiles) -> None:
        state = files.states[self.name]
        hint: str | None
        if state == OUTSIDE:
            rule, why = "outside", "lies outside of the project"
            hint = "move the file into the project, or run the folder that holds both"
        elif state == ABSENT and "://" in self.given:
            rule, why = "missing-file", "is a URL, which is not followed"
            hint = "copy the file into the project"
        elif state == ABSENT:
            rule, why = "missing-file", "does not exist"
            folder = os.path.join(files.project, os.path.dirname(self.name))
            there = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
            hint = did_you_mean(os.path.basename(self.name), there)
        else:
            rule, why = "unreadable", "cannot be read"
            hint = "it must be a readable file"
        message = f"the file '{self.given}' named by '{self.key}' {why}"
        self.findings.error(rule, message, self.document.place((self.key,)), hint=hint)


def default_environment(files: ProjectFiles, findings: Findings) -> EnvironmentSpec | None:
    """Read the environment of a project that names none: the first file of these that is there.

    ``python_env.yaml`` and ``conda.yaml`` as in mlflow, then ``environment.yml``,
    ``requirements.txt`` and a ``pyproject.toml`` with a ``[project]`` table; else nothing but
    Python is asked for.
    """
    if (content := files.read("python_env.yaml")) is not None:
        return read_python_environment(content, "python_env.yaml", files, findings)
    for name in CONDA_NAMES:
        if (content := files.read(name)) is not None:
            return read_conda_environment(content, name, files, findings)
    if files.read("requirements.txt") is not None:
        return read_requirements("requirements.txt", findings)
    if (content := files.read("pyproject.toml")) is not None and b"[project]" in content:
        return _pyproject(content, "pyproject.toml", files, findings)
    return PythonSpec()


def _pyproject(
    content: bytes, name: str, files: ProjectFiles, findings: Findings
) -> PythonSpec | None:
    spec = read_pyproject(content, name, findings)
    return with_pinned_python(spec, files, findings) if spec else None
