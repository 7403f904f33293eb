"""``runproj lock``: resolve a project's environment and write its lock into it."""

from __future__ import annotations

import os

from runner.app import ON_REQUEST, Application
from runner.cli.output import TerminalReporter
from runner.errors import EnvError, UsageError
from runner.model.lock import LockRequest
from runner.model.spec import CondaSpec, DockerSpec
from runner.pipeline.request import parsed_reference
from runner.settings import settings
from runner.stages.date import as_of
from runner.stages.fetch import fetch
from runner.stages.load import load
from runner.stages.lock import HOST, built_of
from runner.system.files import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console
    from runner.model.lock import ProjectLock
    from runner.model.project import WorkingTree
    from runner.model.spec import EnvironmentSpec
    from runner.ports import ProjectLocks

MANAGERS: dict[type, str] = {CondaSpec: "rattler", DockerSpec: "docker"}
"""Who locks environments that are not Python's."""
STALE = 1
"""The exit code of ``--check`` when the lock does not fit."""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "runproj lock [URI] [OPTIONS]\n       runproj lock diff FILE FILE"
    parser.epilog = (
        "'runproj lock diff' tells how two lock files differ. "
        "Exit code of --check: 0 when the lock fits, 1 when it is stale."
    )
    add = parser.add_argument
    add(
        "uri",
        nargs="?",
        default=".",
        metavar="URI",
        help="project directory, git URL or archive (default: .)",
    )
    add("files", nargs="*", metavar="FILE", help="for 'diff': the two locks to compare")
    add("-v", "--version", metavar="REVISION", help="branch, tag or commit of a git project")
    add("--as-of", metavar="DATE", help="see packages as of a date, or of the 'commit'")
    add("--upgrade", action="store_true", help="take the newest versions, whatever is locked")
    add(
        "--update",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="take the newest version of this package only; repeat for more",
    )
    add(
        "--platform",
        action="append",
        default=[],
        metavar="NAME",
        help="conda: lock for this platform (linux-64, osx-arm64, ...); repeat for more",
    )
    add(
        "--env-manager",
        metavar="NAME",
        help="conda: have an installed conda, mamba or micromamba solve, through conda-lock",
    )
    add("--offline", action="store_true", help="fetch nothing: use what was fetched before")
    add("--check", action="store_true", help="only say whether the lock fits")
    add("-o", "--output", metavar="FILE", help="write there; '-' is standard output")
    add("--json", action="store_true", help="print the result as JSON")
    add("-q", "--quiet", action="store_true", help="say only what went wrong")


def call(options: Namespace, console: Console) -> int:
    """Lock the project, or check its lock."""
    found = settings(offline=options.offline)
    services = Application(found, TerminalReporter(console))
    if options.uri == "diff" and options.files:
        return _compared(services.project_locks, options, console)
    if options.files:
        raise UsageError("one project at a time can be locked", hint="runproj lock --help")
    tree = fetch(parsed_reference(options.uri, options.version), services)
    spec, _ = load(tree, home=services.home)
    request = LockRequest(
        spec=spec.environment,
        project=tree.project,
        as_of=as_of(options.as_of, tree),
        name=spec.name,
        files=built_of(spec.environment, tree, services),
    )
    manager = manager_of(options, spec.environment, services)
    locks = services.project_locks
    if options.check:
        return _checked(locks, request, options, console)
    refuse_uv_lock(options, tree)
    made = locks.drawn(
        request,
        upgrade=options.upgrade,
        update=tuple(options.update),
        platforms=tuple(options.platform),
        manager=manager,
    )
    return _written(made, _target(made, options, tree, found.directory), options, console)


def manager_of(options: Namespace, spec: EnvironmentSpec, services: Application) -> str | None:
    """Return the installed program that is to solve, None where none is asked for.

    Raises:
        EnvError: What the project needs cannot be locked, or not with this manager.
        UsageError: The manager makes no locks.
    """
    asked = options.env_manager
    if asked == HOST:
        raise UsageError(f"'--env-manager {HOST}' takes the host as it is, and locks nothing")
    manager = asked or MANAGERS.get(type(spec), "uv")
    if reason := services.builder(manager).refusal(spec):
        raise EnvError(f"this project cannot be locked: {reason}")
    return manager if manager in ON_REQUEST else None


def _compared(locks: ProjectLocks, options: Namespace, console: Console) -> int:
    """Tell how two lock files differ."""
    if len(options.files) != 2:  # noqa: PLR2004 - before and after
        raise UsageError("'runproj lock diff' compares two files", hint="name both")
    changes = locks.differences(*options.files)
    if options.json:
        console.emit({"changes": [*changes]})
        return 0
    for change in changes:
        console.say(console.styled(change, COLOURS.get(change[0])))
    if not changes:
        console.tell("the locks hold the same", colour="green")
    return 0


def _checked(
    locks: ProjectLocks, request: LockRequest, options: Namespace, console: Console
) -> int:
    reason = locks.staleness(request)
    if options.json:
        console.emit({"fits": reason is None, "reason": reason})
    elif reason:
        console.tell(f"the lock is stale: {reason}", colour="yellow")
    else:
        console.tell("the lock fits", colour="green")
    return STALE if reason else 0


def refuse_uv_lock(options: Namespace, tree: WorkingTree) -> None:
    """Leave projects alone that uv locks itself: two locks would contradict each other."""
    has = [name for name in ("uv.lock", "pylock.toml") if _is_in(tree, name)]
    if has == ["uv.lock"] and _is_in(tree, "pyproject.toml") and not options.output:
        raise UsageError(
            "the project is locked by uv.lock, which is honoured",
            hint="'uv lock' updates it; '-o pylock.toml' writes another lock all the same",
        )


def _is_in(tree: WorkingTree, name: str) -> bool:
    return os.path.isfile(os.path.join(tree.project, name))


def _target(made: ProjectLock, options: Namespace, tree: WorkingTree, directory: str) -> str:
    """Return the file to write, ``-`` for standard output.

    Raises:
        UsageError: The project is not a folder of the user's.
    """
    if options.output:
        return "-" if options.output == "-" else os.path.join(directory, options.output)
    location = options.uri.partition("#")[0].removeprefix("file://")
    local = os.path.abspath(os.path.join(directory, os.path.expanduser(location)))
    if options.version or not _lies_in(tree.project, local):
        raise UsageError(
            "the lock of a project that is fetched has no place to go", hint="say where: -o FILE"
        )
    return os.path.join(tree.project, made.name)


def _lies_in(path: str, folder: str) -> bool:
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.isdir(folder) and os.path.commonpath([path, folder]) == folder


def _written(made: ProjectLock, target: str, options: Namespace, console: Console) -> int:
    if target == "-":
        console.say(made.content.decode().rstrip("\n"))
        return 0
    try:
        write_whole(target, made.content)
    except OSError as error:
        raise EnvError(f"the lock cannot be written: {error.strerror}", where=target) from None
    if options.json:
        console.emit({"path": target, "changes": [*made.changes]})
        return 0
    for change in made.changes:
        console.say(console.styled(change, COLOURS.get(change[0])))
    count = len(made.changes)
    what = "image" if made.name == IMAGE_LOCK else "package"
    summary = f"{count} {what}{'s' * (count != 1)} changed" if count else "nothing changed"
    console.tell(f"wrote {os.path.relpath(target)}: {summary}", colour="green")
    return 0


IMAGE_LOCK = "image-lock.json"
COLOURS = {"+": "green", "-": "red", "~": "yellow"}
