"""Calls about registered models: names, descriptions, tags and aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.model.tracking import RegisteredModel
from runner.model.value import changed
from runner.query.kinds import REGISTERED
from runner.query.search import searched
from runner.serving.answers import registered_json, version_json
from runner.serving.messages import Refusal
from runner.serving.runs import now
from runner.serving.search import page_of
from runner.serving.versions import STAGES, known_stage, only

if TYPE_CHECKING:
    from runner.codec import JSON
    from runner.serving.arguments import Arguments
    from runner.serving.service import Service

PAGE = 100
MOST = 1000
"""How many registered models a page has, and may have."""


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
    return _answer(service, model)


def get(service: Service, given: Arguments) -> JSON:
    """``registered-models/get``."""
    return _answer(service, service.registry.registered_model(given.text("name")))


def update(service: Service, given: Arguments) -> JSON:
    """``registered-models/update``: another description."""
    model = service.registry.registered_model(given.text("name"))
    model = changed(model, description=given.text("description", default=""), updated=now())
    return _answer(service, service.registry.update_registered_model(model))


def rename(service: Service, given: Arguments) -> JSON:
    """``registered-models/rename``."""
    name, new_name = given.text("name"), given.text("new_name")
    return _answer(service, service.registry.rename_registered_model(name, new_name))


def delete(service: Service, given: Arguments) -> JSON:
    """``registered-models/delete``: the model with all its versions."""
    service.registry.delete_registered_model(given.text("name"))
    return {}


def set_tag(service: Service, given: Arguments) -> JSON:
    """``registered-models/set-tag``."""
    tag = {given.text("key"): given.text("value", default="")}
    service.registry.tag_registered_model(given.text("name"), tag)
    return {}


def delete_tag(service: Service, given: Arguments) -> JSON:
    """``registered-models/delete-tag``."""
    service.registry.tag_registered_model(given.text("name"), {given.text("key"): None})
    return {}


def search(service: Service, given: Arguments) -> JSON:
    """``registered-models/search`` and ``list``."""
    found = searched(
        service.registry.registered_models(),
        REGISTERED,
        filter_text=given.text("filter", default=""),
        order=given.texts("order_by"),
    )
    page, following = page_of(found, given, PAGE, most=MOST)
    answer: dict[str, JSON] = {
        "registered_models": [
            registered_json(service, m, service.registry.versions(m.name)) for m in page
        ]
    }
    if following:
        answer["next_page_token"] = following
    return answer


def latest_versions(service: Service, given: Arguments) -> JSON:
    """``registered-models/get-latest-versions``: the newest of each stage."""
    model = service.registry.registered_model(given.text("name"))
    wanted = {known_stage(stage) for stage in given.texts("stages")} or set(STAGES)
    latest = {version.stage: version for version in service.registry.versions(model.name)}
    return {
        "model_versions": [
            version_json(service, model, v) for v in latest.values() if v.stage in wanted
        ]
    }


def set_alias(service: Service, given: Arguments) -> JSON:
    """``POST registered-models/alias``."""
    service.registry.set_alias(given.text("name"), given.text("alias"), given.integer("version"))
    return {}


def delete_alias(service: Service, given: Arguments) -> JSON:
    """``DELETE registered-models/alias``."""
    service.registry.delete_alias(given.text("name"), given.text("alias"))
    return {}


def by_alias(service: Service, given: Arguments) -> JSON:
    """``GET registered-models/alias``."""
    alias = given.text("alias")
    model = service.registry.registered_model(given.text("name"))
    number = model.aliases.get(alias)
    if alias.lower() == "latest":
        number = max((v.version for v in service.registry.versions(model.name)), default=None)
    if number is None:
        raise Refusal(f"Registered model alias {alias} not found.")
    version = only(service, model.name, number)
    return {"model_version": version_json(service, model, version)}


def _answer(service: Service, model: RegisteredModel) -> JSON:
    versions = service.registry.versions(model.name)
    return {"registered_model": registered_json(service, model, versions)}
