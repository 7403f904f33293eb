"""Open a store, make a run and log so many parameters: ``log_parameters.py URI COUNT``."""

from __future__ import annotations

import os
import sys
import time

from runner.model.tracking import TrackedRun
from runner.model.value import RunId
from runner.stores.opening import open_store


def main() -> None:
    """Do it."""
    uri, count = sys.argv[1], int(sys.argv[2])
    store = open_store(uri, directory=os.getcwd(), environ=os.environ)
    run = TrackedRun(
        run_id=RunId(os.urandom(16).hex()),
        experiment_id="0",
        name="many",
        status="RUNNING",
        started=int(time.time() * 1000),
        ended=None,
        artifact_uri="",
        params={f"parameter_{at}": str(at / 7) for at in range(count)},
    )
    store.create_run(run)
    store.close()


if __name__ == "__main__":
    main()
