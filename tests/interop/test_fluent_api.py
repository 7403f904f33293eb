"""The fluent API of every MLflow works unchanged on our endpoint, and on the store behind it.

One program calls all of it with a real client, against SQLite and files; then the same client,
where it can read such a store, opens it directly and must see the very same.
"""

import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.serving.endpoint import LoopbackEndpoint
from tests.interop.test_clients_on_endpoint import new_run, new_store, surroundings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
HERE = Path(__file__).parent
CHOSEN = {
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    # clients that would upload in parts are told to send one piece, and do
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "1000",
}
VERSIONS = ("1.30.1", "2.9.2", "2.22.5", "3.17.2")


def asked(python: str, script: str, uri: str, folder: Path) -> dict[str, Any]:
    found = subprocess.run(
        [python, str(HERE / script), uri],
        env=surroundings(**CHOSEN),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-4000:]
    answer: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("kind", ["sqlite", "files"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_fluent_api(
    kind: str, version: str, tmp_path: Path, mlflow_python: Callable[[str], str]
) -> None:
    store = new_store(kind, tmp_path)
    endpoint = LoopbackEndpoint(store=store, run=new_run(store))
    endpoint.serve()
    python = mlflow_python(version)
    seen = asked(python, "fluent_program.py", endpoint.uri, tmp_path)
    endpoint.close(within=timedelta(seconds=10))
    stages = {e["name"]: e["stage"] for e in seen["experiments"]}
    assert stages == {
        "Default": "active",
        "doomed": "active",
        "fluent": "active",
        "gone": "deleted",
        "renamed": "active",
    }
    store.close()
    if kind == "files" or version.startswith("3."):
        direct = asked(python, "fluent_snapshot.py", store.uri, tmp_path)
        assert direct == {**seen, "models": direct["models"] and seen["models"]}
