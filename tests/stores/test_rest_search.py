"""Filters that a tracking server answers: what it finds is what we would find ourselves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from mlflow_server import mlflow_server
from some_runs import STARTED, add
from teaming import serving

from runner.model.tracking import RunSearch
from runner.pipeline.lookup import search_runs
from runner.query.filters import parsed
from runner.query.kinds import RUN
from runner.query.search import orderings, searched
from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.ports import TrackingStore

FILTERS = (
    "metrics.loss < 0.5",
    "metrics.`a b` >= 3 AND params.model = 'tree'",
    "metrics.loss != 0.25",
    "params.model != 'tree'",
    "params.model LIKE 't%'",
    "params.model ILIKE 'TR_E'",
    "tags.`mlflow.user` = 'ada'",
    "attributes.status = 'FAILED'",
    f"attributes.start_time > {STARTED + 12_000} and attributes.end_time > 0",
    "metrics.loss < -1",
)
ORDERS = (
    (),
    ("metrics.loss",),
    ("metrics.loss DESC",),
    ("params.model", "metrics.loss DESC"),
    ("start_time ASC",),
)
OTHERS = (
    "params.model = 'it''s'",
    "params.model IN ('tree')",
    "attributes.run_name LIKE 'run-1%'",
    "params.model IS NULL",
    "tags.t IS NOT NULL",
)


def fill(store: TrackingStore) -> None:
    for at in range(20):
        add(
            store,
            name=f"run-{at}",
            started=STARTED + at * 1000,
            ended=STARTED + at * 1000 + 10,
            status="FAILED" if at % 5 == 0 else "FINISHED",
            params={"model": "it's" if at == 7 else "tree" if at % 2 else "net"} if at % 6 else {},
            tags={"mlflow.user": "ada" if at % 3 else "bob", "t": "x"},
            metrics={
                "loss": [math.nan if at == 3 else at / 20],
                **({"a b": [float(at)]} if at > 2 else {}),
            },
        )


def check(
    remote: TrackingStore, filters: tuple[str, ...], orders: tuple[tuple[str, ...], ...]
) -> None:
    whole = remote.runs(["0"], limit=100).runs
    assert len(whole) == 20
    for text in filters:
        for order in orders:
            wanted = searched(whole, RUN, filter_text=text, order=order)
            found = search_runs(remote, ["0"], filter_text=text, order=order, page_size=3)
            assert [r.name for r in found] == [r.name for r in wanted], (text, order)


def asked(remote: TrackingStore, text: str) -> object:
    search: Callable[[RunSearch], object] = getattr(remote, "narrowed_runs")  # noqa: B009 - optional
    return search(
        RunSearch(
            experiment_ids=("0",),
            comparisons=tuple(parsed(text, RUN)),
            order=tuple(orderings(("metrics.loss",), RUN)),
            limit=10,
        )
    )


def test_our_server(tmp_path: Path) -> None:
    store = open_store("sqlite:///mlflow.db", directory=str(tmp_path), environ={})
    fill(store)
    with serving(store) as server:
        remote = open_store(server.uri, directory=str(tmp_path), environ={})
        check(remote, (*FILTERS, *OTHERS), ORDERS)
        assert all(asked(remote, text) is not None for text in FILTERS)
        assert all(asked(remote, text) is None for text in OTHERS)
        remote.close()


@pytest.mark.slow
def test_mlflows_server(mlflow_python: Callable[[str], str], tmp_path: Path) -> None:
    with mlflow_server(mlflow_python("2.22.5"), tmp_path / "server") as uri:
        remote = open_store(uri, directory=str(tmp_path), environ={})
        fill(remote)
        check(remote, FILTERS, ORDERS[:3])
        assert all(asked(remote, text) is not None for text in FILTERS)
        remote.close()
