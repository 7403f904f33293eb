"""The composition root: settings become services. The only module that names adapters.

Every adapter is imported when it is first asked for, so that a run pays only for what it uses.
"""

from __future__ import annotations

from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from runner.model.project import RecordedSource
    from runner.model.server import ServerOptions
    from runner.model.tracking import TrackedRun
    from runner.ports import (
        Backend,
        CommitHistory,
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
    from runner.serving.accounts import Accounts
    from runner.serving.team_server import TeamServer
    from runner.settings import Settings

MANAGERS = ("uv", "virtualenv", "rattler", "docker", "local")
"""The environment builders; ``local`` uses what the host has and builds nothing."""
ON_REQUEST = ("conda", "mamba", "micromamba")
"""Environment builders that need an installed program, and are only used when asked for."""
OFFLINE = {"UV_OFFLINE": "1", "CONDA_OFFLINE": "1"}
"""What uv and we ourselves understand as a ban on fetching packages."""

SERVERS = ("http://", "https://")
CREDENTIALS = frozenset(
    {
        "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    }
)  # fmt: skip
"""Variables with which the configured server is asked."""


class Application:
    """Runproj's services, made from settings; see ``runner.ports.Services``."""

    def __init__(self, settings: Settings, reporter: Reporter) -> None:
        self.settings = settings
        self.reporter = reporter
        self._store: TrackingStore | None = None
        self._others: list[TrackingStore] = []

    @property
    def home(self) -> str:
        """The directory for everything that can be made again."""
        return self.settings.home

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables that Runproj was started with."""
        return self.settings.environ

    @property
    def _for_packages(self) -> Mapping[str, str]:
        """The variables that say where packages come from."""
        return {**self.environ, **OFFLINE} if self.settings.offline else self.environ

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
                manager=name, home=self.home, environ=self._for_packages, reporter=self.reporter
            )
        if name == "rattler" or name in ON_REQUEST:
            from runner.environments.conda.builder import CondaBuilder

            return CondaBuilder(
                manager=name, home=self.home, environ=self._for_packages, reporter=self.reporter
            )
        if name == "docker":
            from runner.environments.docker.builder import DockerBuilder

            return DockerBuilder(home=self.home, environ=self.environ, reporter=self.reporter)
        if name == "local":
            from runner.environments.host import HostBuilder

            return HostBuilder(home=self.home, environ=self.environ)
        raise UsageError(
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

    def history(self, recorded: RecordedSource) -> CommitHistory:
        """Return the commits of the repository that a run's files came from."""
        from runner.sources.history import History

        return History(recorded, home=self.home, environ=self.environ, reporter=self.reporter)

    @property
    def project_locks(self) -> ProjectLocks:
        """The locks that lie in projects."""
        from runner.environments.project_locks import KindsOfLocks

        return KindsOfLocks(home=self.home, environ=self._for_packages, reporter=self.reporter)

    def backend(self, name: str) -> Backend:
        """Return one backend."""
        if name == "local":
            from runner.backends.local import LocalBackend

            return LocalBackend(environ=self.environ)
        raise UsageError(f"no backend named {name!r}", hint="the only backend so far is 'local'")

    @property
    def store(self) -> TrackingStore:
        """The tracking store, opened at the first use."""
        if self._store is None:
            from runner.stores.opening import open_store

            self._store = open_store(
                self.settings.tracking_uri,
                directory=self.settings.directory,
                environ=self.environ,
            )
        return self._store

    def opened(self, uri: str) -> TrackingStore:
        """Open another store, as it is; it is the caller's to close."""
        from runner.stores.opening import open_store

        return open_store(uri, directory=self.settings.directory, environ=self.environ)

    def store_at(self, uri: str) -> TrackingStore:
        """Open another store, which may turn out to be the same one.

        Credentials that are meant for the configured server are not shown to another one.
        """
        from runner.redaction import without_credentials

        if without_credentials(uri) == self.store.uri:
            return self.store
        from runner.stores.opening import open_store

        environ = self.environ
        if self.store.uri.startswith(SERVERS):
            environ = {k: v for k, v in environ.items() if k not in CREDENTIALS}
        other = open_store(uri, directory=self.settings.directory, environ=environ)
        self._others.append(other)
        return other

    def close(self) -> None:
        """Let go of the stores that were opened: a database is one file again."""
        for store in (self._store, *self._others):
            if store is not None:
                store.close()

    @property
    def tracking_uri(self) -> str:
        """The store's URI as it was given."""
        return self.settings.tracking_uri or self.store.uri

    def endpoint(self, run: TrackedRun) -> Endpoint | None:
        """Bind an endpoint for a run's command; None when the store is a server itself."""
        if self.store.uri.startswith(SERVERS):
            return None
        from runner.serving.endpoint import LoopbackEndpoint

        return LoopbackEndpoint(store=self.store, run=run, environ=self.environ)

    def team_server(self, options: ServerOptions) -> TeamServer:
        """Bind a server for a team on the store."""
        from runner.serving.team_server import TeamServer

        store = self.store
        if options.artifacts:
            from runner.stores.elsewhere import with_artifacts

            store = with_artifacts(
                store,
                options.artifacts,
                directory=self.settings.directory,
                environ=self.environ,
            )
        return TeamServer(store, options)

    def accounts(self, path: str) -> Accounts:
        """Return the accounts in a file."""
        from runner.serving.accounts import Accounts

        return Accounts(path)


def utc_now() -> datetime:
    """Return the time, aware and in UTC."""
    from datetime import UTC, datetime

    return datetime.now(UTC)
