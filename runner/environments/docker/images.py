"""The images on an engine: looking at them, and getting them from a registry."""

from __future__ import annotations

from runner.documents.image_reference import parsed
from runner.errors import EnvError
from runner.model.value import EMPTY, Digest, Value
from runner.system.engine_calls import NOT_FOUND, Engine, EngineRefusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from docker import DockerClient

    from runner.documents.image_reference import Reference
    from runner.ports import Reporter


class Image(Value):
    """An image as the engine has it.

    ``identifier`` is the engine's id of it, ``published`` are ``repository@digest`` names, sorted;
    ``platform`` is ``os/architecture[/variant]``.
    """

    identifier: Digest
    published: tuple[str, ...]
    platform: str
    labels: Mapping[str, str] = EMPTY

    def known_in(self, reference: Reference) -> tuple[str, ...]:
        """Return the names with digests that the image has in the repository of another name."""
        own = [name for name in self.published if reference.names(name)]
        if reference.digest:
            own = [name for name in own if name.endswith(reference.digest)] or own
        return tuple(own)

    def runnable(self, reference: Reference) -> str:
        """Return what the engine is to run: by digest where the repository has one, else by id."""
        own = self.known_in(reference)
        return own[0] if own else self.identifier

    def fits(self, platform: str | None) -> bool:
        """Whether the image is for a platform; one without variant means every variant."""
        return platform is None or f"{self.platform}/".startswith(f"{platform}/")


class Images:
    """The engine's images. Looking at one needs no SDK where the engine listens on a socket."""

    def __init__(self, environ: Mapping[str, str], reporter: Reporter | None = None) -> None:
        self._environ, self._reporter = environ, reporter
        self._client: DockerClient | None = None

    @property
    def client(self) -> DockerClient:
        """The SDK's client, connected at the first use."""
        if self._client is None:
            from runner.system.engine import connect

            self._client = connect(self._environ)
        return self._client

    def close(self) -> None:
        """Let go of the SDK's connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def look(self, name: str) -> Image | None:
        """Return an image by any of its names, None when the engine has none of that name.

        Raises:
            BackendError: The engine cannot be asked.
        """
        engine = Engine(self._environ)
        try:
            return _image(engine.ask("GET", f"/images/{name}/json"))
        except EngineRefusal as error:
            if error.status != NOT_FOUND:
                raise
            return None
        finally:
            engine.close()

    def resolve(self, name: str, *, pull: str, platform: str | None) -> Image:
        """Return the image that a name means now; ``pull`` says when a registry is asked.

        Raises:
            SpecError: The name is none.
            EnvError: The image is nowhere, or not for the platform.
        """
        reference = parsed(name)
        there = None if pull == "always" and not reference.identifier else self.look(name)
        if there is not None and there.fits(platform):
            return there
        if pull == "never" or reference.identifier:
            raise _absent(reference, there, platform)
        self.pull(reference, platform=platform)
        there = self.look(name)
        if there is None or not there.fits(platform):
            raise _absent(reference, there, platform)
        return there

    def pull(self, reference: Reference, *, platform: str | None = None) -> None:
        """Get an image from its registry.

        Raises:
            EnvError: The registry does not give it.
        """
        from runner.environments.docker.pulling import pull

        pull(self, reference, platform=platform, environ=self._environ, reporter=self._reporter)


def _image(found: Mapping[str, Any]) -> Image:
    parts = (found.get("Os"), found.get("Architecture"), found.get("Variant"))
    labels = (found.get("Config") or {}).get("Labels") or {}
    identifier = str(found["Id"])
    return Image(
        identifier=Digest(identifier if ":" in identifier else f"sha256:{identifier}"),
        published=tuple(sorted(map(str, found.get("RepoDigests") or ()))),
        platform="/".join(str(part) for part in parts if part),
        labels={str(k): str(v) for k, v in sorted(labels.items())},
    )


def _absent(reference: Reference, there: Image | None, platform: str | None) -> EnvError:
    if there is not None:
        return EnvError(
            f"the image {reference.text} is for {there.platform}, and {platform} is asked for",
            hint=f"docker pull --platform {platform} {reference.text}",
        )
    if reference.identifier:
        return EnvError(
            f"the engine has no image {reference.text}, and ids cannot be asked of a registry",
            hint="name the image by repository and digest: repository@sha256:...",
        )
    return EnvError(
        f"the image {reference.text} is not here, and 'pull: never' keeps from asking a registry",
        hint=f"docker pull {reference.text}, or 'pull: missing' in docker_env",
    )
