"""What building an image needs beyond its lock, kept between locking and building."""

from __future__ import annotations

import json
import os

from runner.documents.image_reference import parsed
from runner.environments.docker.context import Recipe
from runner.environments.docker.recipes import repository, suspicious
from runner.errors import EnvError
from runner.model.value import fields
from runner.system.files import cache_directory, read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.codec import JSON
    from runner.environments.docker.locking import Answer
    from runner.model.lock import LockRequest
    from runner.model.spec import DockerSpec
    from runner.model.value import Digest

    Plan = dict[str, Any]

COMMIT_LENGTH = 7
"""Characters of the commit in the tag that MLflow gives to a project's image."""


def write_plan(
    home: str, address: Digest, *, answer: Answer, request: LockRequest, spec: DockerSpec
) -> None:
    """Note how to build an image; only its owner may read it, for arguments are values of users."""
    recipe = answer.recipe
    assert recipe is not None  # noqa: S101 - only called where something is built
    bases: dict[str, JSON] = {
        name: image.runnable(parsed(name)) for name, image in answer.images.items()
    }
    document: dict[str, JSON] = {
        "recipe": {**fields(recipe), "arguments": dict(recipe.arguments)},
        "bases": bases,
        "identifiers": {name: image.identifier for name, image in answer.images.items()},
        "project": repository(request.name),
        "suspicious": [*suspicious(spec)],
        "also": _name_of_mlflow(request) if not spec.is_built else None,
    }
    cache_directory(home, "images", "plans")
    write_whole(_path(home, address), json.dumps(document).encode(), private=True)


def _name_of_mlflow(request: LockRequest) -> str:
    version = f":{request.commit[:COMMIT_LENGTH]}" if request.commit else ""
    return f"{repository(request.name)}{version}"


def read_plan(home: str, address: Digest) -> Plan:
    """Return how to build the image of a lock.

    Raises:
        EnvError: Nobody noted it: it was not locked here.
    """
    try:
        found: Plan = json.loads(read(_path(home, address)))
    except (OSError, ValueError):
        raise EnvError("nothing says how to build this image: it was not locked here") from None
    return found


def recipe_from(plan: Plan) -> Recipe:
    """Return the recipe of a plan."""
    written = plan["recipe"]
    listed = written["listed"]
    return Recipe(**{**written, "listed": None if listed is None else tuple(listed)})


def _path(home: str, address: str) -> str:
    return os.path.join(home, "images", "plans", f"{address.removeprefix('sha256:')}.json")
