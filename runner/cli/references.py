"""A run as the user names it: an id, the beginning of one, a URL, or a bundle."""

from __future__ import annotations

import os

from runner.errors import StoreError, UsageError
from runner.pipeline.address import run_address
from runner.pipeline.recorded import recorded_run
from runner.pipeline.reproduce import found_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.app import Application
    from runner.pipeline.recorded import RecordedRun

RUN_HELP = "a run's id, the beginning of one, runs:/ID, the URL of its page, or a bundle"


def referenced_run(
    text: str, services: Application, *, allowed_signers: str | None = None
) -> RecordedRun:
    """Find the run: in a bundle where a file of that name is there, on a server, in the store.

    ``allowed_signers`` is a file of those of whom one must have signed the bundle.

    Raises:
        StoreError: There is none, it is under way, or nothing was recorded of it; the bundle is
            not signed as it must be.
        UsageError: It is a URL that names no run; there is a file of signers, and no bundle.
    """
    path = os.path.join(services.settings.directory, text)
    if os.path.isfile(path):
        from runner.pipeline.bundle_reading import imported

        if allowed_signers is not None:
            _check_signature(path, allowed_signers, services)
        return imported(path, services.home, services.store_at)
    if allowed_signers is not None:
        raise UsageError("--allowed-signers is for bundles, and this is none", where=text)
    address = run_address(text)
    if address is None:
        return found_run(services.store, text)
    store = services.store_at(address.server)
    return recorded_run(store, store.run(address.run_id))


def _check_signature(path: str, allowed: str, services: Application) -> None:
    from runner.pipeline.bundle import signature

    signers = os.path.join(services.settings.directory, os.path.expanduser(allowed))
    made = signature(path, signers, services.environ)
    if made is None or isinstance(made, str):
        raise StoreError(
            f"the bundle is not taken: {made or 'it is not signed'}",
            where=path,
            hint="'runproj verify' says more",
        )
