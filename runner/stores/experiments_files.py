"""Experiments in MLflow's file layout: ``<experiment>/meta.yaml``, the deleted ones in ``.trash``.

New ones are made aside and appear by renaming. A deleted experiment lies in the trash with all its
runs, where MLflow looks for it.
"""

from __future__ import annotations

import os
import time
from _thread import RLock

from runner.errors import StoreError
from runner.model.tracking import Experiment
from runner.model.value import EMPTY
from runner.stores import metafile, rules, runfolder
from runner.stores.artifacts import moved
from runner.stores.metafile import on_disk
from runner.stores.opening import file_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.codec import JSON

TRASH = ".trash"
"""Where MLflow moves deleted experiments."""


class FileExperiments:
    """The experiments of one folder; see ``runner.ports.ExperimentStore``."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._lock = RLock()

    def experiment(self, experiment_id: str) -> Experiment:
        """Return one experiment."""
        with on_disk(self._root):
            found = self._experiment(experiment_id)
        if found is None:
            raise rules.no_experiment(experiment_id)
        return found

    def experiment_named(self, name: str) -> Experiment | None:
        """Return the experiment of that name, deleted or not."""
        return next((e for e in self.experiments() if e.name == name), None)

    def experiments(self) -> tuple[Experiment, ...]:
        """Return all of them, oldest first."""
        with on_disk(self._root):
            ids = {rules.DEFAULT_EXPERIMENT, *folders(self._root)}
            ids.update(folders(os.path.join(self._root, TRASH)))
            found = [e for i in sorted(ids) if (e := self._experiment(i, strict=False))]
        found.sort(key=lambda e: (e.experiment_id != rules.DEFAULT_EXPERIMENT, e.created or 0))
        return tuple(found)

    def create_experiment(
        self, name: str, *, artifact_location: str | None = None, tags: Mapping[str, str] = EMPTY
    ) -> Experiment:
        """Make a new experiment."""
        rules.check_experiment(name, tags)
        with self._lock, on_disk(self._root):
            if self.experiment_named(name):
                raise rules.taken(f"there is an experiment named {name!r} already")
            self._keep_default()
            number = str(10**17 + int.from_bytes(os.urandom(8), "big") % (9 * 10**17))
            return self._made_experiment(number, name, artifact_location, tags)

    def update_experiment(
        self, experiment_id: str, *, name: str | None = None, tags: Mapping[str, str] = EMPTY
    ) -> Experiment:
        """Change what is given and leave the rest."""
        rules.check_experiment("unchanged" if name is None else name, tags)
        with self._lock, on_disk(self._root):
            folder = self._changeable(experiment_id)
            namesake = None if name is None else self.experiment_named(name)
            if namesake and namesake.experiment_id != experiment_id:
                raise rules.taken(f"there is an experiment named {name!r} already")
            runfolder.check_places(folder, "tags", tags)
            if name is not None:
                _change(folder, {"name": rules.storable(name)})
            runfolder.put_texts(folder, "tags", tags)
            return self.experiment(experiment_id)

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """Take a tag away."""
        rules.check_key("tag", key)
        with self._lock, on_disk(self._root):
            folder = self._changeable(experiment_id)
            if key not in runfolder.texts(folder, "tags"):
                raise rules.no_experiment_tag(experiment_id, key)
            runfolder.delete_tag(folder, experiment_id, key)

    def delete_experiment(self, experiment_id: str) -> None:
        """Mark an experiment and its runs as deleted, then move all of it to the trash."""
        if experiment_id == rules.DEFAULT_EXPERIMENT:
            raise rules.refused("the default experiment of a file store cannot be deleted")
        with self._lock, on_disk(self._root):
            if self.experiment(experiment_id).lifecycle != "active":
                raise rules.no_experiment(experiment_id)
            active, trash = self._places(experiment_id)
            self._mark(experiment_id, active, "deleted")
            moved(active, trash)

    def restore_experiment(self, experiment_id: str) -> None:
        """Take a deletion back."""
        with self._lock, on_disk(self._root):
            if self.experiment(experiment_id).lifecycle != "deleted":
                raise rules.no_experiment(experiment_id)
            active, trash = self._places(experiment_id)
            self._mark(experiment_id, trash, "active")
            moved(trash, active)

    def _mark(self, experiment_id: str, folder: str, lifecycle: str) -> None:
        """Write the lifecycle into an experiment and all its runs."""
        deleted = _now() if lifecycle == "deleted" else None
        for *_, run_id, place in self._headings(experiment_id, ""):
            meta = runfolder.completed_meta(metafile.read(place), run_id)
            metafile.write(place, {**meta, "lifecycle_stage": lifecycle, "deleted_time": deleted})
        _change(folder, {"lifecycle_stage": lifecycle})

    def _places(self, experiment_id: str) -> tuple[str, str]:
        """Return where an experiment is while it is active, and while it is deleted."""
        active = os.path.join(self._root, experiment_id)
        return active, os.path.join(self._root, TRASH, experiment_id)

    def _changeable(self, experiment_id: str) -> str:
        """Return the folder of an experiment that is not deleted."""
        rules.check_changeable(self.experiment(experiment_id))
        if experiment_id == rules.DEFAULT_EXPERIMENT:
            self._keep_default()
        return self._places(experiment_id)[0]

    def _experiment(self, experiment_id: str, *, strict: bool = True) -> Experiment | None:
        """Return an experiment, None when there is none (or, unless strict, it makes no sense)."""
        if not rules.is_plain_name(experiment_id):
            return None
        for lifecycle, above in (("active", self._root), ("deleted", f"{self._root}/{TRASH}")):
            folder = os.path.join(above, experiment_id)
            try:
                meta = metafile.read(folder)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except StoreError:
                if strict:
                    raise
                return None
            return Experiment(
                experiment_id=experiment_id,
                name=str(meta.get("name", "")),
                artifact_location=str(meta.get("artifact_location") or file_url(folder)),
                lifecycle=lifecycle,
                created=runfolder.number(meta.get("creation_time")),
                updated=runfolder.number(meta.get("last_update_time")),
                tags=runfolder.texts(folder, "tags"),
            )
        if experiment_id == rules.DEFAULT_EXPERIMENT:  # made with the first run in it
            return Experiment(
                experiment_id=experiment_id,
                name=rules.DEFAULT_EXPERIMENT_NAME,
                artifact_location=file_url(os.path.join(self._root, experiment_id)),
            )
        return None

    def _keep_default(self) -> None:
        """Write the default experiment down, unless it is there (or in the trash)."""
        number = rules.DEFAULT_EXPERIMENT
        places = (os.path.join(self._root, number), os.path.join(self._root, TRASH, number))
        if not any(os.path.exists(os.path.join(place, metafile.NAME)) for place in places):
            self._made_experiment(number, rules.DEFAULT_EXPERIMENT_NAME, None, EMPTY)

    def _made_experiment(
        self, number: str, name: str, artifact_location: str | None, tags: Mapping[str, str]
    ) -> Experiment:
        folder = os.path.join(self._root, number)
        now = _now()
        meta: dict[str, JSON] = {
            "artifact_location": artifact_location or file_url(folder),
            "creation_time": now,
            "experiment_id": number,
            "last_update_time": now,
            "lifecycle_stage": "active",
            "name": rules.storable(name),
        }
        with Aside(self._root) as aside:
            os.makedirs(os.path.join(aside, "tags"))
            runfolder.put_texts(aside, "tags", tags)
            metafile.write(aside, meta)
            try:
                os.rename(aside, folder)
            except OSError:  # another process was faster, or it holds artifacts of a SQLite store
                if not os.path.isdir(folder):
                    raise
                if not os.path.exists(os.path.join(folder, metafile.NAME)):
                    metafile.write(folder, meta)
        return self.experiment(number)

    def _headings(self, experiment_id: str, prefix: str) -> Iterator[tuple[int, str, str, str]]:
        """Return start time, lifecycle, id and folder of an experiment's runs."""
        if not rules.is_plain_name(experiment_id):
            return
        for above in (self._root, os.path.join(self._root, TRASH)):
            home = os.path.join(above, experiment_id)
            for run_id in folders(home):
                if not run_id.startswith(prefix):
                    continue
                folder = f"{home}/{run_id}"
                try:
                    heading = metafile.start_and_lifecycle(
                        metafile.read_bytes(f"{folder}/{metafile.NAME}")
                    ) or _heading(metafile.read(folder))
                except (FileNotFoundError, NotADirectoryError, StoreError):
                    continue  # no run: ``tags``, ``models``, a run half deleted or damaged
                yield (*heading, run_id, folder)


class Aside:
    """A folder in the trash to make things in that appear elsewhere by renaming."""

    def __init__(self, root: str) -> None:
        self._path = os.path.join(root, TRASH, f".runproj-{os.urandom(8).hex()}")

    def __enter__(self) -> str:
        os.makedirs(self._path)
        return self._path

    def __exit__(self, *_: object) -> None:
        if os.path.isdir(self._path):
            from runner.system.files import remove_tree

            remove_tree(self._path)


def folders(folder: str) -> list[str]:
    """Return the names of the folders in a folder, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if e.name[0] != "." and e.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _heading(meta: Mapping[str, JSON]) -> tuple[int, str]:
    started = runfolder.number(meta.get("start_time")) or 0
    return started, str(meta.get("lifecycle_stage") or "active")


def _change(folder: str, changes: Mapping[str, JSON]) -> None:
    meta = {**metafile.read(folder), **changes, "last_update_time": _now()}
    metafile.write(folder, meta, durable=True)


def _now() -> int:
    return time.time_ns() // 1_000_000
