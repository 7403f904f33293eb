"""What the line needs from the outside world.

Each adapter implements one of these; ``runner.app`` is the only module that knows which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta
    from typing import BinaryIO

    from runner.model.event import Event
    from runner.model.lock import (
        BuiltEnvironment,
        Environment,
        EnvironmentLock,
        LockRequest,
        ProjectLock,
        RecordedLock,
    )
    from runner.model.plan import Draft
    from runner.model.project import ProjectReference, RecordedSource, WorkingTree
    from runner.model.run import Artifact, Job, Outcome, RunStatus
    from runner.model.spec import EnvironmentSpec
    from runner.model.tracking import (
        Experiment,
        Lineage,
        LoggedModel,
        Metric,
        ModelMetric,
        ModelVersion,
        RegisteredModel,
        RunPage,
        RunSearch,
        Spooled,
        TrackedRun,
    )
    from runner.model.value import RunId


class Source(Protocol):
    """One way of turning a reference into a working tree."""

    def accepts(self, reference: ProjectReference) -> bool:
        """Say, without touching the network, whether this source is the one to ask."""

    def fetch(self, reference: ProjectReference) -> WorkingTree:
        """Put the files on disk and say where they came from.

        Raises:
            SourceError: The location or the revision cannot be had.
        """


class SourceRestorer(Protocol):
    """Brings the files of an earlier run back."""

    def restore(self, recorded: RecordedSource) -> WorkingTree:
        """Put the very files on disk that ran, proven by the digest of their tree.

        Raises:
            SourceError: They cannot be had, or are no longer the same.
        """


class EnvironmentBuilder(Protocol):
    """One way of locking an environment and of building what was locked."""

    def refusal(self, spec: EnvironmentSpec) -> str | None:
        """Say why this builder cannot serve the spec, or None if it can."""

    def lock(self, request: LockRequest) -> EnvironmentLock:
        """Decide exactly what the environment contains; may use the network.

        Raises:
            EnvError: Nothing fits, or the lock in the project is stale and ``locked`` was asked.
        """

    def build(self, lock: EnvironmentLock) -> Environment:
        """Make exactly what the lock says, or find it made; decides nothing.

        Raises:
            EnvError: A package cannot be had or does not have the locked hash.
        """


class ProjectLocks(Protocol):
    """Locks that lie in projects. Writing them is the caller's business."""

    def staleness(self, request: LockRequest) -> str | None:
        """Say why the project's lock does not fit; None when it does.

        Raises:
            EnvError: The project has no lock, or it cannot be read.
        """

    def drawn(
        self,
        request: LockRequest,
        *,
        upgrade: bool = False,
        update: Sequence[str] = (),
        platforms: Sequence[str] = (),
        manager: str | None = None,
    ) -> ProjectLock:
        """Make a new lock; versions of the old one are kept where they fit, unless ``upgrade``.

        ``update`` are packages whose versions are not kept. ``platforms`` are conda's names of
        those to lock for; without any those of the old lock, else this machine's. ``manager`` is
        who solves for a conda environment, when it is not Runproj itself.

        Raises:
            EnvError: Nothing fits.
        """

    def differences(self, before: str, after: str) -> tuple[str, ...]:
        """Compare two lock files of one kind; lines for people, one a package that differs.

        Raises:
            EnvError: A file is no lock, or they are not of one kind.
        """


class LockMixer(Protocol):
    """Locks made of parts of two others."""

    def differing(self, before: bytes, after: bytes) -> tuple[str, ...]:
        """Return the names of the packages that differ between two locks, or are in one only."""

    def mixed(self, before: bytes, after: bytes, names: frozenset[str]) -> bytes:
        """Return the first lock with the packages of these names as the second has them."""


