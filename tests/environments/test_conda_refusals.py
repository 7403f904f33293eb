"""What cannot be had: one sentence that names the culprit, and nothing half built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from conda_channel import CondaPackage, File

from runner.environments.catalog import Catalog
from runner.errors import EnvError

if TYPE_CHECKING:
    from pathlib import Path

    from channel_server import Handler
    from conda_bench import CondaBench

    from runner.model.lock import PackageLock

    Served = tuple[str, type[Handler]]


def locked(conda: CondaBench, channel: str, *packages: str) -> EnvError:
    with pytest.raises(EnvError) as caught:
        conda.lock(*packages, channels=(channel,))
    assert "Traceback" not in f"{caught.value.message}{caught.value.hint}"
    assert environments(conda) == []
    return caught.value


def built(conda: CondaBench, lock: PackageLock) -> EnvError:
    with pytest.raises(EnvError) as caught:
        conda.builder().build(lock)
    assert environments(conda) == []
    return caught.value


def environments(conda: CondaBench) -> list[str]:
    return [e.path for e in Catalog(home=str(conda.home), environ=conda.environ).all()]


def archive(conda: CondaBench) -> Path:
    return next(conda.channel.path.glob("*/tool-1.0-0.conda"))


def test_an_unknown_channel(conda: CondaBench, served: Served) -> None:
    error = locked(conda, f"http://{served[0]}/gone", "tool")
    assert error.message.startswith(f"there is no channel at http://{served[0]}/gone")
    assert "/nowhere" in locked(conda, "file:///nowhere", "tool").message


@pytest.mark.parametrize("content", ["{broken", "[]", ""])
def test_a_broken_index(conda: CondaBench, served: Served, content: str) -> None:
    for index in conda.channel.path.glob("*/repodata.json"):
        index.write_text(content)
    for channel in (f"http://{served[0]}", conda.channel.url):
        message = locked(conda, channel, "tool").message
        assert f"the index of the channel {channel} is broken" in message


def test_a_specification_that_makes_no_sense(conda: CondaBench) -> None:
    error = locked(conda, conda.channel.url, "tool", "alpha=>1")
    assert error.message.startswith("'alpha=>1' is no conda package: ")
    assert error.where == "conda.yaml"
    assert "numpy >=1.24,<2" in str(error.hint)


def test_a_channel_that_wants_credentials(conda: CondaBench, served: Served) -> None:
    served[1].password = "s3cret"
    error = locked(conda, f"http://{served[0]}", "tool")
    assert "wants credentials (HTTP 401)" in error.message
    assert "s3cret" not in f"{error.message}{error.hint}"


def test_a_package_that_is_gone(conda: CondaBench, served: Served) -> None:
    lock = conda.lock("tool", channels=(f"http://{served[0]}",))
    archive(conda).unlink()
    error = built(conda, lock)
    assert error.message.startswith("the package 'tool' is not where the lock says (http://")


@pytest.mark.slow
@pytest.mark.parametrize("length", [5, 300])
def test_a_package_that_was_cut_off(conda: CondaBench, served: Served, length: int) -> None:
    lock = conda.lock("tool", channels=(f"http://{served[0]}",))
    archive(conda).write_bytes(archive(conda).read_bytes()[:length])
    assert "'tool'" in built(conda, lock).message


@pytest.mark.slow
def test_no_network_between_locking_and_building(conda: CondaBench, served: Served) -> None:
    lock = conda.lock("tool", channels=(f"http://{served[0]}",))
    for name in ("http_proxy", "HTTP_PROXY"):
        conda.environ[name] = "http://127.0.0.1:9"
    conda.environ.pop("no_proxy", None)
    conda.environ.pop("NO_PROXY", None)
    error = built(conda, lock)
    assert error.message.startswith(f"the channel cannot be reached (http://{served[0]}/")


PROGRAM = """
import json, os, sys
from runner.environments.conda.builder import CondaBuilder
from runner.errors import EnvError
from runner.model.lock import LockRequest
from runner.model.spec import CondaSpec
home, project, environ, channel = sys.argv[1:]
builder = CondaBuilder(home=home, environ=json.loads(environ))
spec = CondaSpec(origin="c.yaml", channels=(channel,), packages=("big",), variables={})
try:
    builder.build(builder.lock(LockRequest(spec=spec, project=project)))
except EnvError as error:
    print(json.dumps([error.message, error.hint]))
envs = os.path.join(home, "envs")
print(json.dumps([n for n in os.listdir(envs) if os.path.isdir(os.path.join(envs, n))]))
"""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MOUNTED = 'mount -t tmpfs -o size=4m none "$1" && shift && exec "$@"'


def test_a_full_disk(conda: CondaBench) -> None:
    """The store lies on a file system of four megabytes, of which nobody else sees anything."""
    unshare = shutil.which("unshare")
    inside = [str(unshare), "-rm", "sh", "-c", MOUNTED, "sh", str(conda.home)]
    conda.home.mkdir()
    probe = [*inside, "true"]
    if unshare is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    content = {f"share/{n}": File(os.urandom(100_000)) for n in range(60)}
    conda.channel.add(CondaPackage("big", "1.0", files=content))
    words = (str(conda.home), str(conda.project), json.dumps(conda.environ), conda.channel.url)
    done = subprocess.run(
        [*inside, sys.executable, "-c", PROGRAM, *words],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    error, left = map(json.loads, done.stdout.splitlines())
    assert error == ["the disk is full", "'runproj env prune' frees space"]
    assert left == []
