"""``runproj env`` and the images that were built."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from runner.environments.catalogs import Catalogs
from runner.environments.docker.builder import note_path
from runner.errors import EnvError
from runner.model.spec import DockerSpec

if TYPE_CHECKING:
    import docker

    from tests.environments.docker.conftest import Yard

pytestmark = pytest.mark.slow
MONTH = timedelta(days=30)


def test_built_images_are_listed_shown_and_removed_when_nobody_needs_them(
    yard: Yard, engine: docker.DockerClient, sh_image: str
) -> None:
    catalogs = Catalogs(home=str(yard.home), environ=yard.environ)
    assert catalogs.all() == ()
    yard.write(Dockerfile=f"FROM {sh_image}\nRUN echo {yard.name} > /name\n")
    built = yard.build(DockerSpec(dockerfile="Dockerfile"))
    yard.build(DockerSpec(image=sh_image))  # not built by us: not listed

    (image,) = catalogs.all()
    assert f"sha256:{image.identifier}" == built.digest
    assert image.path.startswith(f"runproj/{yard.name}:")
    assert (image.state, image.in_use) == ("ready", False)
    assert image.size > 1_000_000
    assert catalogs.find(image.identifier[:8]) == image
    assert catalogs.damage(image) == ()
    with pytest.raises(EnvError, match="there is no environment 'ffff'"):
        catalogs.find("ffff")

    assert catalogs.prune(MONTH) == ()
    note = note_path(str(yard.home), built.digest)
    os.utime(note, (time.time() - 40 * 86400,) * 2)
    container = engine.containers.create(built.image, ["true"])
    try:
        assert catalogs.all()[0].in_use
        assert catalogs.prune(MONTH) == ()
    finally:
        container.remove()
    assert [e.identifier for e in catalogs.prune(MONTH, dry_run=True)] == [image.identifier]
    yard.build(DockerSpec(dockerfile="Dockerfile"))
    assert catalogs.prune(MONTH) == (), "it was used just now"
    os.utime(note, (time.time() - 40 * 86400,) * 2)
    assert [e.identifier for e in catalogs.prune(MONTH)] == [image.identifier]
    assert catalogs.all() == ()
    assert catalogs.damage(image) == ("the engine does not have it any more",)
    assert yard.build(DockerSpec(dockerfile="Dockerfile")).shell == "sh"


def test_without_an_engine_there_are_no_images(yard: Yard, sh_image: str) -> None:
    yard.write(Dockerfile=f"FROM {sh_image}\nRUN true\n")
    yard.build(DockerSpec(dockerfile="Dockerfile"))
    environ = {**yard.environ, "DOCKER_HOST": f"unix://{yard.home}/none.sock"}
    assert Catalogs(home=str(yard.home), environ=environ).all() == ()
