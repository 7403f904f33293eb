"""Artifacts in a folder: nothing gets out of it, nothing is half written."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING

import pytest

from runner.errors import StoreError
from runner.stores.artifacts import PARTIAL, FolderArtifacts, UnreachableArtifacts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("precious", encoding="utf-8")
    return folder


@pytest.fixture
def artifacts(tmp_path: Path) -> FolderArtifacts:
    (tmp_path / "run").mkdir()
    return FolderArtifacts(str(tmp_path / "run"))


def status(error: pytest.ExceptionInfo[StoreError]) -> str:
    return error.value.status


def test_links_out_of_the_folder_lead_nowhere(
    artifacts: FolderArtifacts, outside: Path, tmp_path: Path
) -> None:
    os.symlink(outside, tmp_path / "run" / "link")
    os.symlink(outside / "secret", tmp_path / "run" / "file")
    os.symlink("../outside/new", tmp_path / "run" / "dangling")
    for path in ("link/secret", "link/new", "file", "dangling", "link"):
        with pytest.raises(StoreError) as caught:
            artifacts.put(path, b"x")
        assert status(caught) == "INVALID_PARAMETER_VALUE"
        with pytest.raises(StoreError):
            artifacts.open(path)
        with pytest.raises(StoreError):
            artifacts.delete(path)
    assert artifacts.list() == ()
    assert (outside / "secret").read_text(encoding="utf-8") == "precious"
    assert os.listdir(outside) == ["secret"]


def test_links_inside_are_fine(artifacts: FolderArtifacts, tmp_path: Path) -> None:
    artifacts.put("d/a", b"x")
    os.symlink("d/a", tmp_path / "run" / "also")
    assert [a.path for a in artifacts.list()] == ["also", "d/a"]
    with artifacts.open("also") as file:
        assert file.read() == b"x"
    artifacts.put("also", b"y")  # replaces the link, not what it points to
    with artifacts.open("d/a") as file:
        assert file.read() == b"x"


def test_circles_end(artifacts: FolderArtifacts, tmp_path: Path) -> None:
    os.symlink(".", tmp_path / "run" / "loop")
    artifacts.put("a", b"x")
    assert [a.path for a in artifacts.list()] == ["a"]


def test_a_root_that_is_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "run")
    artifacts = FolderArtifacts(str(tmp_path / "run"))
    artifacts.put("d/a", b"x")
    assert (tmp_path / "real" / "d" / "a").read_bytes() == b"x"
    assert [a.path for a in artifacts.list()] == ["d/a"]


def test_special_files_are_not_opened(artifacts: FolderArtifacts, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run" / "pipe")
    with pytest.raises(StoreError) as caught:
        artifacts.open("pipe")
    assert status(caught) == "RESOURCE_DOES_NOT_EXIST"
    assert artifacts.list() == ()


def test_files_under_way_are_not_seen(artifacts: FolderArtifacts, tmp_path: Path) -> None:
    reached, go_on = threading.Event(), threading.Event()

    class Slow(io.RawIOBase):
        chunks = (b"one", b"two", b"")

        def __init__(self) -> None:
            self.left = iter(self.chunks)

        def read(self, size: int = -1) -> bytes:  # noqa: ARG002 - as files have it
            reached.set()
            assert go_on.wait(60)
            return next(self.left)

    writer = threading.Thread(target=artifacts.put, args=("big", Slow()))
    writer.start()
    assert reached.wait(60)
    assert artifacts.list() == ()
    assert any(name.endswith(PARTIAL) for name in os.listdir(tmp_path / "run"))
    go_on.set()
    writer.join()
    assert [(a.path, a.size) for a in artifacts.list()] == [("big", 6)]
    assert os.listdir(tmp_path / "run") == ["big"]


def test_the_whole_folder_can_be_emptied(artifacts: FolderArtifacts) -> None:
    artifacts.put("d/a", b"x")
    artifacts.delete("d/a")
    artifacts.delete("d")
    assert artifacts.list() == ()


def test_listing_one_file(artifacts: FolderArtifacts) -> None:
    artifacts.put("d/a", b"xyz")
    assert [(a.path, a.size) for a in artifacts.list("d/a")] == [("d/a", 3)]


def test_unreachable_ones_refuse_everything() -> None:
    artifacts = UnreachableArtifacts("s3://me:secret@bucket/x")
    for action in (
        lambda: artifacts.put("a", b""),
        lambda: artifacts.open("a"),
        lambda: artifacts.list(),
        lambda: artifacts.delete("a"),
    ):
        with pytest.raises(StoreError) as caught:
            action()
        assert status(caught) == "NOT_IMPLEMENTED"
        assert "secret" not in caught.value.message
