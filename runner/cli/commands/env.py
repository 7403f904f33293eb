"""``runproj env``: list, show, verify and prune the environments that were built."""

from __future__ import annotations

from runner.app import Application
from runner.cli.output import TerminalReporter
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from datetime import timedelta

    from runner.cli.output import Console
    from runner.codec import JSON
    from runner.model.lock import BuiltEnvironment
    from runner.ports import EnvironmentCatalog

ACTIONS = ("list", "show", "path", "verify", "prune", "key")
EPILOG = """\
actions:
  list              every environment, the one used last first
  show ID           what one holds
  path ID           its folder
  verify [ID ...]   check every installed file against its recorded hash; all without IDs
  prune             delete what was not used for a while, never what is in use
  key [URI]         the address of a project's environment, for caches of CI systems

An ID may be shortened as long as it is clear."""
SHORT = 12
DAMAGED = 1
"""The exit code of ``verify`` when something is wrong."""
UNUSED = "30d"


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("action", choices=ACTIONS, metavar="ACTION", help="one of: " + ", ".join(ACTIONS))
    add("names", nargs="*", metavar="ID", help="environments; for 'key' a project")
    add("--older-than", metavar="TIME", default=UNUSED, help="prune: unused for so long (30d)")
    add("--all", action="store_true", help="prune: everything that is not in use")
    add("--dry-run", action="store_true", help="prune: only say what would go")
    add("-v", "--version", metavar="REVISION", help="key: branch, tag or commit")
    add("--as-of", metavar="DATE", help="key: packages as of a date, or 'commit'")
    add("--env-manager", metavar="NAME", help="key: uv (default) or virtualenv")
    add("--json", action="store_true", help="print the result as JSON")
    add("-q", "--quiet", action="store_true", help="say only what went wrong")


def call(options: Namespace, console: Console) -> int:
    """Do what was asked."""
    services = Application(settings(), TerminalReporter(console))
    if options.action == "key":
        return _key(options, console, services)
    catalog = services.environments
    actions = {
        "list": _list,
        "show": _show,
        "path": _path,
        "verify": _verify,
        "prune": _prune,
    }
    return actions[options.action](options, console, catalog)


def _list(options: Namespace, console: Console, catalog: EnvironmentCatalog) -> int:
    there = catalog.all()
    if options.json:
        console.emit([_document(environment) for environment in there])
        return 0
    if not there:
        console.tell("no environments yet")
        return 0
    console.table(
        ("ID", "STATE", "PYTHON", "PACKAGES", "SIZE", "OWN", "LAST USED"),
        [
            (
                environment.identifier[:SHORT],
                "in use" if environment.in_use else environment.state,
                str(environment.description.get("python", {}).get("version", "")),
                str(len(environment.description.get("packages", ()))),
                size_text(environment.size),
                size_text(environment.own),
                environment.used.date().isoformat(),
            )
            for environment in there
        ],
    )
    return 0


