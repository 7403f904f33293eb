from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.environments.docker.builder import DockerBuilder
from runner.model.event import Progress, Step, Warned
from runner.model.lock import LockRequest
from runner.model.spec import DockerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

    from runner.model.event import Event
    from runner.model.lock import ImageEnvironment, ImageLock


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
        given = {"name": "runproj-test yard", **asked}
        return LockRequest(spec=spec, project=str(self.project), **given)

    def build(self, spec: DockerSpec, **asked: Any) -> ImageEnvironment:
        return self.builder.build(self.lock(spec, **asked))


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


@pytest.fixture
def clean_engine(engine: docker.DockerClient) -> Iterator[docker.DockerClient]:
    """Return the engine, and remove afterwards what the test built."""
    before = {image.id for image in engine.images.list()}
    yield engine
    built = engine.images.list(filters={"label": "runproj.project=runproj-test-yard"})
    for image in built:
        if image.id not in before:
            engine.images.remove(str(image.id), force=True)
