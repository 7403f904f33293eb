"""The container engine: where it listens, a connection to it, and its troubles in our words.

Docker and Podman speak the same API (Docker Engine API). An engine is looked for as the ``docker``
program does: ``DOCKER_HOST``, then the context (``DOCKER_CONTEXT``, else ``currentContext`` in
``config.json``), then the sockets that engines make. The docker SDK costs a tenth of a second to
import, so it is imported by ``connect`` only.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager

from runner.errors import BackendError
from runner.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from docker import DockerClient

    from runner.errors import RunprojError

PATIENCE = 60
"""Seconds that the engine may take to answer, where the answer does not wait for a container."""
START_HINT = "start docker (or podman), or say in DOCKER_HOST where it listens"


class EngineAddress(Value):
    """Where an engine listens, and the certificates to show it (paths, for ``tcp:`` with TLS).

    ``origin`` says in words who named the address.
    """

    url: str
    origin: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True

    @property
    def socket(self) -> str | None:
        """The path of the engine's socket, None when it is not reached through one."""
        return self.url.removeprefix("unix://") if self.url.startswith("unix://") else None

    @property
    def is_local(self) -> bool:
        """Whether the engine sees the files and the loopback of this machine, as far as we know.

        An engine in a virtual machine (Docker Desktop) shares the files and forwards the loopback.
        """
        if self.socket is not None:
            return True
        host = self.url.partition("://")[2].rpartition("@")[2].partition("/")[0]
        return host.rpartition(":")[0].strip("[]") in {"localhost", "127.0.0.1", "::1"}


def address(environ: Mapping[str, str]) -> EngineAddress:
    """Find the engine, without asking it anything.

    Raises:
        BackendError: Nobody says where it is and it is in none of the usual places, or the
            context that was asked for is not there.
    """
    if url := environ.get("DOCKER_HOST", "").strip():
        folder = environ.get("DOCKER_CERT_PATH") or _configuration(environ)
        secured = bool(environ.get("DOCKER_TLS_VERIFY") or environ.get("DOCKER_TLS"))
        return EngineAddress(
            url=_checked(url, "DOCKER_HOST"),
            origin="DOCKER_HOST",
            **(_certificates(folder) if secured else {}),
            verify=bool(environ.get("DOCKER_TLS_VERIFY")) or not secured,
        )
    context, origin = _context_name(environ)
    if context != "default":
        return _of_context(context, origin, _configuration(environ))
    places = _usual_sockets(environ)
    for path in places:
        if os.path.exists(path):
            return EngineAddress(url=f"unix://{path}", origin=path)
    raise BackendError(
        f"there is no container engine: none of its usual sockets exists ({places[0]}, ...)",
        hint=START_HINT,
    )


def _configuration(environ: Mapping[str, str]) -> str:
    return environ.get("DOCKER_CONFIG") or os.path.join(environ.get("HOME", "/"), ".docker")


def _checked(url: str, origin: str) -> str:
    if url.startswith(("unix:///", "tcp://", "http://", "https://", "ssh://")):
        return url
    raise BackendError(
        f"{origin} is {url!r}, which is no address of a container engine",
        hint="for example unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host",
    )


