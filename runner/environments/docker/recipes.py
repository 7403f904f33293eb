"""What a project builds its image from: its own Dockerfile, or MLflow's two lines."""

from __future__ import annotations

import os
import re

from runner.environments.docker.context import Recipe
from runner.errors import SpecError
from runner.system.files import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model.lock import LockRequest
    from runner.model.spec import DockerSpec

CODE = "/mlflow/projects/code/"
"""Where MLflow puts a project in an image."""
CONTENTS = "mlflow-project-contents"
SECRET_WORDS = re.compile(r"token|secret|passw|credential|api_?key|private_?key", re.IGNORECASE)


def recipe_of(request: LockRequest, spec: DockerSpec) -> Recipe | None:
    """Return how the project's image is built; None when it is only pulled.

    Raises:
        SpecError: The Dockerfile cannot be read.
    """
    if spec.is_built:
        return _own(request, spec)
    if request.build_image and spec.image:
        return _around(request, spec, spec.image)
    return None


def _own(request: LockRequest, spec: DockerSpec) -> Recipe:
    """Return the project's own Dockerfile with the folder that it sees."""
    project = request.project
    shown = spec.dockerfile or os.path.join(spec.context or "", "Dockerfile")
    root = os.path.normpath(os.path.join(project, spec.context or ""))
    place = os.path.normpath(os.path.join(project, shown))
    try:
        text = read(place).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise SpecError(
            f"the Dockerfile {shown!r} cannot be read: {reason}",
            where=str(spec.place) if spec.place else None,
            hint="docker_env: {dockerfile: ...} names it, relative to the project",
        ) from None
    inside = os.path.relpath(place, root)
    return Recipe(
        root=root,
        dockerfile=text,
        shown=os.path.normpath(shown),
        path=None if inside.startswith(os.pardir) else inside,
        arguments=spec.args,
        target=spec.target,
        platform=spec.platform,
        listed=_below(spec.context, request.files),
    )


def _below(context: str | None, files: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return those of the project's files that lie in the context, relative to it."""
    folder = os.path.normpath(context or os.curdir)
    if files is None or folder == os.curdir:
        return files
    start = os.path.join(folder, "")
    return tuple(path.removeprefix(start) for path in files if path.startswith(start))


def _around(request: LockRequest, spec: DockerSpec, image: str) -> Recipe:
    """Return MLflow's Dockerfile: the whole project on top of the image.

    Source: ``build_docker_image`` in ``mlflow/projects/docker.py``.
    """
    return Recipe(
        root=request.project,
        dockerfile=f"FROM {image}\nCOPY {CONTENTS}/ {CODE}\nWORKDIR {CODE}\n",
        shown="",
        folder=CONTENTS,
        arguments={},
        platform=spec.platform,
        listed=request.files,
    )


def repository(name: str | None) -> str:
    """Return the repository of a project's images: its name, as far as it can name one."""
    words = re.findall(r"[a-z0-9]+", (name or "").lower())
    return "-".join(words) or "project"


def suspicious(spec: DockerSpec) -> list[str]:
    """Return the build arguments whose names look as if they held secrets."""
    return [name for name in spec.args if SECRET_WORDS.search(name)]
