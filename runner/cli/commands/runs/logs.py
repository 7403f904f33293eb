"""``runproj runs logs``: what a run's command printed, also while it runs."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress

from runner.app import Application
from runner.cli.output import SilentReporter
from runner.cli.selection import RUN_HELP, store_option
from runner.errors import StoreError, UsageError
from runner.model.run import ENDED
from runner.pipeline.closing import job_path
from runner.pipeline.lookup import find_run
from runner.pipeline.record import FOLDER
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from typing import BinaryIO

    from runner.cli.output import Console
    from runner.model.tracking import TrackedRun
    from runner.ports import TrackingStore

PAUSE = 0.2
"""Seconds between two looks at a log that is being followed."""
REMOTE_PAUSE = 2.0
"""The same where each look is a request to a server."""
CHUNK = 1 << 16


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("run", metavar="RUN", help=RUN_HELP)
    add("--stderr", action="store_true", help="standard error instead of standard output")
    add("-f", "--follow", action="store_true", help="go on until the run has ended")
    add("-n", "--lines", type=int, metavar="N", help="begin with the last N lines")
    store_option(parser)


def call(options: Namespace, console: Console) -> int:
    """Print the log."""
    if options.lines is not None and options.lines < 0:
        raise UsageError(f"--lines {options.lines} makes no sense", hint="--lines 20")
    services = Application(settings(tracking_uri=options.tracking_uri), SilentReporter())
    store = services.store
    try:
        run = find_run(store, options.run)
        log = Log(store, services.home, f"{'stderr' if options.stderr else 'stdout'}.log")
        _print(log, run, options, console)
    finally:
        services.close()
    return 0


class Log:
    """One log of a run, read from where it is: on this machine, or among the artifacts.

    The log of a run whose store is a server lies in the job folder while the run lasts.
    """

    def __init__(self, store: TrackingStore, home: str, name: str) -> None:
        self.name = name
        self.pause = REMOTE_PAUSE
        self.store, self._home = store, home
        self._offset = 0
        self.found = False

    def more(self, run: TrackedRun) -> Iterator[bytes]:
        """Return what was written since the last call."""
        with suppress(FileNotFoundError, NotADirectoryError):
            file = self._opened(run)
            if file is None:
                return
            with file:
                self.found = True
                while chunk := file.read(CHUNK):
                    self._offset += len(chunk)
                    yield chunk

    def _opened(self, run: TrackedRun) -> BinaryIO | None:
        """Open the log at the place that we have come to; None when there is nothing to read."""
        artifacts = self.store.artifacts(run)
        folder = artifacts.folder()
        job = job_path(self._home, run.run_id)
        places = [os.path.join(folder, FOLDER)] if folder else []
        for place in (*places, job):
            path = os.path.join(place, self.name)
            if os.path.exists(path):
                self.pause = PAUSE
                local = open(path, "rb")  # noqa: SIM115 - closed by whoever reads it
                local.seek(self._offset)
                return local
        return None if folder else self._fetched(run)

    def _fetched(self, run: TrackedRun) -> BinaryIO | None:
        artifacts = self.store.artifacts(run)
        path = f"{FOLDER}/{self.name}"
        sizes = {artifact.path: artifact.size for artifact in artifacts.list(FOLDER)}
        if path not in sizes:
            return None
        self.found = True
        if sizes[path] <= self._offset:
            return None
        remote = artifacts.open(path)
        left = self._offset
        while left and (skipped := remote.read(min(left, CHUNK))):
            left -= len(skipped)
        return remote


def _print(log: Log, run: TrackedRun, options: Namespace, console: Console) -> None:
    lines: int | None = options.lines
    while True:
        has_ended = run.status in ENDED  # asked before the log is read, so that none is missed
        chunks = log.more(run)
        for chunk in chunks if lines is None else last_lines(chunks, lines):
            console.pour(chunk)
        if log.found:
            lines = None
        if has_ended or not options.follow:
            break
        time.sleep(log.pause)
        run = log.store.run(run.run_id)
    if not log.found:
        raise _no_log(run, f"{FOLDER}/{log.name}")


def last_lines(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """Return the last lines of a stream; a last one without its end counts, too."""
    kept: deque[bytes] = deque(maxlen=count)
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        kept.extend(line + b"\n" for line in whole)
    if rest:
        kept.append(rest)
    yield from kept


def _no_log(run: TrackedRun, name: str) -> StoreError:
    if run.status in ENDED:
        hint = "runs that runproj did not make have no logs"
    else:
        hint = "the command has not begun yet, or runs elsewhere: wait for it with -f"
    return StoreError(
        f"the run {run.run_id} has no {name}", status="RESOURCE_DOES_NOT_EXIST", hint=hint
    )
