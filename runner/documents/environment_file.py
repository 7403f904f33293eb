"""One environment file on its own, for ``runproj validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.documents.conda_environment import read_conda_environment
from runner.documents.findings import Findings
from runner.documents.python_environment import (
    CONDA_KEYS,
    read_pyproject,
    read_python_environment,
)
from runner.documents.remembered import ProjectFiles, Reading
from runner.documents.yaml_document import read_yaml
from runner.model.spec import Place

if TYPE_CHECKING:
    from runner.model.spec import EnvironmentSpec


def read_environment_file(project: str, root: str, name: str) -> Reading:
    """Read the environment file of that name; what kind it is follows from name and content."""
    findings = Findings()
    files = ProjectFiles(project, root)
    content = files.read(name)
    if content is None:
        place = Place(file=name, line=1, column=1)
        findings.error("unreadable", f"{name} is {files.states[name]}", place)
    elif name.endswith((".yaml", ".yml", ".toml")):
        _read(content, name, files, findings)
    else:
        place = Place(file=name, line=1, column=1)
        hint = "MLproject, python_env.yaml, conda.yaml and pyproject.toml can be checked"
        findings.error("unknown-file", f"{name} is no project file", place, hint=hint)
    return Reading(spec=None, problems=findings.problems, files=files.states)


def _read(
    content: bytes, name: str, files: ProjectFiles, findings: Findings
) -> EnvironmentSpec | None:
    if name.endswith(".toml"):
        return read_pyproject(content, name, findings)
    document = read_yaml(content, name, Findings())
    data = document.data if document else None
    looks_like_conda = isinstance(data, dict) and (
        any(key in data for key in CONDA_KEYS)
        or any(isinstance(one, dict) for one in data.get("dependencies") or ())
    )
    if looks_like_conda or "conda" in name or name.startswith("environment"):
        return read_conda_environment(content, name, files, findings)
    return read_python_environment(content, name, files, findings)
