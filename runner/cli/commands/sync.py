"""``runproj sync``: deliver to tracking servers what they could not take."""

from __future__ import annotations

from runner.app import Application
from runner.cli.output import TerminalReporter
from runner.codec import document
from runner.pipeline.delivery import deliver
from runner.redaction import without_credentials
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console
    from runner.pipeline.delivery import Delivery

COLOURS = {"delivered": "green", "undelivered": "red"}
EPILOG = """\
Runs whose server could not be reached are recorded on this machine. This command delivers them;
the next run on the same server and 'runproj doctor' do, too. Credentials are taken from
MLFLOW_TRACKING_USERNAME and so on, or from --tracking-uri.

exit code: 0 when nothing is left that could have been delivered, 1 when something is"""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--tracking-uri", metavar="URI", help="only what waits for this server")
    add("--dry-run", action="store_true", help="list what waits, and deliver nothing")
    add("--json", action="store_true", help="print the result as JSON")
    add("-q", "--quiet", action="store_true", help="say only what went wrong")


def call(options: Namespace, console: Console) -> int:
    """Deliver, and say what came of it."""
    services = Application(settings(tracking_uri=options.tracking_uri), TerminalReporter(console))
    only = without_credentials(options.tracking_uri.rstrip("/")) if options.tracking_uri else None
    deliveries = deliver(services, uri=only, dry_run=options.dry_run)
    if options.json:
        console.emit(document(deliveries))
    else:
        _tell(deliveries, console)
    return 1 if any(delivery.state == "undelivered" for delivery in deliveries) else 0


def _tell(deliveries: tuple[Delivery, ...], console: Console) -> None:
    if not deliveries:
        console.tell("nothing waits to be delivered")
    for delivery in deliveries:
        if console.quiet and delivery.state != "undelivered":
            continue
        line = f"{delivery.run_id}: {delivery.state}, {delivery.tracking_uri}"
        if delivery.delivered_as:
            line += f" as {delivery.delivered_as}"
        if delivery.detail:
            line += f": {delivery.detail}"
        console.say(console.styled(line, COLOURS.get(delivery.state)))
