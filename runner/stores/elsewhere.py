"""A tracking store whose new experiments keep their artifacts in a bucket, or on another disk.

Experiments that were there before keep theirs where they are.
"""

from __future__ import annotations

import os

from runner.errors import UsageError
from runner.model.value import EMPTY
from runner.stores.artifacts import FolderArtifacts
from runner.stores.opening import local_path, scheme_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from runner.model.tracking import Experiment, LoggedModel, TrackedRun
    from runner.ports import Artifacts, ModelStore, TrackingStore

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "az": "azure"}
"""The optional packages that a scheme needs, as ``runproj[...]`` names them."""


class StoreWithArtifactsElsewhere:
    """A ``TrackingStore``; ``remote_root`` is where artifacts of new experiments go."""

    def __init__(self, store: TrackingStore, root: str, files: Callable[[str], Artifacts]) -> None:
        self._store = store
        self._files = files
        self.remote_root = root

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the store's own
        return getattr(self._store, name)

    def create_experiment(
        self, name: str, *, artifact_location: str | None = None, tags: Mapping[str, str] = EMPTY
    ) -> Experiment:
        """Make a new experiment; its folder has a name that nobody else has."""
        location = artifact_location or f"{self.remote_root}/{os.urandom(8).hex()}"
        return self._store.create_experiment(name, artifact_location=location, tags=tags)

    def artifacts(self, run: TrackedRun) -> Artifacts:
        """Return the run's files, wherever they are."""
        if self.is_here(run.artifact_uri):
            return self._files(run.artifact_uri)
        return self._store.artifacts(run)

    @property
    def model_store(self) -> ModelStore | None:
        """Where logged models are kept, with their files."""
        models = self._store.model_store
        return None if models is None else Models(models, self)

    def files(self, location: str) -> Artifacts:
        """Return the files at a location below the root."""
        return self._files(location)

    def is_here(self, location: str) -> bool:
        """Whether a location is below the root."""
        return location.startswith(f"{self.remote_root}/") and "/../" not in f"{location}/"


class Models:
    """Logged models of such a store."""

    def __init__(self, models: ModelStore, store: StoreWithArtifactsElsewhere) -> None:
        self._models = models
        self._store = store

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the store's own
        return getattr(self._models, name)

    def model_artifacts(self, model: LoggedModel) -> Artifacts:
        """Return the model's files, wherever they are."""
        if self._store.is_here(model.artifact_uri):
            return self._store.files(model.artifact_uri)
        return self._models.model_artifacts(model)


def with_artifacts(
    store: TrackingStore, destination: str, *, directory: str, environ: Mapping[str, str]
) -> TrackingStore:
    """Return a store whose new experiments keep their artifacts at a destination.

    A folder, or any URL that fsspec knows; relative folders are relative to ``directory``.

    Raises:
        UsageError: The destination cannot be used; it says what is missing.
    """
    folder = local_path(destination, directory)
    if folder is not None:
        return StoreWithArtifactsElsewhere(store, folder, FolderArtifacts)
    scheme = scheme_of(destination)
    try:
        from runner.stores.cloud import Cloud

        cloud = Cloud(destination, environ)
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        raise UsageError(
            f"artifacts in {scheme}:// need a package that is not installed: {error.name or error}",
            hint=f"pip install 'runproj[{extra}]'" if extra else f"pip install fsspec and {scheme}",
        ) from error
    except ValueError as error:
        raise UsageError(
            f"artifacts cannot be kept in {scheme}://",
            hint="a folder, s3://bucket/path, gs://bucket/path or abfs://container@account/path",
        ) from error
    return StoreWithArtifactsElsewhere(store, cloud.root, cloud.files)
