"""Servers for a team in tests, and clients with a name and a password."""

import base64
import contextlib
from collections.abc import Iterator
from typing import Any

from driving import Client

from runner.model.server import ServerOptions
from runner.ports import TrackingStore
from runner.serving.team_server import TeamServer


@contextlib.contextmanager
def serving(store: TrackingStore, **options: Any) -> Iterator[TeamServer]:
    """Run a server on a free port."""
    server = TeamServer(store, ServerOptions(port=0, **options))
    server.start()
    try:
        yield server
    finally:
        server.close()


def basic(name: str, password: str) -> dict[str, str]:
    """Return the header of HTTP's basic scheme."""
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


class Member(Client):
    """A client that logs in."""

    def __init__(self, uri: str, headers: dict[str, str]) -> None:
        super().__init__(uri)
        self.headers = headers

    def raw(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        return super().raw(method, path, body, {**self.headers, **(headers or {})})