def _context_name(environ: Mapping[str, str]) -> tuple[str, str]:
    if name := environ.get("DOCKER_CONTEXT"):
        return name, "DOCKER_CONTEXT"
    path = os.path.join(_configuration(environ), "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        return str(found.get("currentContext") or "default"), path
    except (OSError, ValueError, AttributeError):
        return "default", ""


def _of_context(name: str, origin: str, configuration: str) -> EngineAddress:
    """Read a context where the ``docker`` program keeps it, in a folder named by its digest."""
    from runner.hashing import sha256

    folder = sha256(name.encode()).hexdigest()
    path = os.path.join(configuration, "contexts", "meta", folder, "meta.json")
    try:
        with open(path, encoding="utf-8") as file:
            endpoint = json.load(file)["Endpoints"]["docker"]
        url = _checked(str(endpoint["Host"]), f"the docker context {name!r}")
    except (OSError, ValueError, KeyError, TypeError):
        raise BackendError(
            f"there is no docker context named {name!r}, which {origin} asks for",
            hint="'docker context ls' lists them; DOCKER_CONTEXT=default takes the usual socket",
        ) from None
    certificates = os.path.join(configuration, "contexts", "tls", folder, "docker")
    return EngineAddress(
        url=url,
        origin=f"the docker context {name!r}",
        **(_certificates(certificates) if os.path.isdir(certificates) else {}),
        verify=not endpoint.get("SkipTLSVerify"),
    )


def _certificates(folder: str) -> dict[str, Any]:
    names = {"ca": "ca.pem", "certificate": "cert.pem", "key": "key.pem"}
    paths = {field: os.path.join(folder, name) for field, name in names.items()}
    return {field: path for field, path in paths.items() if os.path.exists(path)}


def _usual_sockets(environ: Mapping[str, str]) -> list[str]:
    """Return where Docker (rootful, rootless, Desktop) and Podman listen, the likeliest first."""
    home = environ.get("HOME", "/")
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return [
        "/var/run/docker.sock",
        os.path.join(runtime, "docker.sock"),
        os.path.join(home, ".docker", "run", "docker.sock"),
        os.path.join(home, ".docker", "desktop", "docker.sock"),
        os.path.join(runtime, "podman", "podman.sock"),
        "/run/podman/podman.sock",
    ]


def connect(environ: Mapping[str, str]) -> DockerClient:
    """Open a connection to the engine.

    Raises:
        BackendError: There is no engine, it does not answer, or it does not let us in.
    """
    where = address(environ)
    if where.socket is not None:
        knock(where, where.socket)
    from docker import DockerClient
    from docker.tls import TLSConfig

    with translated(where):
        tls = None
        if where.certificate and where.key:
            pair = (where.certificate, where.key)
            tls = TLSConfig(client_cert=pair, ca_cert=where.ca, verify=where.verify)
        elif where.ca:
            tls = TLSConfig(ca_cert=where.ca, verify=where.verify)
        return DockerClient(
            base_url=where.url,
            tls=tls or False,
            timeout=PATIENCE,
            use_ssh_client=where.url.startswith("ssh://"),
        )


@contextmanager
def translated(
    where: EngineAddress, error_class: type[RunprojError] = BackendError, *, doing: str = ""
) -> Iterator[None]:
    """Turn the SDK's errors into one sentence with a hint; ``doing`` says what was tried."""
    from docker.errors import DockerException
    from requests import RequestException

    try:
        yield
    except (DockerException, RequestException, OSError) as error:
        sentence, hint = explained(error, where)
        if doing:
            sentence = f"{doing}: {sentence}"
        raise error_class(sentence, where=where.url, hint=hint) from error


def explained(error: Exception, where: EngineAddress) -> tuple[str, str | None]:
    """Say what went wrong between us and the engine, and what to do about it."""
    if type(error).__module__ == "builtins" and isinstance(error, OSError):
        return _unreachable(error, where)
    from docker.errors import APIError
    from requests import ConnectionError as Unconnected
    from requests import Timeout

    name = where.socket or where.url
    if isinstance(error, APIError):
        return one_line(str(error.explanation or error)), None
    if isinstance(error, Timeout):
        return f"the container engine at {name} does not answer in time", START_HINT
    if isinstance(error, Unconnected):
        return f"the connection to the container engine at {name} broke off", START_HINT
    if "Connection" in str(error):
        return f"no container engine answers at {name}", START_HINT
    return one_line(str(error)), None


def _unreachable(error: OSError, where: EngineAddress) -> tuple[str, str]:
    """Say why nobody answers at an engine's address; needs no SDK."""
    name = where.socket or where.url
    if isinstance(error, PermissionError):
        return (
            f"you are not allowed to use the container engine at {name}",
            "ask to become a member of its group ('docker'), or use a rootless engine",
        )
    if isinstance(error, FileNotFoundError):
        return f"there is no container engine at {name}, which {where.origin} names", START_HINT
    if isinstance(error, TimeoutError):
        return f"the container engine at {name} does not answer in time", START_HINT
    return f"no container engine answers at {name}: {error.strerror or error}", START_HINT


def knock(where: EngineAddress, path: str) -> None:
    """See whether anybody answers at a socket, before the SDK is imported.

    Raises:
        BackendError: Nobody does, or we are not let in.
    """
    from _socket import AF_UNIX, socket

    listener = socket(AF_UNIX)
    try:
        listener.connect(path)
    except OSError as error:
        sentence, hint = _unreachable(error, where)
        raise BackendError(sentence, hint=hint) from None
    finally:
        listener.close()


def one_line(text: str) -> str:
    """Return an engine's message as one sentence: its first line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else "the container engine gave no reason").rstrip(".")
