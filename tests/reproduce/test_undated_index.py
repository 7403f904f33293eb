"""An index that does not tell when packages were uploaded."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from git_repositories import Repo
    from machines import Machine

pytestmark = pytest.mark.slow


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@pytest.fixture
def index(wheels: Path, tmp_path: Path) -> Iterator[str]:
    """Serve the wheels as a simple index (PEP 503), without times (those came with PEP 700)."""
    for wheel in wheels.iterdir():
        folder = tmp_path / "index" / wheel.name.partition("-")[0]
        folder.mkdir(parents=True)
        (folder / wheel.name).write_bytes(wheel.read_bytes())
        (folder / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    handler = partial(Quiet, directory=str(tmp_path / "index"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_todays_packages_are_taken_and_that_is_said(
    index: str, project: Repo, machine: Callable[[str], Machine]
) -> None:
    here = machine("here")
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        del here.environ[name]
    here.environ["PIP_INDEX_URL"] = index
    first, second = (here.call("run", project.path, "-v", "main") for _ in range(2))
    for done in (first, second):
        assert done.returncode == 0, done.stderr
        assert "today's packages are taken" in done.stderr
    assert "packages as of the commit" in first.stderr
    assert "packages as of the commit" not in second.stderr  # what failed is remembered
    asked = here.call("run", project.path, "-v", "main", "--as-of", "commit")
    assert asked.returncode == 125, asked.stderr
    assert "tensorish" in asked.stderr
    assert here.call("env", "key", project.path, "-v", "main").returncode == 0
