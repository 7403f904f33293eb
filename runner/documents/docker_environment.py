"""The ``docker_env`` of an MLproject file -> ``DockerSpec``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.model.spec import DockerSpec

if TYPE_CHECKING:
    from runner.documents.findings import Findings
    from runner.documents.yaml_document import Path, YamlDocument

REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
)
"""A repository name of the OCI distribution specification, without a registry."""


def docker_environment(document: YamlDocument, findings: Findings) -> DockerSpec | None:
    """Read ``docker_env``; None when it cannot be used."""
    body = document.data["docker_env"]
    if not isinstance(body, dict) or not isinstance(body.get("image"), str):
        return None
    _check_name(document, findings)
    volumes = body.get("volumes")
    texts = [v for v in volumes if isinstance(v, str)] if isinstance(volumes, list) else []
    for at, volume in enumerate(texts):
        _check_expansion(volume, document, ("docker_env", "volumes", at), findings)
    return DockerSpec(
        image=body["image"].strip(),
        volumes=tuple(texts),
        variables=_variables(body.get("environment"), document, findings),
        place=document.key_place(("docker_env",)),
    )


def _check_name(document: YamlDocument, findings: Findings) -> None:
    name = document.data.get("name")
    if name is None or not str(name).strip():
        message = "a project with 'docker_env' needs a 'name', which its images are named after"
        place = document.key_place(("docker_env",))
        findings.error("docker-name", message, place, hint="add 'name: my-project'")
    elif not REPOSITORY.fullmatch(str(name)):
        message = f"the name '{name}' cannot name an image, as --build-image needs"
        hint = "use lower-case letters, digits, '-', '_' and '.'"
        findings.warn("docker-name", message, document.place(("name",)), hint=hint)


def _variables(
    entries: Any,  # noqa: ANN401 - whatever YAML holds
    document: YamlDocument,
    findings: Findings,
) -> dict[str, str | None]:
    variables: dict[str, str | None] = {}
    for at, entry in enumerate(entries if isinstance(entries, list) else ()):
        path = ("docker_env", "environment", at)
        match entry:
            case str() if "=" in entry:
                name, _, value = entry.partition("=")
                message = f"'{entry}' sets a variable in a form that mlflow does not know"
                hint = f'write \'["{name}", "{value}"]\''
                findings.warn("docker-variable", message, document.place(path), hint=hint)
                variables[name] = value
            case str():
                variables[entry] = None
            case [name, value]:
                variables[str(name)] = str(value)
                _check_expansion(str(value), document, path, findings)
            case _:
                continue  # the schema has complained
    return variables


def _check_expansion(text: str, document: YamlDocument, path: Path, findings: Findings) -> None:
    if "$" in text:
        message = f"'{text}' contains '$', which no shell expands here"
        hint = "write the value out, or pass it with -A"
        findings.warn("docker-expansion", message, document.place(path), hint=hint)
