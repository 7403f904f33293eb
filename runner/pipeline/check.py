"""A project -> what will stand in the way of running it again later. Nothing is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.pipeline.draft import release
from runner.stages.fetch import fetch
from runner.stages.load import loaded, risks

if TYPE_CHECKING:
    from runner.model.project import ProjectReference
    from runner.model.spec import Risk
    from runner.ports import Services


def check(reference: ProjectReference, services: Services) -> tuple[Risk, ...]:
    """Look at a project without running anything; the worst comes first.

    Raises:
        RunprojError: The project cannot be fetched, or its files are wrong.
    """
    tree = fetch(reference, services)
    try:
        found = loaded(tree, home=services.home)
        return risks(tree, found.spec.environment, found.risks, found.spec.entry_points)
    finally:
        release(tree)
