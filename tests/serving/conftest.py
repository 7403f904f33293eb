"""An endpoint over a real SQLite store, driven through its socket."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from driving import Client, new_run

from runner.model.tracking import TrackedRun
from runner.ports import TrackingStore
from runner.serving.endpoint import LoopbackEndpoint
from runner.stores.opening import open_store


@pytest.fixture(params=["sqlite", "files"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TrackingStore]:
    uri = f"sqlite:///{tmp_path}/mlflow.db" if request.param == "sqlite" else f"{tmp_path}/mlruns"
    opened = open_store(uri, directory=str(tmp_path), environ={})
    yield opened
    opened.close()


@pytest.fixture
def run(store: TrackingStore) -> TrackedRun:
    return new_run(store, params={"alpha": "0.50"}, tags={"mlflow.source.type": "PROJECT"})


@pytest.fixture
def endpoint(store: TrackingStore, run: TrackedRun) -> Iterator[LoopbackEndpoint]:
    bound = LoopbackEndpoint(store=store, run=run)
    bound.serve()
    yield bound
    bound.close(within=timedelta(seconds=5))


@pytest.fixture
def client(endpoint: LoopbackEndpoint) -> Iterator[Client]:
    made = Client(endpoint.uri)
    yield made
    made.connection.close()
