from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from runner.environments.docker.builder import DockerBuilder
from runner.model.event import Progress, Step, Warned
from runner.model.lock import LockRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.model.event import Event
    from runner.model.lock import ImageEnvironment, ImageLock
    from runner.model.spec import DockerSpec


class Listener:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)

    @property
    def steps(self) -> list[str]:
        return [f"{e.verb} {e.subject}" for e in self.events if isinstance(e, Step)]

    @property
    def lines(self) -> list[str]:
        return [e.line for e in self.events if isinstance(e, Progress)]

    @property
    def warnings(self) -> list[str]:
        return [e.problem.rule for e in self.events if isinstance(e, Warned)]


class Yard:
    """A project, a cache, and the builder of images."""

    def __init__(self, base: Path) -> None:
        self.name = f"runproj-test-{os.urandom(4).hex()}"
        self.project = base / "project"
        self.project.mkdir()
        self.home = base / "home"
        self.listener = Listener()
        self.environ = dict(os.environ)

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.project / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    @property
    def builder(self) -> DockerBuilder:
        return DockerBuilder(home=str(self.home), environ=self.environ, reporter=self.listener)

    def lock(self, spec: DockerSpec, **asked: Any) -> ImageLock:
        lock = self.builder.lock(self.request(spec, **asked))
        assert type(lock).__name__ == "ImageLock"
        return lock  # type: ignore[return-value]  # just asserted

    def request(self, spec: DockerSpec, **asked: Any) -> LockRequest:
        given = {"name": self.name, **asked}
        return LockRequest(spec=spec, project=str(self.project), **given)

    def build(self, spec: DockerSpec, **asked: Any) -> ImageEnvironment:
        return self.builder.build(self.lock(spec, **asked))


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """Return a project of its own, and remove afterwards what was built for it.

    Layers stay: another test may be building on them.
    """
    made = Yard(tmp_path)
    yield made
    if not made.home.joinpath("images", "plans").exists():
        return
    import docker

    with closing(docker.from_env()) as client:
        label = f"runproj.project={made.name}"
        for identifier in client.api.images(filters={"label": label}, quiet=True):
            client.api.remove_image(identifier, force=True, noprune=True)
