"""A tracking server that may fail: what it does not take goes to the spool, and the run goes on.

From the first failure on the server is left alone for as long as this store is open, so that
everything of a run stays in order. A run that began on the server keeps its id, one that could not
gets an id from us; both carry it in a tag, by which a run is found again whose making was
answered by silence. ``runner.pipeline.delivery`` brings it all to the server later.
"""

from __future__ import annotations

import io

from runner.errors import StoreError, StoreUnavailableError
from runner.model.tracking import Experiment, TrackedRun
from runner.model.value import EMPTY, changed
from runner.stores import rules
from runner.stores.rest import RestStore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import BinaryIO

    from runner.model.run import Artifact, RunStatus
    from runner.model.tracking import Metric, Spooled
    from runner.model.value import RunId
    from runner.ports import Artifacts, TrackingStore
    from runner.stores.spool import RunSpool

    Tell = Callable[[StoreError], None]

CLIENT_ID = "runproj.client_id"
"""The tag with the id that we gave a run before the server gave it one."""
SPOOLED = "runproj.spooled"
"""The tag of runs that began without the server."""
EXPERIMENT_ID = "runproj.experiment_id"
"""The tag of a spooled experiment that the server knows by this id."""
PATIENCE = 30.0
"""Seconds after which a server that does not answer is not asked again."""
KEPT = 1 << 20
"""The largest document that is remembered, to be read again when the server is gone."""


class SpoolingStore(RestStore):
    """A server's store with a spool beside it; ``tell`` hears of the first failure."""

    def __init__(
        self,
        url: str,
        *,
        directory: str,
        environ: Mapping[str, str],
        spool: RunSpool,
        tell: Tell,
    ) -> None:
        super().__init__(url, directory=directory, environ=environ, patience=PATIENCE)
        self._spool = spool
        self._tell = tell
        self._is_down = False
        self._names: dict[str, str] = {}
        self._stores: dict[str, TrackingStore] = {}
        self._whole: dict[str, bool] = {}
        self.kept: dict[tuple[str, str], bytes] = {}

    def close(self) -> None:
        """Close the connection and the spool."""
        super().close()
        for store in self._stores.values():
            store.close()
        self._stores.clear()
        self.kept.clear()

    # ------------------------------------------------------------------------ before there is a run

    def experiment_named(self, name: str) -> Experiment | None:
        """Return the experiment of that name; None when the server cannot be asked."""
        if self._is_down:
            return None
        try:
            found = super().experiment_named(name)
        except StoreUnavailableError as error:
            self._fall(error)
            return None
        if found:
            self._names[found.experiment_id] = name
        return found

    def create_experiment(
        self, name: str, *, artifact_location: str | None = None, tags: Mapping[str, str] = EMPTY
    ) -> Experiment:
        """Make a new experiment, on the server when the runs in it are delivered."""
        rules.check_experiment(name, tags)
        if not self._is_down:
            try:
                return super().create_experiment(
                    name, artifact_location=artifact_location, tags=tags
                )
            except StoreUnavailableError as error:
                self._fall(error)
        identity = f"spooled-{len(self._names)}"
        self._names[identity] = name
        return Experiment(experiment_id=identity, name=name, artifact_location="", tags=tags)

    def create_run(self, run: TrackedRun) -> TrackedRun:
        """Add a run, on the server or in the spool."""
        run = rules.completed(run)
        run = changed(run, tags={**run.tags, CLIENT_ID: run.run_id})
        if not self._is_down:
            try:
                return super().create_run(run)
            except StoreUnavailableError as error:
                self._fall(error)
        store = self._begun(run.run_id, on_server=False)
        run = changed(
            run,
            experiment_id=self._spooled_experiment(store, run.experiment_id),
            tags={**run.tags, SPOOLED: "true"},
        )
        return store.create_run(run)

    def _spooled_experiment(self, store: TrackingStore, experiment_id: str) -> str:
        """Make the experiment of a spooled run, which is to be delivered to the one asked for."""
        if experiment_id == rules.DEFAULT_EXPERIMENT:
            return experiment_id
        name = self._names.get(experiment_id, f"experiment {experiment_id}")
        known = not experiment_id.startswith("spooled-")
        tags = {EXPERIMENT_ID: experiment_id} if known else EMPTY
        return store.create_experiment(name, tags=tags).experiment_id

    # --------------------------------------------------------------------------------------- a run

    def run(self, run_id: RunId) -> TrackedRun:
        """Return one run, from the spool if it began there.

        Of one that we made, and whose server has failed since, what it was made of is known.
        """
        store = self.shelter_of(run_id)
        if store and self._whole.get(run_id):
            return store.run(run_id)
        made = self._made.get(run_id)
        if made is None:
            return super().run(run_id)
        if self._is_reachable(run_id):
            try:
                return super().run(run_id)
            except StoreUnavailableError as error:
                self._fall(error)
        return made

    def update_run(
        self,
        run_id: RunId,
        *,
        status: RunStatus | None = None,
        ended: int | None = None,
        name: str | None = None,
        tags: Mapping[str, str] = EMPTY,
    ) -> TrackedRun:
        """Change what is given and leave the rest."""
        if self._is_reachable(run_id):
            try:
                return super().update_run(run_id, status=status, ended=ended, name=name, tags=tags)
            except StoreUnavailableError as error:
                self._fall(error)
        store = self.sheltered(run_id)
        return store.update_run(run_id, status=status, ended=ended, name=name, tags=tags)

    def log(
        self,
        run_id: RunId,
        *,
        metrics: Iterable[Metric] = (),
        params: Mapping[str, str] = EMPTY,
        tags: Mapping[str, str] = EMPTY,
    ) -> None:
        """Write a batch."""
        metrics = tuple(metrics)
        if self._is_reachable(run_id):
            try:
                super().log(run_id, metrics=metrics, params=params, tags=tags)
            except StoreUnavailableError as error:
                self._fall(error)
            else:
                return
        self.sheltered(run_id).log(run_id, metrics=metrics, params=params, tags=tags)

    def history(self, run_id: RunId, key: str) -> tuple[Metric, ...]:
        """Return what is known of a metric: on the server, or in the spool where that has failed.

        What both have is delivered once, so that a history of half may be completed.
        """
        if self._is_reachable(run_id):
            try:
                return super().history(run_id, key)
            except StoreUnavailableError as error:
                self._fall(error)
        return self.sheltered(run_id).history(run_id, key)

    def artifacts(self, run: TrackedRun) -> Artifacts:
        """Return the run's files."""
        store = self.shelter_of(run.run_id)
        if store and self._whole.get(run.run_id):
            return store.artifacts(store.run(run.run_id))
        return SpoolingArtifacts(self, run.run_id, super().artifacts(run))

    # ----------------------------------------------------------------------------------- the spool

    def shelter_of(self, run_id: str) -> TrackingStore | None:
        """Return the spooled store of a run; None when the server has it all."""
        if found := self._stores.get(run_id):
            return found
        if not self._spool.waits_for(self.uri):
            return None
        entry = self._spool.find(self.uri, run_id)
        return self._opened(entry) if entry else None

    def sheltered(self, run_id: RunId) -> TrackingStore:
        """Return the spooled store of a run, which is made when there is none."""
        if found := self.shelter_of(run_id):
            return found
        store = self._begun(run_id, on_server=True)
        made = self._made.get(run_id)
        store.create_run(
            TrackedRun(
                run_id=run_id,
                experiment_id=rules.DEFAULT_EXPERIMENT,
                name=made.name if made else run_id[:8],
                status="RUNNING",
                started=made.started if made else None,
                ended=None,
                artifact_uri="",
            )
        )
        return store

    def reachable_files(self, run_id: RunId) -> bool:
        """Whether files of a run may go to the server."""
        return self._is_reachable(run_id)

    def fall(self, error: StoreError) -> None:
        """Take note that the server has failed."""
        self._fall(error)

    def _is_reachable(self, run_id: RunId) -> bool:
        return not self._is_down and self.shelter_of(run_id) is None

    def _fall(self, error: StoreError) -> None:
        if not self._is_down:
            self._is_down = True
            self._tell(error)

    def _begun(self, run_id: str, *, on_server: bool) -> TrackingStore:
        return self._opened(self._spool.begin(self.uri, run_id, on_server=on_server))

    def _opened(self, entry: Spooled) -> TrackingStore:
        store = self._stores[entry.run_id] = self._spool.open(entry)
        self._whole[entry.run_id] = not entry.on_server
        return store


