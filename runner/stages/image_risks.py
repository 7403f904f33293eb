"""What stands in the way of the same image next time: tags that move, locks that are missing."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from runner.documents.dockerfile import bases
from runner.documents.image_reference import parsed
from runner.errors import SpecError
from runner.model.spec import Risk
from runner.system.files import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.model.spec import DockerSpec

LOCK = "image-lock.json"


def image_risks(project: str, spec: DockerSpec) -> Iterator[Risk]:
    """Yield a risk for each image that is named by a tag which nothing pins."""
    for image, where in by_tag(project, spec):
        yield Risk(
            severity="high", rule="image-by-tag", where=where,
            message=f"the image {image!r} is named by a tag, which may move",
            fix=f"runproj lock, or name it {pinned_form(image)}",
        )  # fmt: skip


def by_tag(project: str, spec: DockerSpec) -> Iterator[tuple[str, str]]:
    """Yield the images that are named by tags which nothing pins, and where they are named."""
    pinned = locked_names(project)
    for name, where in _names(project, spec):
        try:
            moves = not parsed(name).is_pinned
        except SpecError:
            continue  # a run says so
        if moves and name not in pinned:
            yield name, where


def _names(project: str, spec: DockerSpec) -> Iterator[tuple[str, str]]:
    if not spec.is_built:
        yield spec.image or "", str(spec.place or "MLproject")
        return
    path = spec.dockerfile or os.path.join(spec.context or "", "Dockerfile")
    try:
        text = read(os.path.join(project, path)).decode("utf-8", "replace")
        found = bases(text, spec.args, where=path)
    except (OSError, SpecError):
        return  # a run says so
    for name in found:
        yield name, path


def locked_names(project: str) -> frozenset[str]:
    """Return the names that the project's lock pins; nothing where there is none to be read."""
    try:
        lock = json.loads(read(os.path.join(project, LOCK)))
        build, image = lock["build"], lock["image"]
        entries = [*(build["bases"] if build else ()), *([image] if image else ())]
        return frozenset(str(entry["reference"]) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def pinned_form(name: str) -> str:
    """Return how a name would be written with a digest."""
    found = parsed(name)
    return f"{found.repository}@sha256:..."
