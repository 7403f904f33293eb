"""From what a project asks for to the images that it means, as a lock."""

from __future__ import annotations

import os

from runner.codec import digest, sha256
from runner.documents.dockerfile import bases
from runner.documents.image_reference import parsed
from runner.environments.docker.context import inputs
from runner.environments.docker.lockfile import (
    NAME,
    LockDocument,
    LockedBuild,
    locked_image,
    read_lock,
    written,
)
from runner.environments.docker.recipes import recipe_of, repository
from runner.errors import EnvError
from runner.model.value import Digest, Value
from runner.system.files import cache_directory, read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.environments.docker.context import Recipe
    from runner.environments.docker.images import Image, Images
    from runner.environments.docker.lockfile import LockedImage
    from runner.model.lock import LockRequest
    from runner.model.spec import DockerSpec
    from runner.ports import Reporter

TAG_LENGTH = 32


class Answer(Value):
    """A lock, where it came from, and the images that it names, as the engine has them.

    ``tag`` and ``recipe`` are those of an image that is built here.
    """

    document: LockDocument
    origin: str
    images: Mapping[str, Image]
    recipe: Recipe | None = None
    tag: str = ""
    warning: str | None = None


class ImageLocking:
    """Finds out which images a request means."""

    def __init__(self, images: Images, *, home: str, reporter: Reporter | None = None) -> None:
        self._images, self._home, self._reporter = images, home, reporter

    def answer(self, request: LockRequest, spec: DockerSpec) -> Answer:
        """Return the lock that a request gets.

        Raises:
            SpecError: A name is no image's, or the Dockerfile makes no sense.
            EnvError: An image cannot be had; or ``locked`` was asked, and the project's lock is
                missing or stale; or the recorded inputs are not those that are here.
        """
        recipe = recipe_of(request, spec)
        names = wanted(spec, recipe)
        lock, origin, warning = self._lock(request, names)
        found = self._all(names, lock, request, spec)
        document = _document(recipe, found, lock, self._home)
        if recipe is None or document.build is None:
            return Answer(document=document, origin=origin, images=found, warning=warning)
        own = document.build.inputs
        if request.recorded and lock:
            _check_inputs(own, lock, recipe)
        return Answer(
            document=document,
            origin=origin,
            images=found,
            recipe=recipe,
            tag=tag(request.name, own, found),
            warning=warning,
        )

    def drawn(
        self, request: LockRequest, spec: DockerSpec, before: LockDocument | None
    ) -> LockDocument:
        """Return a new lock: what an older one names stays, all else is taken as it is now.

        Raises:
            SpecError: A name is no image's, or the Dockerfile makes no sense.
            EnvError: An image cannot be had.
        """
        recipe = recipe_of(request, spec)
        found = self._all(wanted(spec, recipe), before, request, spec)
        return _document(recipe, found, before, self._home)

    def _all(
        self,
        names: tuple[str, ...],
        lock: LockDocument | None,
        request: LockRequest,
        spec: DockerSpec,
    ) -> dict[str, Image]:
        pins = lock.pins if lock else {}
        return {name: self._found(name, pins.get(name), request, spec) for name in names}

    def _lock(
        self, request: LockRequest, names: tuple[str, ...]
    ) -> tuple[LockDocument | None, str, str | None]:
        """Return the lock to go by, its origin, and what to warn of."""
        if request.recorded:
            name = request.recorded.name
            return read_lock(request.recorded.content, shown=f"the recorded {name}"), "recorded", ""
        there = project_lock(request.project)
        stale = stale_reason(there, names) if there else None
        if there and not stale:
            return there, "project", None
        if request.locked:
            raise EnvError(
                f"{NAME} does not fit: {stale}" if there else f"the project has no {NAME}",
                where=request.project,
                hint="'runproj lock' writes it",
            )
        warning = f"{NAME} is not used: {stale}" if stale else None
        return None, "resolved", warning

    def _found(
        self, name: str, pin: LockedImage | None, request: LockRequest, spec: DockerSpec
    ) -> Image:
        if pin is not None:
            return self._pinned(pin, spec)
        pull = spec.pull
        if request.refresh and pull == "missing" and not self._is_local(name):
            pull = "always"
        return self._images.resolve(name, pull=pull, platform=spec.platform)

    def _is_local(self, name: str) -> bool:
        """Whether an image is here that no registry is known to have under its name."""
        there = self._images.look(name)
        return there is not None and not there.known_in(parsed(name))

    def _pinned(self, pin: LockedImage, spec: DockerSpec) -> Image:
        """Return the very image of a lock: from the engine, else by digest from a registry.

        Raises:
            EnvError: It is nowhere.
        """
        for name in (pin.identifier, *pin.published):
            if there := self._images.look(name):
                return there
        reasons = []
        for name in pin.published if spec.pull != "never" else ():
            try:
                self._images.pull(parsed(name), platform=pin.platform)
            except EnvError as error:
                reasons.append(error.message)
                continue
            if there := self._images.look(name):
                return there
        identifier = pin.identifier.removeprefix("sha256:")[:12]
        if not pin.published:
            reasons.append("it was never pushed to a registry")
        elif spec.pull == "never":
            reasons.append("'pull: never' keeps from asking its registry")
        raise EnvError(
            f"the locked image {pin.reference} ({identifier}) is gone from this engine: "
            f"{'; '.join(reasons)}",
            hint="'docker load' or 'docker pull' brings it back; 'runproj lock' locks what is here",
        )


