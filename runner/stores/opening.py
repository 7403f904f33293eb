"""A tracking URI becomes a store; local paths as URIs and back.

The rules are MLflow's from 3.7 on: the URI that was given, else the data in ``./mlruns``, else
``./mlflow.db``. Nothing is made on disk before the first write.
"""

from __future__ import annotations

import os

from runner.errors import StoreError
from runner.stores.rules import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.ports import TrackingStore
    from runner.stores.bridge import Environment

SCHEME_LENGTH = 2
"""A scheme has two letters at least: a single one would be a drive."""
SUPPORTED = (
    "use sqlite:///path/to/mlflow.db, a folder (or file:///folder), the http:// or https:// "
    "address of an MLflow server, or a database that MLflow knows (postgresql, mysql, mssql)"
)


def open_store(
    uri: str | None,
    *,
    directory: str,
    environ: Mapping[str, str],
    environment: Environment | None = None,
) -> TrackingStore:
    """Return the store that a URI names, or the one that belongs to a directory.

    Relative paths are relative to ``directory``. ``environ`` holds MLflow's variables for
    servers (``MLFLOW_TRACKING_USERNAME`` and so on). ``environment`` builds environments for
    MLflow, which opens the stores that only it can open.

    Raises:
        StoreError: The URI names a kind of store that is not supported.
    """
    uri = (uri or "").strip()
    if not uri:
        return _default(directory)
    scheme = scheme_of(uri)
    if scheme == "sqlite":
        return _sqlite(_database_path(uri, directory))
    if scheme in {"http", "https"}:
        from runner.stores.rest import RestStore

        return RestStore(uri, directory=directory, environ=environ)
    if scheme == "file":
        return _files(file_url_path(uri, directory))
    if not scheme and uri != "databricks":
        return _files(os.path.normpath(os.path.join(directory, os.path.expanduser(uri))))
    if environment is not None:
        from runner.stores.bridge import BridgedStore, bridged

        packages = bridged(scheme or uri, environ)
        if packages is not None:
            return BridgedStore(
                uri, directory=directory, environ=environ, python=environment(packages)
            )
    from runner.redaction import without_credentials

    raise StoreError(
        f"there is no tracking store for {without_credentials(uri)!r}",
        status="INVALID_PARAMETER_VALUE",
        hint=SUPPORTED,
    )


def _default(directory: str) -> TrackingStore:
    folder = os.path.join(directory, "mlruns")
    if _holds_experiments(folder):
        return _files(folder)
    return _sqlite(os.path.join(directory, "mlflow.db"))


def _holds_experiments(folder: str) -> bool:
    """Whether there is a file store: a folder with a number for a name and a ``meta.yaml``."""
    try:
        with os.scandir(folder) as entries:
            return any(
                entry.name.isdecimal() and os.path.isfile(os.path.join(entry.path, "meta.yaml"))
                for entry in entries
            )
    except OSError:
        return False


def _database_path(uri: str, directory: str) -> str:
    """Return the path of ``sqlite:///relative`` or ``sqlite:////absolute`` (SQLAlchemy's rule)."""
    rest = uri[len("sqlite:") :].partition("?")[0]
    if not rest.startswith("///") or not rest[3:]:
        raise StoreError(
            f"{uri!r} names no database file",
            status="INVALID_PARAMETER_VALUE",
            hint="write sqlite:///mlflow.db, or sqlite:////absolute/path/mlflow.db",
        )
    if rest == "///:memory:":
        raise StoreError(
            "a database in memory would be gone with the run",
            status="INVALID_PARAMETER_VALUE",
            hint="write sqlite:///mlflow.db",
        )
    return os.path.normpath(os.path.join(directory, rest[3:]))


def _sqlite(path: str) -> TrackingStore:
    from runner.stores.sqlite import SqliteStore

    return SqliteStore(path)


def _files(folder: str) -> TrackingStore:
    from runner.stores.files import FileStore

    return FileStore(folder)


def scheme_of(uri: str) -> str:
    """Return the scheme of a URI in lower case, ``""`` for a plain path."""
    scheme, colon, _ = uri.partition(":")
    named = colon and len(scheme) >= SCHEME_LENGTH and scheme[0].isalpha()
    plain = scheme.replace("+", "").replace("-", "").replace(".", "")
    return scheme.lower() if named and plain.isalnum() and plain.isascii() else ""


def local_path(uri: str, base: str) -> str | None:
    """Return the absolute local path that a URI names, None when it names another place."""
    scheme = scheme_of(uri)
    if scheme == "file":
        return file_url_path(uri, base)
    if scheme:
        return None
    return os.path.normpath(os.path.join(base, uri))


def file_url_path(url: str, base: str) -> str:
    """Return the path of a ``file:`` URL; ``file:rel`` is relative to ``base``.

    Raises:
        StoreError: ``INVALID_PARAMETER_VALUE``: the URL names another host.
    """
    rest = url[len("file:") :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in {"", "localhost"}:
            raise refused(f"{url!r} names the host {host!r}", hint="write file:///absolute/path")
        rest = slash + path
    if "%" in rest:
        from urllib.parse import unquote

        rest = unquote(rest, errors="surrogateescape")
    return os.path.normpath(os.path.join(base, rest))


def file_url(path: str) -> str:
    """Return an absolute path as a ``file:`` URL."""
    if path.isascii() and path.replace("/", "").replace("-", "").replace("_", "").isalnum():
        return f"file://{path}"
    from urllib.parse import quote_from_bytes

    return f"file://{quote_from_bytes(os.fsencode(path), safe='/')}"
