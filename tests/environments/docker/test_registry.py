"""A registry of our own: digests, moved tags, locks that hold, registries that refuse."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from containers import PASSWORD, USER, Registry, have_registry, said

from runner.environments.docker.project_lock import ImageDrawing
from runner.errors import EnvError
from runner.model.lock import RecordedLock
from runner.model.spec import DockerSpec
from runner.system.files import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

    from runner.model.lock import ImageLock
    from tests.environments.docker.conftest import Yard

pytestmark = pytest.mark.slow


def push(engine: docker.DockerClient, image: str, name: str) -> str:
    """Push an image under a name, and return its ``repository@digest``."""
    repository, _, tag = name.rpartition(":")
    engine.images.get(image).tag(repository, tag)
    for line in engine.images.push(repository, tag=tag, stream=True, decode=True):
        assert "error" not in line, line
    published: list[str] = engine.images.get(name).attrs["RepoDigests"]
    return next(p for p in published if p.startswith(f"{repository}@"))


def forget(engine: docker.DockerClient, *names: str) -> None:
    """Remove names of images; the test's own images keep their other names."""
    from docker.errors import ImageNotFound

    for name in names:
        try:
            engine.images.remove(name, force=False)
        except ImageNotFound:
            continue


@pytest.fixture
def name(
    registry: Registry, request: pytest.FixtureRequest, engine: docker.DockerClient
) -> Iterator[str]:
    """Return a name in the registry that no other test has."""
    own = request.node.name.replace("_", "-").lower()[:40].strip("-")
    yield f"{registry.address}/{own}:1"
    for image in engine.images.list(name=f"{registry.address}/{own}"):
        for tag in (*image.tags, *image.attrs.get("RepoDigests", ())):
            if own in tag:
                forget(engine, tag)


def recorded(lock: ImageLock) -> RecordedLock:
    return RecordedLock(content=read(lock.document), digest=lock.digest, name=lock.name, python="")


def test_a_pushed_image_is_named_by_its_digest(
    yard: Yard, engine: docker.DockerClient, sh_image: str, name: str
) -> None:
    digest = push(engine, sh_image, name)

    lock = yard.lock(DockerSpec(image=name))

    assert lock.image == digest
    assert lock.published == (digest,)
    assert yard.build(DockerSpec(image=name)).image == digest
    assert said(lock.image, "echo", "hi") == "hi\n"


def test_a_missing_image_is_pulled_by_tag_or_digest_and_said(
    yard: Yard, engine: docker.DockerClient, sh_image: str, name: str
) -> None:
    digest = push(engine, sh_image, name)
    for wanted in (name, digest):
        forget(engine, name, digest)

        assert yard.lock(DockerSpec(image=wanted)).image == digest

    assert yard.listener.steps == [f"pulling {name}", f"pulling {digest}"]
    assert yard.lock(DockerSpec(image=digest, pull="never")).image == digest


def test_a_tag_that_moved_is_followed_when_always_asked_and_not_otherwise(
    yard: Yard, engine: docker.DockerClient, sh_image: str, bare_image: str, name: str
) -> None:
    old = push(engine, sh_image, name)
    new = push(engine, bare_image, name)
    engine.images.get(sh_image).tag(*name.rsplit(":", 1))  # here the tag is what it was

    assert yard.lock(DockerSpec(image=name)).image == old
    assert yard.lock(DockerSpec(image=name, pull="always")).image == new


def test_a_recorded_lock_holds_when_the_tag_moves(
    yard: Yard, engine: docker.DockerClient, sh_image: str, bare_image: str, name: str
) -> None:
    before = yard_lock = yard.lock(DockerSpec(image=push(engine, sh_image, name) and name))
    push(engine, bare_image, name)
    assert yard.lock(DockerSpec(image=name)).image != before.image

    again = yard.lock(DockerSpec(image=name), recorded=recorded(before))
    assert (again.image, again.digest, again.origin) == (before.image, before.digest, "recorded")

    forget(engine, yard_lock.image, name)
    third = yard.lock(DockerSpec(image=name), recorded=recorded(before))
    assert third.digest == before.digest


