"""Calls about versions of registered models, and where the files of a version may come from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.errors import StoreError
from runner.model.tracking import ModelVersion
from runner.model.value import RunId, changed
from runner.query.kinds import VERSION
from runner.query.search import searched
from runner.serving.answers import LOGGED, version_json
from runner.serving.files import local_path
from runner.serving.messages import Refusal, missing
from runner.serving.runs import now
from runner.serving.search import page_of

if TYPE_CHECKING:
    from runner.codec import JSON
    from runner.serving.arguments import Arguments
    from runner.serving.service import Service

STAGES = ("None", "Staging", "Production", "Archived")
ACTIVE = ("Staging", "Production")
"""The stages whose older versions can be archived."""
PAGE = 10_000
MOST = 200_000
"""How many versions a page has, and may have."""


def create(service: Service, given: Arguments) -> JSON:
    """``model-versions/create``."""
    moment, source, run_id = now(), given.text("source"), given.text("run_id", default="")
    source = _pinned(service, source)
    real = _location(service, source, run_id)
    version = service.registry.create_version(
        ModelVersion(
            name=given.text("name"),
            version=0,
            created=moment,
            updated=moment,
            source=source if source.startswith("models:/") else real,
            location=real,
            run_id=run_id,
            run_link=given.text("run_link", default=""),
            description=given.text("description", default=""),
            tags=given.pairs("tags"),
        )
    )
    return _answer(service, version)


def get(service: Service, given: Arguments) -> JSON:
    """``model-versions/get``."""
    return _answer(service, _asked_for(service, given))


def update(service: Service, given: Arguments) -> JSON:
    """``model-versions/update``: another description."""
    version = _asked_for(service, given)
    version = changed(version, description=given.text("description", default=""), updated=now())
    return _answer(service, service.registry.update_version(version))


def delete(service: Service, given: Arguments) -> JSON:
    """``model-versions/delete``."""
    service.registry.delete_version(given.text("name"), given.integer("version"))
    return {}


def set_tag(service: Service, given: Arguments) -> JSON:
    """``model-versions/set-tag``."""
    tag = {given.text("key"): given.text("value", default="")}
    service.registry.tag_version(given.text("name"), given.integer("version"), tag)
    return {}


def delete_tag(service: Service, given: Arguments) -> JSON:
    """``model-versions/delete-tag``."""
    name, number = given.text("name"), given.integer("version")
    service.registry.tag_version(name, number, {given.text("key"): None})
    return {}


def search(service: Service, given: Arguments) -> JSON:
    """``model-versions/search``: the newest first unless another order is asked for."""
    models = {model.name: model for model in service.registry.registered_models()}
    versions = [v for name in models for v in reversed(service.registry.versions(name))]
    found = searched(
        versions,
        VERSION,
        filter_text=given.text("filter", default=""),
        order=given.texts("order_by"),
    )
    page, following = page_of(found, given, PAGE, most=MOST)
    answer: dict[str, JSON] = {
        "model_versions": [version_json(service, models[v.name], v) for v in page]
    }
    if following:
        answer["next_page_token"] = following
    return answer


def download_uri(service: Service, given: Arguments) -> JSON:
    """``model-versions/get-download-uri``."""
    version = _asked_for(service, given)
    return {"artifact_uri": service.public_location(version.location)}


def transition(service: Service, given: Arguments) -> JSON:
    """``model-versions/transition-stage``."""
    stage, moment = known_stage(given.text("stage")), now()
    archives = given.flag("archive_existing_versions")
    if archives and stage not in ACTIVE:
        raise Refusal(
            f"Model version transition cannot archive existing model versions because '{stage}' "
            f"is not an active stage. Valid stages are {', '.join(ACTIVE)}"
        )
    with service.history_lock:
        version = _asked_for(service, given)
        moved = service.registry.update_version(changed(version, stage=stage, updated=moment))
        for other in service.registry.versions(version.name) if archives else ():
            if other.stage == stage and other.version != version.version:
                service.registry.update_version(changed(other, stage="Archived", updated=moment))
    return _answer(service, moved)


def known_stage(word: str) -> str:
    """Return a stage in MLflow's spelling, whatever the case of the word.

    Raises:
        Refusal: There is no such stage.
    """
    for stage in STAGES:
        if stage.lower() == word.lower():
            return stage
    raise Refusal(f"Invalid Model Version stage: {word}. Value must be one of {', '.join(STAGES)}.")


def only(service: Service, name: str, number: int) -> ModelVersion:
    """Return one version.

    Raises:
        Refusal: ``RESOURCE_DOES_NOT_EXIST``.
    """
    for version in service.registry.versions(name):
        if version.version == number:
            return version
    raise missing(f"Model Version (name={name}, version={number}) not found")


def _asked_for(service: Service, given: Arguments) -> ModelVersion:
    return only(service, given.text("name"), given.integer("version"))


def _answer(service: Service, version: ModelVersion) -> JSON:
    model = service.registry.registered_model(version.name)
    return {"model_version": version_json(service, model, version)}


def _pinned(service: Service, source: str) -> str:
    """Return the source with the number of the version that it names by stage or alias."""
    if not source.startswith("models:/") or source.startswith(LOGGED):
        return source
    version = _named(service, source)
    return f"models:/{version.name}/{version.version}"


def _named(service: Service, source: str) -> ModelVersion:
    """Return what ``models:/<name>/<version, stage or latest>`` or ``@<alias>`` names."""
    name, slash, word = source.removeprefix("models:/").partition("/")
    if not slash:
        name, _, alias = name.partition("@")
        number = service.registry.registered_model(name).aliases.get(alias)
        if number is None:
            raise _invalid(source, "no alias of that name")
        return only(service, name, number)
    if word.isascii() and word.isdigit() and len(word) < len("1000000000"):
        return only(service, name, int(word))
    versions = service.registry.versions(name)
    if word.lower() != "latest":
        stage = known_stage(word)
        versions = tuple(version for version in versions if version.stage == stage)
    if not versions:
        raise _invalid(source, "no such version")
    return versions[-1]


def _location(service: Service, source: str, run_id: str) -> str:
    """Return where the files of a source really are, after MLflow's checks of it.

    Raises:
        Refusal: It names a place outside of runs and models, or makes no sense.
    """
    if source.startswith(LOGGED):
        return service.models.model(source.removeprefix("models:/")).artifact_uri
    if source.startswith("models:/"):
        return _named(service, source).location
    if source.startswith("runs:/"):
        return _of_run(service, source)
    if ".." in source.replace("\\", "/").split("/"):
        raise _invalid(source, "it climbs out of its folder")
    if _is_local(source):
        _check_inside_run(service, source, run_id)
        return source
    return service.real_location(source)


def _of_run(service: Service, source: str) -> str:
    run_id, _, path = source.removeprefix("runs:/").partition("/")
    root = service.store.run(RunId(run_id)).artifact_uri.rstrip("/")
    parts = path.split("/")
    if not path or {"", ".", ".."} & set(parts) or "\0" in path or "\\" in path:
        raise _invalid(source, "it names no folder of the run's artifacts")
    return f"{root}/{path}"


def _is_local(source: str) -> bool:
    """Whether a source is a path or a ``file:`` URI: another scheme is somebody else's place."""
    scheme, colon, _ = source.partition(":")
    return not colon or scheme.lower() == "file" or not scheme.replace("-", "").isalnum()


def _check_inside_run(service: Service, source: str, run_id: str) -> None:
    """Refuse a local path that is not below the artifacts of the run, symbolic links resolved."""
    path, inside = local_path(source), False
    if path is not None and run_id and "\0" not in path:
        try:
            root = local_path(service.store.run(RunId(run_id)).artifact_uri)
        except StoreError:
            root = None
        if root is not None:
            real, above = os.path.realpath(path), os.path.realpath(root)
            inside = real == above or real.startswith(above.rstrip("/") + "/")
    if not inside:
        raise _invalid(
            source,
            "a local path must be below the artifacts of the run that 'run_id' names",
        )


def _invalid(source: str, why: str) -> Refusal:
    return Refusal(f"Invalid model version source: '{source[:200]}': {why}.")
