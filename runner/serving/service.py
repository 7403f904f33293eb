"""What handlers work with: the store, the run whose endpoint this is, and where artifacts are."""

from __future__ import annotations

import os
import threading

from runner.serving.files import Files, checked
from runner.serving.guest import Guest
from runner.serving.messages import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model.tracking import LoggedModel, TrackedRun
    from runner.ports import LineageStore, ModelStore, Parts, RegistryStore, TrackingStore

SCHEME = "mlflow-artifacts:"


class Service:
    """A tracking store, as clients on the network see it.

    ``history_lock`` is for values that are read, extended and written, ``uploads`` are those in
    parts that clients have begun here (None: ended). Services that share a store share both:
    ``beside`` is another one.
    """

    def __init__(
        self,
        store: TrackingStore,
        *,
        run: TrackedRun | None = None,
        beside: Service | None = None,
    ) -> None:
        self.store = store
        self.files = Files(store)
        self._models: ModelStore | None = None
        self._lineages: LineageStore | None = None
        self.guest = Guest(store, run=run)
        self.history_lock: threading.Lock = beside.history_lock if beside else threading.Lock()
        self.uploads: dict[str, Parts | None] = beside.uploads if beside else {}

    def close(self) -> None:
        """Forget what clients have begun and not ended."""
        for upload, parts in list(self.uploads.items()):
            if parts is not None:
                parts.abort(upload)

    @property
    def models(self) -> ModelStore:
        """Where logged models are; old stores have none, which clients know how to take."""
        if self._models is None:
            self._models = self.store.model_store
        if self._models is None:
            raise Refusal("this store cannot keep logged models", "ENDPOINT_NOT_FOUND")
        return self._models

    @property
    def known_lineages(self) -> LineageStore | None:
        """Where datasets and outputs are; None when the store cannot keep them."""
        if self._lineages is None:
            self._lineages = self.store.lineage_store
        return self._lineages

    @property
    def lineages(self) -> LineageStore:
        """Where datasets and outputs are."""
        if self.known_lineages is None:
            raise Refusal("this store cannot keep datasets and outputs", "ENDPOINT_NOT_FOUND")
        return self.known_lineages

    @property
    def registry(self) -> RegistryStore:
        """Where models are registered."""
        if self.store.registry_store is None:
            raise Refusal("this store cannot register models", "ENDPOINT_NOT_FOUND")
        return self.store.registry_store

    def run_location(self, run: TrackedRun) -> str:
        """Return a run's artifact URI as clients use it.

        Files below the store's own folder travel through this endpoint, so that clients in
        containers and of every language reach them; what the user put elsewhere stays there.
        """
        if self.files.shows(run.artifact_uri):
            return f"{SCHEME}/{run.experiment_id}/{run.run_id}/artifacts"
        return run.artifact_uri

    def model_location(self, model: LoggedModel) -> str:
        """Return a logged model's artifact URI as clients use it."""
        if self.files.shows(model.artifact_uri):
            return f"{SCHEME}/{model.experiment_id}/models/{model.model_id}/artifacts"
        return model.artifact_uri

    def experiment_location(self, experiment_id: str, location: str) -> str:
        """Return an experiment's artifact location as clients use it."""
        return f"{SCHEME}/{experiment_id}" if self.files.serves(location) else location

    def public_location(self, location: str) -> str:
        """Return the address of files of a run or a logged model, other places as they are."""
        address = self.files.address(location)
        return location if address is None else f"{SCHEME}/{address}"

    def real_location(self, uri: str) -> str:
        """Return where the artifacts that clients know as ``uri`` really are."""
        if not uri.startswith(SCHEME):
            return uri
        parts = uri.removeprefix(SCHEME).strip("/").split("/")
        address = checked(parts, uri)
        folder, rest = self.files.locate(address)
        root = folder.folder()
        return self.files.location(address) if root is None else os.path.join(root, *rest)
