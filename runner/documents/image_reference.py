"""Names of images: ``[registry/]repository[:tag][@digest]``, or an image's id.

Source: the grammar of the OCI distribution specification and of docker's ``reference`` package.
"""

from __future__ import annotations

import re

from runner.errors import SpecError
from runner.model.value import Value

COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
REFERENCE = re.compile(
    rf"(?P<repository>(?:{DOMAIN}/)?{COMPONENT}(?:/{COMPONENT})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
IDENTIFIER = re.compile(r"sha256:[0-9a-f]{64}|[0-9a-f]{64}")
PUBLIC = "docker.io"
"""The registry that engines ask for names without one."""
LATEST = "latest"


class Reference(Value):
    """A parsed name. ``identifier`` is set, and all else empty, when it is an image's id."""

    text: str
    repository: str = ""
    tag: str | None = None
    digest: str | None = None
    identifier: str | None = None

    @property
    def registry(self) -> str:
        """The registry that has the image, as engines understand names."""
        first, slash, _ = self.repository.partition("/")
        named = slash and ("." in first or ":" in first or first == "localhost")
        return first if named else PUBLIC

    @property
    def version(self) -> str:
        """What follows the repository when a registry is asked: digest, else tag."""
        return self.digest or self.tag or LATEST

    @property
    def is_pinned(self) -> bool:
        """Whether the name can mean one image only."""
        return self.digest is not None or self.identifier is not None

    def names(self, published: str) -> bool:
        """Whether a ``repository@digest`` of an engine is of this repository."""
        return _full(published.partition("@")[0]) == _full(self.repository)


def _full(repository: str) -> str:
    """Write a repository with its registry, as engines shorten it differently (Podman: never)."""
    first, slash, rest = repository.partition("/")
    if not slash:
        return f"{PUBLIC}/library/{repository}"
    if "." in first or ":" in first or first == "localhost":
        is_short = first == PUBLIC and "/" not in rest
        return f"{PUBLIC}/library/{rest}" if is_short else repository
    return f"{PUBLIC}/{repository}"


def parsed(text: str, *, where: str | None = None) -> Reference:
    """Read the name of an image.

    Raises:
        SpecError: It is none.
    """
    if IDENTIFIER.fullmatch(text):
        return Reference(text=text, identifier=f"sha256:{text.removeprefix('sha256:')}")
    found = REFERENCE.fullmatch(text)
    if not found:
        lower = text.lower()
        could_be = lower != text and REFERENCE.fullmatch(lower)
        raise SpecError(
            f"{text!r} is not the name of an image",
            where=where,
            hint=f"repositories are written in lower case: {lower}"
            if could_be
            else "for example python:3.12, ghcr.io/team/image:1 or repository@sha256:...",
        )
    return Reference(
        text=text,
        repository=found["repository"],
        tag=found["tag"],
        digest=found["digest"],
    )
