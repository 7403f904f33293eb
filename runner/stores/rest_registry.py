"""The registered models of a tracking server."""

from __future__ import annotations

from runner.model.tracking import ModelVersion, RegisteredModel
from runner.model.value import changed
from runner.stores import rules, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.codec import JSON
    from runner.stores.transport import Server

MODELS = "mlflow/registered-models"
VERSIONS = "mlflow/model-versions"
PAGE = 100
LOGGED = "models:/m-"
"""How sources begin that are logged models."""


class RestRegistry:
    """See ``runner.ports.RegistryStore``; numbers and times are the server's to choose."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def create_registered_model(self, model: RegisteredModel) -> RegisteredModel:
        """Add a name."""
        rules.check_registered_name(model.name)
        answer = self._server.post(
            f"{MODELS}/create",
            {
                "name": model.name,
                "description": model.description,
                "tags": wire.pairs(model.tags),
            },
            repeatable=False,
        )
        return _model(answer["registered_model"])

    def registered_model(self, name: str) -> RegisteredModel:
        """Return one."""
        return _model(self._server.get(f"{MODELS}/get", name=name)["registered_model"])

    def registered_models(self) -> tuple[RegisteredModel, ...]:
        """Return all of them, by name."""
        names: list[str] = []
        page = ""
        while True:
            found = self._server.get(f"{MODELS}/search", max_results=PAGE, page_token=page or None)
            names += [item["name"] for item in wire.items(found, "registered_models")]
            page = str(found.get("next_page_token") or "")
            if not page:
                return tuple(self.registered_model(name) for name in sorted(names))

    def update_registered_model(self, model: RegisteredModel) -> RegisteredModel:
        """Write the description anew."""
        document: dict[str, JSON] = {"name": model.name, "description": model.description}
        return _model(self._server.patch(f"{MODELS}/update", document)["registered_model"])

    def rename_registered_model(self, name: str, new_name: str) -> RegisteredModel:
        """Give a model and its versions another name."""
        rules.check_registered_name(new_name)
        document: dict[str, JSON] = {"name": name, "new_name": new_name}
        answer = self._server.post(f"{MODELS}/rename", document, repeatable=False)
        return _model(answer["registered_model"])

    def delete_registered_model(self, name: str) -> None:
        """Forget a name with all its versions."""
        self._server.delete(f"{MODELS}/delete", {"name": name})

    def tag_registered_model(self, name: str, tags: Mapping[str, str | None]) -> None:
        """Add or replace tags; None takes one away."""
        self._tag(MODELS, {"name": name}, tags, self.registered_model(name).tags)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version."""
        rules.check_alias(alias)
        document: dict[str, JSON] = {"name": name, "alias": alias, "version": str(version)}
        self._server.post(f"{MODELS}/alias", document)

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away; no error when it is not there."""
        if alias in self.registered_model(name).aliases:
            self._server.delete(f"{MODELS}/alias", {"name": name, "alias": alias})

    def create_version(self, version: ModelVersion) -> ModelVersion:
        """Add a version under the next number."""
        document: dict[str, JSON] = {
            "name": version.name,
            "source": version.source,
            "description": version.description,
            "tags": wire.pairs(version.tags),
        }
        if version.run_id:
            document["run_id"] = version.run_id
        if version.source.startswith(LOGGED):  # which servers from MLflow 3 on want to know, too
            document["model_id"] = version.source.removeprefix("models:/")
        if version.run_link:
            document["run_link"] = version.run_link
        answer = self._server.post(f"{VERSIONS}/create", document, repeatable=False)
        made = _version(answer["model_version"])
        if version.stage not in {"None", made.stage}:
            made = self._move(made, version.stage)
        return made

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """Return the versions of a registered model, oldest first."""
        self.registered_model(name)
        quoted = f'"{name}"' if "'" in name else f"'{name}'"
        found: list[ModelVersion] = []
        page = ""
        while True:
            answer = self._server.get(
                f"{VERSIONS}/search",
                filter=f"name={quoted}",
                max_results=PAGE,
                page_token=page or None,
            )
            found += map(_version, wire.items(answer, "model_versions"))
            page = str(answer.get("next_page_token") or "")
            if not page:
                return tuple(sorted(found, key=lambda version: version.version))

    def update_version(self, version: ModelVersion) -> ModelVersion:
        """Write the stage and the description of a version anew."""
        document: dict[str, JSON] = {
            "name": version.name,
            "version": str(version.version),
            "description": version.description,
        }
        answer = self._server.patch(f"{VERSIONS}/update", document)
        there = _version(answer["model_version"])
        return there if there.stage == version.stage else self._move(there, version.stage)

    def delete_version(self, name: str, version: int) -> None:
        """Forget a version and the aliases that name it."""
        self._server.delete(f"{VERSIONS}/delete", {"name": name, "version": str(version)})

    def tag_version(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Add or replace tags of a version; None takes one away."""
        number = str(version)
        found = self._server.get(f"{VERSIONS}/get", name=name, version=number)
        there = _version(found["model_version"]).tags
        self._tag(VERSIONS, {"name": name, "version": number}, tags, there)

    def _tag(
        self,
        kind: str,
        named: Mapping[str, JSON],
        tags: Mapping[str, str | None],
        there: Mapping[str, str],
    ) -> None:
        for key, value in tags.items():
            if value is not None:
                document = {**named, "key": key, "value": rules.storable(value)}
                self._server.post(f"{kind}/set-tag", document)
            elif key in there:
                self._server.delete(f"{kind}/delete-tag", {**named, "key": key})

    def _move(self, version: ModelVersion, stage: str) -> ModelVersion:
        document: dict[str, JSON] = {
            "name": version.name,
            "version": str(version.version),
            "stage": stage,
            "archive_existing_versions": False,
        }
        answer = self._server.post(f"{VERSIONS}/transition-stage", document)
        return changed(_version(answer["model_version"]), stage=stage)


def _model(found: Any) -> RegisteredModel:  # noqa: ANN401 - parsed JSON
    return RegisteredModel(
        name=found["name"],
        created=wire.milliseconds(found.get("creation_timestamp")) or 0,
        updated=wire.milliseconds(found.get("last_updated_timestamp")) or 0,
        description=found.get("description", ""),
        tags=wire.texts(found.get("tags")),
        aliases={item["alias"]: int(item["version"]) for item in found.get("aliases") or ()},
    )


def _version(found: Any) -> ModelVersion:  # noqa: ANN401 - parsed JSON
    source = found.get("source", "")
    return ModelVersion(
        name=found["name"],
        version=int(found["version"]),
        created=wire.milliseconds(found.get("creation_timestamp")) or 0,
        updated=wire.milliseconds(found.get("last_updated_timestamp")) or 0,
        source=source,
        location=source,
        run_id=found.get("run_id", ""),
        run_link=found.get("run_link", ""),
        description=found.get("description", ""),
        stage=found.get("current_stage") or "None",
        status=found.get("status", "READY"),
        user=found.get("user_id", ""),
        tags=wire.texts(found.get("tags")),
    )
