"""A run as the user names it: an id, the beginning of one, a URL, or a bundle."""

from __future__ import annotations

import os

from runner.pipeline.address import run_address
from runner.pipeline.recorded import recorded_run
from runner.pipeline.reproduce import found_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.app import Application
    from runner.pipeline.recorded import RecordedRun

RUN_HELP = "a run's id, the beginning of one, runs:/ID, the URL of its page, or a bundle"


def referenced_run(text: str, services: Application) -> RecordedRun:
    """Find the run: in a bundle where a file of that name is there, on a server, in the store.

    Raises:
        StoreError: There is none, it is under way, or nothing was recorded of it.
        UsageError: It is a URL that names no run.
    """
    path = os.path.join(services.settings.directory, text)
    if os.path.isfile(path):
        from runner.pipeline.bundle_reading import imported

        return imported(path, services.home, services.store_at)
    address = run_address(text)
    if address is None:
        return found_run(services.store, text)
    store = services.store_at(address.server)
    return recorded_run(store, store.run(address.run_id))