def test_a_recorded_image_that_is_nowhere_is_said_to_be_gone(
    yard: Yard, engine: docker.DockerClient, sh_image: str
) -> None:
    lock = yard.lock(DockerSpec(image=sh_image))
    del engine
    content = read(lock.document).replace(str(lock.identifier).encode(), b"sha256:" + b"0" * 64)
    gone = RecordedLock(content=content, digest=lock.digest, name=lock.name, python="")

    with pytest.raises(EnvError, match="never pushed to a registry"):
        yard.lock(DockerSpec(image=sh_image), recorded=gone)


def test_the_projects_lock_holds_and_is_checked(
    yard: Yard, engine: docker.DockerClient, sh_image: str, bare_image: str, name: str
) -> None:
    spec = DockerSpec(image=name)
    old = push(engine, sh_image, name)
    drawing = ImageDrawing(home=str(yard.home), environ=yard.environ, reporter=yard.listener)
    with pytest.raises(EnvError, match=r"the project has no image-lock\.json"):
        yard.lock(spec, locked=True)
    with pytest.raises(EnvError, match=r"the project has no image-lock\.json"):
        drawing.staleness(yard.request(spec))

    made = drawing.drawn(yard.request(spec))
    assert made.changes[0].startswith(f"+ {name} ")
    (yard.project / made.name).write_bytes(made.content)
    new = push(engine, bare_image, name)

    assert drawing.staleness(yard.request(spec)) is None
    locked = yard.lock(spec, locked=True)
    assert (locked.image, locked.origin) == (old, "project")
    assert Path(locked.document).read_bytes() == made.content
    assert drawing.drawn(yard.request(spec)).changes == ()
    upgraded = drawing.drawn(yard.request(spec), upgrade=True)
    assert upgraded.changes[0].startswith(f"~ {name} ")
    assert json.loads(upgraded.content)["image"]["published"] == [new]
    assert yard.listener.warnings == []

    other = DockerSpec(image=sh_image)
    assert "does not name" in (drawing.staleness(yard.request(other)) or "")
    with pytest.raises(EnvError, match="does not fit: it does not name"):
        yard.lock(other, locked=True)
    assert yard.lock(other).origin == "resolved"
    assert yard.listener.warnings == ["stale-lock"]
    drawing.drawn(yard.request(other))
    assert yard.listener.warnings == ["stale-lock", "image-not-pushed"]


def test_an_image_that_the_registry_does_not_have(yard: Yard, name: str) -> None:
    with pytest.raises(EnvError) as caught:
        yard.lock(DockerSpec(image=name))
    assert "has no image" in caught.value.message
    assert name in caught.value.message


@pytest.fixture
def protected(tmp_path: Path) -> Iterator[Registry]:
    have_registry()
    registry = Registry(tmp_path / "protected", protected=True)
    yield registry
    registry.stop()


def test_a_registry_that_wants_a_login(
    yard: Yard, protected: Registry, sh_image: str, engine: docker.DockerClient
) -> None:
    del sh_image, engine
    with pytest.raises(EnvError) as caught:
        yard.lock(DockerSpec(image=f"{protected.address}/secret/image:1"))
    assert "needs a login" in caught.value.message
    assert f"docker login {protected.address}" in (caught.value.hint or "")


def test_a_login_of_docker_is_used_and_not_told(
    yard: Yard,
    protected: Registry,
    sh_image: str,
    engine: docker.DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"{protected.address}/secret/image:1"
    repository = name.removesuffix(":1")
    engine.images.get(sh_image).tag(repository, "1")
    login = {"username": USER, "password": PASSWORD}
    for line in engine.images.push(repository, "1", stream=True, decode=True, auth_config=login):
        assert "error" not in line, line
    digest = next(
        p for p in engine.images.get(name).attrs["RepoDigests"] if p.startswith(repository)
    )
    forget(engine, name, digest)
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    document = {"auths": {protected.address: {"auth": token}}}
    (tmp_path / "config.json").write_text(json.dumps(document))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    try:
        lock = yard.lock(DockerSpec(image=name))
        assert lock.image == digest
        told = f"{lock} {yard.listener.events} {Path(lock.document).read_text()}"
        assert PASSWORD not in told
        assert token not in told
    finally:
        forget(engine, name, digest)
