"""The composition root: settings become services. The only module that names adapters.

Every adapter is imported when it is first asked for, so that a run pays only for what it uses.
"""

from __future__ import annotations

from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from runner.errors import StoreError
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
        PackageFiles,
        ProjectLocks,
        Reporter,
        Source,
        SourceRestorer,
        TrackingStore,
    )
    from runner.serving.accounts import Accounts
    from runner.serving.team_server import TeamServer
    from runner.settings import Settings
    from runner.stores.spool import RunSpool

MANAGERS = ("uv", "virtualenv", "rattler", "docker", "local")
"""The environment builders; ``local`` uses what the host has and builds nothing."""
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""For a server that is asked by the way, while somebody waits; a timeout that is set stays."""
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
        self._shelter_of: Callable[[str], TrackingStore | None] | None = None
        self._others: list[TrackingStore] = []
        self._found_in: dict[str, str] = {}

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
        offline = OFFLINE if self.settings.offline else {}
        return {**self.environ, **offline, **self._found_in}

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
        """The environments and images that were built."""
        from runner.environments.catalogs import Catalogs

        return Catalogs(home=self.home, environ=self.environ)

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

    def package_files(self, manager: str) -> PackageFiles:
        """Return what has the wheels of uv's and virtualenv's environments."""
        if manager not in {"uv", "virtualenv"}:
            raise UsageError(
                f"the packages of environments made by {manager!r} cannot be packed yet",
                hint="export the run without --with-packages",
            )
        from runner.environments.package_files import WheelFiles

        return WheelFiles(home=self.home, environ=self._for_packages, reporter=self.reporter)

    def take_packages_from(self, folder: str) -> None:
        """Have environments made of the files in a folder, and of what was fetched before."""
        from urllib.parse import quote

        place = f"file://{quote(folder)}"
        self._found_in = {"UV_FIND_LINKS": place, "PIP_FIND_LINKS": place, "PIP_NO_INDEX": "1"}

    def backend(self, name: str) -> Backend:
        """Return one backend."""
        if name == "local":
            from runner.backends.local import LocalBackend

            return LocalBackend(environ=self.environ)
        raise UsageError(f"no backend named {name!r}", hint="the only backend so far is 'local'")

    def sampling(self, wanted: bool | None) -> float:  # noqa: FBT001 - what a request says
        """Return the seconds between two samples of the machine, 0 for none."""
        from runner.settings import sampling

        return sampling(self.environ, wanted)

    @property
    def store(self) -> TrackingStore:
        """The tracking store, opened at the first use."""
        if self._store is None:
            uri = self.settings.tracking_uri
            if uri and uri.startswith(SERVERS) and not self.settings.require_tracking:
                self._store = self._spooling(uri)
            else:
                self._store = self._open(uri, self.environ)
        return self._store

    def _open(self, uri: str | None, environ: Mapping[str, str]) -> TrackingStore:
        from runner.stores.opening import open_store

        return open_store(
            uri,
            directory=self.settings.directory,
            environ=environ,
            environment=self._mlflow,
        )

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

        ours = self.settings.tracking_uri
        if ours and without_credentials(ours) == uri:
            uri = ours
        environ = self._shown_to(uri)
        if not patient:
            timeout = {k: v for k, v in environ.items() if k == "MLFLOW_HTTP_REQUEST_TIMEOUT"}
            environ = {**environ, **IMPATIENT, **timeout}
        return self._open(uri, environ)

    def store_at(self, uri: str) -> TrackingStore:
        """Open another store, which may turn out to be the same one.

        Credentials that are meant for the configured server are not shown to another one.
        """
        from runner.redaction import without_credentials

        if without_credentials(uri) == self.store.uri:
            return self.store
        other = self._open(uri, self._shown_to(uri))
        self._others.append(other)
        return other

    def _mlflow(self, packages: tuple[str, ...]) -> str:
        """Return the Python of an environment for MLflow, built from a lock like a project's."""
        from runner.model.lock import LockRequest, ProcessEnvironment
        from runner.model.spec import PythonSpec
        from runner.system.files import cache_directory

        spec = PythonSpec(kind="requirements", python=">=3.10,<3.13", requirements=packages)
        builder = self.builder("uv")
        folder = cache_directory(self.home, "tools")
        environment = builder.build(builder.lock(LockRequest(spec=spec, project=folder)))
        assert isinstance(environment, ProcessEnvironment)  # noqa: S101 - uv builds no images
        return f"{environment.bin_paths[0]}/python"

    def _shown_to(self, uri: str) -> Mapping[str, str]:
        """Return our variables, without credentials that are meant for another server."""
        ours = self.settings.tracking_uri or ""
        if not ours.startswith(SERVERS) or ours == uri:
            return self.environ
        return {k: v for k, v in self.environ.items() if k not in CREDENTIALS}

    def close(self) -> None:
        """Let go of the stores that were opened: a database is one file again."""
        for store in (self._store, *self._others):
            if store is not None:
                store.close()

    @property
    def tracking_uri(self) -> str:
        """The store's URI as it was given, or the address at which MLflow serves it for us."""
        given = self.settings.tracking_uri or ""
        return self._bridge or (given if given.startswith(SERVERS) else self.store.uri)

    @property
    def _bridge(self) -> str | None:
        """Where clients reach a store that only MLflow can open."""
        return getattr(self.store, "address", None)

    def endpoint(self, run: TrackedRun) -> Endpoint | None:
        """Bind an endpoint for a run's command; None when it talks to the store itself."""
        from runner.settings import DIRECT, ENDPOINT

        store, how = self.store, self.settings.tracking
        if self._bridge:
            return None
        if store.uri.startswith(SERVERS):
            spooled = self._shelter_of(run.run_id) if self._shelter_of else None
            if spooled is None and how != ENDPOINT:
                return None
            store = spooled or store
        elif how == DIRECT:
            return None
        from runner.serving.endpoint import LoopbackEndpoint

        nested = self.tracking_uri if store is self.store else store.uri
        return LoopbackEndpoint(store=store, run=run, environ=self.environ, nested=nested)

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
