"""Logged models, lineage, and the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.model.tracking import (
        Lineage,
        LoggedModel,
        ModelMetric,
        ModelVersion,
        RegisteredModel,
    )
    from runner.model.value import RunId
    from runner.ports.tracking import Artifacts


class ModelStore(Protocol):
    """Logged models, as MLflow 3 keeps them beside the runs."""

    def create_model(self, model: LoggedModel) -> LoggedModel:
        """Add a model with its params and tags; an empty artifact URI is filled in."""

    def model(self, model_id: str) -> LoggedModel:
        """Return one model; StoreError ``RESOURCE_DOES_NOT_EXIST`` when there is none."""

    def models(self, experiment_ids: Iterable[str]) -> tuple[LoggedModel, ...]:
        """Return the models of some experiments, newest first."""

    def update_model(self, model: LoggedModel) -> LoggedModel:
        """Write status, tags and params anew, as they are in the given value."""

    def delete_model(self, model_id: str) -> None:
        """Mark a model as deleted; nobody finds it any more."""

    def model_artifacts(self, model: LoggedModel) -> Artifacts:
        """Return the model's files."""


class LineageStore(Protocol):
    """What runs read and what they made."""

    def lineage(self, run_id: RunId) -> Lineage:
        """Return the run's datasets, models and outputs."""

    def log_lineage(self, run_id: RunId, lineage: Lineage) -> None:
        """Add datasets, models and outputs; what is there already stays as it is."""

    def log_model_metrics(self, metrics: Iterable[ModelMetric]) -> None:
        """Add metrics of logged models."""


class ManyLineages(Protocol):
    """A lineage store that answers for many runs at once."""

    def lineages(self, run_ids: Sequence[RunId]) -> Mapping[RunId, Lineage]:
        """Return the lineages of those runs that have one; of the others there is nothing."""


class RegistryStore(Protocol):
    """Registered models and their versions."""

    def create_registered_model(self, model: RegisteredModel) -> RegisteredModel:
        """Add a name; StoreError ``RESOURCE_ALREADY_EXISTS`` when it is taken."""

    def registered_model(self, name: str) -> RegisteredModel:
        """Return one; StoreError ``RESOURCE_DOES_NOT_EXIST`` when there is none."""

    def registered_models(self) -> tuple[RegisteredModel, ...]:
        """Return all of them, by name."""

    def update_registered_model(self, model: RegisteredModel) -> RegisteredModel:
        """Write the description anew; tags and aliases have methods of their own."""

    def rename_registered_model(self, name: str, new_name: str) -> RegisteredModel:
        """Give a model and its versions another name.

        Raises:
            StoreError: ``RESOURCE_ALREADY_EXISTS``: the new name is taken.
        """

    def delete_registered_model(self, name: str) -> None:
        """Forget a name with all its versions; the files of the versions stay."""

    def tag_registered_model(self, name: str, tags: Mapping[str, str | None]) -> None:
        """Add or replace tags; None takes one away, without an error when it is not there."""

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version."""

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away; no error when it is not there."""

    def create_version(self, version: ModelVersion) -> ModelVersion:
        """Add a version under the next number, whatever number the value has."""

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """Return the versions of a registered model, oldest first."""

    def update_version(self, version: ModelVersion) -> ModelVersion:
        """Write the stage and the description of a version anew."""

    def delete_version(self, name: str, version: int) -> None:
        """Forget a version and the aliases that name it; its number is never given again."""

    def tag_version(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Add or replace tags of a version; None takes one away."""
