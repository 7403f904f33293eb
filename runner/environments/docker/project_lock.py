"""``image-lock.json`` in a project: drawn, checked and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.environments.docker.images import Images
from runner.environments.docker.lockfile import NAME, changes, read_lock, written
from runner.environments.docker.locking import ImageLocking, project_lock, stale_reason, wanted
from runner.environments.docker.recipes import recipe_of
from runner.errors import EnvError
from runner.model.event import Warned
from runner.model.lock import ProjectLock
from runner.model.spec import DockerSpec, Problem
from runner.model.value import changed
from runner.system.files import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.environments.docker.lockfile import LockDocument
    from runner.model.lock import LockRequest
    from runner.ports import Reporter


class ImageDrawing:
    """Makes ``image-lock.json`` for projects; see ``runner.ports.ProjectLocks``."""

    def __init__(
        self, *, home: str, environ: Mapping[str, str], reporter: Reporter | None = None
    ) -> None:
        self._home, self._environ, self._reporter = home, environ, reporter

    def staleness(self, request: LockRequest) -> str | None:
        """Say why the project's lock does not fit; None when it does. Asks no engine.

        Raises:
            EnvError: The project has no lock, or it cannot be read.
        """
        spec = _docker(request)
        lock = project_lock(request.project)
        if lock is None:
            raise EnvError(f"the project has no {NAME}", hint="'runproj lock' writes it")
        return stale_reason(lock, wanted(spec, recipe_of(request, spec)))

    def drawn(
        self,
        request: LockRequest,
        *,
        upgrade: bool = False,
        update: Sequence[str] = (),
        platforms: Sequence[str] = (),
        manager: str | None = None,  # noqa: ARG002 - the engine is the only one
    ) -> ProjectLock:
        """Lock the images that the names mean now; what is locked stays, unless ``upgrade``.

        Raises:
            EnvError: An image cannot be had, or packages or platforms were asked for.
        """
        if update or platforms:
            raise EnvError(
                f"--{'update' if update else 'platform'} is for environments of packages",
                hint="images: --upgrade takes what the tags mean now, docker_env has a 'platform'",
            )
        spec = _docker(request)
        before = project_lock(request.project)
        images = Images(self._environ, self._reporter)
        try:
            locking = ImageLocking(images, home=self._home, reporter=self._reporter)
            asked = changed(request, refresh=upgrade)
            after = locking.drawn(asked, spec, None if upgrade else before)
        finally:
            images.close()
        self._warn_of_local(after)
        return ProjectLock(
            name=NAME,
            content=written(after),
            changes=changes(before, after) if before else _all(after),
        )

    def _warn_of_local(self, lock: LockDocument) -> None:
        """Warn of images that no registry has: nobody else can get them by this lock."""
        for name, image in lock.pins.items():
            if self._reporter and not image.published:
                problem = Problem(
                    severity="warning",
                    rule="image-not-pushed",
                    message=f"no registry is known to have {name}: the lock holds on this engine",
                    hint=f"docker push {name}, then 'runproj lock'",
                )
                self._reporter.report(Warned(problem=problem))


def _all(lock: LockDocument) -> tuple[str, ...]:
    return tuple(
        f"+ {name} {image.identifier.removeprefix('sha256:')[:12]}"
        for name, image in sorted(lock.pins.items())
    )


def _docker(request: LockRequest) -> DockerSpec:
    if not isinstance(request.spec, DockerSpec):
        raise EnvError("the project asks for no container image")
    return request.spec


def differences(before: str, after: str) -> tuple[str, ...]:
    """Compare two lock files; a line for each image that differs.

    Raises:
        EnvError: A file cannot be read, or is no lock.
    """
    found = []
    for path in (before, after):
        try:
            found.append(read_lock(read(path), shown=path))
        except OSError as error:
            raise EnvError(f"{path} cannot be read: {error.strerror}") from None
    return changes(*found)
