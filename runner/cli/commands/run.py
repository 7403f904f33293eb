"""``runproj run``: plan, launch, follow."""

from __future__ import annotations

import os
import sys

from runner.app import Application
from runner.cli.output import TerminalReporter
from runner.errors import RunprojError, UsageError
from runner.model.plan import RunRequest
from runner.model.value import RunId
from runner.pipeline.request import backend_options, duration, named_values, parsed_reference
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping

    from runner.cli.output import Console
    from runner.model.run import Outcome
    from runner.settings import Settings

TIMED_OUT = 124
"""The exit code of a command that ran out of time, as timeout(1) has it."""
INTERNAL = 125
CONTAINER_OPTIONS = (
    ("cpus", "N", "processors, such as 1.5"),
    ("memory", "SIZE", "memory, such as 512m or 2g"),
    ("shm-size", "SIZE", "shared memory"),
    ("gpus", "WHICH", "GPUs: all, a number, or device=0,1"),
    ("network", "NAME", "network: none, bridge, host or a name"),
)
"""Short forms of ``-A NAME=VALUE``."""
OWN_HELP = True
"""``--help`` also shows what the project offers."""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options; those of ``mlflow run`` keep their names and meaning."""
    from argparse import BooleanOptionalAction

    add = parser.add_argument
    parser.usage = "runproj run URI [OPTIONS]"
    add(
        "uri",
        nargs="?",
        default=".",
        metavar="URI",
        help="directory, git URL or archive; '#sub' names a part of it (default: .)",
    )
    add(
        "-e",
        "--entry-point",
        default="main",
        metavar="NAME",
        help="entry point, or a script (default: main)",
    )
    add("-v", "--version", metavar="REVISION", help="branch, tag or commit of a git project")
    add(
        "-P",
        "--param-list",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter; repeat for more",
    )
    add("--params-file", metavar="FILE", help="parameters from a YAML or JSON file; -P wins")
    add(
        "-A",
        "--docker-args",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument for docker run",
    )
    for name, kind, what in CONTAINER_OPTIONS:
        add(f"--{name}", metavar=kind, help=f"{what}, for projects in containers")
    add(
        "--allow-host-access",
        action="store_true",
        help="let the container reach beyond itself: folders of the host, its network, its devices",
    )
    add("--experiment-name", metavar="NAME", help="experiment, made when there is none")
    add("--experiment-id", metavar="ID", help="experiment, by id")
    add("-b", "--backend", default="local", metavar="NAME", help="where to run (default: local)")
    add(
        "-c",
        "--backend-config",
        metavar="JSON",
        help="the backend's options: JSON, or a .json file",
    )
    add(
        "--env-manager",
        metavar="NAME",
        help="uv (Python) or rattler (conda) by default; virtualenv, conda, mamba, micromamba, or "
        "local: the host as it is",
    )
    add("--storage-dir", metavar="DIR", help="where inputs are downloaded to")
    add("--run-id", metavar="ID", help="continue this run instead of making one")
    add("--run-name", metavar="NAME", help="the run's name")
    add("--build-image", action="store_true", help="build the project into the docker image")
    add(
        "--tag",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a tag for the run; repeat for more",
    )
    add(
        "--tracking-uri",
        metavar="URI",
        help="where to record: sqlite:///FILE, a directory, http(s)://SERVER",
    )
    add(
        "--require-tracking",
        action="store_true",
        help="fail when the tracking server cannot be had, instead of recording here for now",
    )
    add(
        "--tracking",
        metavar="HOW",
        help="how the command logs: through an 'endpoint' of ours (the default for local stores), "
        "or 'direct' to the store",
    )
    add("--timeout", metavar="TIME", help="end the command after so long: 90, 15m, 2h, 1d")
    add(
        "--as-of",
        metavar="DATE",
        help="packages as of a date, of the 'commit', or 'now' (see docs)",
    )
    add(
        "--locked",
        action="store_true",
        help="refuse to resolve: the project's lock must be there and fit",
    )
    add("--refresh", action="store_true", help="resolve anew, whatever is remembered")
    add("--offline", action="store_true", help="fetch no packages: use those fetched before")
    add("--strict", action="store_true", help="treat warnings as errors")
    add(
        "--system-metrics",
        action=BooleanOptionalAction,
        help="sample processor, memory, disk, network and GPUs every 10 s (default: on)",
    )
    add("--dry-run", action="store_true", help="show what would run, and run nothing")
    add(
        "--json",
        action="store_true",
        help="print the result as JSON; the command's output goes to stderr",
    )
    add("-q", "--quiet", action="store_true", help="only the command's own output, and errors")
    add(
        "-h",
        "--help",
        action="store_true",
        help="this help; with a URI also the project's parameters",
    )


def call(options: Namespace, console: Console) -> int:
    """Run the project; the exit code is the command's own."""
    if options.help:
        return _help(options, console)
    found = settings(
        tracking_uri=options.tracking_uri,
        require_tracking=options.require_tracking,
        tracking=options.tracking,
        offline=options.offline,
    )
    request = request_of(options, found)
    services = Application(found, TerminalReporter(console))
    if options.dry_run:
        from runner.cli.preview import preview
        from runner.pipeline.draft import draft

        return preview(draft(request, services), console, as_json=options.json)
    from runner.pipeline.run import run

    try:
        if not options.json:
            return exit_code(run(request, services).outcome)
        result = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        try:
            ended = run(request, services)
        finally:
            os.dup2(result, sys.stdout.fileno())
            os.close(result)
        console.emit(ended.summary)
        return exit_code(ended.outcome)
    finally:
        services.close()