class CommitHistory(Protocol):
    """The commits of the repository that a run's files came from."""

    def commit(self, revision: str | None) -> str:
        """Return the commit that a name means; None is the repository's current one.

        Raises:
            SourceError: There is no such commit.
        """

    def common_ancestor(self, one: str, other: str) -> str | None:
        """Return the best commit that both have grown from; None when they share none."""

    def middle(self, good: str, bad: str, passed_over: Iterable[str]) -> str | None:
        """Return the commit after ``good`` that halves those up to ``bad``; None when none is left.

        ``bad`` itself is never returned, nor are those to be passed over.
        """

    def between(self, good: str, bad: str) -> tuple[str, ...]:
        """Return the commits after ``good`` up to ``bad``, the newest first."""

    def tree(self, commit: str) -> str:
        """Return the id of a commit's files: the same for commits that changed nothing."""

    def subject(self, commit: str) -> str:
        """Return the first line of a commit's message."""


class EnvironmentCatalog(Protocol):
    """The environments that were built on this machine."""

    def all(self) -> tuple[BuiltEnvironment, ...]:
        """Return every one, the one used last first."""

    def find(self, prefix: str) -> BuiltEnvironment:
        """Return the one whose identifier starts so.

        Raises:
            EnvError: There is none, or more than one.
        """

    def damage(self, environment: BuiltEnvironment) -> tuple[str, ...]:
        """Check every installed file; return what is wrong, nothing when all is well."""

    def prune(self, unused: timedelta, *, dry_run: bool = False) -> tuple[BuiltEnvironment, ...]:
        """Delete what was not used for so long, and wrecks; never what is in use."""


class RunHandle(Protocol):
    """A live job."""

    @property
    def locator(self) -> str:
        """What to give to ``Backend.attach`` to get this handle again."""

    def poll(self) -> Outcome | None:
        """Return how the job ended, or None while it has not; never waits."""

    def wait(self, timeout: timedelta | None = None) -> Outcome | None:
        """Wait for the end, at most so long; None when the time is over first."""

    def cancel(self, signal: int = 15) -> None:
        """Ask the job to end, by a signal where it knows signals; repeating it insists."""

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the job has ended: time to ``poll``."""

    def release(self) -> None:
        """Let go of a job whose record is closed; until then somebody watches over both."""


class Backend(Protocol):
    """One place where jobs run."""

    def refusal(self, draft: Draft) -> str | None:
        """Say why this backend cannot run the draft, or None if it can."""

    def submit(self, job: Job) -> RunHandle:
        """Start the job and return at once."""

    def attach(self, locator: str) -> RunHandle:
        """Find a job again that another process submitted."""

    def clear(self, *, dry_run: bool = False) -> Iterator[str]:
        """Remove what is left of jobs that nobody can attach to; return a word about each."""


class Artifacts(Protocol):
    """The files of one run. Paths are relative, with ``/``; none leaves the run's folder."""

    def folder(self) -> str | None:
        """Return the local directory that holds the files, None when they live elsewhere."""

    def put(self, path: str, content: BinaryIO | bytes) -> None:
        """Write one file, whole or not at all."""

    def open(self, path: str) -> BinaryIO:
        """Open one file for reading.

        Raises:
            StoreError: ``RESOURCE_DOES_NOT_EXIST``: there is no such file.
        """

    def list(self, path: str = "") -> tuple[Artifact, ...]:
        """List the files below a folder, all levels, without digests."""

    def delete(self, path: str) -> None:
        """Delete one file, or a folder with all that is in it; no error when it is not there."""


class Parts(Protocol):
    """Uploads in parts, where artifacts can take them: ``parts()`` of such ``Artifacts``."""

    def begin(self, path: str, count: int) -> str:
        """Expect a file in so many parts; return the upload's unguessable id."""

    def put(self, upload: str, number: int, content: BinaryIO) -> str:
        """Keep a part, numbered from 1; return its entity tag. A later one replaces it.

        Raises:
            StoreError: ``RESOURCE_DOES_NOT_EXIST``: there is no such upload (any more).
        """

    def complete(
        self, upload: str, path: str, tags: Mapping[int, str], *, limit: int | None = None
    ) -> None:
        """Make the file, whole or not at all, of all parts by their numbers and entity tags.

        Raises:
            StoreError: A part is missing or another one, or the file exceeds ``limit`` bytes.
        """

    def abort(self, upload: str) -> None:
        """Forget an upload; no error when it is not there."""


