"""The ``docker_env`` of an MLproject file -> ``DockerSpec``."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, TypeVar

from runner.documents.image_reference import parsed
from runner.errors import SpecError
from runner.model.spec import DockerSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.documents.findings import Findings
    from runner.documents.remembered import ProjectFiles
    from runner.documents.yaml_document import Path, YamlDocument
    from runner.model.spec import CodePlacement, Pull

    W = TypeVar("W")

PULLS: Mapping[str, Pull] = {"missing": "missing", "always": "always", "never": "never"}
PLACEMENTS: Mapping[str, CodePlacement] = {"copy": "copy", "mount": "mount", "image": "image"}
REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
)
"""A repository name of the OCI distribution specification, without a registry."""


def docker_environment(
    document: YamlDocument, files: ProjectFiles, findings: Findings
) -> DockerSpec | None:
    """Read ``docker_env``; None when it cannot be used."""
    body = document.data["docker_env"]
    if not isinstance(body, dict):
        return None
    built = any(isinstance(body.get(key), str) for key in ("dockerfile", "context"))
    if not built and "image" not in body:
        message, place = "'docker_env' has no 'image'", document.key_place(("docker_env",))
        hint = "for example 'image: python:3.11', or 'dockerfile: Dockerfile'"
        findings.error("missing-key", message, place, hint=hint)
    if not built and not isinstance(body.get("image"), str):
        return None
    _check_name(document, findings)
    if not built:
        _check_unbuilt(body, document, findings)
        _check_image(str(body["image"]).strip(), document, findings)
    volumes = body.get("volumes")
    texts = [v for v in volumes if isinstance(v, str)] if isinstance(volumes, list) else []
    for at, volume in enumerate(texts):
        _check_expansion(volume, document, ("docker_env", "volumes", at), findings)
    paths = {key: _inside(key, document, files, findings) for key in ("dockerfile", "context")}
    if built and not any(paths.values()):
        return None
    arguments = body.get("args")
    return DockerSpec(
        image=_text(body, "image"),
        volumes=tuple(texts),
        variables=_variables(body.get("environment"), document, findings),
        args={k: value_text(v) for k, v in arguments.items()}
        if isinstance(arguments, dict)
        else {},
        **paths,
        **{key: _text(body, key) for key in ("target", "gpus", "network", "user", "platform")},
        pull=_word(body, "pull", PULLS, "missing"),
        code=_word(body, "code", PLACEMENTS, "copy"),
        place=document.key_place(("docker_env",)),
    )


def _text(body: dict[str, Any], key: str) -> str | None:
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def _word(body: dict[str, Any], key: str, known: Mapping[str, W], default: W) -> W:
    """Return one of the known words; the schema has complained about others."""
    return known.get(str(body.get(key)), default)


def value_text(value: object) -> str:
    """Write a value of YAML as the text that its author wrote."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_unbuilt(body: dict[str, Any], document: YamlDocument, findings: Findings) -> None:
    for key in ("args", "target"):
        if body.get(key) is not None:
            message = f"'{key}' is for building an image, and there is no 'dockerfile'"
            place = document.key_place(("docker_env", key))
            findings.warn("docker-build", message, place, hint="add 'dockerfile: Dockerfile'")


def _inside(
    key: str, document: YamlDocument, files: ProjectFiles, findings: Findings
) -> str | None:
    """Return a path of the project as it is used; None when there is none that can be."""
    given = document.data["docker_env"].get(key)
    if not isinstance(given, str) or not given.strip():
        return None
    name = os.path.normpath(given.strip())
    real = os.path.realpath(os.path.join(files.project, name)) if "\0" not in name else "/"
    place = document.place(("docker_env", key))
    if not os.path.join(real, "").startswith(os.path.join(files.project, "")):
        message = f"the path '{given}' named by '{key}' lies outside of the project"
        findings.error("outside", message, place, hint="an image is built from the project's files")
    elif not (os.path.isdir(real) if key == "context" else os.path.isfile(real)):
        what = "folder" if key == "context" else "file"
        message = f"the {what} '{given}' named by '{key}' does not exist"
        findings.error("missing-file", message, place, hint=f"it is relative to {document.file}")
    else:
        return name
    return None


def _check_image(image: str, document: YamlDocument, findings: Findings) -> None:
    if not image:
        return  # the schema has complained
    try:
        parsed(image)
    except SpecError as error:
        place = document.place(("docker_env", "image"))
        findings.error("image-name", error.message, place, hint=error.hint)


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
                variables[str(name)] = value_text(value)
                _check_expansion(value_text(value), document, path, findings)
            case _:
                continue  # the schema has complained
    return variables


def _check_expansion(text: str, document: YamlDocument, path: Path, findings: Findings) -> None:
    if "$" in text:
        if path[1] == "volumes":
            message = f"'{text}' contains '$': only $NAME and ${{NAME}} are replaced, by variables"
            hint = "paths that start with ./ are relative to the project"
        else:
            message = f"'{text}' contains '$', which no shell expands here"
            hint = "write the value out, or pass it with -A env=NAME=VALUE"
        findings.warn("docker-expansion", message, document.place(path), hint=hint)
