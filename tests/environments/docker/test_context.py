"""What a build sees, and the digest of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runner.environments.docker import context
from runner.environments.docker.context import Recipe, files, inputs
from runner.model.value import changed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    root = tmp_path / "context"
    for name in ("train.py", "data/rows.csv", ".env", "mlruns/0/meta.yaml", "mlflow.db", "a.log",
                 "image-lock.json", "Dockerfile"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "link").symlink_to("train.py")
    return Recipe(
        root=str(root), dockerfile="FROM x\n", shown="Dockerfile", path="Dockerfile", arguments={}
    )


def names(recipe: Recipe) -> list[str]:
    return sorted(path for path, _ in files(recipe))


def test_without_a_list_all_is_sent_that_is_part_of_a_project(recipe: Recipe) -> None:
    assert names(recipe) == ["Dockerfile", "a.log", "data/rows.csv", "link", "train.py"]


def test_what_is_listed_is_sent(recipe: Recipe) -> None:
    listed = ("train.py", "link", "image-lock.json", "gone")
    assert names(changed(recipe, listed=listed)) == ["Dockerfile", "link", "train.py"]


def test_dockerignore_is_heeded(recipe: Recipe) -> None:
    with open(os.path.join(recipe.root, ".dockerignore"), "w") as file:
        file.write("# comment\n*.log\ndata\n!data/rows.csv\nDockerfile\n")
    assert names(recipe) == [".dockerignore", "Dockerfile", "data/rows.csv", "link", "train.py"]


def test_the_digest_is_that_of_the_content(recipe: Recipe, tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    first = inputs(recipe, home)
    path = os.path.join(recipe.root, "train.py")
    os.utime(path, (1, 1))
    assert inputs(recipe, home) == first
    assert inputs(changed(recipe, root=recipe.root + "/."), home) == first
    with open(os.path.join(recipe.root, "mlflow.db"), "a") as file:
        file.write("another run")
    assert inputs(recipe, home) == first
    with open(path, "a") as file:
        file.write("more")
    second = inputs(recipe, home)
    assert second != first
    os.chmod(path, 0o700)
    assert inputs(recipe, home) not in {first, second}


@pytest.mark.parametrize(
    "change",
    [
        {"dockerfile": "FROM y\n"},
        {"arguments": {"A": "1"}},
        {"target": "build"},
        {"platform": "linux/arm64"},
        {"folder": "code"},
    ],
)
def test_everything_else_counts_too(
    recipe: Recipe, tmp_path: Path, change: dict[str, object]
) -> None:
    home = str(tmp_path / "home")
    assert inputs(recipe, home) != inputs(changed(recipe, **change), home)


def test_a_digest_is_remembered_until_a_file_is_another(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = str(tmp_path / "home")
    monkeypatch.setattr(context, "SETTLED", -60.0)
    first = inputs(recipe, home)
    with monkeypatch.context() as patch:
        patch.setattr(context, "file_digest", None)  # nothing is read
        assert inputs(recipe, home) == first
    path = os.path.join(recipe.root, "a.log")
    before = os.stat(path)
    with open(path, "w") as file:
        file.write("b.log")  # as long as before
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert inputs(recipe, home) != first