class ExperimentStore(Protocol):
    """Experiments, as MLflow's tracking store keeps them."""

    def experiment(self, experiment_id: str) -> Experiment:
        """Return one experiment; StoreError ``RESOURCE_DOES_NOT_EXIST`` when there is none."""

    def experiment_named(self, name: str) -> Experiment | None:
        """Return the experiment of that name, deleted or not."""

    def create_experiment(
        self, name: str, *, artifact_location: str | None = None, tags: Mapping[str, str] = ...
    ) -> Experiment:
        """Make a new one; StoreError ``RESOURCE_ALREADY_EXISTS`` when the name is taken."""

    def experiments(self) -> tuple[Experiment, ...]:
        """Return all of them, oldest first."""

    def update_experiment(
        self, experiment_id: str, *, name: str | None = None, tags: Mapping[str, str] = ...
    ) -> Experiment:
        """Change what is given and leave the rest; tags are added or replaced.

        Raises:
            StoreError: ``RESOURCE_ALREADY_EXISTS``, or the experiment is deleted.
        """

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """Take a tag away; StoreError ``RESOURCE_DOES_NOT_EXIST`` when there is none."""

    def delete_experiment(self, experiment_id: str) -> None:
        """Mark an experiment and all its runs as deleted; their data stay."""

    def restore_experiment(self, experiment_id: str) -> None:
        """Take a deletion back; all runs of the experiment are active again, as with MLflow."""

    def move_run(self, run_id: RunId, experiment_id: str) -> TrackedRun:
        """Put a run into another experiment, artifacts and all."""


class RunStore(Protocol):
    """Runs, as MLflow's tracking store keeps them. Every call is atomic and durable."""

    def create_run(self, run: TrackedRun) -> TrackedRun:
        """Add a run with its params and tags in one go; an empty artifact URI is filled in.

        Raises:
            StoreError: ``RESOURCE_ALREADY_EXISTS``, or the experiment does not exist.
        """

    def run(self, run_id: RunId) -> TrackedRun:
        """Return one run; StoreError ``RESOURCE_DOES_NOT_EXIST`` when there is none."""

    def update_run(
        self,
        run_id: RunId,
        *,
        status: RunStatus | None = None,
        ended: int | None = None,
        name: str | None = None,
        tags: Mapping[str, str] = ...,
    ) -> TrackedRun:
        """Change what is given and leave the rest; tags are added or replaced."""

    def log(
        self,
        run_id: RunId,
        *,
        metrics: Iterable[Metric] = (),
        params: Mapping[str, str] = ...,
        tags: Mapping[str, str] = ...,
    ) -> None:
        """Write a batch. A parameter that is there with another value is an error.

        Raises:
            StoreError: ``INVALID_PARAMETER_VALUE``, with nothing of the batch written.
        """

    def delete_tag(self, run_id: RunId, key: str) -> None:
        """Take a tag away; StoreError ``RESOURCE_DOES_NOT_EXIST`` when there is none."""

    def history(self, run_id: RunId, key: str) -> tuple[Metric, ...]:
        """Return every logged value of a metric, in the order of time and step."""

    def runs(
        self,
        experiment_ids: Iterable[str],
        *,
        limit: int = 100,
        page: str | None = None,
        prefix: str = "",
        lifecycle: str = "active",
    ) -> RunPage:
        """Return runs, newest first; ``prefix`` keeps those whose id starts so."""


class ModelStore(Protocol):
    """Logged models, as MLflow 3 keeps them beside the runs."""

    def create_model(self, model: LoggedModel) -> LoggedModel:
        """Add a model with its params and tags; an empty artifact URI is filled in."""

    def model(self, model_id: str) -> LoggedModel:
        """Return one model; StoreError ``RESOURCE_DOES_NOT_EXIST`` when there is none."""

    def models(self, experiment_ids: Iterable[str]) -> tuple[LoggedModel, ...]:
        """Return the models of some experiments, newest first."""

    def update_model(self, model: LoggedModel) -> LoggedModel:
        """Write status, tags and params anew, as they are in the given value."""

    def delete_model(self, model_id: str) -> None:
        """Mark a model as deleted; nobody finds it any more."""

    def model_artifacts(self, model: LoggedModel) -> Artifacts:
        """Return the model's files."""


