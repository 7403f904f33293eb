"""``runproj export``: pack a run into a bundle."""

from __future__ import annotations

import os

from runner.app import Application
from runner.cli.output import TerminalReporter
from runner.cli.references import RUN_HELP, referenced_run
from runner.errors import UsageError
from runner.pipeline.bundle import LARGEST_INPUT, export
from runner.settings import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console

MEBI = 1 << 20


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "runproj export RUN [-o BUNDLE.zip]"
    add = parser.add_argument
    add("run", metavar="RUN", help=RUN_HELP)
    add("-o", "--output", metavar="FILE", help="the bundle to write (default: RUN.zip)")
    add(
        "--largest-input", type=int, default=LARGEST_INPUT // MEBI, metavar="MIB",
        help="leave out inputs that are larger (default: %(default)s)",
    )  # fmt: skip
    add(
        "--with-packages", action="store_true",
        help="pack the wheels of the environment, too, for 'runproj reproduce --offline'",
    )  # fmt: skip
    add("--sign", metavar="KEY", help="sign it with an SSH key (ssh-keygen -Y sign)")
    add("--tracking-uri", metavar="URI", help="the store (default: as for run)")
    add("-q", "--quiet", action="store_true", help="no progress")


def call(options: Namespace, console: Console) -> int:
    """Pack; the path of the bundle is the result."""
    if options.largest_input < 0:
        raise UsageError(f"--largest-input {options.largest_input} is less than nothing")
    found = settings(tracking_uri=options.tracking_uri)
    services = Application(found, TerminalReporter(console))
    try:
        recorded = referenced_run(options.run, services)
        name = options.output or f"{recorded.run.run_id}.zip"
        path = os.path.join(found.directory, name)
        key = os.path.join(found.directory, os.path.expanduser(options.sign or ""))
        files = export(
            recorded, path, services,
            largest_input=options.largest_input * MEBI, key=key if options.sign else None,
            with_packages=options.with_packages,
        )  # fmt: skip
    finally:
        services.close()
    console.tell(f"packed {len(files)} files, {sum(file.size for file in files)} bytes")
    console.say(path)
    return 0
