"""A run that ``mlflow run`` or a program with MLflow made -> as much of a record as its tags allow.

MLflow writes down the commit, the entry point, the parameters and the times of a project's run
(``mlflow.utils.mlflow_tags``), quoted for a shell (mlflow issue 6811), and of a script that logged
by itself the commit and the path. Whatever a record would say beyond that is listed as missing.
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
NO_LOCK = "no lock was recorded: packages are resolved as of the start of the run"
NO_DIGEST = "the image was recorded by its name: what that means now is taken"


def foreign_record(run: TrackedRun) -> dict[str, Any]:
    """Return a record of what the tags of a run tell, and what they do not.

    ``tree`` is empty, for nobody knows whether the files were those of the commit; ``missing`` are
    sentences; ``as_of`` is when the run began.

    Raises:
        StoreError: The run is no project's and no script's, or its commit was not recorded.
    """
    tags = run.tags
    commit, name = tags.get("mlflow.source.git.commit"), tags.get("mlflow.source.name")
    kind = tags.get("mlflow.source.type")
    by_itself = kind == "LOCAL" and bool(name) and str(name).endswith((".py", ".sh"))
    if not name or not (kind == "PROJECT" or by_itself):
        raise StoreError(
            f"run {run.run_id} {NO_RECORD}, and was made neither by 'mlflow run' nor by a script: "
            "nothing says how to run it again",
            hint="runs of 'runproj run', of 'mlflow run' and of scripts in git can be reproduced",
        )
    if not commit:
        raise StoreError(
            f"run {run.run_id} {NO_RECORD}, and no commit: nothing says which files ran",
            where=without_credentials(name),
            hint="runs of projects in git can be reproduced",
        )
    missing = [
        "changes beyond the commit were not recorded",
        NO_DIGEST if tags.get("mlflow.project.env") == "docker" else NO_LOCK,
        "inputs were not recorded: they are taken as they are now",
    ]
    if "mlflow.project.env" not in tags:
        missing.append("the run used the packages of its host, and nobody wrote them down")
    if by_itself:
        missing.append("the arguments of the script were not recorded: it gets none")
    return {
        "run_id": run.run_id,
        **(_script(name, commit, run) if by_itself else _project(name, commit, run)),
        "environment": {},
        "outcome": {"status": run.status, "reason": "exit"},
        "as_of": _start(run),
        "missing": missing,
    }


def _project(name: str, commit: str, run: TrackedRun) -> dict[str, Any]:
    location, _, subdirectory = name.partition("#")
    return {
        "source": _source(run.tags, _local(location), subdirectory, commit),
        "entry_point": run.tags.get("mlflow.project.entryPoint", "main"),
        "parameters": dict(run.params),
    }


def _script(name: str, commit: str, run: TrackedRun) -> dict[str, Any]:
    """Return where a script is, and that it is run by itself.

    Its path is what it was started by: a relative one is looked for below the current directory.

    Raises:
        StoreError: It is in no repository of this machine.
    """
    path = os.path.realpath(name)
    folder = os.path.dirname(path) if os.path.isabs(name) else os.path.realpath(os.curdir)
    root = repository_root(os.path.dirname(path)) if os.path.isdir(os.path.dirname(path)) else None
    if root is None:
        raise StoreError(
            f"run {run.run_id} {NO_RECORD}, and its script is in no repository here",
            where=without_credentials(name),
            hint="go to the folder where it was started from, in a clone that has the commit",
        )
    return {
        "source": _source(run.tags, folder, "", commit),
        "entry_point": os.path.relpath(path, folder),
        "parameters": {},
        "script": True,
    }


def is_script(record: Any) -> bool:  # noqa: ANN401 - a document
    """Whether a record is that of a script that logged by itself."""
    return bool(record.get("script"))


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
