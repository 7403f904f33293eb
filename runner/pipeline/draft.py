"""Request -> draft: everything is decided but the lock, nothing is executed or recorded."""

from __future__ import annotations

import os

from runner.errors import BackendError, RunprojError, SpecError
from runner.model.event import Warned
from runner.model.plan import Draft
from runner.model.spec import DockerSpec, Problem
from runner.stages.bind import bind
from runner.stages.collect import collect
from runner.stages.fetch import fetch
from runner.stages.load import judged, loaded, risks
from runner.stages.lock import choose_builder
from runner.stages.render import render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from runner.model.plan import Container, Invocation, RunRequest
    from runner.model.project import WorkingTree
    from runner.model.spec import EnvironmentSpec, ProjectSpec
    from runner.ports import Services


NO_CONTAINER = Problem(
    severity="warning",
    rule="no-container",
    message="the project runs in no container: the options for containers are ignored",
    hint="-A, --build-image and --allow-host-access are for projects with 'docker_env'",
)


def draft(request: RunRequest, services: Services) -> Draft:
    """Decide what will run, and how.

    Raises:
        RunprojError: The request is not sound; no record is made of it.
    """
    return drafted(request, fetch(request.reference, services), services)


def drafted(request: RunRequest, tree: WorkingTree, services: Services) -> Draft:
    """Decide the same for files that are here already; the tree is ours to release.

    Raises:
        RunprojError: The request is not sound.
    """
    try:
        return _decided(request, tree, services)
    except BaseException:
        release(tree)
        raise


def _decided(request: RunRequest, tree: WorkingTree, services: Services) -> Draft:
    found = loaded(tree, home=services.home)
    spec = found.spec
    relevant = judged(found.problems, entry_point=request.entry_point)
    if request.strict:
        refuse_warnings(relevant)
    try:
        bound = bind(spec, request, tree)
    except RunprojError:
        for problem in relevant:  # a misspelt key may well be why: say so before the error
            services.reporter.report(Warned(problem=problem))
        raise
    if request.strict:
        refuse_warnings(bound.warnings)
    builder = choose_builder(spec.environment, request.environment_manager, services)
    moment, by_commit = _package_date(request.as_of, tree, spec, builder)
    invocation = collect(bound, request, tree, services)
    if request.strict:
        refuse_warnings(invocation.warnings)
    container, cautions = _container(spec.environment, request, tree, invocation, services)
    if request.strict and not request.host_access:
        refuse_warnings(cautions)
    made = Draft(
        request=request,
        tree=tree,
        spec=spec,
        invocation=invocation,
        command=render(invocation),
        builder=builder,
        as_of=moment,
        is_dated_by_commit=by_commit,
        container=container,
        warnings=(*relevant, *invocation.warnings, *cautions),
        risks=risks(tree, spec.environment, found.risks, (request.entry_point,)),
    )
    if reason := services.backend(request.backend).refusal(made):
        raise BackendError(f"the backend {request.backend!r} cannot run this: {reason}")
    return made


def _package_date(
    asked: str | None, tree: WorkingTree, spec: ProjectSpec, builder: str
) -> tuple[datetime | None, bool]:
    """Return as of when packages are seen; ``stages.date`` is for those that have a say in it."""
    if asked is None and tree.lease is None:
        return None, False
    from runner.stages.date import package_date

    dated = package_date(asked, tree, spec.environment, builder)
    return dated.moment, dated.by_commit


def _container(
    environment: EnvironmentSpec,
    request: RunRequest,
    tree: WorkingTree,
    invocation: Invocation,
    services: Services,
) -> tuple[Container | None, tuple[Problem, ...]]:
    """Decide how a container is made, where one is asked for, and what to say about it."""
    if not isinstance(environment, DockerSpec):
        if request.docker_arguments or request.build_image or request.host_access:
            return None, (NO_CONTAINER,)
        return None, ()
    from runner.stages.contain import contained, warnings

    made = contained(environment, request, tree, invocation, environ=services.environ)
    return made, warnings(made)


def refuse_warnings(problems: Sequence[Problem]) -> None:
    """Make warnings errors, as ``--strict`` asks."""
    if len(problems) > 1:
        raise SpecError(
            f"there are {len(problems)} warnings, and --strict refuses them", problems=problems
        )
    for problem in problems:
        raise SpecError(
            f"{problem.message}, and --strict refuses that",
            where=str(problem.place) if problem.place else None,
            hint=problem.hint,
            problems=problems,
        )


def release(tree: WorkingTree) -> None:
    """Give a pooled work tree back."""
    if tree.lease is not None:
        os.close(tree.lease)
