"""MLflow's own store for a URI, as MLflow's REST API on loopback; runs where MLflow is installed.

    python bridge_program.py < request

reads one line of JSON, ``{"uri": ..., "token": ..., "directory": ...}``, from standard input (an
argument would show the password to other users), prints one, ``{"port": ...}`` or ``{"error": ...,
"hint": ...}``, and answers below ``/<token>/`` until its standard input ends, that is, until
whoever started it is gone. Nothing of Runproj is imported.

A database that another version of MLflow made is refused: MLflow itself would migrate it, for good.
"""

from __future__ import annotations

import hmac
import importlib
import json
import os
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Start = Callable[..., Any]
    Application = Callable[[dict[str, Any], Start], Iterable[bytes]]

DATABASES = ("postgresql", "postgres", "mysql", "mssql", "oracle")


class UnfitError(Exception):
    """The store cannot be used; ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def main() -> None:
    """Open the store, say where it is, and answer."""
    request = json.loads(sys.stdin.readline())
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever MLflow prints is no answer
    try:
        server = served(request)
    except Exception as error:  # noqa: BLE001 - MLflow and drivers raise what they like
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = {
            "error": lines[0] if lines else type(error).__name__,
            "hint": getattr(error, "hint", ""),
        }
        answers.write(json.dumps(said) + "\n")
        answers.flush()
        return
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answers.write(json.dumps({"port": server.server_port}) + "\n")
    answers.flush()
    sys.stdin.read()
    os._exit(0)


def served(request: dict[str, str]) -> Any:  # noqa: ANN401 - MLflow is not there for type checkers
    """Return a server for the store of a request."""
    uri, directory = request["uri"], request["directory"]
    if uri.startswith(DATABASES):
        check_schema(uri)
    constants = importlib.import_module("mlflow.server.constants")
    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = uri
    os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"
    kept = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION") or os.path.join(directory, "mlartifacts")
    os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = kept
    root = os.path.join(directory, "mlruns")
    importlib.import_module("mlflow").set_tracking_uri(uri)  # the registry asks for models by it
    tracking = importlib.import_module("mlflow.tracking._tracking_service.utils")
    registry = importlib.import_module("mlflow.tracking._model_registry.utils")
    handlers: Any = importlib.import_module("mlflow.server.handlers")
    handlers._tracking_store = tracking._get_store(uri, root)
    handlers._model_registry_store = registry._get_store(uri)
    flask_application = importlib.import_module("mlflow.server").app
    return listening(gated(flask_application, request["token"]))


def check_schema(uri: str) -> None:
    """Refuse a database whose tables are not exactly those of this MLflow; empty ones are fine.

    Raises:
        UnfitError: Another version made it.
    """
    utils = importlib.import_module("mlflow.store.db.utils")
    engine = importlib.import_module("sqlalchemy").create_engine(uri)
    try:
        found, wanted = utils._get_schema_version(engine), utils._get_latest_schema_revision()
    finally:
        engine.dispose()
    if found not in {None, wanted}:
        version = importlib.import_module("mlflow.version").VERSION
        raise UnfitError(
            f"the database was made by another version of MLflow than {version} "
            f"(revision {found}, not {wanted})",
            "name the version that made it: RUNPROJ_MLFLOW_VERSION=2.22.5; or upgrade the database "
            "for good: 'mlflow db upgrade URI'",
        )


def gated(application: Application, token: str) -> Application:
    """Let only those in who know the token, which is the first part of the path."""

    def gate(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        given, slash, rest = environ.get("PATH_INFO", "").removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(given.encode(), token.encode()):
            start_response("404 Not Found", [("Content-Length", "0")])
            return [b""]
        return application({**environ, "PATH_INFO": f"/{rest}"}, start_response)

    return gate


def listening(application: Application) -> Any:  # noqa: ANN401 - werkzeug is not there, either
    """Return a server on a free port of loopback; one thread a connection."""
    serving = importlib.import_module("werkzeug.serving")
    quiet = type(
        "Quiet",
        (serving.WSGIRequestHandler,),
        {"protocol_version": "HTTP/1.1", "log": lambda *_: None},
    )
    return serving.make_server("127.0.0.1", 0, application, threaded=True, request_handler=quiet)


if __name__ == "__main__":
    main()
