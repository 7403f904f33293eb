"""Runproj killed at any moment: the next run heals what it left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from git_repositories import Repo, Watcher, make_repo

from runner.model.project import ProjectReference
from runner.sources.git import GitSource

pytestmark = pytest.mark.slow

CHILD = """
import sys
sys.path.insert(0, {root!r})
from runner.model.project import ProjectReference
from runner.sources.git import GitSource

class Silent:
    def report(self, event):
        pass

source = GitSource(home={home!r}, environ={environ!r}, reporter=Silent())
print("ready", flush=True)
for _ in range(1000):
    tree = source.fetch(ProjectReference(location={location!r}, revision="main"))
    print(tree.provenance.tree, flush=True)
"""
ROOT = str(Path(__file__).parents[2])


def test_killed_at_any_moment(home: str, environ: dict[str, str], tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        f"d{n % 20}/f{n}.bin": random.Random(n).randbytes(2000)  # noqa: S311 - data, no secret
        for n in range(600)
    }
    repo = make_repo(tmp_path / "p", {"MLproject": "name: p\n", **files})
    pauses = random.Random(7)  # noqa: S311 - data, no secret
    for round_ in range(12):
        if round_ % 3 == 0:
            repo.commit({"round": str(round_)})
        script = CHILD.format(root=ROOT, home=home, environ=environ, location=str(repo.path))
        child = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True
        )
        with child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(pauses.uniform(0, 0.25))
            group = round_ % 2  # the whole group, or only runproj, so that git lives on
            if group:
                os.killpg(child.pid, signal.SIGKILL)
            else:
                child.kill()
        source = GitSource(home=home, environ=environ, reporter=Watcher())
        tree = source.fetch(ProjectReference(location=str(repo.path), revision="main"))
        assert tree.provenance.tree == repo.tree
        assert Repo(Path(tree.root)).git("status", "--porcelain", "--ignored") == ""
        assert sum(place.is_file() for place in Path(tree.root).glob("d*/*")) == 600
        os.close(tree.lease or -1)