class LineageStore(Protocol):
    """What runs read and what they made."""

    def lineage(self, run_id: RunId) -> Lineage:
        """Return the run's datasets, models and outputs."""

    def log_lineage(self, run_id: RunId, lineage: Lineage) -> None:
        """Add datasets, models and outputs; what is there already stays as it is."""

    def log_model_metrics(self, metrics: Iterable[ModelMetric]) -> None:
        """Add metrics of logged models."""


class ManyLineages(Protocol):
    """A lineage store that answers for many runs at once."""

    def lineages(self, run_ids: Sequence[RunId]) -> Mapping[RunId, Lineage]:
        """Return the lineages of those runs that have one; of the others there is nothing."""


class RegistryStore(Protocol):
    """Registered models and their versions."""

    def create_registered_model(self, model: RegisteredModel) -> RegisteredModel:
        """Add a name; StoreError ``RESOURCE_ALREADY_EXISTS`` when it is taken."""

    def registered_model(self, name: str) -> RegisteredModel:
        """Return one; StoreError ``RESOURCE_DOES_NOT_EXIST`` when there is none."""

    def registered_models(self) -> tuple[RegisteredModel, ...]:
        """Return all of them, by name."""

    def update_registered_model(self, model: RegisteredModel) -> RegisteredModel:
        """Write the description anew; tags and aliases have methods of their own."""

    def rename_registered_model(self, name: str, new_name: str) -> RegisteredModel:
        """Give a model and its versions another name.

        Raises:
            StoreError: ``RESOURCE_ALREADY_EXISTS``: the new name is taken.
        """

    def delete_registered_model(self, name: str) -> None:
        """Forget a name with all its versions; the files of the versions stay."""

    def tag_registered_model(self, name: str, tags: Mapping[str, str | None]) -> None:
        """Add or replace tags; None takes one away, without an error when it is not there."""

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version."""

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away; no error when it is not there."""

    def create_version(self, version: ModelVersion) -> ModelVersion:
        """Add a version under the next number, whatever number the value has."""

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """Return the versions of a registered model, oldest first."""

    def update_version(self, version: ModelVersion) -> ModelVersion:
        """Write the stage and the description of a version anew."""

    def delete_version(self, name: str, version: int) -> None:
        """Forget a version and the aliases that name it; its number is never given again."""

    def tag_version(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Add or replace tags of a version; None takes one away."""


class OwnIds(Protocol):
    """How to find things again in a store that chooses their ids itself."""

    def run_tagged(self, experiment_id: str, key: str, value: str) -> TrackedRun | None:
        """Return the run of an experiment, deleted or not, that has this tag; the oldest one."""

    def model_tagged(self, experiment_id: str, key: str, value: str) -> LoggedModel | None:
        """Return the logged model of an experiment that has this tag."""


class TrackingStore(ExperimentStore, RunStore, Protocol):
    """Where runs, their data and their artifacts are kept."""

    @property
    def own_ids(self) -> OwnIds | None:
        """How to find things whose ids the store chose; None where given ids are kept."""

    @property
    def uri(self) -> str:
        """The store's URI as MLflow writes it, without credentials."""

    @property
    def artifact_root(self) -> str | None:
        """The local folder below which artifacts go unless told otherwise; None on servers."""

    @property
    def model_store(self) -> ModelStore | None:
        """Where logged models are kept; None in a store that is too old for them."""

    @property
    def lineage_store(self) -> LineageStore | None:
        """Where datasets and outputs are kept; None in a store that is too old for them."""

    @property
    def registry_store(self) -> RegistryStore | None:
        """Where models are registered; None in a store that has no place for them."""

    def artifacts(self, run: TrackedRun) -> Artifacts:
        """Return the run's files."""

    def delete_run(self, run_id: RunId) -> None:
        """Mark a run as deleted; its data stay."""

    def restore_run(self, run_id: RunId) -> None:
        """Take a deletion back."""

    def close(self) -> None:
        """Let go of files and connections; the store can be opened again."""


class SearchableStore(Protocol):
    """A tracking store that looks for runs itself, faster than by reading all of them."""

    def search_runs(self, search: RunSearch) -> tuple[TrackedRun, ...] | None:
        """Return a page of the runs that pass, exactly as ``runner.query.search`` would find them.

        None when this cannot be asked here: then all runs are to be read and tested.
        """


class Held(Protocol):
    """A lock that may be taken."""

    def acquire(self, *, blocking: bool) -> bool:
        """Take the lock; False when it is taken and we were not to wait."""

    def release(self) -> None:
        """Let go."""


class Spool(Protocol):
    """What waits on this machine to be delivered to tracking servers."""

    def waits_for(self, uri: str) -> bool:
        """Whether there may be something to be delivered to a server."""

    def entries(self, uri: str | None = None) -> tuple[Spooled, ...]:
        """Return all that waits, for one server or for all of them, the oldest first."""

    def open(self, entry: Spooled) -> TrackingStore:
        """Open the store that holds a run; it is the caller's to close."""

    def lock(self, entry: Spooled) -> Held:
        """Return the lock of whoever delivers a run, not taken yet."""

    def remove(self, entry: Spooled) -> None:
        """Forget a run that was delivered; the caller holds its lock."""


class NarrowingStore(Protocol):
    """A tracking store elsewhere that can leave out most runs that a search is not after."""

    def narrowed_runs(self, search: RunSearch, page: str | None = None) -> RunPage | None:
        """Return a page of runs in the order asked for: all that pass, and perhaps some more.

        None when this cannot be asked there; a later ``page`` of what was answered always can.
        """


class Endpoint(Protocol):
    """MLflow's REST API on a loopback socket, for the command of one run."""

    @property
    def variables(self) -> Mapping[str, str]:
        """What the command needs in its environment to find the endpoint."""

    def fileno(self) -> int:
        """The listening socket; readable when the first client knocks."""

    def serve(self) -> None:
        """Start answering, in threads; called once, when the socket became readable."""

    def close(self, *, within: timedelta) -> bool:
        """Finish requests under way and waiting, then stop; say whether anybody was answered."""


class Reporter(Protocol):
    """Whoever watches."""

    def report(self, event: Event) -> None:
        """Take note of what happened."""


class PackageFiles(Protocol):
    """Has the files that environments are installed from."""

    def files(self, lock: RecordedLock) -> Iterator[tuple[str, str]]:
        """Yield name and path of each file that a lock means on this machine, hashes checked.

        Raises:
            EnvError: One cannot be had.
        """


class Services(Protocol):
    """The outside world, as one run sees it. Adapters are made when they are asked for."""

    @property
    def reporter(self) -> Reporter:
        """Whoever watches."""

    @property
    def home(self) -> str:
        """The directory for everything that can be made again (``<cache>`` in the docs)."""

    @property
    def sources(self) -> Iterator[Source]:
        """The sources, in the order in which they are asked."""

    @property
    def restorer(self) -> SourceRestorer:
        """What brings the files of an earlier run back."""

    @property
    def managers(self) -> tuple[str, ...]:
        """The names of the environment builders, the preferred one first."""

    def builder(self, name: str) -> EnvironmentBuilder:
        """Return one builder; UsageError when there is none of that name."""

    def package_files(self, manager: str) -> PackageFiles:
        """Return what has the files of a manager's environments; UsageError where nothing has."""

    def backend(self, name: str) -> Backend:
        """Return one backend; UsageError when there is none of that name."""

    def sampling(self, wanted: bool | None) -> float:  # noqa: FBT001 - what a request says
        """Return the seconds between two samples of the machine, 0 when there are to be none."""

    @property
    def store(self) -> TrackingStore:
        """The tracking store, opened."""

    @property
    def spool(self) -> Spool:
        """What waits to be delivered to tracking servers."""

    def opened(self, uri: str, *, patient: bool = True) -> TrackingStore:
        """Open another store, with our credentials if it is ours; the caller closes it.

        Without patience a server that does not answer at once is given up.
        """

    @property
    def tracking_uri(self) -> str:
        """The store's URI as it was given: it may carry credentials, and is for children only."""

    def endpoint(self, run: TrackedRun) -> Endpoint | None:
        """Bind an endpoint for a run's command; None where it talks to a server itself."""

    @property
    def now(self) -> Callable[[], datetime]:
        """The clock: aware UTC times."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables that Runproj was started with."""
