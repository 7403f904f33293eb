"""Measure ``runproj server`` beside ``mlflow server``: same store, same clients, in turn.

    python benchmarks/servers.py --mlflow PATH [--runs N] [--rounds N] [--seconds S]

Both serve a copy of one SQLite store, each with the indexes that it makes itself. Rounds go A B,
B A, ...; each asks one server for some seconds from several threads over kept connections, plain
``http.client``. Prints Markdown.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from runner.stores.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    Ask = Callable[["Client", int], object]
    Cost = tuple[float, float]

API = "/api/2.0/mlflow/"
START = 1_700_000_000_000
FILTER = "metrics.rmse < 0.1 AND params.model = 'tree'"
READY_SECONDS = 300.0


class Client:
    """One connection, kept."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self.run_id = ""

    def post(self, name: str, **given: object) -> Any:
        """Call with a JSON body."""
        self.connection.request(
            "POST", API + name, json.dumps(given), {"Content-Type": "application/json"}
        )
        return self._answer()

    def get(self, path: str) -> Any:
        """Call with a query."""
        self.connection.request("GET", API + path)
        return self._answer()

    def _answer(self) -> Any:
        response = self.connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(body.decode("utf-8", "replace")[:500])
        return json.loads(body)


def create_run(client: Client, _at: int) -> None:
    client.run_id = client.post("runs/create", experiment_id="0")["run"]["info"]["run_id"]


def log_metric(client: Client, at: int) -> None:
    client.post("runs/log-metric", run_id=client.run_id, key="m", value=at, timestamp=at, step=at)


def log_batch(client: Client, at: int) -> None:
    metrics = [{"key": f"m{n}", "value": at, "timestamp": at, "step": at} for n in range(100)]
    client.post("runs/log-batch", run_id=client.run_id, metrics=metrics)


def get_run(client: Client, _at: int) -> None:
    client.get(f"runs/get?run_id={client.run_id}")


def search(client: Client, _at: int) -> None:
    found = client.post("runs/search", experiment_ids=["1"], filter=FILTER, max_results=100)
    if len(found["runs"]) != 100:  # noqa: PLR2004 - a whole page
        raise RuntimeError(f"{len(found['runs'])} runs found")


OPERATIONS: dict[str, tuple[Ask, int]] = {
    "create run": (create_run, 4),
    "log metric": (log_metric, 4),
    "log batch of 100 metrics": (log_batch, 4),
    "get run": (get_run, 4),
    "filtered search, newest 100": (search, 1),
}
"""What is measured, and from how many threads."""


def fill(folder: Path, count: int) -> None:
    """Make a store with many finished runs in the experiment 1."""
    store = open_store(f"sqlite:///{folder}/mlflow.db", directory=str(folder), environ={})
    store.create_experiment("many")
    store.close()
    ids = [f"{random.Random(at).getrandbits(128):032x}" for at in range(count)]  # noqa: S311 - no secret
    models = ("tree", "linear", "forest", "net")
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.executemany(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id,"
            " status, start_time, end_time, source_version, lifecycle_stage, artifact_uri,"
            " experiment_id) VALUES (?, ?, 'UNKNOWN', '', '', 'ann', 'FINISHED', ?, ?, '',"
            " 'active', ?, 1)",
            (
                (i, f"run-{at}", START + at * 1000, START + at * 1000 + 500, f"{folder}/{i}")
                for at, i in enumerate(ids)
            ),
        )
        for table, key, values in (
            ("params", "model", [models[at % 4] for at in range(count)]),
            ("params", "depth", [str(at % 17) for at in range(count)]),
            ("tags", "mlflow.runName", [f"run-{at}" for at in range(count)]),
            ("tags", "team", ["ab"[at % 2] for at in range(count)]),
        ):
            database.executemany(
                f"INSERT INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)",  # noqa: S608 - ours
                ((key, value, i) for value, i in zip(values, ids, strict=True)),
            )
        for table in ("metrics", "latest_metrics"):
            database.executemany(
                f"INSERT INTO {table} (key, value, timestamp, step, is_nan, run_uuid)"  # noqa: S608 - ours
                " VALUES (?, ?, ?, 0, 0, ?)",
                (
                    (key, value, START + at, i)
                    for at, i in enumerate(ids)
                    for key, value in (
                        ("rmse", at * 7919 % 100_003 / 100_003),
                        ("loss", at / count),
                    )
                ),
            )


