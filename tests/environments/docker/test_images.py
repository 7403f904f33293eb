"""Images on a real engine: what a name means, what is inside, what cannot be had."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.errors import BackendError, EnvError, SpecError
from runner.model.spec import DockerSpec
from runner.system.engine_calls import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

    from tests.environments.docker.conftest import Yard

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


def test_an_image_that_was_never_pushed_is_named_by_its_id(
    yard: Yard, engine: docker.DockerClient, sh_image: str
) -> None:
    identifier = engine.images.get(sh_image).id

    lock = yard.lock(DockerSpec(image=sh_image))

    assert (lock.reference, lock.image, lock.identifier) == (sh_image, identifier, identifier)
    assert lock.published == ()
    assert lock.labels["org.example.kind"] == "sh"
    assert lock.platform.startswith("linux/")
    assert json.loads(Path(lock.document).read_bytes())["image"]["id"] == identifier
    assert yard.lock(DockerSpec(image=str(identifier))).identifier == identifier
    assert yard.lock(DockerSpec(image=sh_image)) == lock


def test_what_is_inside_is_found_out_once(yard: Yard, python_image: str) -> None:
    first = yard.build(DockerSpec(image=python_image))
    assert first.shell == "bash"
    assert first.description is not None
    described = json.loads(Path(first.description).read_bytes())
    assert described["manager"] == "docker"
    assert described["python"]["version"].split(".")[:2] == [str(n) for n in sys.version_info[:2]]
    assert {"name": "tinymodel", "version": "1.2.0"} in described["packages"]
    assert yard.listener.steps == [f"looking into {first.digest.removeprefix('sha256:')[:12]}"]

    assert yard.build(DockerSpec(image=python_image)) == first
    assert len(yard.listener.steps) == 1


def test_images_need_neither_python_nor_bash_nor_a_shell(
    yard: Yard, engine: docker.DockerClient, sh_image: str, bare_image: str
) -> None:
    plain, bare = yard.build(DockerSpec(image=sh_image)), yard.build(DockerSpec(image=bare_image))

    assert (plain.shell, plain.description) == ("sh", None)
    assert (bare.shell, bare.description) == ("", None)
    left = engine.api.containers(all=True, filters={"label": "runproj.probe"})
    assert [c for c in left if c["ImageID"] in {plain.digest, bare.digest}] == []


def test_a_warm_run_asks_without_the_sdk(yard: Yard, sh_image: str) -> None:
    yard.build(DockerSpec(image=sh_image))
    script = (
        "import os, sys\n"
        "from runner.environments.docker.builder import DockerBuilder\n"
        "from runner.model.lock import LockRequest\n"
        "from runner.model.spec import DockerSpec\n"
        "builder = DockerBuilder(home=sys.argv[1], environ=os.environ)\n"
        "request = LockRequest(spec=DockerSpec(image=sys.argv[2]), project='.')\n"
        "print(builder.build(builder.lock(request)).shell)\n"
        "print(*sorted({'docker', 'requests', 'http', 'tarfile', 'subprocess'} & {*sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(yard.home), sh_image],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "sh\n\n"


@pytest.mark.parametrize("pull", ["never", "missing"])
def test_a_missing_image_is_not_asked_of_anybody_without_leave(
    yard: Yard, engine: docker.DockerClient, pull: str
) -> None:
    del engine
    name = "127.0.0.1:9/nobody/has-this:1"
    with pytest.raises(EnvError) as caught:
        yard.lock(DockerSpec(image=name, pull=pull))  # type: ignore[arg-type]  # a literal
    if pull == "never":
        assert "is not here, and 'pull: never'" in caught.value.message
        assert yard.listener.steps == []
        assert f"docker pull {name}" in (caught.value.hint or "")
    else:
        assert "127.0.0.1:9 cannot be reached" in caught.value.message
        assert yard.listener.steps == [f"pulling {name}"]


def test_an_id_that_is_gone_is_not_pulled(yard: Yard, engine: docker.DockerClient) -> None:
    del engine
    with pytest.raises(EnvError, match="ids cannot be asked of a registry"):
        yard.lock(DockerSpec(image=f"sha256:{'0' * 64}"))
    assert yard.listener.steps == []


def test_another_platform_is_refused(yard: Yard, sh_image: str) -> None:
    with pytest.raises(EnvError, match="and linux/s390x is asked for"):
        yard.lock(DockerSpec(image=sh_image, platform="linux/s390x", pull="never"))
    assert yard.lock(DockerSpec(image=sh_image, platform="linux", pull="never")).identifier


def test_a_bad_name_is_a_mistake_in_the_project(yard: Yard) -> None:
    with pytest.raises(SpecError, match="is not the name of an image"):
        yard.lock(DockerSpec(image="No Such Thing"))


def test_there_is_no_engine(yard: Yard, tmp_path: Path) -> None:
    yard.environ = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "HOME": str(tmp_path)}
    with pytest.raises(BackendError, match="there is no container engine at") as caught:
        yard.lock(DockerSpec(image="a"))
    assert "DOCKER_HOST" in (caught.value.hint or "") + caught.value.message


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Return a folder whose path leaves room for a socket's name, which everybody may enter."""
    path = Path(tempfile.mkdtemp(dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_engine_is_not_for_us(short_folder: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(short_folder / "engine.sock"))
    listener.listen()
    (short_folder / "engine.sock").chmod(0o600)
    script = (
        "import os, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from runner.environments.docker.builder import DockerBuilder\n"
        "from runner.errors import RunprojError\n"
        "from runner.model.lock import LockRequest\n"
        "from runner.model.spec import DockerSpec\n"
        "import runner.system.engine_calls\n"
        "os.setuid(12345)\n"
        "environ = {'DOCKER_HOST': 'unix://' + sys.argv[2]}\n"
        "builder = DockerBuilder(home='/nowhere', environ=environ)\n"
        "try:\n"
        "    builder.lock(LockRequest(spec=DockerSpec(image='a'), project='.'))\n"
        "except RunprojError as error:\n"
        "    print(error.message, error.hint, sep='\\n')\n"
    )
    socket_path = str(short_folder / "engine.sock")
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT), socket_path],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    listener.close()
    assert f"not allowed to use the container engine at {socket_path}" in done.stdout, done.stderr
    assert "group" in done.stdout


def test_something_else_listens(short_folder: Path) -> None:
    import threading

    path = str(short_folder / "other.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example.org\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(BackendError, match="is no container engine"):
            Engine({"DOCKER_HOST": f"unix://{path}"}).ask("GET", "/images/a/json")
        thread.join()


def test_as_of_is_said_to_have_no_effect(yard: Yard, sh_image: str) -> None:
    from datetime import UTC, datetime

    yard.lock(DockerSpec(image=sh_image), as_of=datetime(2024, 1, 1, tzinfo=UTC))
    assert yard.listener.warnings == ["as-of"]
