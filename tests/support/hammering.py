"""Log from four threads, kill the server in the middle, count what was acknowledged and is gone.

    python hammering.py FOLDER

Prints how many metrics were acknowledged; exits with 1 when one of them is not in the store.
"""

import os
import subprocess
import sys
import threading
import time
from http.client import HTTPException
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from driving import Client  # noqa: E402

from runner.model.value import RunId  # noqa: E402
from runner.stores.opening import open_store  # noqa: E402

ENOUGH = 200


def hammer(uri: str, run_id: str, key: str, heard: list[int]) -> None:
    client = Client(uri)
    try:
        for step in range(1_000_000):
            metric = {"key": key, "value": step, "timestamp": step, "step": step}
            client.post("runs/log-metric", run_id=run_id, **metric)
            heard.append(step)
    except (OSError, HTTPException):
        return
    finally:
        client.connection.close()


def main() -> int:
    folder = sys.argv[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "runner", "server", "--port", "0"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    uri = server.stdout.readline().split()[2]
    client = Client(uri)
    run_id = client.post("runs/create", experiment_id="0")["run"]["info"]["run_id"]
    client.connection.close()
    heard: dict[str, list[int]] = {f"m{number}": [] for number in range(4)}
    threads = [
        threading.Thread(target=hammer, args=(uri, run_id, key, steps))
        for key, steps in heard.items()
    ]
    for thread in threads:
        thread.start()
    while min(map(len, heard.values())) < ENOUGH and server.poll() is None:
        time.sleep(0.01)
    server.kill()
    server.wait()
    for thread in threads:
        thread.join()
    store = open_store(None, directory=folder, environ={})
    lost = 0
    for key, steps in heard.items():
        there = {metric.step for metric in store.history(RunId(run_id), key)}
        lost += len(set(steps) - there)
    store.close()
    sys.stdout.write(f"{sum(map(len, heard.values()))}\n")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
