"""``runproj describe``: what a project offers, without running anything."""

from __future__ import annotations

import os

from runner.app import Application
from runner.cli.output import TerminalReporter
from runner.cli.preview import environment_line
from runner.codec import document
from runner.documents.findings import did_you_mean, public, showable
from runner.documents.help import entry_point_help
from runner.errors import UsageError
from runner.model.spec import CondaSpec, DockerSpec, PythonSpec
from runner.model.value import changed
from runner.pipeline.request import parsed_reference
from runner.redaction import MASK
from runner.settings import settings
from runner.stages.fetch import fetch
from runner.stages.load import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from runner.cli.output import Console
    from runner.codec import JSON
    from runner.model.spec import EntryPoint, EnvironmentSpec, Parameter, Problem, ProjectSpec

COLOURS = {"error": "red", "warning": "yellow"}


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("uri", nargs="?", default=".", metavar="URI", help="directory, git URL or archive")
    add("-e", "--entry-point", metavar="NAME", help="show this entry point only")
    add("-v", "--version", metavar="REVISION", help="branch, tag or commit of a git project")
    add("--json", action="store_true", help="print the description as JSON")
    add("-q", "--quiet", action="store_true", help="no warnings")


def call(options: Namespace, console: Console) -> int:
    """Print the project's description."""
    services = Application(settings(), TerminalReporter(console))
    tree = fetch(parsed_reference(options.uri, options.version), services)
    try:
        spec, problems = load(tree, home=services.home)
    finally:
        if tree.lease is not None:
            os.close(tree.lease)
    if options.entry_point is not None:
        spec = _only(spec, options.entry_point)
        problems = tuple(p for p in problems if p.entry_point in {None, options.entry_point})
    if options.json:
        console.emit(description(spec, problems))
        return 0
    title = spec.name or os.path.basename(tree.project)
    for line in _lines(spec, title, console):
        console.say(line)
    for problem in problems:
        console.tell(str(problem), colour=COLOURS.get(problem.severity))
    return 0


def _only(spec: ProjectSpec, name: str) -> ProjectSpec:
    chosen = {key: value for key, value in spec.entry_points.items() if key == name}
    if not chosen:
        known = ", ".join(spec.entry_points) or "none"
        hint = did_you_mean(name, spec.entry_points) or f"the project has: {known}"
        raise UsageError(f"there is no entry point {name!r}", where=spec.file, hint=hint)
    return changed(spec, entry_points=chosen)


def _lines(spec: ProjectSpec, title: str, console: Console) -> Iterator[str]:
    yield console.styled(showable(title), "bold")
    if spec.description:
        yield from map(showable, spec.description.strip().splitlines())
    yield f"environment: {showable(environment_line(spec.environment))}"
    for line in _contents(spec.environment):
        yield f"  {showable(line)}"
    if not spec.entry_points:
        yield "entry points: none; 'runproj run -e SCRIPT' runs a script"
        return
    yield "entry points:"
    for entry_point in spec.entry_points.values():
        yield entry_point_help(spec, entry_point)


def _contents(environment: EnvironmentSpec) -> tuple[str, ...]:
    """Return what an environment asks for, line by line."""
    match environment:
        case PythonSpec():
            build = tuple(f"{line} (to build)" for line in environment.build_requirements)
            return (*build, *environment.requirements)
        case CondaSpec():
            channels = tuple(f"channel {channel}" for channel in environment.channels)
            return (*channels, *environment.packages, *(f"pip: {line}" for line in environment.pip))
        case DockerSpec():
            variables = environment.variables.items()
            volumes = tuple(f"volume {volume}" for volume in environment.volumes)
            names = ("dockerfile", "context", "target", "platform", "network", "user", "gpus")
            asked = {name: getattr(environment, name) for name in names}
            options = tuple(f"{name} {value}" for name, value in asked.items() if value)
            return (
                *options,
                *volumes,
                *(f"variable {k}" + (f"={v}" if v else "") for k, v in variables),
            )


def description(spec: ProjectSpec, problems: tuple[Problem, ...]) -> JSON:
    """Return a project's description as JSON; secrets and credentials are masked."""
    entry_points = {name: _masked(one) for name, one in spec.entry_points.items()}
    result = document(changed(spec, entry_points=entry_points))
    kinds = {PythonSpec: "python", CondaSpec: "conda", DockerSpec: "docker"}
    if isinstance(result, dict) and isinstance(result["environment"], dict):
        result["environment"] = {"type": kinds[type(spec.environment)], **result["environment"]}
        result["problems"] = document(problems)
    return _public(result)


def _masked(entry_point: EntryPoint) -> EntryPoint:
    parameters = tuple(map(_without_secret, entry_point.parameters))
    return changed(entry_point, parameters=parameters)


def _without_secret(parameter: Parameter) -> Parameter:
    if parameter.secret and parameter.default:
        return changed(parameter, default=MASK)
    return parameter


def _public(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {key: _public(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_public(inner) for inner in value]
    return public(value) if isinstance(value, str) else value
