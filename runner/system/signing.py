"""Signatures with SSH keys, which people have: ``ssh-keygen -Y`` (OpenSSH 8.1, PROTOCOL.sshsig)."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from runner.errors import RunprojError, UsageError
from runner.model.value import Value
from runner.system import process

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE = "runproj-bundle"
"""What a signature is for: one that was made for something else does not count."""
PROGRAM = "ssh-keygen"


class Signer(Value):
    """Who signed: the fingerprint of the key, and the name that it is allowed under.

    ``name`` is None where nobody was asked who may sign.
    """

    key: str
    name: str | None = None


def signed(content: bytes, key: str, variables: Mapping[str, str]) -> bytes:
    """Return a signature of some bytes, made with a private key, or a public one in an SSH agent.

    Raises:
        UsageError: There is no such key.
        RunprojError: It cannot sign, or ssh-keygen is not installed.
    """
    if not os.path.isfile(key):
        raise UsageError(f"there is no key {key!r}", hint="ssh-keygen -t ed25519 makes one")
    done = _keygen("-Y", "sign", "-q", "-f", key, "-n", NAMESPACE, content=content, env=variables)
    if done.exit_code or not done.stdout:
        raise RunprojError(f"the key cannot sign: {_words(done)}", where=key)
    return done.stdout


def signer(
    content: bytes, signature: bytes, allowed: str | None, variables: Mapping[str, str]
) -> Signer | str:
    """Return who signed some bytes, or why the signature does not count.

    ``allowed`` is a file of those who may sign (ssh-keygen(1), ALLOWED SIGNERS); without one only
    the signature itself is checked.

    Raises:
        UsageError: There is no such file.
    """
    if allowed is not None and not os.path.isfile(allowed):
        raise UsageError(f"there is no file of allowed signers {allowed!r}")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "signature")
        with open(path, "wb") as file:
            file.write(signature)
        rest = ("-n", NAMESPACE, "-s", path)
        if allowed is None:
            done = _keygen("-Y", "check-novalidate", *rest, content=content, env=variables)
            name = None
        else:
            found = _keygen("-Y", "find-principals", "-s", path, "-f", allowed, env=variables)
            name = found.text.partition("\n")[0].strip() or None
            if found.exit_code or name is None:
                return "its key is not among the allowed signers"
            done = _keygen(
                "-Y", "verify", "-f", allowed, "-I", name, *rest, content=content, env=variables
            )
    if done.exit_code:
        return f"the signature is not of this content: {_words(done)}"
    return Signer(key=done.text.strip().rpartition(" ")[2], name=name)


def _keygen(*arguments: str, env: Mapping[str, str], content: bytes = b"") -> process.Completed:
    return process.run((PROGRAM, *arguments), variables=env, stdin=content)


def _words(done: process.Completed) -> str:
    said = [line.strip() for line in (done.complaint + done.text).splitlines() if line.strip()]
    return said[-1] if said else f"exit code {done.exit_code}"
