"""The description of the API is true: the endpoint itself is asked about each word of it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from driving import API, PROXY, Client, new_run

from runner.model.tracking import TrackedRun
from runner.ports import TrackingStore
from runner.serving.description import (
    DIFFERS,
    MODEL_TAKES,
    TAKES,
    arguments_of,
    document,
)
from runner.serving.endpoint import LoopbackEndpoint
from runner.serving.routes import CALLS, MODEL_CALLS
from tests.mlflow_clients import made

WRONG = {"flag": "maybe", "texts": {"x": 1}, "text": {"x": 1}, "int": [1], "number": [1]}
"""By type: a value that is none; for lists and objects a text."""


@pytest.fixture
def known(client: Client, run: TrackedRun) -> dict[str, Any]:
    """Make one of everything; return good values of required arguments."""
    model = client.post("logged-models", experiment_id="0", name="m")["model"]["info"]
    client.raw("PUT", f"{PROXY}/0/{run.run_id}/artifacts/model/MLmodel", b"flavors: {}")
    source = f"mlflow-artifacts:/0/{run.run_id}/artifacts/model"
    client.post("registered-models/create", name="m")
    client.post("model-versions/create", name="m", source=source)
    client.post("registered-models/alias", name="m", alias="best", version=1)
    return {
        "run_id": run.run_id,
        "run_ids": [run.run_id],
        "experiment_id": "0",
        "experiment_ids": ["0"],
        "experiment_name": "Default",
        "name": "m",
        "new_name": "n",
        "source": source,
        "alias": "best",
        "version": 1,
        "stage": "Staging",
        "key": "k",
        "value": 1,
        "timestamp": 1,
        "metric_key": "k",
        "model_json": "{}",
        "model_id": model["model_id"],
        "status": "READY",
        "start_step": 0,
        "end_step": 5,
    }


HELPING = {"metrics/get-history-bulk-interval": ("start_step", "end_step")}
OF_MODELS = ("dataset_name", "dataset_digest")


def calls() -> list[tuple[str, str, str]]:
    found = [(m, n, DIFFERS.get((m, n), TAKES[n])) for m, n in CALLS]
    return found + [(m, f"logged-models/M/{r}", MODEL_TAKES[m, r]) for m, r in MODEL_CALLS]


def test_every_call_is_described_and_nothing_else() -> None:
    assert TAKES.keys() == {name for _, name in CALLS}
    assert MODEL_TAKES.keys() == MODEL_CALLS.keys()
    assert DIFFERS.keys() <= CALLS.keys()


def test_every_argument_is_read_and_what_is_required_is(
    client: Client, known: dict[str, Any]
) -> None:
    for method, name, words in calls():
        path = f"{API}{name}".replace("/M/", f"/{known['model_id']}/").rstrip("/")
        taken = [*arguments_of(words)]
        good = {n: known[n] for n, _, required in taken if required}
        good |= {n: known[n] for n in HELPING.get(name, ())}
        for argument, kind, required in taken:
            given = {**good, argument: WRONG.get(kind, "x")}
            if argument in OF_MODELS:
                given["model_id"] = known["model_id"]
            status, answer = client.raw(method, path, json.dumps(given))
            assert (status, argument in answer.decode()) == (400, True), (method, name, argument)
            if required:
                less = {n: v for n, v in good.items() if n != argument}
                status, answer = client.raw(method, path, json.dumps(less))
                message = json.loads(answer)["message"]
                assert (status, argument in message) == (400, True), (method, name, argument)


def test_it_is_served(client: Client) -> None:
    status, answer = client.raw("GET", "/openapi.json")
    assert (status, json.loads(answer)) == (200, document())
    create = document()["paths"]["/api/2.0/mlflow/experiments/create"]  # type: ignore[index,call-overload]
    schema = create["post"]["requestBody"]["content"]["application/json"]["schema"]  # type: ignore[index,call-overload]
    assert schema["required"] == ["name"]  # type: ignore[index,call-overload]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_fuzzer_that_reads_it_finds_no_crash(
    endpoint: LoopbackEndpoint,
    store: TrackingStore,
    run: TrackedRun,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Schemathesis makes up requests, right and wrong, for every operation."""
    python = made("schemathesis-4", "3.11", ["schemathesis==4.32.5"])
    other = new_run(store)
    done = subprocess.run(
        [
            str(Path(python).with_name("st")),
            "run",
            f"{endpoint.uri}/openapi.json",
            *("--url", endpoint.uri, "--phases", "examples,coverage,fuzzing"),
            *(
                "--checks",
                "not_a_server_error,content_type_conformance,response_schema_conformance",
            ),
            *("--max-examples", "5", "--seed", "7", "--no-color", "--workers", "2"),
            "--generation-database=none",
        ],
        cwd=tmp_path_factory.mktemp("fuzzer"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    paths: Any = document()["paths"]
    operations = [method for path in paths.values() for method in path if method != "parameters"]
    assert f"Tested: {len(operations)}\n" in done.stdout, done.stdout[-3000:]
    for kept in (run, other):
        assert store.run(kept.run_id).run_id == kept.run_id
    assert store.artifact_root is not None
    beside = {path.name for path in Path(store.artifact_root).parent.iterdir()}
    assert beside <= {"mlflow.db", "mlflow.db-wal", "mlflow.db-shm", "mlruns"}
