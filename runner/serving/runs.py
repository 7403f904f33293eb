"""Calls about runs."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from runner.model.tracking import Metric, ModelMetric, TrackedRun
from runner.model.value import RunId
from runner.query.kinds import RUN
from runner.query.search import searched
from runner.serving.answers import metric_json, run_info, run_json
from runner.serving.experiments import lifecycle
from runner.serving.files import listed
from runner.serving.messages import Refusal
from runner.serving.search import page_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from runner.codec import JSON
    from runner.model.run import RunStatus
    from runner.serving.arguments import Arguments
    from runner.serving.service import Service

NAME_TAG: Final = "mlflow.runName"
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
    tags = given.pairs("tags")
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
    return {"run": run_json(service, service.store.create_run(service.guest.adopted(run)))}


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
    value = given.text("value", default="")
    service.store.log(run_id, params={given.text("key"): value})
    return {}


def log_metric(service: Service, given: Arguments) -> JSON:
    """``runs/log-metric``."""
    _log_metrics(service, _id(given), (given,))
    return {}


def log_batch(service: Service, given: Arguments) -> JSON:
    """``runs/log-batch``: all of it or nothing."""
    run_id = _id(given)
    params: dict[str, str] = {}
    for item in given.objects("params"):
        key, value = item.text("key"), item.text("value", default="")
        if params.setdefault(key, value) != value:
            raise Refusal(f"Param '{key}' is in the batch twice, with different values.")
    _log_metrics(service, run_id, given.objects("metrics"), params=params, tags=given.pairs("tags"))
    return {}


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
    service.store.log(run_id, metrics=metrics, params=params or {}, tags=tags or {})
    of_models = tuple(_of_models(run_id, items, metrics))
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
        if model_id := item.text("model_id", default=""):
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
    service.store.log(run_id, tags={given.text("key"): given.text("value", default="")})
    return {}


def delete_tag(service: Service, given: Arguments) -> JSON:
    """``runs/delete-tag``."""
    service.store.delete_tag(_id(given), given.text("key"))
    return {}


def search(service: Service, given: Arguments) -> JSON:
    """``runs/search``: newest first unless another order is asked for."""
    service.guest.searched()
    wanted = lifecycle(given.text("run_view_type", default="ACTIVE_ONLY"))
    runs = _all_runs(service, given.texts("experiment_ids"), wanted)
    found = searched(
        runs, RUN, filter_text=given.text("filter", default=""), order=given.texts("order_by")
    )
    page, following = page_of(found, given)
    answer: dict[str, JSON] = {"runs": [run_json(service, run) for run in page]}
    if following:
        answer["next_page_token"] = following
    return answer


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


def history(service: Service, given: Arguments) -> JSON:
    """``metrics/get-history``."""
    metrics = service.store.history(_id(given), given.text("metric_key"))
    page, following = page_of(metrics, given, default=len(metrics) or 1)
    answer: dict[str, JSON] = {"metrics": [metric_json(metric) for metric in page]}
    if following:
        answer["next_page_token"] = following
    return answer


def list_artifacts(service: Service, given: Arguments) -> JSON:
    """``artifacts/list``."""
    run = service.store.run(_id(given))
    path = given.text("path", default="")
    files = listed(service.store.artifacts(run), path)
    return {"root_uri": service.run_location(run), "files": files}


def now() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
