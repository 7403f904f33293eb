"""``runproj diff``: only what differs, of everything that is recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from packages import make_wheel

from runner.pipeline.code_diff import code_diff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from git_repositories import Repo
    from machines import Machine


def test_files_are_compared_line_by_line(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "sub").mkdir(parents=True)
        (folder / "__pycache__").mkdir()
        (folder / "same.txt").write_text("same\n")
        (folder / "__pycache__" / "x.pyc").write_text(str(folder))
        (folder / "image.bin").write_bytes(b"\0" + str(folder).encode())
    (one / "sub" / "a.py").write_text("x = 1\ny = 2")
    (other / "sub" / "a.py").write_text("x = 1\ny = 3")
    (one / "gone").write_text("")
    (other / "link").symlink_to("same.txt")
    found = code_diff(str(one), str(other))
    assert "--- a/sub/a.py\n+++ b/sub/a.py\n@@ -1,2 +1,2 @@\n x = 1\n-y = 2\n+y = 3\n" in found
    assert "--- a/gone\n+++ /dev/null\n" in found
    assert "--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n+same.txt\n" in found
    assert "Binary files a/image.bin and b/image.bin differ\n" in found
    assert "a/same.txt" not in found
    assert "pycache" not in found
    assert code_diff(str(one), str(one)) == ""


@pytest.mark.slow
def test_only_what_differs_is_shown(
    project: Repo, machine: Callable[[str], Machine], wheels: Path
) -> None:
    here = machine("here")
    first = here.run(project.path)
    again = here.run(project.path)
    done = here.call("diff", first, again)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
    make_wheel(wheels, "tensorish", "1.1", body="def score(alpha):\n    return alpha * 4\n")
    project.write({"train.py": (project.path / "train.py").read_text() + "# changed\n"})
    here.environ["OMP_NUM_THREADS"] = "1"
    other = here.run(project.path, "-P", "alpha=0.25", "--refresh")
    done = here.call("diff", first[:10], f"runs:/{other}")
    assert done.returncode == 1
    assert "+# changed" in done.stdout
    assert "parameter alpha: 0.5 -> 0.25" in done.stdout
    assert "package tensorish: 1.0 -> 1.1" in done.stdout
    assert "variable OMP_NUM_THREADS: - -> 1" in done.stdout
    assert "model.json" in done.stdout
    assert "data.csv" not in done.stdout
    found = json.loads(here.call("diff", first, other, "--json", "--no-code").stdout)
    assert found["code"] == ""
    axes = [difference["axis"] for difference in found["differences"]]
    assert axes[0] == "code"
    assert set(axes) == {"code", "parameter", "package", "variable"}
    project.path.rename(project.path.with_name("moved"))
    done = here.call("diff", first, other)
    assert "the code cannot be compared" in done.stderr
