"""Registered models in MLflow's file layout: ``models/<name>/version-<number>/``."""

from __future__ import annotations

import contextlib
import os
import time

from runner.model.tracking import ModelVersion, RegisteredModel
from runner.model.value import changed
from runner.stores import metafile, rules, runfolder
from runner.stores.metafile import on_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import RLock
    from collections.abc import Iterator, Mapping

    from runner.codec import JSON

VERSION = "version-"
DELETED = "Deleted_Internal"
"""The stage that MLflow gives to versions that were deleted."""


class FileRegistry:
    """The registered models below one folder; see ``runner.ports.RegistryStore``."""

    def __init__(self, root: str, lock: RLock) -> None:
        self._root = os.path.join(root, "models")
        self._lock = lock

    def create_registered_model(self, model: RegisteredModel) -> RegisteredModel:
        """Add a name."""
        rules.check_registered_name(model.name)
        rules.check_tags(model.tags)
        folder = os.path.join(self._root, model.name)
        with self._lock, on_disk(self._root):
            if os.path.exists(os.path.join(folder, metafile.NAME)):
                raise rules.registered_already(model.name)
            os.makedirs(os.path.join(folder, "tags"), exist_ok=True)
            runfolder.put_texts(folder, "tags", model.tags)
            self._write(folder, model)
        return model

    def registered_model(self, name: str) -> RegisteredModel:
        """Return one."""
        with on_disk(self._root):
            return self._registered(name)

    def registered_models(self) -> tuple[RegisteredModel, ...]:
        """Return all of them, by name."""
        with on_disk(self._root):
            return tuple(
                self._registered(name)
                for name in _names(self._root)
                if os.path.exists(os.path.join(self._root, name, metafile.NAME))
            )

    def update_registered_model(self, model: RegisteredModel) -> RegisteredModel:
        """Write the description anew."""
        with self._lock, on_disk(self._root):
            known = self._registered(model.name)
            known = changed(known, description=model.description, updated=model.updated)
            self._write(os.path.join(self._root, model.name), known)
            return self._registered(model.name)

    def rename_registered_model(self, name: str, new_name: str) -> RegisteredModel:
        """Give a model and its versions another name, which stands in each of their files."""
        rules.check_registered_name(new_name)
        with self._lock, on_disk(self._root):
            model = self._registered(name)
            folder = os.path.join(self._root, new_name)
            if new_name != name and os.path.lexists(folder):
                raise rules.registered_already(new_name)
            os.rename(os.path.join(self._root, name), folder)
            now = _now()
            for version in _versions(folder, new_name):
                there = self._version_folder(new_name, version.version)
                named: dict[str, JSON] = {"name": new_name, "last_updated_timestamp": now}
                metafile.write(there, {**metafile.read(there), **named})
            self._write(folder, changed(model, name=new_name, updated=now))
            return self._registered(new_name)

    def delete_registered_model(self, name: str) -> None:
        """Forget a name with all its versions; it vanishes at once, then its files go."""
        from runner.system.files import remove_tree

        with self._lock, on_disk(self._root):
            self._registered(name)
            aside = os.path.join(self._root, f".runproj-{os.urandom(8).hex()}")
            os.rename(os.path.join(self._root, name), aside)
            remove_tree(aside)

    def tag_registered_model(self, name: str, tags: Mapping[str, str | None]) -> None:
        """Add, replace and take away tags."""
        rules.check_registry_tags(tags)
        with self._lock, on_disk(self._root):
            self._registered(name)
            _write_tags(os.path.join(self._root, name), tags)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version; it stands in a file and in the meta, as MLflow reads it."""
        rules.check_alias(alias)
        with self._lock, on_disk(self._root):
            model = self._registered(name)
            self._known_version(name, version)
            folder = os.path.join(self._root, name)
            runfolder.put_texts(folder, "aliases", {alias: str(version)})
            self._write(folder, changed(model, aliases={**model.aliases, alias: version}))

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away, from its file and from the meta."""
        rules.check_alias(alias)
        with self._lock, on_disk(self._root):
            model = self._registered(name)
            folder = os.path.join(self._root, name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, "aliases", alias))
            kept = {known: number for known, number in model.aliases.items() if known != alias}
            self._write(folder, changed(model, aliases=kept))

    def create_version(self, version: ModelVersion) -> ModelVersion:
        """Add a version under the next number."""
        rules.check_tags(version.tags)
        with self._lock, on_disk(self._root):
            model = self._registered(version.name)
            folder = os.path.join(self._root, model.name)
            numbers = [known.version for known in _versions(folder, model.name)]
            made = changed(version, version=max(numbers, default=0) + 1)
            folder = self._version_folder(made.name, made.version)
            os.makedirs(os.path.join(folder, "tags"))
            runfolder.put_texts(folder, "tags", made.tags)
            metafile.write(folder, _version_meta(made))
            model = changed(model, updated=made.updated)
            self._write(os.path.join(self._root, model.name), model)
        return made

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """Return the versions of a registered model, oldest first."""
        with on_disk(self._root):
            self._registered(name)
            folder = os.path.join(self._root, name)
            found = [v for v in _versions(folder, name) if v.stage != DELETED]
            return tuple(sorted(found, key=lambda version: version.version))

    def update_version(self, version: ModelVersion) -> ModelVersion:
        """Write the stage and the description of a version anew."""
        with self._lock, on_disk(self._root):
            model = self._registered(version.name)
            folder = self._known_version(version.name, version.version)
            metafile.write(folder, {**metafile.read(folder), **_version_meta(version)})
            model = changed(model, updated=version.updated)
            self._write(os.path.join(self._root, model.name), model)
        return version

    def delete_version(self, name: str, version: int) -> None:
        """Forget a version; its folder stays, marked as MLflow does, so that its number does."""
        now = _now()
        with self._lock, on_disk(self._root):
            model = self._registered(name)
            folder = self._known_version(name, version)
            marked: dict[str, JSON] = {"current_stage": DELETED, "last_updated_timestamp": now}
            metafile.write(folder, {**metafile.read(folder), **marked})
            for alias in [a for a, number in model.aliases.items() if number == version]:
                self.delete_alias(name, alias)
            self._write(
                os.path.join(self._root, name), changed(self._registered(name), updated=now)
            )

    def tag_version(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Add, replace and take away tags of a version."""
        rules.check_registry_tags(tags)
        with self._lock, on_disk(self._root):
            self._registered(name)
            _write_tags(self._known_version(name, version), tags)

    def _known_version(self, name: str, version: int) -> str:
        """Return the folder of a version that is not deleted."""
        if version not in {known.version for known in self.versions(name)}:
            raise rules.no_version(name, version)
        return self._version_folder(name, version)

    def _version_folder(self, name: str, version: int) -> str:
        return os.path.join(self._root, name, f"{VERSION}{version}")

    def _registered(self, name: str) -> RegisteredModel:
        folder = os.path.join(self._root, name)
        if not rules.is_plain_name(name) or not os.path.exists(os.path.join(folder, metafile.NAME)):
            raise rules.no_registered_model(name)
        meta = metafile.read(folder)
        aliases = runfolder.texts(folder, "aliases").items()
        return RegisteredModel(
            name=name,
            created=runfolder.number(meta.get("creation_timestamp")) or 0,
            updated=runfolder.number(meta.get("last_updated_timestamp")) or 0,
            description=_text(meta.get("description")),
            tags=runfolder.texts(folder, "tags"),
            aliases={alias: int(number) for alias, number in aliases if number.isdecimal()},
        )

    def _write(self, folder: str, model: RegisteredModel) -> None:
        meta: dict[str, JSON] = {
            "aliases": {alias: str(number) for alias, number in model.aliases.items()},
            "creation_timestamp": model.created,
            "description": rules.storable(model.description) or None,
            "last_updated_timestamp": model.updated,
            "name": model.name,
        }
        metafile.write(folder, meta)


def _write_tags(folder: str, tags: Mapping[str, str | None]) -> None:
    kept = {key: value for key, value in tags.items() if value is not None}
    runfolder.check_places(folder, "tags", kept)
    runfolder.put_texts(folder, "tags", kept)
    known = runfolder.texts(folder, "tags")
    for key in (tags.keys() - kept.keys()) & known.keys():
        runfolder.delete_tag(folder, os.path.basename(folder), key)


def _version_meta(version: ModelVersion) -> dict[str, JSON]:
    return {
        "creation_timestamp": version.created,
        "current_stage": version.stage,
        "description": rules.storable(version.description) or None,
        "last_updated_timestamp": version.updated,
        "name": version.name,
        "run_id": version.run_id or None,
        "run_link": version.run_link or None,
        "source": version.source,
        "status": version.status,
        "status_message": None,
        "storage_location": version.location,
        "user_id": version.user or None,
        "version": version.version,
    }


def _versions(folder: str, name: str) -> Iterator[ModelVersion]:
    for entry in _names(folder):
        number = entry.removeprefix(VERSION)
        if number == entry or not number.isdecimal():
            continue
        try:
            meta = metafile.read(os.path.join(folder, entry))
        except FileNotFoundError:
            continue
        source = _text(meta.get("source"))
        yield ModelVersion(
            name=name,
            version=int(number),
            created=runfolder.number(meta.get("creation_timestamp")) or 0,
            updated=runfolder.number(meta.get("last_updated_timestamp")) or 0,
            source=source,
            location=_text(meta.get("storage_location")) or source,
            run_id=_text(meta.get("run_id")),
            run_link=_text(meta.get("run_link")),
            description=_text(meta.get("description")),
            stage=_text(meta.get("current_stage")) or "None",
            status=_text(meta.get("status")) or "READY",
            user=_text(meta.get("user_id")),
            tags=runfolder.texts(os.path.join(folder, entry), "tags"),
        )


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _text(value: JSON) -> str:
    return "" if value is None else str(value)


def _now() -> int:
    return time.time_ns() // 1_000_000