class Server:
    """A server that is up: how long that took, and how much memory it has."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, ready: float) -> None:
        self.process, self.port, self.ready = process, port, ready

    def memory(self) -> float:
        """Return the proportional memory of the process and its children, in MiB."""
        return sum(_memory(pid) for pid in _family(self.process.pid)) / 1024

    def cpu(self) -> float:
        """Return the CPU time of the process and its children so far, in seconds."""
        return sum(_cpu(pid) for pid in _family(self.process.pid))


@contextmanager
def served(argv: Sequence[str], folder: Path, port: int) -> Iterator[Server]:
    """Start a server and wait until it answers."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RUNPROJ_"))}
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    began = time.monotonic()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            argv, cwd=folder, env={**kept, **quiet}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            while not _answers(port):
                if process.poll() is not None or time.monotonic() - began > READY_SECONDS:
                    sys.exit((folder / "server.log").read_text()[-2000:])
                time.sleep(0.002)
            yield Server(process, port, time.monotonic() - began)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cost(server: Server, ask: Ask, *, threads: int, seconds: float) -> Cost:
    """Return how many requests a second are answered, and the server's CPU seconds for one."""
    port, before = server.port, server.cpu()
    counts = [0] * threads
    failures: list[BaseException] = []
    ready = threading.Barrier(threads + 1)

    def work(number: int) -> None:
        client = Client(port)
        try:
            create_run(client, 0)
            ready.wait()
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                ask(client, counts[number])
                counts[number] += 1
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)
            ready.abort()
        finally:
            client.connection.close()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    with suppress(threading.BrokenBarrierError):  # the failure is raised below
        ready.wait()
    began = time.monotonic()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    passed, spent = time.monotonic() - began, server.cpu() - before
    return sum(counts) / passed, spent / (sum(counts) + threads)


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Measure and report."""
    options = parsed_options()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="runproj-servers-") as name:
        ours, theirs = Path(name, "runproj"), Path(name, "mlflow")
        ours.mkdir()
        theirs.mkdir()
        fill(ours, options.runs)
        shutil.copy(ours / "mlflow.db", theirs)
        if not options.share_index:
            with closing(sqlite3.connect(theirs / "mlflow.db")) as database:
                database.execute("DROP INDEX runproj_newest_runs")
        ports = free_port(), free_port()
        store = ("--backend-store-uri", "sqlite:///mlflow.db", "--port")
        first = [*options.runproj.split(), "server", *store, str(ports[0])]
        workers = ("--workers", str(options.workers))
        second = [options.mlflow, "server", *store, str(ports[1]), *workers]
        with served(first, ours, ports[0]) as a, served(second, theirs, ports[1]) as b:
            rows = [
                ("ready, s", a.ready, b.ready),
                ("memory when ready, MiB", a.memory(), b.memory()),
            ]
            found = measured((a, b), options)
            rows.append(("memory after all of this, MiB", a.memory(), b.memory()))
    told = subprocess.run((options.mlflow, "--version"), check=True, capture_output=True, text=True)
    report(options, told.stdout.strip().replace(", version", ""), load, rows, found)


def measured(
    servers: Sequence[Server], options: argparse.Namespace
) -> list[tuple[str, Cost, Cost]]:
    """Ask both servers in turn; medians of requests a second and of CPU."""
    found = []
    for name, (ask, threads) in OPERATIONS.items():
        costs: list[list[Cost]] = [[], []]
        for number in range(options.rounds):
            for which in (0, 1) if number % 2 else (1, 0):
                costs[which].append(
                    cost(servers[which], ask, threads=threads, seconds=options.seconds)
                )
        ours, theirs = (
            (median(rate for rate, _ in each), median(cpu for _, cpu in each)) for each in costs
        )
        found.append((name, ours, theirs))
        print(name, ours, theirs, file=sys.stderr, flush=True)
    return found


def report(
    options: argparse.Namespace,
    mlflow: str,
    load: float,
    rows: Sequence[tuple[str, float, float]],
    found: Sequence[tuple[str, Cost, Cost]],
) -> None:
    """Print the table."""
    print(
        f"Measured {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {mlflow} with "
        f"{options.workers} worker(s) and without job processes, {options.runs:,} runs in "
        f"the store, {options.rounds} rounds of {options.seconds:g} s, load {load:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after.\n"
    )
    print("| | runproj server | mlflow server | times |\n|---|---:|---:|---:|")
    for name, a, b in rows:
        print(f"| {name} | {a:.2f} | {b:.2f} | {b / a:.1f} |")
    for name, (a, _), (b, _) in found:
        print(f"| {name}, a second | {a:.1f} | {b:.1f} | {a / b:.1f} |")
    for name, (_, a), (_, b) in found:
        print(f"| {name}, CPU ms | {a * 1000:.2f} | {b * 1000:.2f} | {b / a:.1f} |")


def parsed_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    ours = f"{sys.executable} -m runner"
    parser.add_argument("--runproj", default=ours, help="how runproj is called")
    parser.add_argument("--mlflow", required=True, help="the mlflow to compare with")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of mlflow (1)")
    parser.add_argument("--runs", type=int, default=100_000, help="runs in the store (100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds a round (3)")
    parser.add_argument(
        "--share-index", action="store_true", help="leave mlflow the index that only we make"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