class SpoolingArtifacts:
    """Files of a run that the server knows; what it does not take is kept in the spool."""

    def __init__(self, store: SpoolingStore, run_id: RunId, remote: Artifacts) -> None:
        self._store = store
        self._run_id = run_id
        self._remote = remote

    def folder(self) -> str | None:
        """Return the local directory that holds the files, None when they are on the server."""
        return self._remote.folder()

    def put(self, path: str, content: BinaryIO | bytes) -> None:
        """Write one file."""
        if isinstance(content, bytes) and len(content) <= KEPT:
            self._store.kept[self._run_id, path] = content
        if self._store.reachable_files(self._run_id):
            again = io.BytesIO(content) if isinstance(content, bytes) else content
            start = again.tell() if again.seekable() else None
            try:
                self._remote.put(path, again)
            except StoreUnavailableError as error:
                self._store.fall(error)
                if start is None:  # read once, and gone
                    raise
                again.seek(start)
                content = again
            else:
                return
        self._local().put(path, content)

    def open(self, path: str) -> BinaryIO:
        """Open one file: the spooled one, else the server's."""
        if not self._store.reachable_files(self._run_id):
            try:
                return self._local().open(path)
            except StoreError as error:
                if error.status != rules.MISSING:
                    raise
        try:
            return self._remote.open(path)
        except StoreUnavailableError as error:
            kept = self._store.kept.get((self._run_id, path))
            if kept is None:
                raise
            self._store.fall(error)
            return io.BytesIO(kept)

    def list(self, path: str = "") -> tuple[Artifact, ...]:
        """List the files below a folder on the server."""
        return self._remote.list(path)

    def delete(self, path: str) -> None:
        """Delete one file or folder on the server."""
        self._remote.delete(path)

    def _local(self) -> Artifacts:
        store = self._store.sheltered(self._run_id)
        return store.artifacts(store.run(self._run_id))
