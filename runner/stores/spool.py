"""The spool: what a tracking server could not take, kept on this machine until it can.

``<root>/<server>/<run id>/`` holds one run: ``spool.json`` (which server, and whether it knows the
run already), a SQLite store ``mlflow.db`` and the files beside it. Transactions of that store are
synced to the disk. Nothing in it is secret: credentials come from the settings when the run is
delivered.
"""

from __future__ import annotations

import json
import os
import time

from runner.hashing import sha256
from runner.model.tracking import Spooled
from runner.model.value import RunId
from runner.system.files import Lock, read, remove_tree, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.ports import TrackingStore

VERSION = 1
NAME = "spool.json"


class RunSpool:
    """All that waits below one folder; see ``runner.ports.Spool``."""

    def __init__(self, root: str) -> None:
        self._root = root

    def waits_for(self, uri: str) -> bool:
        """Whether there may be something to be delivered to a server."""
        return os.path.isdir(self._folder(uri))

    def find(self, uri: str, run_id: str) -> Spooled | None:
        """Return what waits of one run."""
        return _entry(os.path.join(self._folder(uri), run_id))

    def begin(self, uri: str, run_id: str, *, on_server: bool) -> Spooled:
        """Make room for a run; ``on_server`` says that the server knows it under this id."""
        path = os.path.join(self._folder(uri), run_id)
        if found := _entry(path):
            return found
        os.makedirs(self._root, mode=0o700, exist_ok=True)
        os.makedirs(path, exist_ok=True)
        created = int(time.time() * 1000)
        described = {
            "version": VERSION,
            "run_id": run_id,
            "tracking_uri": uri,
            "on_server": on_server,
            "created": created,
        }
        content = json.dumps(described, indent=2).encode()
        write_whole(os.path.join(path, NAME), content, durable=True, private=True)
        return Spooled(
            run_id=RunId(run_id), tracking_uri=uri, on_server=on_server, created=created, path=path
        )

    def entries(self, uri: str | None = None) -> tuple[Spooled, ...]:
        """Return all that waits, for one server or for all of them, the oldest first."""
        folders = [self._folder(uri)] if uri else _below(self._root)
        found = [entry for folder in folders for path in _below(folder) if (entry := _entry(path))]
        return tuple(sorted(found, key=lambda entry: (entry.created, entry.run_id)))

    def open(self, entry: Spooled) -> TrackingStore:
        """Open the store that holds a run; it is the caller's to close."""
        from runner.stores.sqlite import SqliteStore

        return SqliteStore(os.path.join(entry.path, "mlflow.db"), durable=True)

    def lock(self, entry: Spooled) -> Lock:
        """Return the lock of whoever delivers a run, not taken yet."""
        return Lock(f"{entry.path}.lock")

    def remove(self, entry: Spooled) -> None:
        """Forget a run that was delivered; the caller holds its lock.

        What says that something waits goes first: half of a run is never taken for one.
        """
        os.unlink(os.path.join(entry.path, NAME))
        remove_tree(entry.path)
        os.unlink(f"{entry.path}.lock")
        try:
            os.rmdir(os.path.dirname(entry.path))
        except OSError:  # others wait for the same server
            return

    def _folder(self, uri: str) -> str:
        return os.path.join(self._root, sha256(uri.encode()).hexdigest()[:16])


def _below(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        return []
    return [entry.path for entry in os.scandir(folder) if entry.is_dir()]


def _entry(path: str) -> Spooled | None:
    try:
        found = json.loads(read(os.path.join(path, NAME)))
        if found["version"] != VERSION:
            return None
        return Spooled(
            run_id=RunId(found["run_id"]),
            tracking_uri=found["tracking_uri"],
            on_server=found["on_server"],
            created=found["created"],
            path=path,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
