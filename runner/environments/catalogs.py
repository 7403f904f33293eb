"""All that was built on this machine: environments in the store, and images on the engine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.environments.catalog import Catalog
from runner.environments.docker.catalog import ImageCatalog
from runner.errors import EnvError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from runner.model.lock import BuiltEnvironment


class Catalogs:
    """Environments and images side by side; see ``runner.ports.EnvironmentCatalog``."""

    def __init__(self, *, home: str, environ: Mapping[str, str]) -> None:
        self._store = Catalog(home=home, environ=environ)
        self._images = ImageCatalog(home=home, environ=environ)

    def all(self) -> tuple[BuiltEnvironment, ...]:
        """Return every environment and image, the one used last first."""
        there = (*self._store.all(), *self._images.all())
        return tuple(sorted(there, key=lambda e: e.used, reverse=True))

    def find(self, prefix: str) -> BuiltEnvironment:
        """Return the one whose identifier starts so.

        Raises:
            EnvError: There is none, or more than one.
        """
        wanted = prefix.removeprefix("sha256:").lower()
        images = [e for e in self._images.all() if wanted and e.identifier.startswith(wanted)]
        if not images:
            return self._store.find(prefix)
        if len(images) > 1:
            names = ", ".join(image.identifier[:12] for image in images)
            raise EnvError(f"{prefix!r} is the beginning of {len(images)} images: {names}")
        return images[0]

    def damage(self, environment: BuiltEnvironment) -> tuple[str, ...]:
        """Check one; return what is wrong, nothing when all is well."""
        is_image = not os.path.isabs(environment.path)
        return (self._images if is_image else self._store).damage(environment)

    def prune(self, unused: timedelta, *, dry_run: bool = False) -> tuple[BuiltEnvironment, ...]:
        """Delete what was not used for so long, and wrecks; never what is in use."""
        gone = self._store.prune(unused, dry_run=dry_run)
        return (*gone, *self._images.prune(unused, dry_run=dry_run))