def exit_code(outcome: Outcome) -> int:
    """Return the command's own exit code; 128 + N for signal N, 124 when the time was over."""
    if outcome.reason == "timeout":
        return TIMED_OUT
    if outcome.signal is not None:
        return 128 + outcome.signal
    if outcome.exit_code is None or outcome.reason == "error":
        return INTERNAL
    return outcome.exit_code


def request_of(options: Namespace, found: Settings) -> RunRequest:
    """Turn options and settings into a request; options win."""
    if options.experiment_name and options.experiment_id:
        raise UsageError(
            "both --experiment-name and --experiment-id are given", hint="give one of them"
        )
    name, identity = options.experiment_name, options.experiment_id
    if not name and not identity:
        name, identity = found.experiment_name, found.experiment_id
    return RunRequest(
        reference=parsed_reference(options.uri, options.version),
        caller=found.directory,
        entry_point=options.entry_point,
        parameters=parameters(options, found.directory),
        environment_manager=options.env_manager or found.environment_manager,
        as_of=options.as_of,
        locked=options.locked,
        refresh=options.refresh,
        strict=options.strict,
        backend=options.backend,
        backend_options=backend_options(options.backend_config, found.directory),
        docker_arguments=docker_arguments(options),
        build_image=options.build_image,
        host_access=options.allow_host_access,
        storage=options.storage_dir or found.storage,
        experiment_name=name,
        experiment_id=identity,
        run_id=options.run_id,
        run_name=options.run_name,
        tags={k: v or "" for k, v in named_values(options.tag, "--tag").items()},
        parent=RunId(found.parent) if found.parent else None,
        timeout=duration(options.timeout) if options.timeout else None,
        system_metrics=options.system_metrics,
    )


def docker_arguments(options: Namespace) -> Mapping[str, str | None]:
    """Return what ``-A`` and the options that are short for it ask for."""
    given = named_values(options.docker_args, "-A", bare=True)
    for name, _kind, _what in CONTAINER_OPTIONS:
        value = getattr(options, name.replace("-", "_"))
        if value is not None:
            if name in given:
                raise UsageError(f"both --{name} and -A {name} are given", hint="give one of them")
            given[name] = value
    return given


def parameters(options: Namespace, directory: str) -> Mapping[str, str | tuple[str, ...]]:
    """Return the parameters from the file and from ``-P``, which wins."""
    if not options.param_list and not options.params_file:
        return {}
    from runner.documents.parameters_file import parse_assignments, read_parameters

    given = dict(parse_assignments(options.param_list))
    if not options.params_file:
        return given
    return {**read_parameters(os.path.join(directory, options.params_file)), **given}


def _help(options: Namespace, console: Console) -> int:
    """Print the options and, where a project can be read, its entry points."""
    from runner.cli.main import command_parser

    parser = command_parser("run", helpful=False)
    arguments(parser)
    console.say(parser.format_help())
    if not any(os.path.exists(options.uri) or mark in options.uri for mark in ("://", "@")):
        return 0
    from runner.cli.output import SilentReporter
    from runner.cli.preview import project_help

    try:
        services = Application(settings(), SilentReporter())
        console.say(project_help(parsed_reference(options.uri, options.version), services))
    except RunprojError as error:
        if options.uri != ".":
            raise
        console.tell(f"({error.message})")
    return 0