def _show(options: Namespace, console: Console, catalog: EnvironmentCatalog) -> int:
    environment = catalog.find(_only_name(options))
    if options.json:
        console.emit(_document(environment, whole=True))
        return 0
    marker = environment.description
    python, lock = marker.get("python", {}), marker.get("lock", {})
    facts = {
        "id": environment.identifier,
        "path": environment.path,
        "state": "in use" if environment.in_use else environment.state,
        "manager": marker.get("manager"),
        "python": f"{python.get('version')} ({python.get('path')})" if python else None,
        "lock": lock.get("digest"),
        "as of": marker.get("as_of"),
        "created": marker.get("created"),
        "last used": environment.used.date().isoformat(),
        "size": f"{size_text(environment.size)}, {size_text(environment.own)} shared with nothing",
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        if value:
            console.say(f"{console.styled(name.ljust(width), 'bold')}  {value}")
    rows = [(p["name"], p["version"], _origin(p)) for p in marker.get("packages", ())]
    if rows:
        console.say()
        console.table(("PACKAGE", "VERSION", "FROM"), rows)
    return 0


def _origin(package: dict[str, JSON]) -> str:
    source = str(package.get("source"))
    return f"{source}, built here" if package.get("built") and source == "sdist" else source


def _path(options: Namespace, console: Console, catalog: EnvironmentCatalog) -> int:
    console.say(catalog.find(_only_name(options)).path)
    return 0


def _verify(options: Namespace, console: Console, catalog: EnvironmentCatalog) -> int:
    chosen = [catalog.find(name) for name in options.names] if options.names else catalog.all()
    found = {e.identifier: list(catalog.damage(e)) for e in chosen if e.state != "building"}
    if options.json:
        report: JSON = [
            {"id": name, "ok": not damage, "damage": [*damage]} for name, damage in found.items()
        ]
        console.emit(report)
    else:
        for name, damage in found.items():
            console.say(f"{name[:SHORT]}  {'ok' if not damage else 'damaged'}")
            for line in damage:
                console.say(f"  {line}")
    damaged = any(found.values())
    if damaged:
        console.tell("'runproj env prune --all' deletes what is not in use; runs build it again")
    return DAMAGED if damaged else 0


def _prune(options: Namespace, console: Console, catalog: EnvironmentCatalog) -> int:
    gone = catalog.prune(_unused(options), dry_run=options.dry_run)
    if options.json:
        console.emit([_document(environment) for environment in gone])
        return 0
    for environment in gone:
        console.say(environment.identifier)
    verb = "would delete" if options.dry_run else "deleted"
    count, freed = len(gone), sum(environment.own for environment in gone)
    console.tell(f"{verb} {count} environment{'s' * (count != 1)}, {size_text(freed)}")
    return 0


def _unused(options: Namespace) -> timedelta:
    from datetime import timedelta

    from runner.pipeline.request import duration

    return timedelta(0) if options.all else duration(options.older_than)


def _key(options: Namespace, console: Console, services: Application) -> int:
    """Print the digest that names a project's environment, resolving its lock if need be."""
    from runner.errors import EnvError
    from runner.model.lock import LockRequest, PackageLock
    from runner.pipeline.request import parsed_reference
    from runner.stages.date import package_date
    from runner.stages.fetch import fetch
    from runner.stages.load import load
    from runner.stages.lock import choose_builder, lock_of_commit

    uri = options.names[0] if options.names else "."
    tree = fetch(parsed_reference(uri, options.version), services)
    spec, _ = load(tree, home=services.home)
    name = choose_builder(spec.environment, options.env_manager, services)
    dated = package_date(options.as_of, tree, spec.environment, name)
    request = LockRequest(spec=spec.environment, project=tree.project, as_of=dated.moment)
    lock = (
        lock_of_commit(request, tree, name, services)
        if dated.by_commit
        else services.builder(name).lock(request)
    )
    if not isinstance(lock, PackageLock):
        raise EnvError(f"the environment manager {name!r} builds nothing that has a key")
    if options.json:
        console.emit({"environment": lock.environment, "lock": lock.digest, "python": lock.python})
    else:
        console.say(lock.environment)
    return 0


def _only_name(options: Namespace) -> str:
    from runner.errors import UsageError

    if len(options.names) != 1:
        raise UsageError(
            f"'runproj env {options.action}' needs one environment",
            hint="'runproj env list' shows them all",
        )
    return str(options.names[0])


def _document(environment: BuiltEnvironment, *, whole: bool = False) -> JSON:
    marker = environment.description
    packages = [*marker.get("packages", ())]
    return {
        "id": environment.identifier,
        "path": environment.path,
        "state": environment.state,
        "in_use": environment.in_use,
        "manager": marker.get("manager"),
        "python": marker.get("python", {}).get("version"),
        "packages": packages if whole else len(packages),
        "size": environment.size,
        "own": environment.own,
        "created": marker.get("created"),
        "used": environment.used.date().isoformat(),
        **({"lock": marker.get("lock"), "as_of": marker.get("as_of")} if whole else {}),
    }


def size_text(size: float) -> str:
    """Return a number of bytes for people: ``3.4 MB``."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004 - SI
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
