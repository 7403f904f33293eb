"""Calls about experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.query.kinds import EXPERIMENT
from runner.query.search import searched
from runner.serving.answers import experiment_json
from runner.serving.messages import Refusal, missing
from runner.serving.search import page_of

if TYPE_CHECKING:
    from runner.codec import JSON
    from runner.model.tracking import Experiment
    from runner.serving.arguments import Arguments
    from runner.serving.service import Service

LIFECYCLES = {"ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted", "ALL": "all"}


def create(service: Service, given: Arguments) -> JSON:
    """``experiments/create``."""
    location = given.text("artifact_location", default="")
    experiment = service.store.create_experiment(
        given.text("name"),
        artifact_location=service.real_location(location) or None,
        tags=given.pairs("tags"),
    )
    service.guest.chose(experiment.experiment_id)
    return {"experiment_id": experiment.experiment_id}


def get(service: Service, given: Arguments) -> JSON:
    """``experiments/get``."""
    experiment = service.store.experiment(given.text("experiment_id"))
    return _looked_up(service, experiment)


def get_by_name(service: Service, given: Arguments) -> JSON:
    """``experiments/get-by-name``."""
    name = given.text("experiment_name")
    experiment = service.store.experiment_named(name)
    if experiment is None:
        raise missing(f"Could not find experiment with name '{name}'")
    return _looked_up(service, experiment)


def _looked_up(service: Service, experiment: Experiment) -> JSON:
    if experiment.lifecycle == "active":
        service.guest.chose(experiment.experiment_id)
    return {"experiment": experiment_json(service, experiment)}


def update(service: Service, given: Arguments) -> JSON:
    """``experiments/update``: another name."""
    experiment_id, name = given.text("experiment_id"), given.maybe("new_name")
    service.store.update_experiment(experiment_id, name=name or None)
    return {}


def delete(service: Service, given: Arguments) -> JSON:
    """``experiments/delete``: the experiment and all its runs."""
    service.store.delete_experiment(given.text("experiment_id"))
    return {}


def restore(service: Service, given: Arguments) -> JSON:
    """``experiments/restore``."""
    service.store.restore_experiment(given.text("experiment_id"))
    return {}


def set_tag(service: Service, given: Arguments) -> JSON:
    """``experiments/set-experiment-tag``."""
    tag = {given.text("key"): given.text("value", default="")}
    service.store.update_experiment(given.text("experiment_id"), tags=tag)
    return {}


def delete_tag(service: Service, given: Arguments) -> JSON:
    """``experiments/delete-experiment-tag``."""
    service.store.delete_experiment_tag(given.text("experiment_id"), given.text("key"))
    return {}


def search(service: Service, given: Arguments) -> JSON:
    """``experiments/search``, and ``experiments/list`` of MLflow 1: newest first."""
    wanted = lifecycle(given.text("view_type", default="ACTIVE_ONLY"))
    experiments = [
        experiment
        for experiment in reversed(service.store.experiments())
        if wanted in {experiment.lifecycle, "all"}
    ]
    found = searched(
        experiments,
        EXPERIMENT,
        filter_text=given.text("filter", default=""),
        order=given.texts("order_by"),
    )
    page, following = page_of(found, given)
    answer: dict[str, JSON] = {"experiments": [experiment_json(service, e) for e in page]}
    if following:
        answer["next_page_token"] = following
    return answer


def lifecycle(view: str) -> str:
    """Return the lifecycle that a view type shows.

    Raises:
        Refusal: There is no such view type.
    """
    known = {"1": "active", "2": "deleted", "3": "all"} | LIFECYCLES
    if view.upper() not in known:
        raise Refusal(f"Invalid view type '{view}': one of {', '.join(LIFECYCLES)} was expected.")
    return known[view.upper()]
