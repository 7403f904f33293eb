"""Experiments as table rows and as JSON."""

from __future__ import annotations

from runner.cli import run_views
from runner.cli.table import Heading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.model.tracking import Experiment

HEADINGS = (
    Heading(name="ID"),
    Heading(name="NAME", elastic=True),
    Heading(name="STATE", colour=lambda state: run_views.status_colour(state.strip())),
    Heading(name="CREATED"),
    Heading(name="CHANGED"),
    Heading(name="ARTIFACTS", elastic=True),
)


def cells(experiment: Experiment) -> tuple[str, ...]:
    """Return the row of an experiment."""
    return (
        experiment.experiment_id,
        experiment.name,
        experiment.lifecycle,
        run_views.moment(experiment.created),
        run_views.moment(experiment.updated),
        experiment.artifact_location,
    )


def document(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment as a JSON document; times are ISO 8601 in UTC."""
    return {
        "experiment_id": experiment.experiment_id,
        "name": experiment.name,
        "lifecycle": experiment.lifecycle,
        "created": run_views.instant(experiment.created),
        "updated": run_views.instant(experiment.updated),
        "artifact_location": experiment.artifact_location,
        "tags": dict(experiment.tags),
    }
