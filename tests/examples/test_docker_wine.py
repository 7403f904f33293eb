"""``example_projects/docker_wine`` on a real engine, from a base image of our own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

    from tests.examples.conftest import Caller

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
EXAMPLE = Path(__file__).parents[2] / "example_projects" / "docker_wine"


@pytest.fixture
def project(tmp_path: Path, python_image: str, engine: docker.DockerClient) -> Iterator[Path]:
    """Return the example under a name of its own, begun from an image that the engine has."""
    folder = tmp_path / "docker_wine"
    shutil.copytree(EXAMPLE, folder)
    file = folder / "MLproject"
    name = f"docker-wine-{os.urandom(4).hex()}"
    text = file.read_text().replace("name: docker-wine", f"name: {name}")
    text = text.replace("python:3.12-slim", python_image)
    file.write_text(text.replace("mlflow-skinny==3.17.2", "''"))
    yield folder
    for identifier in engine.api.images(filters={"label": f"runproj.project={name}"}, quiet=True):
        engine.api.remove_image(identifier, force=True, noprune=True)


def test_it_is_built_once_recorded_and_reproduced(
    project: Path, caller: Caller, engine: docker.DockerClient, python_image: str
) -> None:
    locked = caller("lock", str(project))
    assert python_image in locked.stdout
    assert "holds on this engine" in locked.stderr
    caller("lock", str(project), "--check")

    first = caller("run", str(project), "--locked", "-P", "neighbours=9")
    answer = json.loads(first.stdout)
    assert answer["wines"] == 200
    assert answer["accuracy"] > 0.7
    (run,) = caller.json("runs", "list")
    (folder,) = caller.folder.glob(f"mlruns/*/{run['run_id']}/artifacts/runproj")
    record = json.loads((folder / "record.json").read_text())
    lock = json.loads((folder / "image-lock.json").read_text())
    assert record["environment"]["lock"]["origin"] == "project"
    assert lock["build"]["dockerfile"] == "image/Dockerfile"
    assert [base["reference"] for base in lock["build"]["bases"]] == [python_image]
    described = json.loads((folder / "environment.json").read_text())
    assert {"name": "tinymodel", "version": "1.2.0"} in described["packages"]
    tags = caller.json("runs", "show", run["run_id"])["tags"]
    image = record["environment"]["image"]["id"]
    assert tags["mlflow.docker.image.id"] == image
    assert tags["mlflow.docker.image.uri"].startswith("runproj/docker-wine-")
    assert engine.images.get(tags["mlflow.docker.image.uri"]).id == image

    (project / "train.py").write_text((project / "train.py").read_text() + "\n")
    second = caller("run", str(project), "-P", "neighbours=9")
    assert "building" not in second.stderr
    assert json.loads(second.stdout) == answer


def test_a_run_in_an_image_that_is_gone_is_reproduced_in_one_that_is_built_again(
    project: Path, caller: Caller, engine: docker.DockerClient
) -> None:
    dockerfile = project / "image" / "Dockerfile"
    # No layer is shared with another test, and none comes out the same when it is built again.
    own = "FROM ${BASE}\nRUN date +%s%N > /opt-built-" + os.urandom(4).hex()
    dockerfile.write_text(dockerfile.read_text().replace("FROM ${BASE}", own))
    dockerfile.write_text(
        dockerfile.read_text() + "COPY . /opt/sent\nRUN test ! -e /opt/sent/notes.local\n"
    )
    (project / ".gitignore").write_text("*.local\n")
    (project / "image" / "notes.local").write_text("not recorded, so not sent")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "wine"]):
        subprocess.run(["git", "-C", str(project), *command], check=True)
    caller("run", str(project))
    (run,) = caller.json("runs", "list")

    verdict = caller.json("reproduce", run["run_id"])
    assert (verdict["status"], verdict["differences"]) == ("IDENTICAL", [])

    tag = caller.json("runs", "show", run["run_id"])["tags"]["mlflow.docker.image.uri"]
    engine.images.remove(tag, force=True)
    (project / "train.py").write_text("raise SystemExit('this is not what ran')\n")
    again = caller.json("reproduce", run["run_id"])
    assert again["status"] == "IDENTICAL"
    assert [(d["axis"], d["name"]) for d in again["differences"]] == [("image", tag)]
