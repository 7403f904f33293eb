"""MLflow's SQLite store, written without MLflow.

The tables are MLflow's (see ``mlflow_schema``), artifacts lie beside the database under
``mlruns/<experiment>/<run>/artifacts``, where MLflow from 3.7 on looks for them. Databases that
MLflow made are written as they are and never upgraded. All methods may be called by several
threads; processes wait for each other.
"""

from __future__ import annotations

import json
import os
import time

from runner.model.run import ENDED
from runner.model.tracking import RunPage
from runner.model.value import EMPTY, changed
from runner.stores import rows, rules
from runner.stores.artifacts import FolderArtifacts, UnreachableArtifacts, moved
from runner.stores.database import Database
from runner.stores.opening import local_path
from runner.stores.rules import completed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.model.run import RunStatus
    from runner.model.tracking import Experiment, Metric, RunSearch, TrackedRun
    from runner.model.value import RunId
    from runner.ports import Artifacts, LineageStore, ModelStore, RegistryStore


class SqliteStore:
    """Runs in an ``mlflow.db``. ``path`` is absolute; see ``runner.ports.TrackingStore``.

    With ``durable`` every write is synced to the disk, not only ends of runs.
    """

    def __init__(self, path: str, *, durable: bool = False) -> None:
        self._durable = durable
        self._folder = os.path.dirname(path)
        self._artifact_root = os.path.join(self._folder, "mlruns")
        self._database = Database(path, self._artifact_root, durable=durable)

    @property
    def uri(self) -> str:
        """``sqlite:///`` and the path of the file."""
        return f"sqlite:///{self._database.path}"

    @property
    def own_ids(self) -> None:
        """None: ids that are given are kept."""

    @property
    def artifact_root(self) -> str:
        """``mlruns`` beside the database."""
        return self._artifact_root

    @property
    def model_store(self) -> ModelStore | None:
        """Where logged models are kept; None in a database that MLflow 2 made."""
        from runner.stores.models_sqlite import SqliteModels

        if not self._database.has_table("logged_models"):
            return None
        return SqliteModels(self._database, self._files)

    @property
    def lineage_store(self) -> LineageStore | None:
        """Where datasets and outputs are kept; None in a database of MLflow 1."""
        from runner.stores.lineage_sqlite import SqliteLineage

        if not self._database.has_table("inputs"):
            return None
        return SqliteLineage(self._database, has_models=self._database.has_table("logged_models"))

    @property
    def registry_store(self) -> RegistryStore | None:
        """Where models are registered."""
        from runner.stores.registry_sqlite import SqliteRegistry

        return SqliteRegistry(self._database)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def experiment(self, experiment_id: str) -> Experiment:
        """Return one experiment."""
        with self._database.reading() as connection:
            return rows.experiment(connection, experiment_id)

    def experiment_named(self, name: str) -> Experiment | None:
        """Return the experiment of that name, deleted or not."""
        with self._database.reading() as connection:
            found = rows.experiments(connection, "WHERE name = ?", name)
        return found[0] if found else None

    def experiments(self) -> tuple[Experiment, ...]:
        """Return all of them, oldest first."""
        with self._database.reading() as connection:
            return rows.experiments(connection, "ORDER BY experiment_id")

    def create_experiment(
        self, name: str, *, artifact_location: str | None = None, tags: Mapping[str, str] = EMPTY
    ) -> Experiment:
        """Make a new experiment."""
        rules.check_experiment(name, tags)
        now = _now()
        with self._database.writing(durable=True) as connection:
            if connection.execute("SELECT 1 FROM experiments WHERE name = ?", (name,)).fetchone():
                raise rules.taken(f"there is an experiment named {name!r} already")
            number = connection.execute(
                "INSERT INTO experiments (name, artifact_location, lifecycle_stage,"
                " creation_time, last_update_time) VALUES (?, ?, 'active', ?, ?)",
                (rules.storable(name), artifact_location or "", now, now),
            ).lastrowid
            if not artifact_location:
                connection.execute(
                    "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                    (os.path.join(self._artifact_root, str(number)), number),
                )
            connection.executemany(
                "INSERT INTO experiment_tags (key, value, experiment_id) VALUES (?, ?, ?)",
                [(key, rules.storable(value), number) for key, value in tags.items()],
            )
            return rows.experiment(connection, str(number))

    def update_experiment(
        self, experiment_id: str, *, name: str | None = None, tags: Mapping[str, str] = EMPTY
    ) -> Experiment:
        """Change what is given and leave the rest."""
        from runner.stores import experiments_sqlite

        rules.check_experiment("unchanged" if name is None else name, tags)
        with self._database.writing(durable=True) as connection:
            return experiments_sqlite.update(connection, experiment_id, name=name, tags=tags)

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """Take a tag away."""
        from runner.stores import experiments_sqlite

        with self._database.writing() as connection:
            experiments_sqlite.delete_tag(connection, experiment_id, key)

    def delete_experiment(self, experiment_id: str) -> None:
        """Mark an experiment and its runs as deleted."""
        from runner.stores import experiments_sqlite

        with self._database.writing(durable=True) as connection:
            experiments_sqlite.set_lifecycle(connection, experiment_id, "deleted")

    def restore_experiment(self, experiment_id: str) -> None:
        """Take a deletion back."""
        from runner.stores import experiments_sqlite

        with self._database.writing(durable=True) as connection:
            experiments_sqlite.set_lifecycle(connection, experiment_id, "active")

    def create_run(self, run: TrackedRun) -> TrackedRun:
        """Add a run with its params and tags; empty id, name and artifact URI are filled in."""
        run = completed(run)
        if run.experiment_id != rules.DEFAULT_EXPERIMENT and not self._database.is_made:
            self.experiment(run.experiment_id)  # before a file is made for nothing
        with self._database.writing() as connection:
            location = rows.location(connection, run.experiment_id).rstrip("/")
            if connection.execute(
                "SELECT 1 FROM runs WHERE run_uuid = ?", (run.run_id,)
            ).fetchone():
                raise rules.taken(f"there is a run {run.run_id!r} already")
            uri = run.artifact_uri or f"{location}/{run.run_id}/artifacts"
            run = changed(run, artifact_uri=uri)
            rows.insert_run(connection, run)
            rows.write(
                connection,
                run.run_id,
                metrics=run.metrics.values(),
                params=run.params,
                tags=run.tags,
            )
        return run

    def run(self, run_id: RunId) -> TrackedRun:
        """Return one run."""
        with self._database.reading() as connection:
            return rows.run(connection, run_id)

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
        with self._database.writing(durable=status in ENDED) as connection:
            rows.check_active(connection, run_id)
            connection.execute(
                "UPDATE runs SET status = coalesce(?, status), end_time = coalesce(?, end_time)"
                " WHERE run_uuid = ?",
                (status, ended, run_id),
            )
            rows.write_tags(connection, run_id, tags)
            return rows.run(connection, run_id)

    def log(
        self,
        run_id: RunId,
        *,
        metrics: Iterable[Metric] = (),
        params: Mapping[str, str] = EMPTY,
        tags: Mapping[str, str] = EMPTY,
    ) -> None:
        """Write a batch, all of it or nothing."""
        metrics = tuple(metrics)
        rules.check_metrics(metrics)
        rules.check_params(params)
        rules.check_tags(tags)
        with self._database.writing() as connection:
            rows.check_active(connection, run_id)
            rows.write(connection, run_id, metrics=metrics, params=params, tags=tags)

    def delete_tag(self, run_id: RunId, key: str) -> None:
        """Take a tag away."""
        with self._database.writing() as connection:
            rows.check_active(connection, run_id)
            gone = connection.execute(
                "DELETE FROM tags WHERE run_uuid = ? AND key = ?", (run_id, key)
            )
            if not gone.rowcount:
                raise rules.no_tag(run_id, key)

    def history(self, run_id: RunId, key: str) -> tuple[Metric, ...]:
        """Return every logged value of a metric, in the order of time and step."""
        with self._database.reading() as connection:
            rows.lifecycle(connection, run_id)
            found = connection.execute(
                "SELECT key, value, timestamp, step, is_nan FROM metrics"
                # the plus keeps SQLite from the primary key, which begins with the key: it would
                # read that metric of all runs
                " WHERE run_uuid = ? AND +key = ? ORDER BY timestamp, step, value",
                (run_id, key),
            ).fetchall()
        return tuple(rows.metric(row) for row in found)

    def histories(self, run_id: RunId) -> tuple[Metric, ...]:
        """Return every logged value of all metrics, each in the order of time and step."""
        with self._database.reading() as connection:
            rows.lifecycle(connection, run_id)
            found = connection.execute(
                "SELECT key, value, timestamp, step, is_nan FROM metrics"
                " WHERE run_uuid = ? ORDER BY key, timestamp, step, value",
                (run_id,),
            ).fetchall()
        return tuple(rows.metric(row) for row in found)

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
        conditions = ["experiment_id IN (SELECT value FROM json_each(?))"]
        values: list[object] = [json.dumps([int(i) for i in experiment_ids if i.isdecimal()])]
        if lifecycle != "all":
            conditions.append("lifecycle_stage = ?")
            values.append(lifecycle)
        if prefix:
            conditions.append("run_uuid >= ? AND run_uuid < ?")
            values += [prefix, prefix + "\U0010ffff"]
        if page:
            conditions.append("(coalesce(start_time, 0), run_uuid) < (?, ?)")
            values += paging.start(page)
        query = (
            f"{rows.RUN} WHERE {' AND '.join(conditions)}"
            " ORDER BY coalesce(start_time, 0) DESC, run_uuid DESC LIMIT ?"
        )
        with self._database.reading() as connection:
            found = connection.execute(query, (*values, limit + 1)).fetchall()
            runs = rows.filled(connection, found[:limit])
        return RunPage(runs=runs, next_page=paging.after(runs[-1]) if found[limit:] else None)

    def search_runs(self, search: RunSearch) -> tuple[TrackedRun, ...] | None:
        """Find runs by SQL; see ``runner.ports.SearchableStore``."""
        from runner.stores.search_sqlite import Question, can_answer

        if not can_answer(search.comparisons, search.order):
            return None
        question = Question(search.experiment_ids, search.lifecycle)
        for comparison in search.comparisons:
            question.where(comparison)
        text, values = question.ordered(search.order) if search.order else question.newest()
        page = f"{text} LIMIT ? OFFSET ?"
        with self._database.aside() as connection:
            found = connection.execute(page, (*values, search.limit, search.start)).fetchall()
            return rows.runs(connection, [row[0] for row in found])

    def move_run(self, run_id: RunId, experiment_id: str) -> TrackedRun:
        """Put a run into another experiment, artifacts and all."""
        with self._database.writing() as connection:
            rows.check_active(connection, run_id)
            run = rows.run(connection, run_id)
            source = rows.experiment(connection, run.experiment_id)
            target = rows.experiment(connection, experiment_id)
            if target.lifecycle != "active":
                raise rules.not_active("experiment", target.name)
            if target == source:
                return run
            uri = run.artifact_uri
            if uri == f"{source.artifact_location}/{run_id}/artifacts":
                uri = f"{target.artifact_location}/{run_id}/artifacts"
            connection.execute(
                "UPDATE runs SET experiment_id = ?, artifact_uri = ? WHERE run_uuid = ?",
                (int(experiment_id), uri, run_id),
            )
            self._move_folder(run.artifact_uri, uri)
            return changed(run, experiment_id=experiment_id, artifact_uri=uri)

    def delete_run(self, run_id: RunId) -> None:
        """Mark a run as deleted."""
        self._set_lifecycle(run_id, "deleted", _now())

    def restore_run(self, run_id: RunId) -> None:
        """Take a deletion back."""
        self._set_lifecycle(run_id, "active", None)

    def artifacts(self, run: TrackedRun) -> Artifacts:
        """Return the run's files, also when the database was moved with them."""
        folder = self._local(run.artifact_uri)
        if folder is not None and not os.path.isdir(folder):
            beside = os.path.join(self._artifact_root, run.experiment_id, run.run_id, "artifacts")
            if os.path.isdir(beside):
                return FolderArtifacts(beside, durable=self._durable)
        return self._files(run.artifact_uri)

    def _files(self, uri: str) -> Artifacts:
        folder = self._local(uri)
        return (
            UnreachableArtifacts(uri)
            if folder is None
            else FolderArtifacts(folder, durable=self._durable)
        )

    def _local(self, uri: str) -> str | None:
        """Return the folder of an artifact URI.

        ``mlflow-artifacts:`` is what ``mlflow server`` writes; it keeps these files in
        ``mlartifacts`` in the directory that it was started in, usually that of the database.
        """
        if uri.startswith("mlflow-artifacts:"):
            _, _, path = uri.partition(":")
            if path.startswith("//"):  # mlflow-artifacts://host:port/path
                path = "/" + path[2:].partition("/")[2]
            plain = os.path.normpath("/" + path.lstrip("/"))
            return f"{self._folder}/mlartifacts{plain}"
        return local_path(uri, self._folder)

    def _move_folder(self, old: str, new: str) -> None:
        source, target = self._local(old), self._local(new)
        if source and target and source != target and os.path.isdir(source):
            moved(os.path.dirname(source), os.path.dirname(target))

    def _set_lifecycle(self, run_id: RunId, lifecycle: str, deleted: int | None) -> None:
        with self._database.writing() as connection:
            changes = connection.execute(
                "UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE run_uuid = ?",
                (lifecycle, deleted, run_id),
            )
            if not changes.rowcount:
                raise rules.no_run(run_id)


def _now() -> int:
    return int(time.time() * 1000)
