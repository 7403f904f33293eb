"""Many clients at once, and clients that are still sending when the run ends: nothing is lost."""

import json
import socket
import threading
from datetime import timedelta

import pytest
from driving import API, Client

from runner.model.tracking import TrackedRun
from runner.ports import TrackingStore
from runner.serving.endpoint import LoopbackEndpoint

THREADS = 64
SINGLE = 40
BATCH = 120


def metric(key: str, step: int) -> dict[str, object]:
    return {"key": key, "value": step / 7, "timestamp": step + 1, "step": step}


@pytest.mark.slow
def test_ten_thousand_metrics_of_64_threads(
    endpoint: LoopbackEndpoint, store: TrackingStore, run: TrackedRun
) -> None:
    troubles: list[BaseException] = []

    def work(number: int) -> None:
        key = f"k{number % 8}"
        try:
            client = Client(endpoint.uri)
            client.connection.timeout = 120
            first = number * 1000
            for step in range(first, first + SINGLE):
                client.post("runs/log-metric", run_id=run.run_id, **metric(key, step))
            batch = [metric(key, step) for step in range(first + SINGLE, first + SINGLE + BATCH)]
            client.post("runs/log-batch", run_id=run.run_id, metrics=batch)
            client.connection.close()
        except BaseException as error:  # noqa: BLE001 - shown below
            troubles.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert THREADS * (SINGLE + BATCH) > 10_000
    for key in range(8):
        steps = [m.step for m in store.history(run.run_id, f"k{key}")]
        expected = [
            step
            for number in range(key, THREADS, 8)
            for step in range(number * 1000, number * 1000 + SINGLE + BATCH)
        ]
        assert sorted(steps) == expected
        assert store.run(run.run_id).metrics[f"k{key}"].step == expected[-1]


def test_clients_that_hang_up_after_their_last_words(store: TrackingStore, run: TrackedRun) -> None:
    """They send all they have and end with the run: what they sent before is kept."""
    bound = LoopbackEndpoint(store=store, run=run)
    bound.serve()
    path = f"/r/{bound.uri.rpartition('/')[2]}{API}runs/log-metric"
    for number in range(THREADS):
        words = b""
        for step in range(3):
            body = json.dumps({"run_id": run.run_id, **metric(f"m{number}", step)}).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            words += head.encode() + body
        with socket.create_connection(("127.0.0.1", bound.port), timeout=60) as client:
            client.sendall(words)
    assert bound.close(within=timedelta(seconds=120))
    found = store.run(run.run_id).metrics
    assert {key: found[key].step for key in found} == {f"m{n}": 2 for n in range(THREADS)}
    assert all(len(store.history(run.run_id, f"m{n}")) == 3 for n in range(THREADS))
