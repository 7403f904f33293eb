"""``runproj verify``: check the files of a bundle, offline."""

from __future__ import annotations

import os

from runner.codec import document
from runner.pipeline.bundle import damage, signature
from runner.settings import settings
from runner.system.signing import Signer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "runproj verify BUNDLE.zip [--allowed-signers FILE]"
    parser.epilog = (
        "exit codes: 0 every file is what the bundle says, and so is its signature; 1 one is not"
    )
    add = parser.add_argument
    add("bundle", metavar="BUNDLE", help="what 'runproj export' wrote")
    add(
        "--allowed-signers", metavar="FILE",
        help="it must be signed by one of these (as for ssh-keygen: a name and a key on a line)",
    )  # fmt: skip
    add("--json", action="store_true", help="print JSON")


def call(options: Namespace, console: Console) -> int:
    """Check every file against its digest, and the signature against the metadata."""
    found = settings()
    path = os.path.join(found.directory, options.bundle)
    allowed = options.allowed_signers
    if allowed is not None:
        allowed = os.path.join(found.directory, os.path.expanduser(allowed))
    broken = damage(path)
    made = signature(path, allowed, found.environ)
    trouble = made if isinstance(made, str) else ""
    if made is None and allowed is not None:
        trouble = "it is not signed"
    if options.json:
        by = document(made) if isinstance(made, Signer) else None
        console.emit({"damage": document(broken), "signer": by, "signature": trouble or None})
        return 1 if broken or trouble else 0
    for item in broken:
        console.say(console.styled(f"{item.path} {item.reason}", "red"))
    if trouble:
        console.say(console.styled(f"the signature: {trouble}", "red"))
    if not broken:
        console.say("every file is what the bundle says")
    if not trouble:
        console.say(_told(made))
    return 1 if broken or trouble else 0


def _told(made: Signer | str | None) -> str:
    if not isinstance(made, Signer):
        return "it is not signed"
    if made.name is None:
        return f"signed with the key {made.key}; --allowed-signers says whose that may be"
    return f"signed by {made.name} with the key {made.key}"