def _document(
    recipe: Recipe | None, found: Mapping[str, Image], lock: LockDocument | None, home: str
) -> LockDocument:
    """Return the lock of what was found; what a lock named stays word by word."""
    pins = lock.pins if lock else {}
    locked = tuple(
        pins.get(name) or locked_image(parsed(name), image) for name, image in found.items()
    )
    if recipe is None:
        return LockDocument(image=locked[0])
    own = _inputs(recipe, home)
    return LockDocument(build=LockedBuild(inputs=own, dockerfile=recipe.shown, bases=locked))


def wanted(spec: DockerSpec, recipe: Recipe | None) -> tuple[str, ...]:
    """Return the names of the images that are to be there before anything is built.

    Raises:
        SpecError: A name is none, or the Dockerfile makes no sense.
    """
    place = str(spec.place) if spec.place else None
    if recipe is None:
        names: tuple[str, ...] = (spec.image or "",)
    else:
        names = bases(recipe.dockerfile, recipe.arguments, where=recipe.shown or "Dockerfile")
    for name in names:
        parsed(name, where=place if recipe is None else recipe.shown or place)
    return names


def project_lock(project: str) -> LockDocument | None:
    """Read the lock that lies in the project, if there is one."""
    try:
        content = read(os.path.join(project, NAME))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EnvError(f"{NAME} cannot be read: {error.strerror}", where=project) from None
    return read_lock(content, shown=NAME)


def stale_reason(lock: LockDocument, names: tuple[str, ...]) -> str | None:
    """Say why a lock does not fit what a project asks for; None when it does."""
    known = lock.pins
    if missing := [name for name in names if name not in known]:
        return f"it does not name {missing[0]}"
    if extra := [name for name in known if name not in names]:
        return f"it names {extra[0]}, which the project does not ask for any more"
    return None


def tag(name: str | None, own: Digest, found: Mapping[str, Image]) -> str:
    """Return the name of a built image: the digest of all that goes into it."""
    whole = digest({"inputs": own, "bases": {k: image.identifier for k, image in found.items()}})
    return f"runproj/{repository(name)}:{whole.removeprefix('sha256:')[:TAG_LENGTH]}"


def keep(document: LockDocument, home: str) -> tuple[str, Digest]:
    """Write a lock into the cache; return its path and digest."""
    content = written(document)
    address = sha256(content)
    path = os.path.join(home, "images", "locks", f"{address.removeprefix('sha256:')}.json")
    if not os.path.exists(path):
        cache_directory(home, "images", "locks")
        write_whole(path, content)
    return path, address


def _inputs(recipe: Recipe, home: str) -> Digest:
    try:
        return inputs(recipe, home)
    except OSError as error:
        raise EnvError(
            f"the files for building the image cannot be read: {error.strerror}",
            where=str(error.filename or recipe.root),
            hint=".dockerignore leaves files out",
        ) from None


def _check_inputs(own: Digest, lock: LockDocument, recipe: Recipe) -> None:
    recorded = lock.build.inputs if lock.build else None
    if recorded and own != recorded:
        raise EnvError(
            "the files that the run's image was built from are not those that are here",
            where=f"{recipe.shown or 'Dockerfile'}: recorded {recorded}, found {own}",
            hint="'runproj run' builds an image of what is here",
        )
