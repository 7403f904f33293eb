"""Getting an image from its registry, and saying in one sentence why it cannot be had."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runner.errors import EnvError
from runner.model.event import Progress, Step, StepDone
from runner.system.engine import address, explained, one_line, translated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from runner.documents.image_reference import Reference
    from runner.environments.docker.images import Images
    from runner.ports import Reporter

REFUSED = ("unauthorized", "denied", "authentication required", "no basic auth", "forbidden")
UNKNOWN = ("manifest unknown", "not found", "name unknown", "does not exist")
UNREACHABLE = (
    "connection refused", "no such host", "i/o timeout", "network is unreachable", "dial tcp",
    "temporary failure", "tls handshake", "connection reset", "client.timeout", "no route to host",
    "server misbehaving",
)  # fmt: skip
OTHER_PLATFORM = ("no matching manifest", "no image found in manifest list", "does not match")
QUIET = frozenset({"Downloading", "Extracting", "Waiting", "Verifying Checksum", "Pulling fs layer",
                   "Already exists", "Download complete"})  # fmt: skip
"""States of layers that say nothing to people who read a log."""


def pull(
    images: Images,
    reference: Reference,
    *,
    platform: str | None,
    environ: Mapping[str, str],
    reporter: Reporter | None,
) -> None:
    """Get an image from its registry.

    Raises:
        EnvError: The registry does not give it.
    """
    from docker.errors import APIError

    where = address(environ)
    began = time.monotonic()
    if reporter:
        reporter.report(Step(verb="pulling", subject=reference.text))
    with translated(where):
        try:
            answers = images.client.api.pull(
                reference.repository,
                tag=reference.version,
                stream=True,
                decode=True,
                platform=platform,
            )
            _follow(answers, reference, platform, reporter)
        except APIError as error:
            raise refused(explained(error, where)[0], reference, platform) from None
    if reporter:
        seconds = time.monotonic() - began
        reporter.report(StepDone(verb="pulling", subject=reference.text, seconds=seconds))


def _follow(
    answers: Iterable[Mapping[str, Any]],
    reference: Reference,
    platform: str | None,
    reporter: Reporter | None,
) -> None:
    """Hand on what the engine says; an error comes in the stream, with status 200."""
    failure = None
    for answer in answers:  # to its end, also after an error: the connection is closed then
        if "error" in answer and failure is None:
            failure = refused(one_line(str(answer["error"])), reference, platform)
        status = str(answer.get("status", ""))
        if reporter and status and status not in QUIET:
            layer = f"{answer['id']}: " if answer.get("id") else ""
            reporter.report(Progress(line=f"{layer}{status}"))
    if failure is not None:
        raise failure


def refused(message: str, reference: Reference, platform: str | None) -> EnvError:
    """Word why a registry did not give an image, from what the engine said."""
    said, registry = message.lower(), reference.registry
    name = reference.text
    if any(words in said for words in UNREACHABLE):
        return EnvError(
            f"the image {name} is not here, and its registry {registry} cannot be reached",
            where=message,
            hint="'pull: never' in docker_env uses what the engine has",
        )
    if any(words in said for words in OTHER_PLATFORM):
        return EnvError(
            f"the registry {registry} has {name}, but not for {platform or 'this machine'}",
            where=message,
            hint="choose another 'platform' in docker_env, or another image",
        )
    if any(words in said for words in REFUSED):
        return EnvError(
            f"the registry {registry} does not give {name} to us: it does not exist, or needs a "
            "login",
            where=message,
            hint=f"check the name, or 'docker login {registry}'",
        )
    if any(words in said for words in UNKNOWN):
        return EnvError(
            f"the registry {registry} has no image {name}",
            where=message,
            hint="check the name and the tag",
        )
    return EnvError(f"the image {name} cannot be pulled: {message}")
