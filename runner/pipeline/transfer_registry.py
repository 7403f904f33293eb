"""Copy registered models with their versions, stages, aliases and tags."""

from __future__ import annotations

from runner.errors import StoreError
from runner.model.value import changed
from runner.pipeline.origins import COPIED_FROM, translated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model.tracking import ModelVersion, RegisteredModel
    from runner.pipeline.transfer import Transfer
    from runner.ports import RegistryStore, TrackingStore


PLACEHOLDER = "placeholder"
"""The origin of versions that are made and deleted so that the next one gets its number."""


def transfer_registry(copying: Transfer, *, dry_run: bool) -> None:
    """Copy what is registered. A copied version names the number that it had in a tag."""
    here, there = copying.source.registry_store, copying.target.registry_store
    models = here.registered_models() if here else ()
    if here is None or not models:
        return
    if there is None:
        error = StoreError("the target cannot register models", status="ENDPOINT_NOT_FOUND")
        copying.tally.trouble("the registry", error)
        return
    known = {model.name: model for model in there.registered_models()}
    places = Places(copying)
    for model in models:
        copying.tally.count("registered models", new=model.name not in known)
        if dry_run:
            continue
        try:
            made = known.get(model.name) or _made(there, model)
            _versions(here, there, model, made, places)
        except StoreError as error:
            copying.tally.trouble(f"registered model {model.name}", error)


def _made(there: RegistryStore, model: RegisteredModel) -> RegisteredModel:
    there.create_registered_model(changed(model, aliases={}))
    return there.registered_model(model.name)


def _versions(
    here: RegistryStore,
    there: RegistryStore,
    model: RegisteredModel,
    made: RegisteredModel,
    places: Places,
) -> None:
    copies: dict[str, ModelVersion] = {}
    for version in there.versions(model.name):
        tagged = version.tags.get(COPIED_FROM, "")
        if tagged == PLACEHOLDER:  # of a copy that was killed
            there.delete_version(model.name, version.version)
        elif tagged:
            copies[tagged] = version
    for version in here.versions(model.name):
        copy = copies.get(version_origin(version))
        if copy is None:
            copy = _numbered(there, version, places)
        if (copy.stage, copy.description) != (version.stage, version.description):
            wanted = changed(copy, stage=version.stage, description=version.description)
            copy = there.update_version(changed(wanted, updated=version.updated))
        for alias, aliased in model.aliases.items():
            if aliased == version.version and made.aliases.get(alias) != copy.version:
                there.set_alias(model.name, alias, copy.version)


def _numbered(there: RegistryStore, version: ModelVersion, places: Places) -> ModelVersion:
    """Add a version, under its own number unless that is taken: numbers are never given again."""
    number = int(version_origin(version).partition("@")[0])
    moved = places.moved(version)
    tag = {COPIED_FROM: PLACEHOLDER}
    while True:
        last = max((v.version for v in there.versions(version.name)), default=0)
        if last + 1 >= number:
            break
        empty = there.create_version(changed(moved, stage="None", description="", tags=tag))
        there.delete_version(version.name, empty.version)
        if empty.version + 1 >= number:
            break
    return there.create_version(moved)


def version_origin(version: ModelVersion) -> str:
    """Return the number that a version had first, and when it was made: no two have both."""
    return version.tags.get(COPIED_FROM) or f"{version.version}@{version.created}"


class Places:
    """Where files lie in one store and in the other."""

    def __init__(self, copying: Transfer) -> None:
        self._ids = copying.ids
        self._known = dict(_places(copying.source, copying.ids, copying.target))

    def moved(self, version: ModelVersion) -> ModelVersion:
        """Return a version as the target is to have it."""
        return changed(
            version,
            source=self._place(version.source),
            location=self._place(version.location),
            run_id=self._ids.get(version.run_id, version.run_id),
            tags={**version.tags, COPIED_FROM: version_origin(version)},
        )

    def _place(self, uri: str) -> str:
        if uri.startswith(("runs:/", "models:/")):
            return translated(uri, self._ids)
        return replaced(uri, self._known)


def _places(
    source: TrackingStore, ids: Mapping[str, str], target: TrackingStore
) -> list[tuple[str, str]]:
    """Return for each copied run and model where its files were and where they are now."""
    from runner.model.value import RunId

    found: list[tuple[str, str]] = []
    here, there = source.model_store, target.model_store
    for old, new in ids.items():
        if not old.startswith("m-"):
            run, copy = source.run(RunId(old)), target.run(RunId(new))
            found.append((plain(run.artifact_uri), copy.artifact_uri))
        elif here and there:
            found.append((plain(here.model(old).artifact_uri), there.model(new).artifact_uri))
    return found


def plain(uri: str) -> str:
    """Return a place in one form, whether it is written as a path or as a ``file:`` URL."""
    return uri.removeprefix("file://").rstrip("/")


def replaced(uri: str, places: Mapping[str, str]) -> str:
    """Return the place that a file has now, by the folder that it was in."""
    above, below = plain(uri), ""
    while above:
        if above in places:
            return f"{places[above].rstrip('/')}/{below}".rstrip("/")
        above, slash, name = above.rpartition("/")
        if not slash:
            break
        below = f"{name}/{below}" if below else name
    return uri
