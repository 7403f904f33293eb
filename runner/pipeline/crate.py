"""A bundle's metadata: an RO-Crate 1.1 of the Process Run Crate profile 0.5.

Sources: https://w3id.org/ro/crate/1.1 and https://w3id.org/ro/wfrun/process/0.5.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from runner.model.value import Value
from runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.codec import JSON
    from runner.model.tracking import TrackedRun

METADATA = "ro-crate-metadata.json"
CRATE = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
STATUS = {
    "FINISHED": "http://schema.org/CompletedActionStatus",
    "FAILED": "http://schema.org/FailedActionStatus",
    "KILLED": "http://schema.org/FailedActionStatus",
}
FORMATS = {".json": "application/json", ".gz": "application/gzip", ".csv": "text/csv",
           ".txt": "text/plain", ".log": "text/plain", ".toml": "application/toml",
           ".png": "image/png", ".html": "text/html", ".patch": "text/x-diff"}  # fmt: skip
OTHER_FORMAT = "application/octet-stream"


class Packed(Value):
    """One file of a bundle: its path, size in bytes, sha256 in hex, and what it is to the run.

    ``role`` is ``source``, ``input``, ``result``, ``record`` or ``package``.
    """

    path: str
    size: int
    sha256: str
    role: str


def crate(run: TrackedRun, files: Sequence[Packed], *, project: str, user: str) -> dict[str, JSON]:
    """Return the metadata of a run's bundle."""
    parts: list[JSON] = [_reference(file.path) for file in files]
    root: dict[str, JSON] = {
        "@id": "./",
        "@type": "Dataset",
        "conformsTo": {"@id": PROFILE},
        "name": f"Run {run.name or run.run_id} of {project}",
        "description": f"Everything that is needed to run {project} again as it ran in run "
        f"{run.run_id}, and to see whether it comes to the same.",
        "datePublished": _moment(run.ended or run.started),
        "license": {"@id": "#license"},
        "author": {"@id": f"#user-{quote(user)}"},
        "hasPart": parts,
        "mentions": {"@id": f"#{run.run_id}"},
    }
    graph: list[JSON] = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "conformsTo": {"@id": CRATE},
            "about": {"@id": "./"},
        },
        root,
        {
            "@id": "#license",
            "@type": "CreativeWork",
            "name": "The project's licence",
            "description": "The terms of the project hold; its files are in source.tar.gz.",
        },
        {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        *_action(run, files, project, user),
        *(_file(file, version=run.tags.get("runproj.tree", "")) for file in files),
    ]
    context = [f"{CRATE}/context", "https://w3id.org/ro/terms/workflow-run/context"]
    return {"@context": [*context], "@graph": graph}


def listed(document: Mapping[str, JSON]) -> tuple[Packed, ...]:
    """Return the files that a bundle's metadata list.

    Raises:
        ValueError: It is no metadata of a bundle of ours.
    """
    graph = document.get("@graph")
    if not isinstance(graph, list):
        raise ValueError("the metadata have no @graph")  # noqa: TRY004 - a malformed file
    found = []
    for entity in graph:
        if not isinstance(entity, dict) or "File" not in _types(entity):
            continue
        size, digest = entity.get("contentSize"), entity.get("sha256")
        if not isinstance(size, str) or not isinstance(digest, str) or not size.isdecimal():
            raise ValueError(f"the metadata do not tell size and sha256 of {entity.get('@id')}")
        path = unquote(str(entity["@id"]))
        found.append(Packed(path=path, size=int(size), sha256=digest, role=""))
    return tuple(found)


def _types(entity: Mapping[str, JSON]) -> list[JSON]:
    found = entity.get("@type")
    return found if isinstance(found, list) else [found]


def _action(run: TrackedRun, files: Sequence[Packed], project: str, user: str) -> list[JSON]:
    values: list[JSON] = [
        {"@id": f"#parameter-{quote(name)}", "@type": "PropertyValue", "name": name, "value": value}
        for name, value in sorted(run.params.items())
    ]
    objects: list[JSON] = [{"@id": v["@id"]} for v in values if isinstance(v, dict)]
    objects += [_reference(file.path) for file in files if file.role == "input"]
    action: dict[str, JSON] = {
        "@id": f"#{run.run_id}",
        "@type": "CreateAction",
        "name": f"Run {run.name or run.run_id}",
        "description": f"{project}, run by runproj {__version__}",
        "instrument": {"@id": "source.tar.gz"},
        "agent": {"@id": f"#user-{quote(user)}"},
        "startTime": _moment(run.started),
        "endTime": _moment(run.ended),
        "actionStatus": STATUS.get(run.status, STATUS["FAILED"]),
    }
    results: list[JSON] = [_reference(file.path) for file in files if file.role == "result"]
    for name, found in (("object", objects), ("result", results)):
        if found:  # compacted JSON-LD has no lists of one
            action[name] = found if len(found) > 1 else found[0]
    person: JSON = {"@id": f"#user-{quote(user)}", "@type": "Person", "name": user}
    return [action, person, *values]


def _file(file: Packed, *, version: str) -> JSON:
    is_source = file.role == "source"
    ending = f".{file.path.rpartition('.')[2]}"
    return {
        "@id": quote(file.path),
        "@type": ["File", "SoftwareSourceCode"] if is_source else "File",
        **({"version": version} if is_source and version else {}),
        "name": file.path.rpartition("/")[2],
        "contentSize": str(file.size),
        "sha256": file.sha256,
        "encodingFormat": FORMATS.get(ending, OTHER_FORMAT),
    }


def _reference(path: str) -> dict[str, JSON]:
    return {"@id": quote(path)}


def _moment(milliseconds: int | None) -> str:
    moment = datetime.fromtimestamp((milliseconds or 0) / 1000, UTC)
    return moment.isoformat(timespec="milliseconds")
