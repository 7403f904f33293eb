"""``image-lock.json``: written one way, read strictly, compared."""

from __future__ import annotations

import json

import pytest

from runner.environments.docker.lockfile import (
    LockDocument,
    LockedBuild,
    LockedImage,
    changes,
    read_lock,
    written,
)
from runner.environments.mixing import Mixer
from runner.errors import EnvError
from runner.model.value import Digest, changed
from runner.schema import validator

ONE, OTHER = (Digest(f"sha256:{letter * 64}") for letter in "ab")
IMAGE = LockedImage(
    reference="python:3.12",
    identifier=ONE,
    platform="linux/amd64",
    published=(f"python@{OTHER}",),
    labels={"a": "b"},
)
PULLED = LockDocument(image=IMAGE)
BUILT = LockDocument(build=LockedBuild(inputs=OTHER, dockerfile="Dockerfile", bases=(IMAGE,)))


@pytest.mark.parametrize("lock", [PULLED, BUILT])
def test_it_is_read_as_it_was_written_and_fits_its_schema(lock: LockDocument) -> None:
    content = written(lock)

    assert read_lock(content, shown="x") == lock
    assert [e.message for e in validator("image-lock").iter_errors(json.loads(content))] == []


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"null", b'{"version": 1}', b'{"version": 1, "image": 3, "build": null}'],
)
def test_what_is_no_lock_is_refused(content: bytes) -> None:
    with pytest.raises(EnvError, match="is no lock of an image"):
        read_lock(content, shown="image-lock.json")


def test_another_version_is_refused() -> None:
    with pytest.raises(EnvError, match="version 2"):
        read_lock(b'{"version": 2}', shown="image-lock.json")


def test_differences_are_told_by_image() -> None:
    moved = LockDocument(image=changed(IMAGE, identifier=OTHER))
    renamed = LockDocument(image=changed(IMAGE, reference="python:3.13"))

    assert changes(PULLED, PULLED) == ()
    assert changes(PULLED, moved) == ("~ python:3.12 aaaaaaaaaaaa -> bbbbbbbbbbbb",)
    assert changes(PULLED, renamed) == ("- python:3.12", "+ python:3.13 aaaaaaaaaaaa")
    assert changes(BUILT, PULLED) == ()


def test_images_are_not_mixed() -> None:
    with pytest.raises(EnvError, match="exchanged one by one"):
        Mixer().differing(written(PULLED), written(BUILT))
