"""Calls about runs."""

from __future__ import annotations

import os
import time
from itertools import islice
from typing import TYPE_CHECKING

from runner.model.tracking import Metric, ModelMetric, RunSearch, TrackedRun
from runner.model.value import RunId, changed
from runner.query.filters import parsed
from runner.query.kinds import RUN
from runner.query.search import orderings, searched
from runner.serving.answers import NO_LINEAGE, run_info, run_json, runs_json
from runner.serving.experiments import lifecycle
from runner.serving.files import listed
from runner.serving.messages import Refusal
from runner.serving.search import page_of, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Final

    from runner.codec import JSON
    from runner.model.run import RunStatus
    from runner.model.tracking import DatasetInput
    from runner.serving.arguments import Arguments
    from runner.serving.service import Service

NAME_TAG: Final = "mlflow.runName"
METRICS_A_BATCH: Final = 1000
PARAMS_A_BATCH: Final = 100
TAGS_A_BATCH: Final = 100
MOST_EXPERIMENTS: Final = 20
RUNS_READ: Final = 1000
"""Of how many runs the datasets are listed; MLflow lists as many datasets."""
CONTEXT_TAG: Final = "mlflow.data.context"
PARAM_LIMIT: Final = 6000
TAG_LIMIT: Final = 8000
"""The longest values, in characters (``mlflow/utils/validation.py``)."""
STATUSES: Final[dict[str, RunStatus]] = {
    "RUNNING": "RUNNING",
    "SCHEDULED": "SCHEDULED",
    "FINISHED": "FINISHED",
    "FAILED": "FAILED",
    "KILLED": "KILLED",
    "1": "RUNNING",
    "2": "SCHEDULED",
    "3": "FINISHED",
    "4": "FAILED",
    "5": "KILLED",
}
"""MLflow's statuses, by name and by the number that protocol buffers know them under."""


def _id(given: Arguments) -> RunId:
    return RunId(given.text("run_id", "run_uuid"))


def create(service: Service, given: Arguments) -> JSON:
    """``runs/create``."""
    tags = _tags(given.objects("tags"))
    name = given.text("run_name", default="")
    if name and tags.get(NAME_TAG, name) != name:
        raise Refusal(
            f"Both 'run_name' ({name!r}) and the tag '{NAME_TAG}' ({tags[NAME_TAG]!r}) are "
            "given, and they differ."
        )
    run = TrackedRun(
        run_id=RunId(os.urandom(16).hex()),
        experiment_id=given.text("experiment_id", default="0"),
        name=name or tags.get(NAME_TAG, ""),
        status="RUNNING",
        started=given.integer("start_time", default=now()),
        ended=None,
        artifact_uri="",
        user=given.text("user_id", default=""),
        tags=tags,
    )
    made = service.store.create_run(service.guest.adopted(run))
    return {"run": run_json(service, made, NO_LINEAGE if service.known_lineages else None)}


def get(service: Service, given: Arguments) -> JSON:
    """``runs/get``."""
    run = service.guest.found(service.store.run(_id(given)))
    return {"run": run_json(service, run)}


def update(service: Service, given: Arguments) -> JSON:
    """``runs/update``. The last word about the run of this endpoint has Runproj, not the client."""
    run_id = _id(given)
    service.guest.began(run_id)
    status = given.maybe("status")
    if status is not None and status not in STATUSES:
        raise Refusal(f"Invalid run status '{status}'.")
    run = service.store.update_run(
        run_id,
        status=None if status is None else STATUSES[status],
        ended=given.integer("end_time") if given.has("end_time") else None,
        name=given.maybe("run_name") or None,
    )
    return {"run_info": run_info(service, run)}


def delete(service: Service, given: Arguments) -> JSON:
    """``runs/delete``."""
    service.store.delete_run(_id(given))
    return {}


def restore(service: Service, given: Arguments) -> JSON:
    """``runs/restore``."""
    service.store.restore_run(_id(given))
    return {}


def log_parameter(service: Service, given: Arguments) -> JSON:
    """``runs/log-parameter``."""
    run_id = _id(given)
    service.store.log(run_id, params=_params([given]))
    return {}


def log_metric(service: Service, given: Arguments) -> JSON:
    """``runs/log-metric``."""
    _log_metrics(service, _id(given), (given,))
    return {}


def log_batch(service: Service, given: Arguments) -> JSON:
    """``runs/log-batch``: all of it or nothing."""
    run_id = _id(given)
    metrics, params, tags = (given.objects(name) for name in ("metrics", "params", "tags"))
    _check_size(metrics, "metrics", METRICS_A_BATCH)
    _check_size(params, "params", PARAMS_A_BATCH)
    _check_size(tags, "tags", TAGS_A_BATCH)
    _check_size((*metrics, *params, *tags), "metrics, params and tags", METRICS_A_BATCH)
    _log_metrics(service, run_id, metrics, params=_params(params), tags=_tags(tags))
    return {}


def _check_size(items: tuple[Arguments, ...], what: str, most: int) -> None:
    if len(items) > most:
        raise Refusal(
            f"A batch logging request can contain at most {most} {what}. Got {len(items)} {what}. "
            "Please split up your request and try again."
        )


def _params(items: Iterable[Arguments]) -> dict[str, str]:
    """Return parameters; what is too long is cut, as by MLflow's server."""
    params: dict[str, str] = {}
    for item in items:
        key, value = item.text("key"), item.text("value", default="")[:PARAM_LIMIT]
        if params.setdefault(key, value) != value:
            raise Refusal(f"Param '{key}' is in the batch twice, with different values.")
    return params


def _tags(items: Iterable[Arguments]) -> dict[str, str]:
    """Return tags; what is too long is cut, as by MLflow's server."""
    return {item.text("key"): item.text("value", default="")[:TAG_LIMIT] for item in items}


