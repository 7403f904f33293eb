"""An MLflow tracking server as store, over its REST API 2.0, without MLflow.

A plain run takes three requests on one connection: ``runs/create`` (with the tags),
``runs/log-batch`` (the parameters) and ``runs/update``. Two things are the server's: it chooses
the ids of runs, and it cannot move a run to another experiment.
"""

from __future__ import annotations

from runner.errors import StoreError
from runner.model.tracking import Experiment, Metric, RunPage, TrackedRun
from runner.model.value import EMPTY, RunId, changed
from runner.stores import rules, wire
from runner.stores.artifacts import FolderArtifacts, UnreachableArtifacts
from runner.stores.opening import local_path
from runner.stores.remote_artifacts import ListedArtifacts, ProxiedArtifacts
from runner.stores.rules import completed
from runner.stores.transport import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from runner.codec import JSON
    from runner.model.run import RunStatus
    from runner.model.tracking import RunSearch
    from runner.ports import Artifacts, LineageStore, ModelStore, RegistryStore
    from runner.stores.rest_ids import RestIds

VIEWS = {"active": "ACTIVE_ONLY", "deleted": "DELETED_ONLY", "all": "ALL"}
HISTORY_PAGE = 10_000


class RestStore:
    """Runs on an MLflow tracking server; see ``runner.ports.TrackingStore``.

    ``directory`` is what relative artifact paths of the server are relative to, ``environ`` holds
    credentials and certificates under MLflow's names. A request that failed is not repeated
    after ``patience`` seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        directory: str,
        environ: Mapping[str, str],
        patience: float = float("inf"),
    ) -> None:
        self._server = Server(url, environ, patience=patience)
        self._directory = directory
        self._made: dict[str, TrackedRun] = {}
        self._keeps_models: bool | None = None
        self._keeps_datasets: bool | None = None

    @property
    def uri(self) -> str:
        """The server's address, without credentials."""
        return self._server.url

    @property
    def artifact_root(self) -> None:
        """None: the server knows."""

    @property
    def own_ids(self) -> RestIds:
        """The server chooses ids; this finds runs and models by what we know of them."""
        from runner.stores.rest_ids import RestIds

        return RestIds(self._server)

    @property
    def model_store(self) -> ModelStore | None:
        """Where logged models are kept; None on servers before MLflow 3."""
        from runner.stores.rest_models import RestModels, keeps_models

        if self._keeps_models is None:
            self._keeps_models = keeps_models(self._server)
        return RestModels(self._server, self._model_files) if self._keeps_models else None

    @property
    def lineage_store(self) -> LineageStore | None:
        """Where datasets and outputs are kept; None on servers before MLflow 2.4."""
        from runner.stores.rest_lineage import RestLineage, keeps_datasets

        if self._keeps_datasets is None:
            self._keeps_datasets = keeps_datasets(self._server)
        return RestLineage(self._server) if self._keeps_datasets else None

    @property
    def registry_store(self) -> RegistryStore:
        """Where models are registered."""
        from runner.stores.rest_registry import RestRegistry

        return RestRegistry(self._server)

    def close(self) -> None:
        """Close the connection."""
        self._server.close()
        self._made.clear()

    def experiment(self, experiment_id: str) -> Experiment:
        """Return one experiment."""
        found = self._server.get("mlflow/experiments/get", experiment_id=experiment_id)
        return wire.experiment(found["experiment"])

    def experiment_named(self, name: str) -> Experiment | None:
        """Return the experiment of that name, deleted or not."""
        try:
            found = self._server.get("mlflow/experiments/get-by-name", experiment_name=name)
        except StoreError as error:
            if error.status == rules.MISSING:
                return None
            raise
        return wire.experiment(found["experiment"])

    def experiments(self) -> tuple[Experiment, ...]:
        """Return all of them, oldest first."""
        found: list[Experiment] = []
        page: JSON = ""
        while page is not None:
            query: dict[str, JSON] = {"max_results": 1000, "view_type": "ALL"}
            answer = self._server.post(
                "mlflow/experiments/search", {**query, "page_token": page} if page else query
            )
            found += map(wire.experiment, wire.items(answer, "experiments"))
            page = answer.get("next_page_token") or None
        found.sort(key=lambda e: (e.experiment_id != rules.DEFAULT_EXPERIMENT, e.created or 0))
        return tuple(found)

    def create_experiment(
        self, name: str, *, artifact_location: str | None = None, tags: Mapping[str, str] = EMPTY
    ) -> Experiment:
        """Make a new experiment."""
        rules.check_experiment(name, tags)
        document: dict[str, JSON] = {"name": rules.storable(name), "tags": wire.pairs(tags)}
        if artifact_location:
            document["artifact_location"] = artifact_location
        made = self._server.post("mlflow/experiments/create", document, repeatable=False)
        return self.experiment(str(made["experiment_id"]))

    def update_experiment(
        self, experiment_id: str, *, name: str | None = None, tags: Mapping[str, str] = EMPTY
    ) -> Experiment:
        """Change what is given and leave the rest, one request for each."""
        rules.check_experiment("unchanged" if name is None else name, tags)
        if name is not None:
            document: dict[str, JSON] = {"new_name": rules.storable(name)}
            self._change_experiment("update", experiment_id, document)
        for key, value in tags.items():
            document = {"key": key, "value": rules.storable(value)}
            self._change_experiment("set-experiment-tag", experiment_id, document)
        return self.experiment(experiment_id)

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """Take a tag away; servers from MLflow 3 on can."""
        self._change_experiment("delete-experiment-tag", experiment_id, {"key": key})

    def delete_experiment(self, experiment_id: str) -> None:
        """Mark an experiment and its runs as deleted."""
        self._change_experiment("delete", experiment_id, {})

    def restore_experiment(self, experiment_id: str) -> None:
        """Take a deletion back."""
        self._change_experiment("restore", experiment_id, {})

    def _change_experiment(self, call: str, experiment_id: str, given: Mapping[str, JSON]) -> None:
        document: dict[str, JSON] = {"experiment_id": experiment_id, **given}
        self._server.post(f"mlflow/experiments/{call}", document)

    def create_run(self, run: TrackedRun) -> TrackedRun:
        """Add a run; the returned one has the id that the server chose."""
        run = completed(run)
        answer: Any = self._server.post(
            "mlflow/runs/create",
            {
                "experiment_id": run.experiment_id,
                "user_id": run.user,
                "run_name": run.name,
                "start_time": run.started,
                "tags": wire.pairs(run.tags),
            },
            repeatable=False,
        )
        info = answer["run"]["info"]
        run = changed(
            run, run_id=RunId(wire.run_id_of(info)), artifact_uri=info.get("artifact_uri", "")
        )
        self._log(run.run_id, tuple(run.metrics.values()), run.params, EMPTY)
        if run.status != "RUNNING":
            self._update(run.run_id, {"status": run.status, "end_time": run.ended})
        self._made[run.run_id] = run
        return run

    def run(self, run_id: RunId) -> TrackedRun:
        """Return one run, as the server sees it now."""
        rules.check_run_id(run_id)
        answer = self._server.get("mlflow/runs/get", run_id=run_id, run_uuid=run_id)
        return wire.run(answer["run"])

    def update_run(
        self,
        run_id: RunId,
        *,
        status: RunStatus | None = None,
        ended: int | None = None,
        name: str | None = None,
        tags: Mapping[str, str] = EMPTY,
    ) -> TrackedRun:
        """Change what is given and leave the rest.

        Of a run that this store made, what others have logged meanwhile is not asked for.
        """
        rules.check_run(run_id, name or "", status)
        rules.check_tags(tags)
        tags = {**tags, rules.RUN_NAME_TAG: name} if name else tags
        self._log(run_id, (), EMPTY, tags)
        if status is not None or ended is not None or name is not None:
            self._update(run_id, {"status": status, "end_time": ended, "run_name": name})
        made = self._made.get(run_id)
        if made is None:
            return self.run(run_id)
        made = self._made[run_id] = changed(
            made,
            status=status or made.status,
            ended=made.ended if ended is None else ended,
            name=tags.get(rules.RUN_NAME_TAG) or made.name,
            tags={**made.tags, **tags},
        )
        return made

    def log(
        self,
        run_id: RunId,
        *,
        metrics: Iterable[Metric] = (),
        params: Mapping[str, str] = EMPTY,
        tags: Mapping[str, str] = EMPTY,
    ) -> None:
        """Write batches of a size that the server takes; each is written whole or not at all."""
        metrics = tuple(metrics)
        rules.check_run_id(run_id)
        rules.check_metrics(metrics)
        rules.check_params(params)
        rules.check_tags(tags)
        self._log(run_id, metrics, params, tags)

    def delete_tag(self, run_id: RunId, key: str) -> None:
        """Take a tag away."""
        self._server.post("mlflow/runs/delete-tag", {"run_id": run_id, "key": key})

    def history(self, run_id: RunId, key: str) -> tuple[Metric, ...]:
        """Return every logged value of a metric, in the order of time and step."""
        rules.check_run_id(run_id)
        found: list[Metric] = []
        page: str | None = None
        while True:
            answer = self._server.get(
                "mlflow/metrics/get-history",
                run_id=run_id,
                run_uuid=run_id,
                metric_key=key,
                max_results=HISTORY_PAGE,
                page_token=page,
            )
            found += map(wire.metric, wire.items(answer, "metrics"))
            page = str(answer.get("next_page_token") or "") or None
            if page is None:
                found.sort(key=lambda m: (m.timestamp, m.step))
                return tuple(found)

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
        rules.check_lifecycle(lifecycle)
        ids = list(experiment_ids)
        if not ids:
            return RunPage(runs=())
        query: dict[str, JSON] = {
            "experiment_ids": [*ids],
            "max_results": limit,
            "run_view_type": VIEWS[lifecycle],
            "order_by": ["attributes.start_time DESC"],
        }
        if prefix:
            rules.check_run_id(prefix)
            query["filter"] = f"attributes.run_id LIKE '{prefix}%'"
        if page:
            query["page_token"] = page
        answer = self._server.post("mlflow/runs/search", query)
        found = tuple(wire.run(run) for run in wire.items(answer, "runs"))
        return RunPage(runs=found, next_page=str(answer.get("next_page_token") or "") or None)

    def narrowed_runs(self, search: RunSearch, page: str | None = None) -> RunPage | None:
        """Return a page of the runs that the server lets through, in the order asked for.

        Some are more than pass: MLflow 2 takes NaN for 0. None when the server cannot be asked.
        """
        from runner.stores.search_rest import question

        asked = question(search, VIEWS[search.lifecycle])
        if asked is None:
            return None
        if page:
            asked["page_token"] = page
        try:
            answer = self._server.post("mlflow/runs/search", asked)
        except StoreError as error:
            if error.status != rules.INVALID or page:
                raise
            return None
        found = tuple(wire.run(run) for run in wire.items(answer, "runs"))
        return RunPage(runs=found, next_page=str(answer.get("next_page_token") or "") or None)

    def move_run(self, run_id: RunId, experiment_id: str) -> TrackedRun:
        """Refuse: MLflow's servers cannot do this."""
        raise StoreError(
            f"the tracking server cannot move the run {run_id!r} to experiment {experiment_id!r}",
            status="NOT_IMPLEMENTED",
            where=self.uri,
            hint="name the experiment when the run begins: --experiment-id",
        )

    def delete_run(self, run_id: RunId) -> None:
        """Mark a run as deleted."""
        self._server.post("mlflow/runs/delete", {"run_id": run_id})

    def restore_run(self, run_id: RunId) -> None:
        """Take a deletion back."""
        self._server.post("mlflow/runs/restore", {"run_id": run_id})

    def artifacts(self, run: TrackedRun) -> Artifacts:
        """Return the run's files.

        Through the server (``mlflow-artifacts:``), or directly where the server's own path is a
        local one, as MLflow does; elsewhere (S3 and so on) they can be read but not written.
        """
        return self._files(run.artifact_uri) or ListedArtifacts(self._server, run)

    def _files(self, uri: str) -> Artifacts | None:
        if uri.startswith("mlflow-artifacts:/") and not uri.startswith("mlflow-artifacts://"):
            return ProxiedArtifacts(self._server, uri[len("mlflow-artifacts:/") :].strip("/"))
        folder = local_path(uri, self._directory)
        return FolderArtifacts(folder) if folder else None

    def _model_files(self, uri: str) -> Artifacts:
        return self._files(uri) or UnreachableArtifacts(uri)

    def _update(self, run_id: str, changes: Mapping[str, JSON]) -> None:
        given = {key: value for key, value in changes.items() if value is not None}
        self._server.post("mlflow/runs/update", {"run_id": run_id, "run_uuid": run_id, **given})

    def _log(
        self,
        run_id: RunId,
        metrics: tuple[Metric, ...],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        for batch in wire.batches(metrics, params, tags):
            try:
                self._server.post("mlflow/runs/log-batch", {"run_id": run_id, **batch})
            except StoreError as error:
                if error.status != rules.INVALID or "params" not in batch:
                    raise
                self._log_again(run_id, batch, error)

    def _log_again(self, run_id: RunId, batch: dict[str, JSON], refusal: StoreError) -> None:
        """Log a refused batch without the parameters that are there already as equal numbers."""
        there = self.run(run_id).params
        pairs: Any = batch["params"]
        for pair in pairs:
            if pair["key"] in there:
                rules.check_again(run_id, pair["key"], there[pair["key"]], pair["value"])
        fresh = [pair for pair in pairs if pair["key"] not in there]
        if len(fresh) == len(pairs):
            raise refusal
        self._server.post("mlflow/runs/log-batch", {**batch, "run_id": run_id, "params": [*fresh]})
