"""Which images a Dockerfile begins with."""

from __future__ import annotations

import pytest

from runner.documents.dockerfile import bases, pinned
from runner.errors import SpecError

WHERE = "Dockerfile"
STAGES = """\
# syntax of our own
ARG VERSION=3.12
ARG BASE
FROM python:${VERSION}-slim AS build
ARG VERSION=ignored
COPY . /src
FROM --platform=linux/amd64 $BASE as Runtime
COPY --from=build /src /src
COPY --chown=1:1 --from=docker.io/busybox:1 /bin/busybox /bin/
COPY --from=0 /src /again
FROM runtime
FROM scratch
"""


def test_stages_and_copies_name_images() -> None:
    found = bases(STAGES, {"BASE": "alpine:3"}, where=WHERE)

    assert found == ("python:3.12-slim", "alpine:3", "docker.io/busybox:1")


def test_arguments_win_over_defaults() -> None:
    assert bases(STAGES, {"BASE": "a", "VERSION": "3.11"}, where=WHERE)[0] == "python:3.11-slim"


def test_pins_replace_names_and_nothing_else() -> None:
    text = pinned(STAGES, {"BASE": "alpine:3"}, {"alpine:3": "alpine@sha256:1"}, where=WHERE)

    changed = [
        (one, other)
        for one, other in zip(STAGES.split("\n"), text.split("\n"), strict=True)
        if one != other
    ]
    assert changed == [
        (
            "FROM --platform=linux/amd64 $BASE as Runtime",
            "FROM --platform=linux/amd64 alpine@sha256:1 as Runtime",
        )
    ]


@pytest.mark.parametrize(
    ("line", "image"),
    [
        ("FROM ${A:-python:3}", "python:3"),
        ("FROM a${A:+b}c", "ac"),
        ("from lower:1", "lower:1"),
        ("\tFROM\t tabs:1 \r", "tabs:1"),
        ('FROM "quoted:1"', "quoted:1"),
    ],
)
def test_forms_of_from(line: str, image: str) -> None:
    assert bases(line, {}, where=WHERE) == (image,)


def test_a_name_without_value_is_placed() -> None:
    with pytest.raises(SpecError, match="BASE has no value") as caught:
        bases(STAGES, {}, where=WHERE)
    assert caught.value.where == "Dockerfile:7"
    assert "args" in (caught.value.hint or "")


def test_no_from_at_all() -> None:
    with pytest.raises(SpecError, match="no FROM line"):
        bases("RUN true\n", {}, where=WHERE)