def _log_metrics(
    service: Service,
    run_id: RunId,
    items: tuple[Arguments, ...],
    *,
    params: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    if items:
        service.guest.began(run_id)
    metrics = [_metric(item) for item in items]
    of_models = tuple(_of_models(run_id, items, metrics))
    service.store.log(run_id, metrics=metrics, params=params or {}, tags=tags or {})
    if of_models:
        service.lineages.log_model_metrics(of_models)


def _metric(item: Arguments) -> Metric:
    return Metric(
        key=item.text("key"),
        value=item.number("value"),
        timestamp=item.integer("timestamp"),
        step=item.integer("step", default=0),
    )


def _of_models(
    run_id: RunId, items: tuple[Arguments, ...], metrics: list[Metric]
) -> Iterator[ModelMetric]:
    for item, metric in zip(items, metrics, strict=True):
        if item.has("model_id") and (model_id := item.text("model_id")):
            yield ModelMetric(
                model_id=model_id,
                run_id=run_id,
                metric=metric,
                dataset_name=item.maybe("dataset_name"),
                dataset_digest=item.maybe("dataset_digest"),
            )


def set_tag(service: Service, given: Arguments) -> JSON:
    """``runs/set-tag``."""
    run_id = _id(given)
    service.store.log(run_id, tags=_tags([given]))
    return {}


def delete_tag(service: Service, given: Arguments) -> JSON:
    """``runs/delete-tag``."""
    service.store.delete_tag(_id(given), given.text("key"))
    return {}


def search(service: Service, given: Arguments) -> JSON:
    """``runs/search``: newest first unless another order is asked for."""
    service.guest.searched()
    page, following = _searched_by_store(service, given) or _searched_by_us(service, given)
    answer: dict[str, JSON] = {"runs": runs_json(service, page)}
    if following:
        answer["next_page_token"] = following
    return answer


def _searched_by_store(
    service: Service, given: Arguments
) -> tuple[Sequence[TrackedRun], str | None] | None:
    """Let the store look for a page of runs; None when it cannot."""
    searches = getattr(service.store, "search_runs", None)
    if searches is None:
        return None
    kind = changed(RUN, datasets=_Datasets(service).read)
    start, size = place_of(given)
    found = searches(
        RunSearch(
            experiment_ids=given.texts("experiment_ids"),
            comparisons=tuple(parsed(given.text("filter", default=""), kind)),
            order=orderings(given.texts("order_by"), kind),
            lifecycle=lifecycle(given.text("run_view_type", default="ACTIVE_ONLY")),
            start=start,
            limit=size + 1,
        )
    )
    if found is None:
        return None
    return found[:size], str(start + size) if len(found) > size else None


def _searched_by_us(service: Service, given: Arguments) -> tuple[Sequence[TrackedRun], str | None]:
    wanted = lifecycle(given.text("run_view_type", default="ACTIVE_ONLY"))
    runs = _all_runs(service, given.texts("experiment_ids"), wanted)
    kind = changed(RUN, datasets=_Datasets(service).read)
    found = searched(
        runs, kind, filter_text=given.text("filter", default=""), order=given.texts("order_by")
    )
    return page_of(found, given)


class _Datasets:
    """What a search asks about the datasets of runs: each run's are looked up once."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: dict[str, tuple[DatasetInput, ...]] = {}

    def read(self, run: TrackedRun, key: str) -> tuple[str, ...]:
        """Return the names, digests or contexts of what a run has read."""
        lineages = self._service.known_lineages
        if run.run_id not in self._known:
            found = () if lineages is None else lineages.lineage(run.run_id).datasets
            self._known[run.run_id] = found
        items = self._known[run.run_id]
        if key == "context":
            return tuple(i.tags[CONTEXT_TAG] for i in items if CONTEXT_TAG in i.tags)
        return tuple(i.dataset.name if key == "name" else i.dataset.digest for i in items)


def search_datasets(service: Service, given: Arguments) -> JSON:
    """``experiments/search-datasets``: what the newest runs of some experiments have read."""
    experiment_ids = given.texts("experiment_ids")
    if not experiment_ids:
        raise Refusal("Missing value for required parameter 'experiment_ids'.")
    if len(experiment_ids) > MOST_EXPERIMENTS:
        raise Refusal(
            f"At most {MOST_EXPERIMENTS} experiments can be asked about at once, not "
            f"{len(experiment_ids)}."
        )
    found: dict[tuple[str, ...], JSON] = {}
    for run in islice(_all_runs(service, experiment_ids, "active"), RUNS_READ):
        for item in service.lineages.lineage(run.run_id).datasets:
            summary = {
                "experiment_id": run.experiment_id,
                "name": item.dataset.name,
                "digest": item.dataset.digest,
            }
            if CONTEXT_TAG in item.tags:
                summary["context"] = item.tags[CONTEXT_TAG]
            found.setdefault(tuple(summary.values()), {**summary})
    return {"dataset_summaries": [*found.values()]}


def _all_runs(
    service: Service, experiment_ids: tuple[str, ...], wanted: str
) -> Iterator[TrackedRun]:
    page = None
    while experiment_ids:
        found = service.store.runs(experiment_ids, limit=500, page=page, lifecycle=wanted)
        yield from found.runs
        page = found.next_page
        if page is None:
            return


def list_artifacts(service: Service, given: Arguments) -> JSON:
    """``artifacts/list``: all at once; ``page_token`` is not used, as by MLflow's server."""
    given.text("page_token", default="")
    run = service.store.run(_id(given))
    path = given.text("path", default="")
    files = listed(service.store.artifacts(run), path)
    return {"root_uri": service.run_location(run), "files": files}


def now() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
