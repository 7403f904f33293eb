"""Where runs, their data and their files are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import BinaryIO

    from runner.model.run import Artifact, RunStatus
    from runner.model.tracking import (
        Experiment,
        LoggedModel,
        Metric,
        RunPage,
        RunSearch,
        Spooled,
        TrackedRun,
    )
    from runner.model.value import RunId
    from runner.ports.models import LineageStore, ModelStore, RegistryStore


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


class NarrowingStore(Protocol):
    """A tracking store elsewhere that can leave out most runs that a search is not after."""

    def narrowed_runs(self, search: RunSearch, page: str | None = None) -> RunPage | None:
        """Return a page of runs in the order asked for: all that pass, and perhaps some more.

        None when this cannot be asked there; a later ``page`` of what was answered always can.
        """


class OwnIds(Protocol):
    """How to find things again in a store that chooses their ids itself."""

    def run_tagged(self, experiment_id: str, key: str, value: str) -> TrackedRun | None:
        """Return the run of an experiment, deleted or not, that has this tag; the oldest one."""

    def model_tagged(self, experiment_id: str, key: str, value: str) -> LoggedModel | None:
        """Return the logged model of an experiment that has this tag."""


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
