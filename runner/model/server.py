"""What a server for a team is asked to be."""

from __future__ import annotations

from runner.model.value import Value

MIB = 1 << 20


class ServerOptions(Value):
    """How ``runproj server`` listens, whom it lets in, and what it bears.

    ``artifacts`` is where artifacts of new experiments go, None beside the store; ``users`` the
    accounts file, None when everybody may do everything. ``allowed_hosts`` are names under which
    clients may call the server, besides its own; ``allowed_origins`` web pages (scheme, host and
    port) that may use it. ``max_body`` bounds a call and ``max_upload`` an artifact, in bytes;
    ``grace`` is how many seconds requests under way have when the server stops.
    """

    host: str = "127.0.0.1"
    port: int = 5000
    artifacts: str | None = None
    users: str | None = None
    certificate: str | None = None
    key: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_body: int = 16 * MIB
    max_upload: int | None = None
    threads: int = 32
    grace: float = 10.0
    access_log: str | None = None
