"""Stores that only MLflow itself can open: PostgreSQL, MySQL, MSSQL, Databricks, plugins.

MLflow runs beside us in an environment of its own (the *bridge*, ``bridge_program.py``) and is
spoken to over its REST API on loopback; it ends with us. No project and no part of Runproj gets
MLflow's packages because of this.
"""

from __future__ import annotations

import json
import os

from runner.errors import RunprojError, StoreError, StoreUnavailableError
from runner.redaction import masked, without_credentials
from runner.stores.rest import RestStore
from runner.system.process import Companion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Environment = Callable[[tuple[str, ...]], str]
    """Returns the Python of an environment that holds some packages, built when it is not there."""

VERSION = "3.17.2"
"""The MLflow of bridges, unless ``RUNPROJ_MLFLOW_VERSION`` names another."""
DRIVERS: Mapping[str, tuple[str, ...]] = {
    "postgresql+psycopg": ("psycopg[binary]",),
    "postgresql": ("psycopg2-binary",),
    "postgres": ("psycopg2-binary",),
    "mysql": ("pymysql", "cryptography"),
    "mssql+pymssql": ("pymssql",),
    "mssql": ("pyodbc",),
    "databricks": (),
    "databricks-uc": (),
}
"""What each kind of store needs beside MLflow, by the beginning of its scheme."""
NAMED: Mapping[str, str] = {
    "postgresql": "postgresql+psycopg2",
    "postgres": "postgresql+psycopg2",
    "mysql": "mysql+pymysql",
}
"""Schemes without a driver, for which each SQLAlchemy has another one in mind."""
PATIENCE = 300.0
"""Seconds that MLflow may take to be imported and to open the store."""


def bridged(scheme: str, environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the packages that a bridge to a kind of store needs; None when we know of none.

    ``RUNPROJ_MLFLOW_PACKAGES`` adds to them, and so makes kinds known that plugins bring.
    """
    kind, _, driver = scheme.partition("+")
    more = tuple((environ.get("RUNPROJ_MLFLOW_PACKAGES") or "").split())
    known = DRIVERS.get(f"{kind}+{driver}", DRIVERS.get(kind))
    if known is None and not more:
        return None
    version = environ.get("RUNPROJ_MLFLOW_VERSION") or VERSION
    old = ("sqlalchemy<2.1",) if version.startswith(("1.", "2.", "3.0.", "3.1.")) else ()
    return (f"mlflow=={version}", *old, *(known or ()), *more)


class BridgedStore(RestStore):
    """A store behind a bridge. ``python`` is the interpreter that has MLflow and the driver."""

    def __init__(
        self, uri: str, *, directory: str, environ: Mapping[str, str], python: str
    ) -> None:
        self._named = without_credentials(uri)
        self._companion = _started(python, environ, directory)
        token = os.urandom(16).hex()
        request = {"uri": _with_driver(uri), "token": token, "directory": directory}
        try:
            port = self._introduced(request, uri)
        except BaseException:
            self._companion.end()
            raise
        self.address = f"http://127.0.0.1:{port}/{token}"
        plain = {k: v for k, v in environ.items() if not k.startswith("MLFLOW_TRACKING_")}
        plain = {k: v for k, v in plain.items() if not k.lower().endswith("_proxy")}
        super().__init__(self.address, directory=directory, environ=plain)

    @property
    def uri(self) -> str:
        """The store's URI as it was given, without credentials."""
        return self._named

    def close(self) -> None:
        """End the bridge."""
        super().close()
        self._companion.end()

    def _introduced(self, request: Mapping[str, str], uri: str) -> int:
        """Tell the bridge what to open; return its port."""
        line = self._companion.asked(json.dumps(request).encode() + b"\n", timeout=PATIENCE)
        try:
            said = json.loads(line)
        except ValueError:
            complaint = self._companion.complaint().splitlines() or ["it said nothing"]
            raise StoreError(
                f"MLflow did not start: {self._plain(complaint[-1], uri)}", where=self._named
            ) from None
        if "port" in said:
            return int(said["port"])
        raise StoreUnavailableError(
            f"MLflow cannot open the store: {self._plain(said['error'], uri)}",
            where=self._named,
            hint=said["hint"] or "is the address right, and the database running?",
        )

    def _plain(self, text: str, uri: str) -> str:
        from urllib.parse import unquote, urlsplit

        password = urlsplit(uri).password or ""
        return masked(text.replace(uri, self._named), {password, unquote(password)})


def _started(python: str, environ: Mapping[str, str], directory: str) -> Companion:
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bridge_program.py")
    ours = ("MLFLOW_", "RUNPROJ_", "PYTHON", "VIRTUAL_ENV", "CONDA_")
    kept = {k: v for k, v in environ.items() if not k.startswith(ours)}
    if destination := environ.get("MLFLOW_ARTIFACTS_DESTINATION"):
        kept["MLFLOW_ARTIFACTS_DESTINATION"] = destination
    variables = {
        **kept,
        "PATH": f"{os.path.dirname(python)}:{environ.get('PATH', os.defpath)}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONWARNINGS": "ignore",
        "PYTHONDONTWRITEBYTECODE": environ.get("PYTHONDONTWRITEBYTECODE", ""),
    }
    try:
        return Companion([python, "-P", program], variables=variables, directory=directory)
    except OSError as error:
        raise RunprojError(f"MLflow's environment cannot be used: {error.strerror}") from error


def _with_driver(uri: str) -> str:
    """Name the driver that was installed, where the URI leaves the choice to SQLAlchemy."""
    scheme, separator, rest = uri.partition("://")
    return f"{NAMED.get(scheme, scheme)}{separator}{rest}"
