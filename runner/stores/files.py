"""MLflow's file store: ``mlruns/<experiment>/<run>/`` with a file for every value.

Written so that every MLflow from 1.30 on reads it (see ``runfolder``). New runs and experiments
are made aside and appear by renaming, so that nobody sees half of one. Threads take turns;
processes do not block each other, as in MLflow: a run has one writer of its ``meta.yaml``.
"""

from __future__ import annotations

import os
import time

from runner.model.run import ENDED
from runner.model.tracking import RunPage
from runner.model.value import EMPTY, changed
from runner.stores import metafile, rules, runfolder
from runner.stores.artifacts import FolderArtifacts, UnreachableArtifacts, made, moved
from runner.stores.experiments_files import TRASH, Aside, FileExperiments, folders
from runner.stores.metafile import on_disk
from runner.stores.opening import file_url, local_path
from runner.stores.rules import completed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.codec import JSON
    from runner.model.run import RunStatus
    from runner.model.tracking import Metric, TrackedRun
    from runner.model.value import RunId
    from runner.ports import Artifacts, LineageStore, ModelStore, RegistryStore
    from runner.stores.models_files import FileModels


class FileStore(FileExperiments):
    """Runs in a folder of files. ``root`` is absolute; see ``runner.ports.TrackingStore``."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._known: dict[str, str] = {}

    @property
    def uri(self) -> str:
        """``file://`` and the path of the folder."""
        return file_url(self._root)

    @property
    def own_ids(self) -> None:
        """None: ids that are given are kept."""

    @property
    def artifact_root(self) -> str:
        """The folder itself."""
        return self._root

    @property
    def model_store(self) -> ModelStore | None:
        """Where logged models are kept."""
        return self._models()

    @property
    def lineage_store(self) -> LineageStore | None:
        """Where datasets and outputs are kept."""
        from runner.stores.lineage_files import FileLineage

        return FileLineage(
            self._models(),
            self._lock,
            folder_of=self._folder,
            active_folder_of=self._active_folder,
        )

    @property
    def registry_store(self) -> RegistryStore | None:
        """Where models are registered."""
        from runner.stores.registry_files import FileRegistry

        return FileRegistry(self._root, self._lock)

    def _models(self) -> FileModels:
        from runner.stores.models_files import FileModels

        return FileModels(self._root, self._lock, experiment=self.experiment, folder_of=self._files)

    def close(self) -> None:
        """Forget where runs are."""
        self._known.clear()

    def create_run(self, run: TrackedRun) -> TrackedRun:
        """Add a run with its params and tags; empty id, name and artifact URI are filled in."""
        run = completed(run)
        experiment = self.experiment(run.experiment_id)
        if experiment.lifecycle != "active":
            raise rules.not_active("experiment", experiment.name)
        location = experiment.artifact_location.rstrip("/")
        uri = run.artifact_uri or f"{location}/{run.run_id}/artifacts"
        run = changed(run, artifact_uri=uri)
        with self._lock, on_disk(self._root):
            if self._found(run.run_id):
                raise rules.taken(f"there is a run {run.run_id!r} already")
            if run.experiment_id == rules.DEFAULT_EXPERIMENT:
                self._keep_default()
            folder = os.path.join(self._root, run.experiment_id, run.run_id)
            with Aside(self._root) as aside:
                runfolder.make(aside, run)
                os.rename(aside, folder)
            self._known[run.run_id] = folder
            target = local_path(uri, os.path.dirname(self._root))
            if target and target != os.path.join(folder, "artifacts"):
                made(target)
        return run

    def run(self, run_id: RunId) -> TrackedRun:
        """Return one run."""
        with on_disk(self._root):
            return runfolder.run(self._folder(run_id), run_id)

    def update_run(
        self,
        run_id: RunId,
        *,
        status: RunStatus | None = None,
        ended: int | None = None,
        name: str | None = None,
        tags: Mapping[str, str] = EMPTY,
    ) -> TrackedRun:
        """Change what is given and leave the rest; an end is on disk when this returns."""
        rules.check_run(run_id, name or "", status)
        tags = {**tags, rules.RUN_NAME_TAG: name} if name else tags
        rules.check_tags(tags)
        changes: dict[str, JSON] = {}
        if status is not None:
            changes["status"] = runfolder.STATUS_NUMBERS[status]
        if ended is not None:
            changes["end_time"] = ended
        with self._lock, on_disk(self._root):
            folder = self._active_folder(run_id)
            self._put_tags(folder, run_id, tags, changes, durable=status in ENDED)
            return runfolder.run(folder, run_id)

    def log(
        self,
        run_id: RunId,
        *,
        metrics: Iterable[Metric] = (),
        params: Mapping[str, str] = EMPTY,
        tags: Mapping[str, str] = EMPTY,
    ) -> None:
        """Write a batch, checked as a whole before the first value is written."""
        metrics = tuple(metrics)
        rules.check_metrics(metrics)
        rules.check_params(params)
        rules.check_tags(tags)
        with self._lock, on_disk(self._root):
            folder = self._active_folder(run_id)
            fresh = runfolder.check_params(folder, run_id, params)
            runfolder.check_places(folder, "params", fresh)
            runfolder.check_places(folder, "tags", tags)
            runfolder.check_places(folder, "metrics", {metric.key for metric in metrics})
            runfolder.put_texts(folder, "params", fresh)
            runfolder.add_metrics(folder, metrics)
            self._put_tags(folder, run_id, tags, {})

    def delete_tag(self, run_id: RunId, key: str) -> None:
        """Take a tag away."""
        rules.check_key("tag", key)
        with self._lock, on_disk(self._root):
            runfolder.delete_tag(self._active_folder(run_id), run_id, key)

    def history(self, run_id: RunId, key: str) -> tuple[Metric, ...]:
        """Return every logged value of a metric, in the order of time and step."""
        with on_disk(self._root):
            return runfolder.history(self._folder(run_id), key)

    def runs(
        self,
        experiment_ids: Iterable[str],
        *,
        limit: int = 100,
        page: str | None = None,
        prefix: str = "",
        lifecycle: str = "active",
    ) -> RunPage:
        """Return runs, newest first."""
        from runner.stores import paging

        rules.check_lifecycle(lifecycle)
        before = paging.start(page) if page else None
        with on_disk(self._root):
            found = [
                (started, run_id, folder)
                for experiment_id in dict.fromkeys(experiment_ids)
                for started, stage, run_id, folder in self._headings(experiment_id, prefix)
                if lifecycle in {"all", stage} and (before is None or (started, run_id) < before)
            ]
            found.sort(reverse=True)
            runs = tuple(runfolder.run(folder, run_id) for _, run_id, folder in found[:limit])
        return RunPage(runs=runs, next_page=paging.after(runs[-1]) if found[limit:] else None)

    def move_run(self, run_id: RunId, experiment_id: str) -> TrackedRun:
        """Put a run into another experiment, artifacts and all."""
        target = self.experiment(experiment_id)
        if target.lifecycle != "active":
            raise rules.not_active("experiment", target.name)
        with self._lock, on_disk(self._root):
            folder = self._active_folder(run_id)
            run = runfolder.run(folder, run_id)
            if run.experiment_id == experiment_id:
                return run
            uri = run.artifact_uri
            source = self.experiment(run.experiment_id)
            if uri == f"{source.artifact_location}/{run_id}/artifacts":
                uri = f"{target.artifact_location}/{run_id}/artifacts"
            if experiment_id == rules.DEFAULT_EXPERIMENT:
                self._keep_default()
            meta = runfolder.completed_meta(metafile.read(folder), run_id)
            metafile.write(folder, {**meta, "experiment_id": experiment_id, "artifact_uri": uri})
            place = os.path.join(self._root, experiment_id, run_id)
            moved(folder, place)
            self._known[run_id] = place
            self._move_artifacts(run.artifact_uri, uri)
            return changed(run, experiment_id=experiment_id, artifact_uri=uri)

    def delete_run(self, run_id: RunId) -> None:
        """Mark a run as deleted."""
        self._set_lifecycle(run_id, "deleted", _now())

    def restore_run(self, run_id: RunId) -> None:
        """Take a deletion back."""
        self._set_lifecycle(run_id, "active", None)

    def artifacts(self, run: TrackedRun) -> Artifacts:
        """Return the run's files, also when the store was moved to another place."""
        folder = local_path(run.artifact_uri, os.path.dirname(self._root))
        if folder is None:
            return UnreachableArtifacts(run.artifact_uri)
        if not os.path.isdir(folder) and (home := self._found(run.run_id)):
            folder = os.path.join(home, "artifacts")
        return FolderArtifacts(folder)

    def _files(self, uri: str) -> Artifacts:
        """Return the files below an artifact URI."""
        folder = local_path(uri, os.path.dirname(self._root))
        return UnreachableArtifacts(uri) if folder is None else FolderArtifacts(folder)

    def _found(self, run_id: str) -> str | None:
        """Return the folder of a run, None when there is none."""
        known = self._known.get(run_id)
        if known and os.path.exists(os.path.join(known, metafile.NAME)):
            return known
        if not rules.is_plain_name(run_id):
            return None
        for above in (self._root, os.path.join(self._root, TRASH)):
            for experiment_id in folders(above):
                folder = os.path.join(above, experiment_id, run_id)
                if os.path.exists(os.path.join(folder, metafile.NAME)):
                    self._known[run_id] = folder
                    return folder
        return None

    def _folder(self, run_id: str) -> str:
        folder = self._found(run_id)
        if folder is None:
            raise rules.no_run(run_id)
        return folder

    def _active_folder(self, run_id: str) -> str:
        folder = self._folder(run_id)
        if metafile.read(folder).get("lifecycle_stage") == "deleted":
            raise rules.not_active("run", run_id)
        return folder

    def _put_tags(
        self,
        folder: str,
        run_id: str,
        tags: Mapping[str, str],
        changes: dict[str, JSON],
        *,
        durable: bool = False,
    ) -> None:
        """Write tags and changes of the meta; the name of the run is in both."""
        runfolder.check_places(folder, "tags", tags)
        runfolder.put_texts(folder, "tags", tags)
        if name := tags.get(rules.RUN_NAME_TAG):
            changes["run_name"] = rules.storable(name)
        if changes:
            meta = runfolder.completed_meta(metafile.read(folder), run_id)
            metafile.write(folder, {**meta, **changes}, durable=durable)

    def _move_artifacts(self, old: str, new: str) -> None:
        """Move artifacts that are not in the run's own folder, which has been moved already."""
        base = os.path.dirname(self._root)
        source, target = local_path(old, base), local_path(new, base)
        if source and target and source != target and os.path.isdir(source):
            moved(source, target)

    def _set_lifecycle(self, run_id: RunId, lifecycle: str, deleted: int | None) -> None:
        with self._lock, on_disk(self._root):
            folder = self._folder(run_id)
            meta = runfolder.completed_meta(metafile.read(folder), run_id)
            metafile.write(folder, {**meta, "lifecycle_stage": lifecycle, "deleted_time": deleted})


def _now() -> int:
    return int(time.time() * 1000)
