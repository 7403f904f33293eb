"""Registered models in MLflow's SQLite tables ``registered_models`` and ``model_versions``."""

from __future__ import annotations

from runner.model.tracking import ModelVersion, RegisteredModel
from runner.model.value import changed
from runner.stores import rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from runner.stores.database import Database

_VERSION = (
    "SELECT version, creation_time, last_updated_time, description, user_id, current_stage,"
    " source, run_id, status, run_link, storage_location FROM model_versions WHERE name = ?"
)


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
                raise rules.taken(f"Registered Model (name={model.name}) already exists.")
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

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias name a version."""
        rules.check_alias(alias)
        with self._database.writing() as connection:
            _only(connection, name, version)
            connection.execute(
                "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, ?, ?)"
                " ON CONFLICT (name, alias) DO UPDATE SET version = excluded.version",
                (name, alias, version),
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
                " description, user_id, current_stage, source, run_id, status, run_link,"
                " storage_location) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                    made.location,
                ),
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
        raise rules.missing(f"Registered Model with name={name} not found")
    tags = "SELECT key, value FROM registered_model_tags WHERE name = ?"
    aliases = "SELECT alias, version FROM registered_model_aliases WHERE name = ?"
    return RegisteredModel(
        name=name,
        created=row[0] or 0,
        updated=row[1] or 0,
        description=row[2] or "",
        tags={key: value or "" for key, value in connection.execute(tags, (name,))},
        aliases=dict(connection.execute(aliases, (name,)).fetchall()),
    )


def _only(connection: Connection, name: str, number: int) -> ModelVersion:
    for version in _versions(connection, name, f" AND version = {int(number)}"):
        return version
    raise rules.missing(f"Model Version (name={name}, version={number}) not found")


def _versions(connection: Connection, name: str, clause: str = "") -> tuple[ModelVersion, ...]:
    deleted = "current_stage IS NOT 'Deleted_Internal'"
    rows = connection.execute(f"{_VERSION} AND {deleted}{clause} ORDER BY version", (name,))
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
