"""A tracking store as one person may use it: every operation is checked before it happens.

The handlers of the API know nothing of permissions: they get this instead of the store. An
operation without a rule here is refused, so that nothing new is open by accident. The levels and
what they allow are those of MLflow's own authentication.
"""

from __future__ import annotations

from functools import partial

from runner.serving.messages import Refusal
from runner.serving.rules import LINEAGE, MODELS, REGISTRY, TRACKING, Places, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from runner.ports import LineageStore, ModelStore, RegistryStore, TrackingStore
    from runner.serving.rules import Person, Rule


class Guard:
    """Something of a store, whose methods are called by the rules."""

    def __init__(self, target: object, rules: Mapping[str, Rule], watch: Watch) -> None:
        self._target = target
        self._rules = rules
        self._watch = watch

    def __getattr__(self, name: str) -> Callable[..., Any]:
        rule = self._rules.get(name)
        if rule is None:
            raise Refusal(f"nobody may do {name!r} on this server", "PERMISSION_DENIED")
        return partial(rule, self._watch, getattr(self._target, name))


class GuardedStore(Guard):
    """A ``runner.ports.TrackingStore`` for one person. ``places`` is shared between people."""

    def __init__(self, store: TrackingStore, person: Person, places: Places | None = None) -> None:
        super().__init__(store, TRACKING, Watch(store, person, places or Places(store)))
        self._store = store

    @property
    def uri(self) -> str:
        """The store's URI."""
        return self._store.uri

    @property
    def artifact_root(self) -> str | None:
        """Where artifacts go."""
        return self._store.artifact_root

    @property
    def remote_root(self) -> str | None:
        """Where artifacts of new experiments go, when that is not beside the store."""
        found: str | None = getattr(self._store, "remote_root", None)
        return found

    @property
    def model_store(self) -> ModelStore | None:
        """Logged models, guarded."""
        found = self._store.model_store
        return None if found is None else self._guard(found, MODELS)

    @property
    def lineage_store(self) -> LineageStore | None:
        """Datasets and outputs, guarded."""
        found = self._store.lineage_store
        return None if found is None else self._guard(found, LINEAGE)

    @property
    def registry_store(self) -> RegistryStore | None:
        """Registered models, guarded."""
        found = self._store.registry_store
        return None if found is None else self._guard(found, REGISTRY)

    @property
    def own_ids(self) -> None:
        """Nothing: who asks over the network finds things by searching."""
        return

    def _guard(self, target: object, rules: Mapping[str, Rule]) -> Any:  # noqa: ANN401 - any port
        return Guard(target, rules, self._watch)
