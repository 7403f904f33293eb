"""What a run would do, and what a project offers, without running anything."""

from __future__ import annotations

import os
import shlex

from runner.codec import document
from runner.pipeline.record import source_name
from runner.redaction import without_credentials
from runner.stages.fetch import fetch
from runner.stages.load import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.output import Console
    from runner.codec import JSON
    from runner.model.plan import Container, Draft
    from runner.model.project import ProjectReference
    from runner.model.spec import EnvironmentSpec
    from runner.ports import Services


def preview(draft: Draft, console: Console, *, as_json: bool = False) -> int:
    """Show a draft: source, environment, command. Nothing is resolved, built or recorded."""
    described = described_draft(draft)
    if as_json:
        console.emit(document(described))
        return 0
    width = max(map(len, described))
    for name, value in described.items():
        if value in (None, "", {}):
            continue
        text = (
            ", ".join(f"{k}={shlex.quote(str(v))}" for k, v in value.items())
            if isinstance(value, dict)
            else str(value)
        )
        console.say(f"{console.styled(name.ljust(width), 'bold')}  {text}")
    for problem in draft.warnings:
        console.tell(str(problem), colour="yellow")
    return 0


def described_draft(draft: Draft) -> dict[str, JSON]:
    """Return what a draft decides, in the order in which a reader asks."""
    origin, invocation = draft.tree.provenance, draft.invocation
    state = f"{origin.commit}{' with uncommitted changes' if origin.dirty else ''}"
    return {
        "project": draft.spec.name or os.path.basename(draft.tree.project),
        "source": source_name(draft.tree),
        "commit": state if origin.commit else None,
        "tree": origin.tree,
        "directory": draft.tree.project,
        "entry_point": invocation.entry_point.name,
        "parameters": {
            **invocation.given,
            **{name: without_credentials(value) for name, value in invocation.extra.items()},
        },
        "environment": environment_line(draft.spec.environment),
        "container": container_line(draft.container) if draft.container else None,
        "manager": draft.builder,
        "as_of": document(draft.as_of),
        "backend": draft.request.backend,
        "command": draft.command.script,
    }


def container_line(container: Container) -> str:
    """Say in one line how a container is made: what the project or the caller asked for."""
    found = {
        "code": container.code,
        "user": container.user,
        "network": container.network,
        "platform": container.platform,
        "volumes": " ".join(mount.target for mount in container.mounts),
        "settings": " ".join(sorted(container.settings)),
    }
    return ", ".join(f"{name} {value}" for name, value in found.items() if value)


def environment_line(spec: EnvironmentSpec) -> str:
    """Say in one line which environment a spec asks for."""
    from runner.model.spec import CondaSpec, DockerSpec

    if isinstance(spec, DockerSpec):
        return f"docker image {spec.image or spec.dockerfile or spec.context}"
    if isinstance(spec, CondaSpec):
        return f"conda, {spec.origin}: {len(spec.packages)} packages"
    python = f"Python {spec.python}" if spec.python else "Python"
    count = len(spec.requirements) + len(spec.build_requirements)
    if not spec.origin:
        return f"{python}, no packages asked for"
    return f"{python}, {spec.origin}: {count} requirement{'s' * (count != 1)}"


def project_help(reference: ProjectReference, services: Services) -> str:
    """Return the help of a project's entry points, for ``runproj run URI --help``."""
    from runner.documents.help import entry_point_help

    tree = fetch(reference, services)
    spec, _ = load(tree, home=services.home)
    title = f"entry points of {spec.name or os.path.basename(tree.project)}:"
    parts = [entry_point_help(spec, entry_point) for entry_point in spec.entry_points.values()]
    return "\n".join([title, *parts]) if parts else "(the project declares no entry points)"
