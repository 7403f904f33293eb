"""``image-lock.json``: which image a name meant, and what an image was built from."""

from __future__ import annotations

import json

from runner.codec import pretty
from runner.errors import EnvError
from runner.model.value import EMPTY, Digest, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.codec import JSON
    from runner.documents.image_reference import Reference
    from runner.environments.docker.images import Image

NAME = "image-lock.json"
VERSION = 1


class LockedImage(Value):
    """An image by name, id and the digests under which the name's registry knows it."""

    reference: str
    identifier: Digest
    platform: str
    published: tuple[str, ...] = ()
    labels: Mapping[str, str] = EMPTY


class LockedBuild(Value):
    """What an image was built from.

    ``inputs`` is the digest of everything that goes in but the ``bases``, the images that the
    stages begin with; ``dockerfile`` is where the Dockerfile is in the project (``""``: Runproj
    wrote it).
    """

    inputs: Digest
    dockerfile: str = ""
    bases: tuple[LockedImage, ...] = ()


class LockDocument(Value):
    """The whole lock file: an image that is there, or what one is built from.

    What a build comes to is not in it: building the same again gives another id, for the id holds
    the time.
    """

    image: LockedImage | None = None
    build: LockedBuild | None = None

    @property
    def pins(self) -> Mapping[str, LockedImage]:
        """The images that names mean."""
        images = self.build.bases if self.build else (self.image,) if self.image else ()
        return {image.reference: image for image in images}


def locked_image(reference: Reference, image: Image) -> LockedImage:
    """Pin a name to the image that it means now."""
    return LockedImage(
        reference=reference.text,
        identifier=image.identifier,
        platform=image.platform,
        published=image.known_in(reference),
        labels=image.labels,
    )


def written(lock: LockDocument) -> bytes:
    """Write a lock, always the same way: its digest is taken over these bytes."""
    build = lock.build
    return pretty(
        {
            "version": VERSION,
            "image": _image_document(lock.image) if lock.image else None,
            "build": {
                "inputs": build.inputs,
                "dockerfile": build.dockerfile,
                "bases": [_image_document(base) for base in build.bases],
            }
            if build
            else None,
        }
    )


def _image_document(image: LockedImage) -> JSON:
    return {
        "reference": image.reference,
        "id": image.identifier,
        "platform": image.platform,
        "published": [*image.published],
        "labels": dict(image.labels),
    }


def read_lock(content: bytes, *, shown: str) -> LockDocument:
    """Read a lock file; ``shown`` is how to name it.

    Raises:
        EnvError: It is none, or of another version.
    """
    try:
        found = json.loads(content)
        version = found["version"]
        if version != VERSION:
            raise EnvError(
                f"{shown} is of version {version}, and this runproj reads version {VERSION}",
                hint="'runproj lock' writes it anew",
            )
        image, build = found["image"], found["build"]
        return LockDocument(
            image=_image_of(image) if image else None,
            build=LockedBuild(
                inputs=Digest(str(build["inputs"])),
                dockerfile=str(build["dockerfile"]),
                bases=tuple(map(_image_of, build["bases"])),
            )
            if build
            else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EnvError(f"{shown} is no lock of an image", hint="'runproj lock' writes it") from None


def _image_of(found: Mapping[str, Any]) -> LockedImage:
    return LockedImage(
        reference=str(found["reference"]),
        identifier=Digest(str(found["id"])),
        platform=str(found["platform"]),
        published=tuple(map(str, found["published"])),
        labels={str(k): str(v) for k, v in found["labels"].items()},
    )


def changes(before: LockDocument, after: LockDocument) -> tuple[str, ...]:
    """Tell how two locks differ, in lines for people."""
    old, new = before.pins, after.pins
    lines = [f"- {name}" for name in sorted(old.keys() - new.keys())]
    lines += [f"+ {name} {_short(new[name])}" for name in sorted(new.keys() - old.keys())]
    lines += [
        f"~ {name} {_short(old[name])} -> {_short(new[name])}"
        for name in sorted(old.keys() & new.keys())
        if old[name].identifier != new[name].identifier
    ]
    return tuple(lines)


def _short(image: LockedImage) -> str:
    return image.identifier.removeprefix("sha256:")[:12]
