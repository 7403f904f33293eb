"""The composition root: settings become services. The only module that names adapters.

Every adapter is imported when it is first asked for, so that a run pays only for what it uses.
"""

from __future__ import annotations

from runner.errors import PluginError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from runner.errors import StoreError
    from runner.model.tracking import TrackedRun
    from runner.ports import (
        Backend,
        Endpoint,
        EnvironmentBuilder,
        EnvironmentCatalog,
        LockMixer,
        ProjectLocks,
        Reporter,
        Source,
        SourceRestorer,
        TrackingStore,
    )
    from runner.settings import Settings
    from runner.stores.spool import RunSpool

MANAGERS = ("uv", "virtualenv", "rattler", "local")
"""The environment builders; ``local`` uses what the host has and builds nothing."""
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""For a server that is asked by the way, while somebody waits; a timeout that is set stays."""
ON_REQUEST = ("conda", "mamba", "micromamba")
"""Environment builders that need an installed program, and are only used when asked for."""


class Application:
    """Runproj's services, made from settings; see ``runner.ports.Services``."""

    def __init__(self, settings: Settings, reporter: Reporter) -> None:
        self.settings = settings
        self.reporter = reporter
        self._store: TrackingStore | None = None
        self._shelter_of: Callable[[str], TrackingStore | None] | None = None

    @property
    def home(self) -> str:
        """The directory for everything that can be made again."""
        return self.settings.home

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables that Runproj was started with."""
        return self.settings.environ

    @property
    def now(self) -> Callable[[], datetime]:
        """The clock."""
        return utc_now

    @property
    def sources(self) -> Iterator[Source]:
        """Folder, archive, git: in the order in which they are asked."""
        from runner.sources.folder import FolderSource

        yield FolderSource(home=self.home, environ=self.environ)

        from runner.sources.archive import ArchiveSource

        yield ArchiveSource(home=self.home, environ=self.environ, reporter=self.reporter)

        from runner.sources.git import GitSource

        yield GitSource(home=self.home, environ=self.environ, reporter=self.reporter)

    @property
    def restorer(self) -> SourceRestorer:
        """What brings the files of an earlier run back."""
        from runner.sources.restored import Restorer

        return Restorer(home=self.home, environ=self.environ, reporter=self.reporter)

    @property
    def managers(self) -> tuple[str, ...]:
        """The names of the environment builders, the preferred one first."""
        return MANAGERS

    def builder(self, name: str) -> EnvironmentBuilder:
        """Return one environment builder."""
        if name in {"uv", "virtualenv"}:
            from runner.environments.python import PythonBuilder

            return PythonBuilder(
                manager=name, home=self.home, environ=self.environ, reporter=self.reporter
            )
        if name == "rattler" or name in ON_REQUEST:
            from runner.environments.conda.builder import CondaBuilder

            return CondaBuilder(
                manager=name, home=self.home, environ=self.environ, reporter=self.reporter
            )
        if name == "local":
            from runner.environments.host import HostBuilder

            return HostBuilder(home=self.home, environ=self.environ)
        raise PluginError(
            f"no environment manager named {name!r}",
            hint=f"choose one of {', '.join((*MANAGERS, *ON_REQUEST))}",
        )

    @property
    def environments(self) -> EnvironmentCatalog:
        """The environments that were built."""
        from runner.environments.catalog import Catalog

        return Catalog(home=self.home, environ=self.environ)

    @property
    def lock_mixer(self) -> LockMixer:
        """What makes locks of parts of two others."""
        from runner.environments.mixing import Mixer

        return Mixer()

    @property
    def project_locks(self) -> ProjectLocks:
        """The locks that lie in projects."""
        from runner.environments.project_locks import KindsOfLocks

        return KindsOfLocks(home=self.home, environ=self.environ, reporter=self.reporter)

    def backend(self, name: str) -> Backend:
        """Return one backend."""
        if name == "local":
            from runner.backends.local import LocalBackend

            return LocalBackend(environ=self.environ)
        raise PluginError(f"no backend named {name!r}", hint="the only backend so far is 'local'")

    @property
    def store(self) -> TrackingStore:
        """The tracking store, opened at the first use."""
        if self._store is None:
            uri = self.settings.tracking_uri
            is_server = uri is not None and uri.startswith(("http://", "https://"))
            if uri and is_server and not self.settings.require_tracking:
                self._store = self._spooling(uri)
            else:
                from runner.stores.opening import open_store

                self._store = open_store(
                    uri, directory=self.settings.directory, environ=self.environ
                )
        return self._store

    def _spooling(self, uri: str) -> TrackingStore:
        from runner.stores.spooling import SpoolingStore

        store = SpoolingStore(
            uri,
            directory=self.settings.directory,
            environ=self.environ,
            spool=self.spool,
            tell=self._tell_of_failure,
        )
        self._shelter_of = store.shelter_of
        return store

    def _tell_of_failure(self, error: StoreError) -> None:
        from runner.model.event import Warned
        from runner.model.spec import Problem

        problem = Problem(
            severity="warning",
            rule="tracking-unavailable",
            message=f"{error.message}; the run goes on and is recorded on this machine",
            hint="'runproj sync' delivers it when the server is back",
        )
        self.reporter.report(Warned(problem=problem))

    @property
    def spool(self) -> RunSpool:
        """What waits to be delivered to tracking servers."""
        from runner.stores.spool import RunSpool

        return RunSpool(self.settings.spool)

    def opened(self, uri: str, *, patient: bool = True) -> TrackingStore:
        """Open another store, with our credentials if it is ours; the caller closes it."""
        from runner.redaction import without_credentials
        from runner.stores.opening import open_store

        ours = self.settings.tracking_uri
        if ours and without_credentials(ours) == uri:
            uri = ours
        environ = self.environ
        if not patient:
            timeout = {k: v for k, v in environ.items() if k == "MLFLOW_HTTP_REQUEST_TIMEOUT"}
            environ = {**environ, **IMPATIENT, **timeout}
        return open_store(uri, directory=self.settings.directory, environ=environ)

    def close(self) -> None:
        """Let go of the store, if it was opened: a database is one file again."""
        if self._store is not None:
            self._store.close()

    @property
    def tracking_uri(self) -> str:
        """The store's URI as it was given."""
        return self.settings.tracking_uri or self.store.uri

    def endpoint(self, run: TrackedRun) -> Endpoint | None:
        """Bind an endpoint for a run's command; None when the store is a server itself."""
        store = self.store
        if store.uri.startswith(("http://", "https://")):
            spooled = self._shelter_of(run.run_id) if self._shelter_of else None
            if spooled is None:
                return None
            store = spooled
        from runner.serving.endpoint import LoopbackEndpoint

        return LoopbackEndpoint(store=store, run=run, environ=self.environ)


def utc_now() -> datetime:
    """Return the time, aware and in UTC."""
    from datetime import UTC, datetime

    return datetime.now(UTC)
