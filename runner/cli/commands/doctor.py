"""``runproj doctor``: repair the records of runs that were killed, and examine the machine."""

from __future__ import annotations

from runner.app import Application
from runner.cli.output import TerminalReporter
from runner.codec import document
from runner.model.value import RunId
from runner.pipeline.doctor import Cure, Finding, cache_sizes, readable_size, repair, tools
from runner.redaction import without_credentials
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console
    from runner.codec import JSON
    from runner.ports import TrackingStore

COLOUR_OF = {"closed": "green", "unfollowed": "yellow", "undelivered": "red"}


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--dry-run", action="store_true", help="say what would be repaired, and repair nothing")
    add("--end", action="store_true", help="end runs that go on although nobody follows them")
    add("--job", metavar="RUN_ID", help="look after this run only")
    add("--tracking-uri", metavar="URI", help="the store to look for lost runs in")
    add("--json", action="store_true", help="print the findings as JSON")
    add("-q", "--quiet", action="store_true", help="report trouble only")
    parser.epilog = "exit code: 0 when all is well now, 1 when something is left to be done"


def call(options: Namespace, console: Console) -> int:
    """Repair, examine, report."""
    found = settings(tracking_uri=options.tracking_uri)
    services = Application(found, TerminalReporter(console))

    def opened(uri: str) -> TrackingStore:
        ours = found.tracking_uri  # perhaps the same store, with the credentials that we may use
        known = ours if ours and without_credentials(ours) == uri else uri
        return Application(settings(tracking_uri=known), services.reporter).store

    findings = repair(
        services,
        opened=opened,
        only=RunId(options.job) if options.job else None,
        cure=Cure(dry_run=options.dry_run, end=options.end),
    )
    health: dict[str, JSON] = {}
    if not options.job:
        health = {
            "home": found.home,
            "tools": tools(found.environ),
            "cache": cache_sizes(found.home),
        }
    if options.json:
        console.emit({"findings": document(findings), **health})
    else:
        _report(findings, health, console, dry_run=options.dry_run)
    found_tools = health.get("tools")
    missing = isinstance(found_tools, dict) and None in found_tools.values()
    return 1 if missing or any(finding.is_trouble for finding in findings) else 0


def _report(
    findings: tuple[Finding, ...], health: dict[str, JSON], console: Console, *, dry_run: bool
) -> None:
    for finding in findings:
        if console.quiet and not finding.is_trouble:
            continue
        would = "would be " if dry_run and finding.state in {"closed", "removed", "emptied"} else ""
        status = f" {finding.status}" if finding.status else ""
        line = f"{finding.subject}: {would}{finding.state}{status}: {finding.detail}"
        console.say(console.styled(line, COLOUR_OF.get(finding.state)))
    if console.quiet:
        return
    described = health.get("tools")
    for name, tool in described.items() if isinstance(described, dict) else ():
        text = f"{tool['version']}, {tool['path']}" if isinstance(tool, dict) else "is missing"
        console.say(console.styled(f"{name}: {text}", None if tool else "red"))
    sizes = health.get("cache")
    if isinstance(sizes, dict):
        total = sum(size for size in sizes.values() if isinstance(size, int))
        parts = ", ".join(f"{name} {readable_size(size)}" for name, size in sizes.items())
        console.say(
            f"cache: {readable_size(total)} in {health['home']}{f' ({parts})' if parts else ''}"
        )
