"""A run that ``mlflow run`` or another program made -> as much of a record as its tags allow.

MLflow writes down the commit, the entry point, the parameters and the times of a project's run
(``mlflow.utils.mlflow_tags``), quoted for a shell (mlflow issue 6811). Whatever a record would say
beyond that is listed as missing.
"""

from __future__ import annotations

import os
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from runner.errors import StoreError
from runner.redaction import without_credentials
from runner.system.git import repository_root

if TYPE_CHECKING:
    from runner.model.tracking import TrackedRun

NO_RECORD = "has no record of runproj"


def foreign_record(run: TrackedRun) -> dict[str, Any]:
    """Return a record of what the tags of a project's run tell, and what they do not.

    ``tree`` is empty, for nobody knows whether the files were those of the commit; ``missing`` are
    sentences; ``as_of`` is when the run began.

    Raises:
        StoreError: The run is no project's, or its commit was not recorded.
    """
    tags = run.tags
    commit, name = tags.get("mlflow.source.git.commit"), tags.get("mlflow.source.name")
    if tags.get("mlflow.source.type") != "PROJECT" or not name:
        raise StoreError(
            f"run {run.run_id} {NO_RECORD}, and was not made by 'mlflow run': nothing says how to "
            "run it again",
            hint="runs of 'runproj run' and 'mlflow run' can be reproduced",
        )
    if not commit:
        raise StoreError(
            f"run {run.run_id} {NO_RECORD}, and no commit: nothing says which files ran",
            where=without_credentials(name),
            hint="runs of projects in git can be reproduced",
        )
    location, _, subdirectory = name.partition("#")
    missing = [
        "changes beyond the commit were not recorded",
        "no lock was recorded: packages are resolved as of the start of the run",
        "inputs were not recorded: they are taken as they are now",
    ]
    if "mlflow.project.env" not in tags:
        missing.append("the run used the packages of its host, and nobody wrote them down")
    return {
        "run_id": run.run_id,
        "source": _source(tags, _local(location), subdirectory, commit),
        "entry_point": tags.get("mlflow.project.entryPoint", "main"),
        "parameters": dict(run.params),
        "environment": {},
        "outcome": {"status": run.status, "reason": "exit"},
        "as_of": _start(run),
        "missing": missing,
    }


def is_foreign(record: Any) -> bool:  # noqa: ANN401 - a document
    """Whether a record was put together from tags."""
    return "missing" in record


def unquoted(value: str) -> str:
    """Return what MLflow's shell-quoted text of a parameter stands for."""
    try:
        words = shlex.split(value)
    except ValueError:
        return value
    is_quoted = len(words) == 1 and shlex.quote(words[0]) == value
    return words[0] if is_quoted else value


def _source(tags: Any, location: str, subdirectory: str, commit: str) -> dict[str, Any]:  # noqa: ANN401 - tags
    project = subdirectory
    if os.path.isdir(location):
        root = repository_root(os.path.realpath(location))
        inside = os.path.relpath(
            os.path.join(os.path.realpath(location), subdirectory), root or "/"
        )
        project = "" if root is None or inside == os.curdir else inside
    found: dict[str, Any] = {
        "location": location,
        "tree": "",
        "commit": commit,
        "dirty": False,
        "project": project,
    }
    repository = tags.get("mlflow.source.git.repoURL") or tags.get("mlflow.gitRepoURL")
    branch = tags.get("mlflow.source.git.branch") or tags.get("mlflow.gitBranch")
    optional = {"repository": repository, "branch": branch, "subdirectory": subdirectory}
    return {**found, **{k: v for k, v in optional.items() if v}}


def _local(location: str) -> str:
    """Return the path that MLflow's ``file://`` location of a checkout means."""
    if not location.startswith("file:"):
        return location
    return unquote(urlsplit(location).path)


def _start(run: TrackedRun) -> str | None:
    if run.started is None:
        return None
    return datetime.fromtimestamp(run.started / 1000, UTC).isoformat(timespec="seconds")
