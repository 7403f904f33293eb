"""A docker project for each test; none leaves a container behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from docker_projects import DockerProject, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker


def containers_of(client: docker.DockerClient, home: Path) -> list[str]:
    """Return the containers of the runs under a cache directory."""
    found = client.api.containers(all=True, filters={"label": "runproj.job"})
    return [one["Id"] for one in found if one["Labels"]["runproj.job"].startswith(str(home))]


@pytest.fixture
def project(
    tmp_path: Path, runproj: Path, home: Path, engine: docker.DockerClient, sh_image: str
) -> Iterator[DockerProject]:
    made = DockerProject(tmp_path, runproj, sh_image)
    yield made
    made.close()
    try:
        until("the containers are gone", lambda: not containers_of(engine, home))
    finally:
        for identity in containers_of(engine, home):
            engine.api.remove_container(identity, force=True, v=True)
