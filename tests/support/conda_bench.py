"""A project with a conda environment, and a channel of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from conda_channel import Channel, standard_packages
from packages import Watcher

from runner.environments.conda import lockfile
from runner.environments.conda.builder import EMBEDDED, CondaBuilder
from runner.environments.conda.platforms import platform_here
from runner.environments.store import prefix_of
from runner.model.event import Step
from runner.model.lock import LockRequest, PackageLock
from runner.model.spec import CondaSpec, Place

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model.lock import ProcessEnvironment


class CondaBench:
    """A project folder, a channel, and builders that see nothing else."""

    def __init__(self, base: Path) -> None:
        self.home = base / "home"
        self.project = base / "project"
        self.wheels = base / "wheels"
        self.project.mkdir()
        self.wheels.mkdir()
        self.packages = standard_packages()
        self.channel = Channel(base / "channel").add(*self.packages)
        self.watcher = Watcher()
        self.environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("CONDA", "UV_", "PIP_"))},
            "HOME": str(base),
            "UV_CACHE_DIR": str(base / "cache"),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_CONFIG": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_NO_INDEX": "1",
        }

    def builder(self, manager: str = EMBEDDED) -> CondaBuilder:
        return CondaBuilder(
            manager=manager, home=str(self.home), environ=self.environ, reporter=self.watcher
        )

    def request(self, *packages: str, **given: object) -> LockRequest:
        options = {
            k: given.pop(k) for k in ("as_of", "locked", "refresh", "recorded") if k in given
        }
        spec = {
            "origin": "conda.yaml",
            "channels": (self.channel.url,),
            "packages": packages,
            "variables": {},
            "place": Place(file="conda.yaml", line=1, column=1),
            **given,
        }
        return LockRequest(spec=CondaSpec(**spec), project=str(self.project), **options)  # type: ignore[arg-type]

    def lock(self, *packages: str, **given: object) -> PackageLock:
        lock = self.builder().lock(self.request(*packages, **given))
        assert isinstance(lock, PackageLock)
        return lock

    def build(self, *packages: str, **given: object) -> ProcessEnvironment:
        return self.builder().build(self.lock(*packages, **given))

    def prefix(self, lock: PackageLock) -> str:
        return prefix_of(str(self.home), lock.environment)

    def locked_texts(self, lock: PackageLock) -> list[str]:
        """Return the locked packages as ``name version``."""
        found = lockfile.load(lock.document, shown="lock", platform=platform_here())
        return [f"{p.name} {p.version}" for p in found.packages]

    def steps(self) -> list[str]:
        return [event.verb for event in self.watcher.events if isinstance(event, Step)]
