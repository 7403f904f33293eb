"""A program that follows one job as the line does: record, supervisor, outcome, record closed.

    python following.py SCRIPT [OPTIONS AS JSON]

The home is RUNPROJ_HOME, the store MLFLOW_TRACKING_URI. Prints nothing of its own but, with
``"tell"``, the run's id.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.app import Application
from runner.cli.output import SilentReporter
from runner.codec import pretty
from runner.model.lock import ProcessEnvironment
from runner.model.plan import Command
from runner.model.run import Job, StoreAccess
from runner.model.tracking import TrackedRun
from runner.model.value import RunId
from runner.pipeline.closing import close, host_tags, open_job
from runner.settings import settings

if TYPE_CHECKING:
    from runner.ports import RunHandle


def main(script: str, options: dict[str, object]) -> int:
    """Follow the script to its end."""
    services = Application(settings(), SilentReporter())
    store = services.store
    again = options.get("again")
    run = (
        store.run(RunId(str(options["run_id"])))
        if again
        else store.create_run(
            TrackedRun(
                run_id=RunId(str(options["run_id"])),
                experiment_id="0",
                name="fault",
                status="RUNNING",
                started=1,
                ended=None,
                artifact_uri="",
                tags=host_tags(),
            )
        )
    )
    job = open_job(services, run)
    artifacts = store.artifacts(run)
    artifacts.put("runproj/record.json", pretty({"version": 1, "outcome": None}))
    if options.get("stop") == "before-submit":
        os.kill(os.getpid(), signal.SIGKILL)
    handle: RunHandle | None = None
    early: list[int] = []

    def forward(number: int, _frame: object) -> None:
        if handle is None:
            early.append(number)
        else:
            handle.cancel(number)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, forward)
    handle = services.backend("local").submit(
        Job(
            run_id=run.run_id,
            folder=job.path,
            directory=os.getcwd(),
            command=Command(argv=("bash", "-c", script)),
            environment=ProcessEnvironment(),
            access=StoreAccess(),
            stdout=job.log("stdout.log", artifacts),
            stderr=job.log("stderr.log", artifacts),
            timeout=timedelta(seconds=60),
            orphan="continue" if options.get("continue") else "end",
        )
    )
    for number in early:
        handle.cancel(number)
    outcome = handle.wait()
    assert outcome is not None
    if options.get("stop") == "before-close":
        os.kill(os.getpid(), signal.SIGKILL)
    if options.get("unreachable"):
        os.rename(str(options["unreachable"]), f"{options['unreachable']}.away")
    close(store, run.run_id, outcome, job=job)
    handle.release()
    return outcome.exit_code if outcome.exit_code is not None else 128 + (outcome.signal or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], json.loads(sys.argv[2])))
