"""Many at once, killed at any moment, a worker that dies: the store never lends half a prefix."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from conda_channel import CondaPackage, File

from runner.environments.catalog import Catalog
from runner.environments.conda import contents, worker
from runner.environments.conda.complaints import failure
from runner.environments.conda.rattler import Rattler
from runner.environments.store import found, marker_path
from runner.errors import EnvError

if TYPE_CHECKING:
    from pathlib import Path

    from conda_bench import CondaBench

PROGRAM = """
import json, sys
from runner.environments.conda.builder import CondaBuilder
from runner.model.lock import LockRequest
from runner.model.spec import CondaSpec
home, project, environ, channel, *packages = sys.argv[1:]

class Say:
    def report(self, event):
        if type(event).__name__ == "Step":
            print(event.verb, flush=True)

builder = CondaBuilder(home=home, environ=json.loads(environ), reporter=Say())
spec = CondaSpec(origin="c.yaml", channels=(channel,), packages=tuple(packages), variables={})
made = builder.build(builder.lock(LockRequest(spec=spec, project=project)))
print("made", made.variables["CONDA_PREFIX"])
"""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def started(conda: CondaBench, *packages: str) -> subprocess.Popen[str]:
    words = (str(conda.home), str(conda.project), json.dumps(conda.environ), conda.channel.url)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words, *packages],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )


def test_six_first_runs_at_once_build_once(conda: CondaBench) -> None:
    children = [started(conda, "python", "alpha", "active") for _ in range(6)]
    ended = [(*child.communicate(), child.returncode) for child in children]
    assert [code for _, _, code in ended] == [0] * 6, ended
    assert sum(out.count("building") for out, _, _ in ended) == 1
    assert len({out.partition("made ")[2] for out, _, _ in ended}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [True, False])
def test_killed_at_any_moment_the_next_run_heals(
    conda: CondaBench,
    whole_group: bool,  # noqa: FBT001 - parametrized
) -> None:
    files = {f"share/many/{n}": File(os.urandom(2000)) for n in range(800)}
    conda.channel.add(CondaPackage("many", "1.0", files=files))
    digests, built = set(), 0
    for delay in (0.05, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9):
        child = started(conda, "python", "many", "active")
        time.sleep(delay)
        if whole_group:
            os.killpg(child.pid, signal.SIGKILL)
        else:  # its worker lives on, and holds the lock until it ends
            child.kill()
        child.communicate()
        after = started(conda, "python", "many", "active")
        out, err = after.communicate(timeout=120)
        assert after.returncode == 0, err
        built += out.count("building")
        prefix = out.partition("made ")[2].strip()
        marker = found(prefix)
        assert marker is not None
        assert list(contents.damage(prefix)) == []
        digests.add(marker["contents"])
        os.unlink(marker_path(prefix))
    assert len(digests) == 1
    assert built


def test_what_a_failed_build_leaves_is_nothing(conda: CondaBench) -> None:
    lock = conda.lock("python", "alpha", "tool")
    next(conda.channel.path.glob("*/tool-1.0-0.conda")).write_bytes(b"this is no archive")
    with pytest.raises(EnvError):
        conda.builder().build(lock)
    assert not os.path.exists(conda.prefix(lock))
    assert Catalog(home=str(conda.home), environ=conda.environ).all() == ()


def test_a_worker_that_dies_is_an_error(conda: CondaBench, monkeypatch: pytest.MonkeyPatch) -> None:
    program = conda.home.parent / "dying.py"
    program.write_text("import os, sys\nprint('last words', file=sys.stderr, flush=True)\n"
                       "os.kill(os.getpid(), 11)\n")  # fmt: skip
    monkeypatch.setattr(worker, "__file__", str(program))
    with pytest.raises(EnvError, match=r"ended with signal 11: last words"):
        conda.lock("tool")


def test_the_worker_leaves_in_peace(conda: CondaBench) -> None:
    """py-rattler 0.28 crashes one process in four that ends in the ordinary way."""
    from runner.environments.conda.channels import Access, Channel

    rattler = Rattler(home=str(conda.home), environ=conda.environ)
    access = Access(authorization={}, mirrors={})
    channel = Channel(name="c", urls=(conda.channel.url,))
    for _ in range(12):
        records = rattler.solved(
            ["tool"], [channel], access, priority="Strict", platform="linux-64",
            virtual_packages=[], as_of=None, locked=[],
        )  # fmt: skip
        assert [r["name"] for r in records] == ["tool"]


def test_without_rattler_the_message_says_what_to_install(
    conda: CondaBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.environments.conda.rattler.find_spec", lambda _name: None)
    with pytest.raises(EnvError, match="rattler, which is not there") as caught:
        conda.lock("tool")
    assert "pip install" in str(caught.value.hint)


SAID = {
    "thread panicked at src/x.rs": "panicked",
    "failed to link: No space left on device (os error 28)": "the disk is full",
    "hash mismatch for https://u:secret@h/x.conda": "does not have the locked hash",
    "error sending request for url (https://u:secret@h/c/noarch/repodata.json.zst)": "reached",
}


@pytest.mark.parametrize("text", SAID)
def test_complaints_become_sentences_without_secrets(text: str) -> None:
    error = failure({"error": text, "kind": "PanicException", "words": [text]})
    assert SAID[text] in error.message
    assert "secret" not in error.message


def test_a_cache_that_cannot_be_written_is_an_error(conda: CondaBench, tmp_path: Path) -> None:
    lock = conda.lock("tool")
    (conda.home / "envs").write_text("a file where a folder should be")
    with pytest.raises(EnvError, match="cannot be built"):
        conda.builder().build(lock)
    assert tmp_path.exists()
