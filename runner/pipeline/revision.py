"""A recorded run with the files of another commit: what is taken from where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runner.model.project import Changes
from runner.model.value import Commit, Digest, changed
from runner.pipeline.record import FOLDER, spec_entry
from runner.pipeline.recorded import artifact, source_of

if TYPE_CHECKING:
    from runner.codec import JSON
    from runner.model.project import RecordedSource
    from runner.model.spec import ProjectSpec
    from runner.pipeline.recorded import RecordedRun


def source_at(recorded: RecordedRun, commit: str) -> RecordedSource:
    """Return the run's source at another commit, without the changes that the run had."""
    source = source_of(recorded)
    origin = source.provenance
    return changed(
        source,
        provenance=changed(
            origin,
            reference=changed(origin.reference, revision=commit),
            tree=Digest(""),
            commit=Commit(commit),
            committed=None,
            branch=None,
            dirty=False,
            patch=None,
            untracked=None,
            omitted=(),
        ),
        changes=Changes(),
        archive=b"",
    )


def asks_for_the_same(recorded: RecordedRun, spec: ProjectSpec) -> bool:
    """Whether a project asks for the environment that the run's project asked for.

    True, too, where nobody wrote down what that was.
    """
    content = artifact(recorded.artifacts, f"{FOLDER}/spec.json")
    if content is None:
        return True
    now = json.loads(json.dumps(spec_entry(spec)))
    return _environment(json.loads(content)) == _environment(now)


def _environment(spec: JSON) -> JSON:
    return _placeless(spec.get("environment")) if isinstance(spec, dict) else None


def _placeless(value: JSON) -> JSON:
    """Leave out at which line something stands."""
    if isinstance(value, dict):
        return {k: _placeless(v) for k, v in value.items() if k != "place"}
    return [_placeless(item) for item in value] if isinstance(value, list) else value
