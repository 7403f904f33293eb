"""The images that were built here: looking at them, throwing them away."""

from __future__ import annotations

import glob
import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from runner.environments.docker.builder import description_path, note_path
from runner.environments.docker.building import LABEL_PROJECT
from runner.environments.docker.images import Images
from runner.errors import RunprojError
from runner.model.lock import BuiltEnvironment
from runner.system.engine import address, translated
from runner.system.files import read, remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class ImageCatalog:
    """The images that this cache knows of, among those that runproj built on the engine.

    Images are listed only where some were built: nobody without an engine is told of it.
    """

    def __init__(self, *, home: str, environ: Mapping[str, str]) -> None:
        self._home, self._environ = home, environ

    def all(self) -> tuple[BuiltEnvironment, ...]:
        """Return every image; nothing when no engine can be asked."""
        if not glob.glob(os.path.join(glob.escape(self._home), "images", "plans", "*.json")):
            return ()
        images = Images(self._environ)
        try:
            with translated(address(self._environ)):
                return tuple(self._known(images))
        except RunprojError:
            return ()
        finally:
            images.close()

    def damage(self, environment: BuiltEnvironment) -> tuple[str, ...]:
        """Say so when the engine lost the image; what it has, it verified when it was stored."""
        images = Images(self._environ)
        try:
            there = images.look(f"sha256:{environment.identifier}")
        finally:
            images.close()
        return () if there else ("the engine does not have it any more",)

    def prune(self, unused: timedelta, *, dry_run: bool = False) -> tuple[BuiltEnvironment, ...]:
        """Remove what was not used for so long, but nothing that a container needs."""
        limit = datetime.now(UTC) - unused
        old = [image for image in self.all() if image.used <= limit and not image.in_use]
        return tuple(image for image in old if dry_run or self._removed(image))

    def _known(self, images: Images) -> Iterator[BuiltEnvironment]:
        api = images.client.api
        used = {str(found["ImageID"]) for found in api.containers(all=True)}
        for found in api.images(filters={"label": LABEL_PROJECT}):
            identifier, note = str(found["Id"]), note_path(self._home, str(found["Id"]))
            if os.path.exists(note):
                yield self._described(found, note, in_use=identifier in used)

    def _described(self, found: Mapping[str, Any], note: str, *, in_use: bool) -> BuiltEnvironment:
        identifier = str(found["Id"])
        try:
            description = json.loads(read(description_path(self._home, identifier)))
        except (OSError, ValueError):
            description = {}
        created = datetime.fromtimestamp(int(found["Created"]), UTC)
        return BuiltEnvironment(
            identifier=identifier.removeprefix("sha256:"),
            path=next(iter(found.get("RepoTags") or ()), identifier),
            state="ready",
            in_use=in_use,
            size=int(found["Size"]),
            own=int(found["Size"]),
            used=datetime.fromtimestamp(os.stat(note).st_mtime, UTC),
            description={"manager": "docker", "created": created.isoformat(), **description},
        )

    def _removed(self, image: BuiltEnvironment) -> bool:
        """Remove one image from the engine; False when somebody needs it after all."""
        from docker.errors import APIError, ImageNotFound

        images = Images(self._environ)
        try:
            with translated(address(self._environ)):
                images.client.api.remove_image(f"sha256:{image.identifier}", force=True)
        except ImageNotFound:
            pass
        except (APIError, RunprojError):
            return False
        finally:
            images.close()
        remove_tree(os.path.dirname(note_path(self._home, image.identifier)))
        return True
