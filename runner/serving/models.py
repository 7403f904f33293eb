"""Calls about what runs read and made: datasets, outputs, logged models."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from runner.model.tracking import Dataset, DatasetInput, Lineage, LoggedModel, ModelOutput
from runner.model.value import RunId, changed
from runner.query.kinds import MODEL
from runner.query.search import searched
from runner.serving.answers import MODEL_STATUS, model_json
from runner.serving.files import listed
from runner.serving.messages import Refusal, missing
from runner.serving.runs import now
from runner.serving.search import page_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from runner.codec import JSON
    from runner.serving.arguments import Arguments
    from runner.serving.service import Service

HISTORY_TAG: Final = "mlflow.log-model.history"
HISTORY_LIMIT: Final = 8000
"""The longest value of a tag, in characters."""
BULKY: Final = ("signature", "saved_input_example_info", "metadata", "model_size_bytes")
PROTOBUF_STATUS: Final = {"1": "PENDING", "2": "READY", "3": "UPLOAD_FAILED"}


def log_inputs(service: Service, given: Arguments) -> JSON:
    """``runs/log-inputs``."""
    run_id = RunId(given.text("run_id", "run_uuid"))
    service.guest.began(run_id)
    datasets = tuple(_dataset_input(item) for item in given.objects("datasets"))
    models = tuple(item.text("model_id") for item in given.objects("models"))
    service.lineages.log_lineage(run_id, Lineage(datasets=datasets, models=models))
    return {}


def _dataset_input(item: Arguments) -> DatasetInput:
    given = item.object("dataset")
    dataset = Dataset(
        name=given.text("name"),
        digest=given.text("digest"),
        source_type=given.text("source_type"),
        source=given.text("source"),
        schema=given.maybe("schema"),
        profile=given.maybe("profile"),
    )
    return DatasetInput(dataset=dataset, tags=item.pairs("tags"))


def log_outputs(service: Service, given: Arguments) -> JSON:
    """``runs/outputs``."""
    run_id = RunId(given.text("run_id", "run_uuid"))
    service.guest.began(run_id)
    outputs = tuple(
        ModelOutput(model_id=item.text("model_id"), step=item.integer("step", default=0))
        for item in given.objects("models")
    )
    service.lineages.log_lineage(run_id, Lineage(outputs=outputs))
    return {}


def log_model(service: Service, given: Arguments) -> JSON:
    """``runs/log-model`` of MLflow 1 and 2, which keep a list of models in a tag."""
    run_id = RunId(given.text("run_id", "run_uuid"))
    service.guest.began(run_id)
    try:
        model = json.loads(given.text("model_json"))
    except (ValueError, RecursionError):
        model = None
    if not isinstance(model, dict):
        raise Refusal("Malformed model info: 'model_json' is not a JSON object.")
    with service.history_lock:
        tags = service.store.run(run_id).tags
        history = [*json.loads(tags.get(HISTORY_TAG, "[]")), model]
        service.store.log(run_id, tags={HISTORY_TAG: _fitting(history)})
    return {}


def _fitting(history: list[dict[str, JSON]]) -> str:
    """Write the history of models so that it fits into a tag: details go first, then old ones."""
    text = json.dumps(history)
    if len(text) > HISTORY_LIMIT:
        history = [{k: v for k, v in model.items() if k not in BULKY} for model in history]
        text = json.dumps(history)
    while len(text) > HISTORY_LIMIT and history:
        history = history[1:]
        text = json.dumps(history)
    return text


def create(service: Service, given: Arguments) -> JSON:
    """``POST logged-models``."""
    moment, model_id = now(), f"m-{os.urandom(16).hex()}"
    model = service.models.create_model(
        LoggedModel(
            model_id=model_id,
            experiment_id=given.text("experiment_id"),
            name=given.text("name", default="") or model_id,
            model_type=given.text("model_type", default=""),
            source_run_id=given.text("source_run_id", default=""),
            created=moment,
            updated=moment,
            params=given.pairs("params"),
            tags=given.pairs("tags"),
        )
    )
    return {"model": model_json(service, model)}


def get(service: Service, given: Arguments) -> JSON:
    """``GET logged-models/<model_id>``."""
    model = service.models.model(given.text("model_id"))
    return {"model": model_json(service, model)}


def finalize(service: Service, given: Arguments) -> JSON:
    """``PATCH logged-models/<model_id>``: the upload is over."""
    word = given.text("status").removeprefix("LOGGED_MODEL_")
    status = PROTOBUF_STATUS.get(word, word)
    if status not in MODEL_STATUS:
        raise Refusal(f"Invalid model status '{word}'.")
    return _change(service, given, status=status)


def set_tags(service: Service, given: Arguments) -> JSON:
    """``PATCH logged-models/<model_id>/tags``."""
    return _change(service, given, tags=given.pairs("tags"))


def log_params(service: Service, given: Arguments) -> JSON:
    """``POST logged-models/<model_id>/params``."""
    _change(service, given, params=given.pairs("params"))
    return {}


def _change(
    service: Service,
    given: Arguments,
    *,
    status: str | None = None,
    tags: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
) -> JSON:
    with service.history_lock:
        old = service.models.model(given.text("model_id"))
        model = service.models.update_model(
            changed(
                old,
                status=status or old.status,
                tags={**old.tags, **(tags or {})},
                params={**old.params, **(params or {})},
                updated=now(),
            )
        )
    return {"model": model_json(service, model)}


def delete_tag(service: Service, given: Arguments) -> JSON:
    """``DELETE logged-models/<model_id>/tags/<tag_key>``."""
    key = given.text("tag_key")
    with service.history_lock:
        old = service.models.model(given.text("model_id"))
        if key not in old.tags:
            raise missing(f"No tag with key '{key}' on model '{old.model_id}'")
        tags = {name: value for name, value in old.tags.items() if name != key}
        service.models.update_model(changed(old, tags=tags, updated=now()))
    return {}


def delete(service: Service, given: Arguments) -> JSON:
    """``DELETE logged-models/<model_id>``."""
    service.models.delete_model(given.text("model_id"))
    return {}


def search(service: Service, given: Arguments) -> JSON:
    """``POST logged-models/search``: newest first unless another order is asked for."""
    models = service.models.models(given.texts("experiment_ids"))
    measured = given.objects("datasets")
    shown = [_measured_on(model, measured) for model in models] if measured else models
    kept = searched(
        [model for model in shown if model.metrics or not measured],
        MODEL,
        filter_text=given.text("filter", default=""),
        order=(),
    )
    ids = {model.model_id for model in kept}
    found: Sequence[LoggedModel] = [model for model in models if model.model_id in ids]
    for item in reversed(given.objects("order_by")):
        found = _ordered(found, item)
    page, following = page_of(found, given)
    answer: dict[str, JSON] = {"models": [model_json(service, model) for model in page]}
    if following:
        answer["next_page_token"] = following
    return answer


def _measured_on(model: LoggedModel, datasets: tuple[Arguments, ...]) -> LoggedModel:
    """Return a model with those metrics only that were measured on some datasets."""
    names = {(d.text("dataset_name"), d.text("dataset_digest", default="")) for d in datasets}
    metrics = tuple(
        m
        for m in model.metrics
        if {(m.dataset_name, ""), (m.dataset_name, m.dataset_digest)} & names
    )
    return changed(model, metrics=metrics)


def _ordered(models: Sequence[LoggedModel], item: Arguments) -> Sequence[LoggedModel]:
    """Sort by one field, stably; a metric may be that of one dataset."""
    ascending = not item.has("ascending") or item.flag("ascending")
    clause = f"{item.text('field_name')} {'ASC' if ascending else 'DESC'}"
    views = list(models)
    if item.has("dataset_name"):
        views = [_measured_on(model, (item,)) for model in models]
    by_id = {model.model_id: model for model in models}
    found = searched(views, MODEL, filter_text="", order=[clause])
    return [by_id[model.model_id] for model in found]


def list_artifacts(service: Service, given: Arguments) -> JSON:
    """``GET logged-models/<model_id>/artifacts/directories``."""
    model = service.models.model(given.text("model_id"))
    path = given.text("artifact_directory_path", default="")
    files = listed(service.models.model_artifacts(model), path)
    return {"root_uri": service.model_location(model), "files": files}
