"""Registered models in MLflow's SQLite tables ``registered_models`` and ``model_versions``."""

from __future__ import annotations

import time

from runner.model.tracking import ModelVersion, RegisteredModel
from runner.model.value import changed
from runner.stores import rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from sqlite3 import Connection

    from runner.stores.database import Database

_VERSION = (
    "SELECT version, creation_time, last_updated_time, description, user_id, current_stage,"
    " source, run_id, status, run_link, {location} FROM model_versions WHERE name = ?"
)


ALIASES = "registered_model_aliases"
_REDACT_VERSION = (
    "UPDATE model_versions SET current_stage = 'Deleted_Internal', last_updated_time = ?,"
    " description = NULL, user_id = NULL, source = 'REDACTED-SOURCE-PATH',"
    " run_id = 'REDACTED-RUN-ID', run_link = 'REDACTED-RUN-LINK', status_message = NULL"
    " WHERE name = ? AND version = ?"
)
"""What MLflow writes over a deleted version."""


class SqliteRegistry:
    """The registered models of one database; see ``runner.ports.RegistryStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_registered_model(self, model: RegisteredModel) -> RegisteredModel:
        """Add a name."""
        rules.check_registered_name(model.name)
        rules.check_tags(model.tags)
        with self._database.writing() as connection:
            known = "SELECT 1 FROM registered_models WHERE name = ?"
            if connection.execute(known, (model.name,)).fetchone():
                raise rules.registered_already(model.name)
            connection.execute(
                "INSERT INTO registered_models (name, creation_time, last_updated_time,"
                " description) VALUES (?, ?, ?, ?)",
                (model.name, model.created, model.updated, rules.storable(model.description)),
            )
            connection.executemany(
                "INSERT INTO registered_model_tags (name, key, value) VALUES (?, ?, ?)",
                [(model.name, key, rules.storable(value)) for key, value in model.tags.items()],
            )
        return model

    def registered_model(self, name: str) -> RegisteredModel:
        """Return one."""
        with self._database.reading() as connection:
            return _registered(connection, name)

    def registered_models(self) -> tuple[RegisteredModel, ...]:
        """Return all of them, by name."""
        with self._database.reading() as connection:
            names = connection.execute("SELECT name FROM registered_models ORDER BY name")
            return tuple(_registered(connection, name) for (name,) in names.fetchall())

    def update_registered_model(self, model: RegisteredModel) -> RegisteredModel:
        """Write the description anew."""
        with self._database.writing() as connection:
            _registered(connection, model.name)
            connection.execute(
                "UPDATE registered_models SET description = ?, last_updated_time = ?"
                " WHERE name = ?",
                (rules.storable(model.description), model.updated, model.name),
            )
            return _registered(connection, model.name)

    def rename_registered_model(self, name: str, new_name: str) -> RegisteredModel:
        """Give a model and its versions another name."""
        rules.check_registered_name(new_name)
        with self._database.writing(durable=True) as connection:
            _registered(connection, name)
            known = "SELECT 1 FROM registered_models WHERE name = ?"
            if new_name != name and connection.execute(known, (new_name,)).fetchone():
                raise rules.registered_already(new_name)
            now = _now()
            connection.execute(
                "UPDATE registered_models SET name = ?, last_updated_time = ? WHERE name = ?",
                (new_name, now, name),
            )
            connection.execute(
                "UPDATE model_versions SET name = ?, last_updated_time = ? WHERE name = ?",
                (new_name, now, name),
            )
            for table in _tables(
                connection, "registered_model_tags", "model_version_tags", ALIASES
            ):
                connection.execute(f"UPDATE {table} SET name = ? WHERE name = ?", (new_name, name))  # noqa: S608 - fixed names
            return _registered(connection, new_name)

    def delete_registered_model(self, name: str) -> None:
        """Forget a name with all its versions."""
        with self._database.writing(durable=True) as connection:
            _registered(connection, name)
            for table in _tables(
                connection,
                ALIASES,
                "model_version_tags",
                "model_versions",
                "registered_model_tags",
                "registered_models",
            ):
                connection.execute(f"DELETE FROM {table} WHERE name = ?", (name,))  # noqa: S608 - fixed names

    def tag_registered_model(self, name: str, tags: Mapping[str, str | None]) -> None:
        """Add, replace and take away tags."""
        rules.check_registry_tags(tags)
        with self._database.writing() as connection:
            _registered(connection, name)
            _write_tags(connection, "registered_model_tags", {"name": name}, tags)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version."""
        rules.check_alias(alias)
        with self._database.writing() as connection:
            _only(connection, name, version)
            if not _tables(connection, ALIASES):
                raise rules.refused("this database is too old for aliases of model versions")
            connection.execute(
                "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, ?, ?)"
                " ON CONFLICT (name, alias) DO UPDATE SET version = excluded.version",
                (name, alias, version),
            )

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away."""
        rules.check_alias(alias)
        with self._database.writing() as connection:
            _registered(connection, name)
            for table in _tables(connection, ALIASES):
                connection.execute(
                    f"DELETE FROM {table} WHERE name = ? AND alias = ?",  # noqa: S608 - a fixed name
                    (name, alias),
                )

    def create_version(self, version: ModelVersion) -> ModelVersion:
        """Add a version under the next number."""
        rules.check_tags(version.tags)
        with self._database.writing() as connection:
            _registered(connection, version.name)
            (last,) = connection.execute(
                "SELECT coalesce(max(version), 0) FROM model_versions WHERE name = ?",
                (version.name,),
            ).fetchone()
            made = changed(version, version=last + 1)
            connection.execute(
                "INSERT INTO model_versions (name, version, creation_time, last_updated_time,"
                " description, user_id, current_stage, source, run_id, status, run_link)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    made.name,
                    made.version,
                    made.created,
                    made.updated,
                    rules.storable(made.description),
                    made.user,
                    made.stage,
                    made.source,
                    made.run_id or None,
                    made.status,
                    made.run_link or None,
                ),
            )
            if _has_location(connection):
                connection.execute(
                    "UPDATE model_versions SET storage_location = ? WHERE name = ? AND version = ?",
                    (made.location, made.name, made.version),
                )
            connection.executemany(
                "INSERT INTO model_version_tags (name, version, key, value) VALUES (?, ?, ?, ?)",
                [(made.name, made.version, k, rules.storable(v)) for k, v in made.tags.items()],
            )
            _touch(connection, made)
        return made

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """Return the versions of a registered model, oldest first."""
        with self._database.reading() as connection:
            _registered(connection, name)
            return _versions(connection, name)

    def update_version(self, version: ModelVersion) -> ModelVersion:
        """Write the stage and the description of a version anew."""
        with self._database.writing() as connection:
            _only(connection, version.name, version.version)
            connection.execute(
                "UPDATE model_versions SET current_stage = ?, description = ?,"
                " last_updated_time = ? WHERE name = ? AND version = ?",
                (
                    version.stage,
                    rules.storable(version.description),
                    version.updated,
                    version.name,
                    version.version,
                ),
            )
            _touch(connection, version)
            return _only(connection, version.name, version.version)

    def delete_version(self, name: str, version: int) -> None:
        """Forget a version; its row stays, without what it said, so that its number does."""
        with self._database.writing(durable=True) as connection:
            gone = changed(_only(connection, name, version), updated=_now())
            for table in _tables(connection, ALIASES):
                connection.execute(
                    f"DELETE FROM {table} WHERE name = ? AND version = ?",  # noqa: S608 - a fixed name
                    (name, version),
                )
            connection.execute(_REDACT_VERSION, (gone.updated, name, version))
            _touch(connection, gone)

    def tag_version(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Add, replace and take away tags of a version."""
        rules.check_registry_tags(tags)
        with self._database.writing() as connection:
            _only(connection, name, version)
            owner: dict[str, str | int] = {"name": name, "version": version}
            _write_tags(connection, "model_version_tags", owner, tags)


