"""Calls about registered models: what ``registered_model_name=`` and ``models:/`` URIs need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.model.tracking import ModelVersion, RegisteredModel
from runner.model.value import changed
from runner.query.kinds import REGISTERED, VERSION
from runner.query.search import searched
from runner.serving.messages import Refusal, missing
from runner.serving.runs import now
from runner.serving.search import page_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.codec import JSON
    from runner.serving.arguments import Arguments
    from runner.serving.service import Service

STAGES = ("None", "Staging", "Production", "Archived")
LOGGED = "models:/m-"


def create(service: Service, given: Arguments) -> JSON:
    """``registered-models/create``."""
    moment = now()
    model = service.registry.create_registered_model(
        RegisteredModel(
            name=given.text("name"),
            created=moment,
            updated=moment,
            description=given.text("description", default=""),
            tags=given.pairs("tags"),
        )
    )
    return {"registered_model": _model_json(service, model)}


def get(service: Service, given: Arguments) -> JSON:
    """``registered-models/get``."""
    model = service.registry.registered_model(given.text("name"))
    return {"registered_model": _model_json(service, model)}


def search(service: Service, given: Arguments) -> JSON:
    """``registered-models/search`` and ``list``."""
    found = searched(
        service.registry.registered_models(),
        REGISTERED,
        filter_text=given.text("filter", default=""),
        order=given.texts("order_by"),
    )
    page, following = page_of(found, given)
    answer: dict[str, JSON] = {"registered_models": [_model_json(service, m) for m in page]}
    if following:
        answer["next_page_token"] = following
    return answer


def search_versions(service: Service, given: Arguments) -> JSON:
    """``model-versions/search``: the newest first unless another order is asked for."""
    models = {model.name: model for model in service.registry.registered_models()}
    versions = [v for name in models for v in reversed(service.registry.versions(name))]
    found = searched(
        versions,
        VERSION,
        filter_text=given.text("filter", default=""),
        order=given.texts("order_by"),
    )
    page, following = page_of(found, given)
    answer: dict[str, JSON] = {
        "model_versions": [_version_json(service, models[v.name], v) for v in page]
    }
    if following:
        answer["next_page_token"] = following
    return answer


def latest_versions(service: Service, given: Arguments) -> JSON:
    """``registered-models/get-latest-versions``: the newest of each stage."""
    model = service.registry.registered_model(given.text("name"))
    wanted = {_stage(stage) for stage in given.texts("stages")} or set(STAGES)
    latest = [v for v in _latest(service, model.name) if v.stage in wanted]
    return {"model_versions": [_version_json(service, model, v) for v in latest]}


def set_alias(service: Service, given: Arguments) -> JSON:
    """``POST registered-models/alias``."""
    service.registry.set_alias(given.text("name"), given.text("alias"), given.integer("version"))
    return {}


def by_alias(service: Service, given: Arguments) -> JSON:
    """``GET registered-models/alias``."""
    alias = given.text("alias")
    model = service.registry.registered_model(given.text("name"))
    if alias not in model.aliases:
        raise Refusal(f"Registered model alias {alias} not found.")
    version = _only(service, model.name, model.aliases[alias])
    return {"model_version": _version_json(service, model, version)}


def create_version(service: Service, given: Arguments) -> JSON:
    """``model-versions/create``."""
    moment, source = now(), given.text("source")
    real = service.real_location(source)
    if source.startswith(LOGGED):
        real = service.models.model(source.removeprefix("models:/")).artifact_uri
    version = service.registry.create_version(
        ModelVersion(
            name=given.text("name"),
            version=0,
            created=moment,
            updated=moment,
            source=source if source.startswith("models:/") else real,
            location=real,
            run_id=given.text("run_id", default=""),
            run_link=given.text("run_link", default=""),
            description=given.text("description", default=""),
            tags=given.pairs("tags"),
        )
    )
    return _answer(service, version)


def get_version(service: Service, given: Arguments) -> JSON:
    """``model-versions/get``."""
    return _answer(service, _only(service, given.text("name"), given.integer("version")))


def download_uri(service: Service, given: Arguments) -> JSON:
    """``model-versions/get-download-uri``."""
    version = _only(service, given.text("name"), given.integer("version"))
    return {"artifact_uri": service.public_location(version.location)}


def transition(service: Service, given: Arguments) -> JSON:
    """``model-versions/transition-stage``."""
    version = _only(service, given.text("name"), given.integer("version"))
    stage, moment = _stage(given.text("stage")), now()
    if given.flag("archive_existing_versions"):
        for other in service.registry.versions(version.name):
            if other.stage == stage and other.version != version.version:
                service.registry.update_version(changed(other, stage="Archived", updated=moment))
    moved = service.registry.update_version(changed(version, stage=stage, updated=moment))
    return _answer(service, moved)


def _stage(word: str) -> str:
    for stage in STAGES:
        if stage.lower() == word.lower():
            return stage
    raise Refusal(f"Invalid Model Version stage: {word}. Value must be one of {', '.join(STAGES)}.")


def _only(service: Service, name: str, number: int) -> ModelVersion:
    for version in service.registry.versions(name):
        if version.version == number:
            return version
    raise missing(f"Model Version (name={name}, version={number}) not found")


def _latest(service: Service, name: str) -> list[ModelVersion]:
    return [*{version.stage: version for version in service.registry.versions(name)}.values()]


def _answer(service: Service, version: ModelVersion) -> JSON:
    model = service.registry.registered_model(version.name)
    return {"model_version": _version_json(service, model, version)}


def _pairs(mapping: Mapping[str, str]) -> list[JSON]:
    return [{"key": key, "value": value} for key, value in mapping.items()]


def _model_json(service: Service, model: RegisteredModel) -> JSON:
    latest = _latest(service, model.name)
    return {
        "name": model.name,
        "creation_timestamp": model.created,
        "last_updated_timestamp": model.updated,
        "description": model.description,
        "tags": _pairs(model.tags),
        "aliases": [{"alias": a, "version": str(v)} for a, v in model.aliases.items()],
        "latest_versions": [_version_json(service, model, version) for version in latest],
    }


def _version_json(service: Service, model: RegisteredModel, version: ModelVersion) -> JSON:
    return {
        "name": version.name,
        "version": str(version.version),
        "creation_timestamp": version.created,
        "last_updated_timestamp": version.updated,
        "user_id": version.user,
        "current_stage": version.stage,
        "description": version.description,
        "source": service.public_location(version.source),
        "run_id": version.run_id,
        "run_link": version.run_link,
        "status": version.status,
        "tags": _pairs(version.tags),
        "aliases": [a for a, number in model.aliases.items() if number == version.version],
    }
