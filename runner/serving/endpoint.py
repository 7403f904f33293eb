"""A run's own tracking endpoint: bound early, imported late.

Binding a port and telling the command about it is all that a run pays (see
``docs/design/endpoint.md``); the server itself is imported when the first client knocks.
"""

from __future__ import annotations

import os
from _socket import SHUT_RDWR, socket  # what ``socket`` is made of: 0.3 ms, ``socket`` 2 to 5

from runner.errors import BackendError
from runner.model.value import EMPTY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from runner.model.tracking import TrackedRun
    from runner.ports import TrackingStore
    from runner.serving.server import Server
    from runner.serving.service import Service

LOOPBACK = "127.0.0.1"
BACKLOG = 1024
"""Connections that the kernel keeps for us until the server is up."""

RETRIES = "3"
"""Instead of MLflow's 7 (with back-off): a client whose endpoint is gone gives up in seconds, not
in the four minutes that were measured."""


class LoopbackEndpoint:
    """MLflow's REST API for the command of one run; implements ``runner.ports.Endpoint``.

    The address holds an unguessable token, so that no other user of the machine can write.
    ``nested`` is the URI of the store for runs inside this one, when it takes more than its own.
    """

    def __init__(
        self,
        *,
        store: TrackingStore,
        run: TrackedRun,
        environ: Mapping[str, str] = EMPTY,
        nested: str | None = None,
    ) -> None:
        self._store = store
        self._nested = nested or store.uri
        self._run = run
        self._environ = environ
        self._token = os.urandom(16).hex()
        self._server: Server | None = None
        self._service: Service | None = None
        self._listener = socket()
        try:
            self._listener.bind((LOOPBACK, 0))
            self._listener.listen(BACKLOG)
        except OSError as error:
            self._listener.close()
            raise BackendError(
                f"the tracking endpoint cannot listen on {LOOPBACK}: {error.strerror}"
            ) from error
        self.port: int = self._listener.getsockname()[1]

    @property
    def uri(self) -> str:
        """The tracking URI for the run's clients."""
        return f"http://{LOOPBACK}:{self.port}/r/{self._token}"

    @property
    def variables(self) -> Mapping[str, str]:
        """What the command needs in its environment to find the endpoint."""
        run = self._run
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_RUN_ID": run.run_id,
            "MLFLOW_EXPERIMENT_ID": run.experiment_id,
            "RUNPROJ_ENDPOINT": self.uri,
            "RUNPROJ_TRACKING_URI": self._nested,
            "RUNPROJ_RUN_ID": run.run_id,
            "RUNPROJ_EXPERIMENT_ID": run.experiment_id,
            **manners(self._environ),
        }

    def fileno(self) -> int:
        """The listening socket; readable when the first client knocks."""
        return self._listener.fileno()

    def serve(self) -> None:
        """Start answering, in threads; called once, when the socket became readable."""
        from runner.serving.gate import Gate
        from runner.serving.server import Server
        from runner.serving.service import Service

        self._service = Service(self._store, run=self._run)
        gate = Gate(token=self._token, service=self._service)
        self._server = Server(self._listener.detach(), answer=gate.answer)
        self._server.start()

    def close(self, *, within: timedelta) -> bool:
        """Finish requests under way and waiting, then stop; say whether anybody was answered.

        The listening socket is shut down, not only closed: a supervisor that was forked from us
        may hold a copy, and clients must be refused rather than kept waiting.
        """
        if self._server is None:
            if self._listener.fileno() < 0:
                return False
            if not _someone_waits(self._listener.fileno()):
                self._listener.shutdown(SHUT_RDWR)
                self._listener.close()
                return False
            self.serve()
        if self._server is not None:
            self._server.close(within=within.total_seconds())
        if self._service is not None:
            self._service.close()
        return True


def _someone_waits(listener: int) -> bool:
    """Whether a client that came after the last look is still in the backlog."""
    import select

    poller = select.poll()
    poller.register(listener, select.POLLIN)
    return bool(poller.poll(0))


def manners(environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables that keep clients of a short-lived local server well-behaved.

    Proxies are told to keep out of loopback; MLflow's clients retry less and do not print links
    that die with the run. What the user has chosen stays.
    """
    excluded = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in excluded.split(",") if host.strip()]
    if "*" not in hosts:
        hosts += [host for host in (LOOPBACK, "localhost") if host not in hosts]
    excluded = ",".join(hosts)
    wished = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": RETRIES,
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    chosen = {name: value for name, value in wished.items() if name not in environ}
    return {"no_proxy": excluded, "NO_PROXY": excluded, **chosen}