def _tables(connection: Connection, *names: str) -> tuple[str, ...]:
    """Return those of the tables that a database has; MLflow 1 knew no aliases."""
    known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return tuple(name for name in names if connection.execute(known, (name,)).fetchone())


def _has_location(connection: Connection) -> bool:
    """Whether versions say where their files are; before MLflow 2.5 they did not."""
    columns = connection.execute("SELECT name FROM pragma_table_info('model_versions')")
    return ("storage_location",) in columns.fetchall()


def _write_tags(
    connection: Connection,
    table: str,
    owner: Mapping[str, str | int],
    tags: Mapping[str, str | None],
) -> None:
    where = " AND ".join(f"{column} = ?" for column in owner)
    columns = ", ".join(("key", "value", *owner))
    marks = ", ".join("?" for _ in ("key", "value", *owner))
    for key, value in tags.items():
        connection.execute(
            f"DELETE FROM {table} WHERE {where} AND key = ?",  # noqa: S608 - fixed names
            (*owner.values(), key),
        )
        if value is not None:
            connection.execute(
                f"INSERT INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608 - fixed names
                (key, rules.storable(value), *owner.values()),
            )


def _touch(connection: Connection, version: ModelVersion) -> None:
    connection.execute(
        "UPDATE registered_models SET last_updated_time = ? WHERE name = ?",
        (version.updated, version.name),
    )


def _registered(connection: Connection, name: str) -> RegisteredModel:
    row = connection.execute(
        "SELECT creation_time, last_updated_time, description FROM registered_models"
        " WHERE name = ?",
        (name,),
    ).fetchone()
    if row is None:
        raise rules.no_registered_model(name)
    tags = "SELECT key, value FROM registered_model_tags WHERE name = ?"
    known = "SELECT alias, version FROM registered_model_aliases WHERE name = ?"
    has_aliases = _tables(connection, ALIASES)
    aliases = connection.execute(known, (name,)).fetchall() if has_aliases else []
    return RegisteredModel(
        name=name,
        created=row[0] or 0,
        updated=row[1] or 0,
        description=row[2] or "",
        tags={key: value or "" for key, value in connection.execute(tags, (name,))},
        aliases=dict(aliases),
    )


def _only(connection: Connection, name: str, number: int) -> ModelVersion:
    for version in _versions(connection, name, f" AND version = {int(number)}"):
        return version
    raise rules.no_version(name, number)


def _versions(connection: Connection, name: str, clause: str = "") -> tuple[ModelVersion, ...]:
    deleted = "current_stage IS NOT 'Deleted_Internal'"
    query = _VERSION.format(location="storage_location" if _has_location(connection) else "NULL")
    rows = connection.execute(f"{query} AND {deleted}{clause} ORDER BY version", (name,))
    found = rows.fetchall()
    tags: dict[int, dict[str, str]] = {}
    for number, key, value in connection.execute(
        "SELECT version, key, value FROM model_version_tags WHERE name = ?", (name,)
    ):
        tags.setdefault(number, {})[key] = value or ""
    return tuple(
        ModelVersion(
            name=name,
            version=row[0],
            created=row[1] or 0,
            updated=row[2] or 0,
            description=row[3] or "",
            user=row[4] or "",
            stage=row[5] or "None",
            source=row[6] or "",
            run_id=row[7] or "",
            status=row[8] or "READY",
            run_link=row[9] or "",
            location=row[10] or row[6] or "",
            tags=tags.get(row[0], {}),
        )
        for row in found
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
