"""Which run is which when stores choose ids themselves.

A store that keeps the ids it is given (SQLite, files) holds copies under the ids of their
originals. A server chooses its own; there a copy carries the original's id, its *origin*, in the
tag ``runproj.copied_from``. Ids also stand inside of tags (``mlflow.parentRunId``, the history of
models), so texts are translated, too.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model.tracking import LoggedModel, TrackedRun
    from runner.ports import TrackingStore

COPIED_FROM = "runproj.copied_from"
"""The tag of a copy whose id is not that of its original."""
_ID = re.compile(r"(?<![0-9A-Za-z])(?:m-)?[0-9a-f]{32}(?![0-9A-Za-z])")
"""Ids of runs and logged models, as every MLflow makes them."""


def origin_of(store: TrackingStore, run: TrackedRun) -> str:
    """Return the id that a run had first."""
    return run.tags.get(COPIED_FROM, run.run_id) if store.own_ids else run.run_id


def model_origin_of(store: TrackingStore, model: LoggedModel) -> str:
    """Return the id that a logged model had first."""
    return model.tags.get(COPIED_FROM, model.model_id) if store.own_ids else model.model_id


def translated(text: str, ids: Mapping[str, str]) -> str:
    """Return a text with the ids in it exchanged; unknown ones stay."""
    if text in ids:
        return ids[text]
    return _ID.sub(lambda found: ids.get(found[0], found[0]), text)


def unknown_ids(text: str, ids: Mapping[str, str]) -> bool:
    """Whether a text names a run or model that is not known (yet)."""
    return any(found not in ids for found in _ID.findall(text))
