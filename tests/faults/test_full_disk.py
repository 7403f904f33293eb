"""A store on a full disk: the command runs to its end, and the record tells the truth later."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

MOUNTED = 'mount -t tmpfs -o size=2m none "$1" && shift && exec "$@"'
PROJECT = """\
entry_points:
  main:
    command: "echo before; cat /dev/zero > ../disk/filler 2> /dev/null; echo after; exit 3"
"""
SCRIPT = """\
set -u
"$1" run project --env-manager local --tracking-uri "$2" > run.out 2> run.err
echo $? > run.code
df --output=avail disk | tail -1 > available
rm disk/filler
"$1" doctor --json --tracking-uri "$2" > doctor.json 2> doctor.err
"$1" runs list --json --tracking-uri "$2" > runs.json 2> runs.err
cp -r disk/. kept
"""


@pytest.fixture
def inside(tmp_path: Path) -> list[str]:
    """Return what a command is started with to have ``disk``, two megabytes, to itself."""
    unshare = shutil.which("unshare")
    (tmp_path / "disk").mkdir()
    found = [str(unshare), "-rm", "sh", "-c", MOUNTED, "sh", str(tmp_path / "disk")]
    probe = [*found, "true"]
    if unshare is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["sqlite:///disk/mlflow.db", "disk/mlruns"])
def test_a_disk_that_fills_up_during_the_run(
    uri: str, inside: list[str], tmp_path: Path, runproj: Path
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / "project" / "MLproject").write_text(PROJECT)
    argv = [*inside, "bash", "-c", SCRIPT, "bash", str(runproj), uri]
    subprocess.run(argv, cwd=tmp_path, env={**os.environ}, check=True)
    assert int((tmp_path / "available").read_text()) < 64
    error = (tmp_path / "run.err").read_text()
    assert (tmp_path / "run.code").read_text() == "3\n", error
    assert "Traceback" not in error
    assert (tmp_path / "run.out").read_text() == "before\nafter\n"
    findings = json.loads((tmp_path / "doctor.json").read_text())["findings"]
    assert not [f for f in findings if f["state"] == "undelivered"], findings
    (run,) = json.loads((tmp_path / "runs.json").read_text())
    assert (run["status"], run["tags"]["runproj.exit_code"]) == ("FAILED", "3")
    (record,) = (tmp_path / "kept").rglob("record.json")
    assert json.loads(record.read_text())["outcome"]["exit_code"] == 3


def test_a_disk_that_is_full_from_the_start_is_told_in_a_sentence(
    inside: list[str], tmp_path: Path, runproj: Path
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "MLproject").write_text(PROJECT)
    script = 'cat /dev/zero > disk/filler 2> /dev/null; exec "$@"'
    for uri in ("sqlite:///disk/mlflow.db", "disk/mlruns"):
        words = ("run", "project", "--env-manager", "local", "--tracking-uri", uri)
        done = subprocess.run(
            [*inside, "bash", "-c", script, "bash", str(runproj), *words],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 125, done.stderr
        assert done.stderr.startswith("error[store]: ")
        assert "disk" in done.stderr or "space" in done.stderr
        assert "Traceback" not in done.stderr
