"""A project's own files, and the spec that was read from them, remembered as JSON.

Only regular files inside the fetched tree are read; the second run of a project reads no YAML.
"""

from __future__ import annotations

import json
import os

from runner.hashing import sha256
from runner.model.spec import (
    CondaSpec,
    DockerSpec,
    EntryPoint,
    Parameter,
    Place,
    Problem,
    ProjectSpec,
    PythonSpec,
    Risk,
)
from runner.model.value import EMPTY, Value, fields
from runner.system.files import cache_directory, read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, TypeVar

    V = TypeVar("V", bound=Value)

ABSENT = "absent"
OUTSIDE = "outside"
UNREADABLE = "unreadable"

MOST_BYTES = (1 << 20) + 1
"""No more is read of any file: enough to see that it is too large to be a project file."""

ENVIRONMENTS: Mapping[str, type[PythonSpec | CondaSpec | DockerSpec]] = {
    "python": PythonSpec,
    "conda": CondaSpec,
    "docker": DockerSpec,
}
SPARK_JOB = "databricks-job"
"""The rule of a warning that turns into an error when the project is to run."""
_ABSENT = object()


class ProjectFiles:
    """The files of one project; notes the state of each that was asked for.

    ``states`` maps names (relative to the project) to the sha256 of the content, or to a word that
    says why there is none: what was read once is read again to learn whether it changed.
    """

    def __init__(self, project: str, root: str) -> None:
        self.project = os.path.realpath(project)
        self.root = os.path.realpath(root)
        self.states: dict[str, str] = {}

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None, with the reason in ``states``, when it cannot be had."""
        content, state = self._look(name)
        self.states[name] = state
        return content

    def is_file(self, name: str) -> bool:
        """Say whether the project has such a file; notes its state."""
        self.read(name)
        return self.states[name] not in {ABSENT, OUTSIDE}

    def unchanged(self, states: Mapping[str, str]) -> bool:
        """Say whether files are still as they were."""
        return all(self._look(name)[1] == state for name, state in states.items())

    def _look(self, name: str) -> tuple[bytes | None, str]:
        try:
            path = os.path.realpath(os.path.join(self.project, name))
        except ValueError:  # NUL or lone surrogates: no file can be called so
            return None, ABSENT
        if not self._contains(path):
            return None, OUTSIDE
        if not os.path.isfile(path):  # also keeps us from waiting for a named pipe
            return None, UNREADABLE if os.path.exists(path) else ABSENT
        try:
            with open(path, "rb") as file:
                content = file.read(MOST_BYTES)
        except OSError:
            return None, UNREADABLE
        return content, sha256(content).hexdigest()

    def _contains(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root.rstrip(os.sep) + os.sep)


class Reading(Value):
    """What was learned from a project: its spec (``None``: unusable), the findings, the files.

    ``files`` are the states of the files that were looked at besides the MLproject file, as
    ``ProjectFiles`` notes them: the reading holds as long as they stay the same. ``risks`` are
    those of each entry point, and of all of them under the empty name.
    """

    spec: ProjectSpec | None
    problems: tuple[Problem, ...]
    files: Mapping[str, str]
    risks: Mapping[str, tuple[Risk, ...]] = EMPTY


def remember(path: str, reading: Reading) -> None:
    """Write a reading to a file below the cache; a cache that cannot be written is no error.

    A spec that holds the default of a secret, or a URL with credentials, is not written down.
    """
    if reading.spec is None or _holds_secrets(reading.spec):
        return
    document = {
        "files": dict(reading.files),
        "problems": [_plain(problem) for problem in reading.problems],
        "spec": spec_document(reading.spec),
        "risks": {name: [_plain(r) for r in found] for name, found in reading.risks.items()},
    }
    try:
        folder = os.path.dirname(path)
        cache_directory(os.path.dirname(folder), os.path.basename(folder))
        write_whole(path, json.dumps(document, separators=(",", ":")).encode())
    except OSError:
        return


def _holds_secrets(spec: ProjectSpec) -> bool:
    parameters = [p for entry in spec.entry_points.values() for p in entry.parameters]
    if any(p.secret and p.default for p in parameters):
        return True
    from runner.documents.findings import public

    text = str(spec)
    return public(text) != text


def recalled(path: str) -> Reading | None:
    """Read what was remembered; None when there is nothing, or nothing of use."""
    try:
        document = json.loads(read(path))
        return Reading(
            spec=spec_from_document(document["spec"]),
            problems=tuple(_made(Problem, problem) for problem in document["problems"]),
            files={str(name): str(state) for name, state in document["files"].items()},
            risks={
                name: tuple(Risk(**risk) for risk in found)
                for name, found in document["risks"].items()
            },
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def spec_document(spec: ProjectSpec) -> dict[str, Any]:
    """Write a spec as a JSON document; fields that hold their defaults are left out."""
    kinds = {class_: kind for kind, class_ in ENVIRONMENTS.items()}
    result: dict[str, Any] = _plain(spec)
    result["environment"]["is"] = kinds[type(spec.environment)]
    return result


def spec_from_document(document: Mapping[str, Any]) -> ProjectSpec:
    """Read a spec again.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: The document is not one of ours.
    """
    environment = dict(document["environment"])
    class_ = ENVIRONMENTS[environment.pop("is")]
    entry_points = {
        name: _made(
            EntryPoint,
            body | {"parameters": [_made(Parameter, one) for one in body.get("parameters", ())]},
        )
        for name, body in document["entry_points"].items()
    }
    made: dict[str, Any] = {"environment": _made(class_, environment), "entry_points": entry_points}
    return ProjectSpec(**{**document, **made})


def _made(class_: type[V], document: Mapping[str, Any]) -> V:
    """Make a value of its document: lists are tuples, and the place is a ``Place``."""
    made: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
    if "place" in made:
        made["place"] = Place(**made["place"])
    return class_(**made)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any field of a value
    if isinstance(value, Value):
        defaults = value.DEFAULTS
        kept = {k: v for k, v in fields(value).items() if v != defaults.get(k, _ABSENT)}
        return {k: _plain(v) for k, v in kept.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "items"):
        return {str(k): _plain(v) for k, v in value.items()}
    return value
