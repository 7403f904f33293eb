"""What rattler complains about -> our errors: one sentence, a place, what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.environments.conda import worker
from runner.errors import EnvError
from runner.redaction import without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"`)>]+")
CHANGED = "the package changed after it was locked, or somebody tampers; 'runproj lock' locks anew"
WENT_OFFLINE = "--offline, CONDA_OFFLINE or 'offline' in conda's configuration forbids to fetch it"
UNREACHED = (
    "check the network and the proxy settings; with CONDA_OFFLINE=1 what was fetched before is used"
)
UNREADABLE = "its owner has to repair it; another channel or a mirror may serve the same"
FETCHING = r"failed to fetch (?P<what>\S+?)-[^-]+-[^-]+(\.conda|\.tar\.bz2).*"
SENTENCES = (
    (FETCHING + r"(invalid checksum|hash mismatch)",
     "{what!r} does not have the locked hash", CHANGED),
    (FETCHING + r"\((404|410) ",
     "the package {what!r} is not where the lock says ({where})",
     "'runproj lock' makes a new lock"),
    (r"status client error \((?P<code>401|403) ", "{where} wants credentials (HTTP {code})",
     "put them into rattler's store, or as $NAME into the channel's URL in .condarc"),
    (r"could not find subdir|\((404|410) ", "there is no channel at {channel}",
     "check its name, and the channel settings in .condarc"),
    (r"failed to parse repodata\.json.*?: (?P<why>[^\n]+)$",
     "the index of the channel {channel} is broken: {why}", UNREADABLE),
    (r"hash mismatch", "a package does not have the locked hash: {text}", CHANGED),
    (re.escape(worker.OFFLINE) + r" (?P<what>\S+)",
     "offline, and {what} was not fetched before", WENT_OFFLINE),
    (r"no usable repodata cache",
     "offline, and the index of {where} was not fetched before", WENT_OFFLINE),
    (r"no space left|os error 28", "the disk is full", "'runproj env prune' frees space"),
    (r"invalid peer certificate", "the certificate of {where} is not trusted",
     "name the authority's file in 'ssl_verify' of conda's configuration, or in SSL_CERT_FILE"),
    (r"error sending request|dns error|tcp connect error|timed out|connection refused"
     r"|network is unreachable", "the channel cannot be reached ({where})", UNREACHED),
    (FETCHING + r"error occurred: (?P<why>[^\n]+)",
     "the package {what!r} cannot be fetched: {why}",
     "try again; if it stays so, the file in the channel is damaged"),
)  # fmt: skip
"""What gives a complaint away -> the sentence for it, and the hint."""


class BadSpecError(EnvError):
    """A specification that makes no sense."""

    def __init__(self, message: str, *, spec: str) -> None:
        super().__init__(message, hint="for example 'numpy', 'numpy=1.26', 'numpy >=1.24,<2'")
        self.spec = spec


class UnsolvableError(EnvError):
    """Specifications that cannot be had together; the hint is the solver's own explanation."""


def clean(text: str) -> str:
    """Take credentials out of every URL in a text."""
    return URL.sub(lambda found: without_credentials(found[0]), text)


def failure(answer: Mapping[str, Any]) -> EnvError:
    """Turn what the worker said into an error."""
    kind, words = answer["kind"], answer["words"]
    text = clean(str(answer["error"]))
    if kind == "SolverError":
        return _unsolvable(text)
    if kind == "MismatchError":
        return _mismatch(*words)
    if kind == "GoneError":
        return _gone(words[0], words[1])
    if kind == "SpecError":
        return BadSpecError(f"{words[0]!r} is no conda package: {words[1]}", spec=words[0])
    channel = clean(words[1]) if kind == "ChannelError" else None
    return _of_text(clean(words[0]) if channel else text or f"rattler failed: {kind}", channel)


def _of_text(text: str, channel: str | None = None) -> EnvError:
    """Find out what is behind an error that rattler tells in words only."""
    address = URL.search(text)
    where = address[0].rstrip(".:,)") if address else channel or "the channel"
    known = {"text": _sentence(text), "where": where, "channel": channel or where}
    for pattern, words, hint in SENTENCES:
        if found := re.search(pattern, text, re.IGNORECASE | re.DOTALL):
            return EnvError(words.format(**{**known, **found.groupdict()}), hint=hint)
    return EnvError(known["text"], where=channel)


def _gone(name: str, url: str) -> EnvError:
    return EnvError(
        f"the package {name!r} is not where the lock says",
        where=clean(url),
        hint="'runproj lock' makes a new lock",
    )


def _mismatch(name: str, url: str, locked: str, found: str) -> EnvError:
    short = 19
    return EnvError(
        f"{name!r} does not have the locked hash (locked {locked[:short]}…, "
        f"found {found[:short]}…)",
        where=clean(url),
        hint=CHANGED,
    )


def _unsolvable(text: str) -> UnsolvableError:
    """Say what cannot be had; the solver's own tree is the smallest set that conflicts."""
    body = text.partition(":")[2].strip() or text
    missing = re.search(r"No candidates were found for ([^\n.]+)", body)
    if missing and body.count("\n") < 1:
        return UnsolvableError(
            f"no channel has {missing[1].strip(' *.')!r}",
            hint="check the name, the version and the channels",
        )
    hint = body
    if "__cuda" in body:
        hint += "\nset CONDA_OVERRIDE_CUDA to the version that the machines have"
    return UnsolvableError("the packages cannot be installed together", hint=hint)


def _sentence(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ": ".join(dict.fromkeys(lines[:3]))
