"""Whether a lock in the project still fits what the project asks for."""

from __future__ import annotations

import os
import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from runner.codec import digest
from runner.environments import pylock
from runner.environments.local_packages import metadata_files
from runner.errors import EnvError
from runner.redaction import without_credentials
from runner.system.files import file_digest, read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.codec import JSON
    from runner.environments.interpreters import Interpreter
    from runner.environments.pylock import Table
    from runner.environments.requirements import Requirements
    from runner.model.lock import LockRequest
    from runner.model.spec import PythonSpec


def stamped(
    table: Table,
    request: LockRequest,
    asked: Requirements,
    interpreter: Interpreter,
    *,
    universal: bool,
) -> Table:
    """Return a lock that knows what it was made of, and for which Pythons it holds."""
    holds = f">={interpreter.minor}" if universal else f"=={interpreter.minor}.*"
    spec: PythonSpec = request.spec  # type: ignore[assignment]
    stamp: dict[str, object] = {
        "version": 1,
        "inputs": inputs_digest(spec, asked, request.project),
        "requirements": texts(spec, asked),
        "platform": "any" if universal else interpreter.platform,
    }
    if spec.python:
        stamp["python"] = spec.python
    if request.as_of:
        stamp["as-of"] = moment(request.as_of)
    head = {k: v for k, v in table.items() if k not in {"packages", "tool", "requires-python"}}
    return {
        **head,
        "requires-python": holds,
        "packages": table.get("packages", []),
        "tool": {"runproj": stamp},
    }


def staleness(
    table: Table, request: LockRequest, asked: Requirements, interpreter: Interpreter
) -> str | None:
    """Say why a lock in the project does not fit what is asked for, None when it does."""
    if reason := _elsewhere(table, interpreter):
        return reason
    spec: PythonSpec = request.spec  # type: ignore[assignment]
    stamp = table.get("tool", {}).get("runproj")
    if stamp is None:
        return _unsatisfied(table, asked, interpreter)
    if request.as_of and stamp.get("as-of") != moment(request.as_of):
        return f"it was made as of {stamp.get('as-of', 'no date')}"
    if stamp.get("inputs") == inputs_digest(spec, asked, request.project):
        return None
    return _what_changed(stamp, spec, asked)


def _elsewhere(table: Table, interpreter: Interpreter) -> str | None:
    """Say why a lock is not for this Python on this platform."""
    try:
        holds = SpecifierSet(str(table.get("requires-python", "")))
    except InvalidSpecifier:
        return f"its requires-python is wrong: {table['requires-python']!r}"
    if not holds.contains(interpreter.version, prereleases=True):
        return f"it is for Python {holds}, and {interpreter.version} is asked for"
    platform = table.get("tool", {}).get("runproj", {}).get("platform", "any")
    if platform not in {"any", interpreter.platform}:
        return f"it is for {platform}, and this is {interpreter.platform}"
    return None


def _what_changed(stamp: Mapping[str, Any], spec: PythonSpec, asked: Requirements) -> str:
    before, now = set(stamp.get("requirements", [])), set(texts(spec, asked))
    words = [f"{text!r} was added" for text in sorted(now - before)]
    words += [f"{text!r} was removed" for text in sorted(before - now)]
    if stamp.get("python") != spec.python:
        words.append(
            f"Python {spec.python or '(any)'} is asked for, was {stamp.get('python', '(any)')}"
        )
    return ", ".join(words) or f"{spec.origin or 'the environment'} has changed since it was made"


def _unsatisfied(table: Table, asked: Requirements, interpreter: Interpreter) -> str | None:
    """Check a lock that another tool made against the requirements themselves."""
    have = {p.name: p.version for p in pylock.packages(table, interpreter)}
    variables = pylock.marker_variables(interpreter)
    for line in (*asked.build, *asked.lines):
        try:
            wanted = Requirement(line.text.partition(" --hash")[0])
        except InvalidRequirement:
            continue
        if wanted.marker and not wanted.marker.evaluate(variables):
            continue
        version = have.get(canonicalize_name(wanted.name), "")
        if version == "":
            return f"it lacks {wanted.name!r}"
        if version and not wanted.specifier.contains(version, prereleases=True):
            return f"it has {wanted.name} {version}, and {str(wanted)!r} is asked for"
    return None


def inputs_digest(spec: PythonSpec, asked: Requirements, project: str) -> str:
    """Return the digest of what a lock is made of, the same on every machine."""
    local: JSON = {
        os.path.relpath(line.local, project): {
            os.path.basename(p): file_digest(p) for p in metadata_files(line.local) if _counts(p)
        }
        for line in asked.local_packages
        if line.local
    }
    plain = spec.kind == "pyproject" and not local
    return digest(
        {
            "python": spec.python,
            "build": [without_credentials(line.text) for line in asked.build],
            "requirements": [without_credentials(line.text) for line in asked.lines],
            "constraints": [line.text for line in asked.constraints],
            "local": local,
            "pyproject": _dependencies(os.path.join(project, spec.origin)) if plain else None,
        }
    )


def _counts(path: str) -> bool:
    name = os.path.basename(path)
    return not name.startswith("pylock.") and name != "uv.lock"


def _dependencies(path: str) -> str:
    """Return the digest of the parts of a ``pyproject.toml`` that a resolution depends on."""
    try:
        table = tomllib.loads(read(path).decode())
    except (OSError, ValueError) as error:
        raise EnvError(f"pyproject.toml cannot be read: {error}", where=path) from None
    project = table.get("project", {})
    parts = [project.get(k) for k in ("dependencies", "optional-dependencies", "requires-python")]
    return digest([repr(part) for part in (*parts, table.get("tool", {}).get("uv"))])


def texts(spec: PythonSpec, asked: Requirements) -> list[str]:
    """Return the requirements as written, free of credentials."""
    found = [line.text for line in (*asked.build, *asked.lines)]
    if spec.kind == "pyproject":
        found += spec.requirements
    return [without_credentials(text) for text in found]


def moment(when: datetime) -> str:
    """Write a time as uv and locks do: UTC, ending in Z."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
