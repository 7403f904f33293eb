"""Names of images, as engines read them."""

from __future__ import annotations

import pytest

from runner.documents.image_reference import parsed
from runner.errors import SpecError

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


@pytest.mark.parametrize(
    ("text", "repository", "version", "registry"),
    [
        ("python", "python", "latest", "docker.io"),
        ("python:3.12-slim", "python", "3.12-slim", "docker.io"),
        ("team/image", "team/image", "latest", "docker.io"),
        ("ghcr.io/Team/x".lower(), "ghcr.io/team/x", "latest", "ghcr.io"),
        ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b", "1", "127.0.0.1:5000"),
        ("localhost/a", "localhost/a", "latest", "localhost"),
        ("[::1]:5000/a:1", "[::1]:5000/a", "1", "[::1]:5000"),
        (f"a/b@{DIGEST}", "a/b", DIGEST, "docker.io"),
        (f"a/b:1@{DIGEST}", "a/b", DIGEST, "docker.io"),
    ],
)
def test_a_name_has_parts(text: str, repository: str, version: str, registry: str) -> None:
    found = parsed(text)

    assert (found.repository, found.version, found.registry) == (repository, version, registry)
    assert found.is_pinned == ("@" in text)


def test_an_id_is_no_name() -> None:
    assert parsed(DIGEST).identifier == DIGEST
    assert parsed(DIGEST.removeprefix("sha256:")).identifier == DIGEST
    assert parsed(DIGEST).is_pinned


@pytest.mark.parametrize(
    "text",
    ["", " ", "a b", "a:", ":1", "a:b:c", "-a", "a//b", "a@sha256:123", "http://a/b", "a;b", "$A",
     "a\nb", f"a:{'x' * 129}", "a/../b", "--privileged"],
)  # fmt: skip
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="is not the name of an image") as caught:
        parsed(text, where="MLproject:3:3")
    assert caught.value.where == "MLproject:3:3"
    assert caught.value.hint


def test_upper_case_is_explained() -> None:
    with pytest.raises(SpecError) as caught:
        parsed("Team/Image:V1")
    assert caught.value.hint == "repositories are written in lower case: team/image:v1"


@pytest.mark.parametrize(
    ("name", "published", "same"),
    [
        ("python:3.12", "python@x", True),
        ("python:3.12", "docker.io/library/python@x", True),
        ("docker.io/python", "docker.io/library/python@x", True),
        ("team/image", "docker.io/team/image@x", True),
        ("python", "ghcr.io/library/python@x", False),
        ("a.b/image", "a.b/image@x", True),
        ("a.b/image", "image@x", False),
    ],
)
def test_repositories_are_compared_as_engines_write_them(
    name: str, published: str, *, same: bool
) -> None:
    assert parsed(name).names(published) == same
