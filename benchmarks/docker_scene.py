"""What a run in a container costs over ``docker run`` of the same image."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from measure import Table, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenes import Bench

IMAGE = "runproj-test/sh:1"
PROJECT = f"name: d\ndocker_env: {{image: '{IMAGE}'}}\nentry_points:\n  main: {{command: 'true'}}\n"


def docker(bench: Bench) -> Iterator[Table]:
    """Measure a warm run in a container; nothing where there is no engine."""
    program = shutil.which("docker")
    if program is None or not have_image(bench):
        return
    project = bench.project("docker", {"MLproject": PROJECT})
    bare = (program, "run", "--rm", "--init", IMAGE, "sh", "-c", "true")
    made = bench.run("", str(project))
    yield Table(
        "Warm run in a container",
        [
            Variant("docker run", bare, made.cwd, made.variables),
            bench.run("runproj", str(project)),
            bench.run("runproj, code mounted", str(mounted(bench))),
        ],
        note="The image is a shell and nothing else; the engine's own work is in wall time only.",
    )


def mounted(bench: Bench) -> Path:
    """Return the project with its code mounted instead of copied."""
    text = PROJECT.replace(f"'{IMAGE}'", f"'{IMAGE}', code: mount")
    return bench.project("docker-mount", {"MLproject": text})


def have_image(bench: Bench) -> bool:
    """Load the image of the tests, in a process of its own; False without an engine."""
    import subprocess

    done = subprocess.run(
        (sys.executable, __file__), cwd=bench.folder, env=bench.variables, check=False
    )
    return done.returncode == 0


def load_image() -> None:
    """Load the image of the tests into the engine."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
    import docker as sdk
    from containers import made
    from images import add_shell

    client = sdk.from_env()
    made(client, IMAGE, add_shell, labels={"org.example.kind": "sh"})
    client.close()


if __name__ == "__main__":
    load_image()
