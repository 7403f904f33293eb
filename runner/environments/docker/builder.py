"""Container images as environments: locked by digest, built from Dockerfiles where asked."""

from __future__ import annotations

import json
import os
import time

from runner.environments.docker.images import Images
from runner.environments.docker.lockfile import NAME
from runner.environments.docker.locking import ImageLocking, keep
from runner.errors import EnvError
from runner.model.lock import ImageEnvironment, ImageLock
from runner.model.spec import DockerSpec
from runner.system.files import cache_directory, read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.environments.docker.images import Image
    from runner.environments.docker.locking import Answer
    from runner.model.lock import EnvironmentLock, LockRequest
    from runner.model.spec import EnvironmentSpec
    from runner.model.value import Digest
    from runner.ports import Reporter

MANAGER = "docker"
LAYOUT = 1
DAY = 86400.0
"""Seconds."""


class DockerBuilder:
    """Finds, pulls and builds images on a container engine, Docker's or Podman's."""

    def __init__(
        self, *, home: str, environ: Mapping[str, str], reporter: Reporter | None = None
    ) -> None:
        self._home, self._environ, self._reporter = home, environ, reporter

    def refusal(self, spec: EnvironmentSpec) -> str | None:
        """Say why not: only container images can be had."""
        if isinstance(spec, DockerSpec):
            return None
        return "the project asks for no container image (docker_env)"

    def lock(self, request: LockRequest) -> EnvironmentLock:
        """Find out which image is meant, by what it holds; pull it where the project lets us.

        Raises:
            SpecError: The project names no image that there can be.
            EnvError: The image cannot be had, or ``locked`` was asked and no lock fits.
            BackendError: The engine cannot be asked.
        """
        spec = request.spec
        if not isinstance(spec, DockerSpec):
            raise EnvError(self.refusal(spec) or "")
        if request.as_of is not None:
            self._warn("as-of", "--as-of has no effect on images: tags have no history")
        images = Images(self._environ, self._reporter)
        try:
            answer = ImageLocking(images, home=self._home, reporter=self._reporter).answer(
                request, spec
            )
        finally:
            images.close()
        if answer.warning:
            self._warn("stale-lock", answer.warning)
        return self._image_lock(request, spec, answer)

    def _image_lock(self, request: LockRequest, spec: DockerSpec, answer: Answer) -> ImageLock:
        path, address = keep(answer.document, self._home)
        image = next(iter(answer.images.values()), None)
        if answer.recipe is None:
            assert image is not None  # noqa: S101 - a spec without recipe names its image
            from runner.documents.image_reference import parsed

            reference = parsed(spec.image or "")
            return ImageLock(
                builder=MANAGER,
                platform=image.platform,
                reference=reference.text,
                image=image.runnable(reference),
                identifier=image.identifier,
                published=image.known_in(reference),
                labels=image.labels,
                name=NAME,
                document=path,
                digest=address,
                origin=answer.origin,
            )
        build = answer.document.build
        assert build is not None  # noqa: S101 - a recipe makes a build
        self._plan(request, spec, answer, address)
        return ImageLock(
            builder=MANAGER,
            platform=spec.platform or (image.platform if image else ""),
            reference=answer.tag,
            image=answer.tag,
            inputs=build.inputs,
            name=NAME,
            document=path,
            digest=address,
            origin=answer.origin,
        )

    def _plan(
        self, request: LockRequest, spec: DockerSpec, answer: Answer, address: Digest
    ) -> None:
        """Note what the build will need beyond the lock."""
        from runner.environments.docker.plans import write_plan

        write_plan(self._home, address, answer=answer, request=request, spec=spec)

    def build(self, lock: EnvironmentLock) -> ImageEnvironment:
        """Return the image of a lock, built when it is not there, and what is inside.

        Raises:
            EnvError: A step of the build fails.
            BackendError: The engine cannot be asked.
        """
        if not isinstance(lock, ImageLock):
            raise EnvError(f"this lock is not for the environment manager {MANAGER!r}")
        images = Images(self._environ, self._reporter)
        try:
            identifier, image = lock.identifier, lock.image
            if identifier is None:
                built = images.look(lock.reference) or self._built(lock, images)
                identifier = built.identifier
                image = str(identifier)
            shell = self._shell(identifier)
        finally:
            images.close()
        path = description_path(self._home, identifier)
        return ImageEnvironment(
            image=image,
            digest=identifier,
            shell=shell,
            description=path if os.path.exists(path) else None,
        )

    def _built(self, lock: ImageLock, images: Images) -> Image:
        from runner.environments.docker.building import built

        return built(lock, images, home=self._home, environ=self._environ, reporter=self._reporter)

    def _shell(self, identifier: Digest) -> str:
        """Return the best shell of an image; what else is inside is written down with it."""
        path = note_path(self._home, identifier)
        try:
            known = json.loads(read(path))
            if known["layout"] == LAYOUT:
                _note_use(path)
                return str(known["shell"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        from runner.environments.docker.contents import Contents

        seen = Contents(environ=self._environ, reporter=self._reporter)
        shell, python = seen.of(identifier)
        cache_directory(self._home, "images", os.path.basename(_folder(self._home, identifier)))
        if python is not None:
            described = {"layout": LAYOUT, "manager": MANAGER, **python}
            text = json.dumps(described, indent=1, ensure_ascii=False).encode("utf-8", "replace")
            write_whole(description_path(self._home, identifier), text)
        write_whole(path, json.dumps({"layout": LAYOUT, "shell": shell}).encode())
        return shell

    def _warn(self, rule: str, message: str) -> None:
        from runner.model.event import Warned
        from runner.model.spec import Problem

        if self._reporter:
            problem = Problem(severity="warning", rule=rule, message=message)
            self._reporter.report(Warned(problem=problem))


def _folder(home: str, identifier: str) -> str:
    return os.path.join(home, "images", identifier.removeprefix("sha256:")[:32])


def _note_use(path: str) -> None:
    """Remember the day on which an image was used last."""
    if time.time() - os.stat(path).st_mtime > DAY:
        os.utime(path)


def note_path(home: str, identifier: str) -> str:
    """Return the file that says that an image was looked into, and when it was used last."""
    return os.path.join(_folder(home, identifier), "image.json")


def description_path(home: str, identifier: str) -> str:
    """Return the file that says what is inside an image, there or not."""
    return os.path.join(_folder(home, identifier), "environment.json")
