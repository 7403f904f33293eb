"""Talking to the worker that rattler lives in, and turning its complaints into ours."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from runner.environments.conda import worker
from runner.environments.conda.channels import Access
from runner.environments.conda.configuration import Configuration
from runner.errors import EnvError
from runner.redaction import without_credentials
from runner.system.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.environments.conda.channels import Channel

SOLVE_SECONDS = 600
HTTP_SECONDS = 120
FOREIGN = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONSAFEPATH"})
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"`)>]+")
UNREACHABLE = ("error sending request", "dns error", "tcp connect error", "timed out",
               "onnection refused", "Network is unreachable")  # fmt: skip


class UnsolvableError(EnvError):
    """Specifications that cannot be had together; the hint is the solver's own explanation."""


class Rattler:
    """Solves and links, each time in a process of its own.

    ``link_scripts`` has post-link scripts of packages run. Files are hard links into the cache;
    with ``always_copy`` in conda's configuration, copies.
    """

    def __init__(
        self, *, home: str, environ: Mapping[str, str], link_scripts: bool = False
    ) -> None:
        self._cache = os.path.join(home, "conda")
        self._copies = Configuration(environ).is_set("always_copy")
        self._link_scripts = link_scripts
        self._variables = {k: v for k, v in environ.items() if k not in FOREIGN}
        self._variables.setdefault("PATH", os.defpath)

    def solved(
        self,
        specs: Sequence[str],
        channels: Sequence[Channel],
        access: Access,
        **asked: Any,  # noqa: ANN401 - handed on as it is
    ) -> list[dict[str, Any]]:
        """Return the records of the packages that satisfy all specifications.

        Raises:
            EnvError: There are none, a channel cannot be read, or a specification makes no sense.
        """
        request = {
            "specs": [*specs],
            "channels": [{"name": c.name, "urls": [*c.urls]} for c in channels],
            "seconds": SOLVE_SECONDS,
            **asked,
        }
        found: list[dict[str, Any]] = self._call("solve", request, access)
        return found

    def unsatisfied(self, specs: Sequence[str], packages: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return those specifications that none of the packages satisfies."""
        request = {"specs": [*specs], "packages": [*packages]}
        found: list[str] = self._call("unsatisfied", request, Access())
        return found

    def install(
        self,
        packages: Sequence[Mapping[str, Any]],
        prefix: str,
        access: Access,
        *,
        platform: str,
        keep: Sequence[int] = (),
    ) -> None:
        """Link packages into a prefix.

        Raises:
            EnvError: A package cannot be had or has another hash.
        """
        request = {
            "packages": [*packages],
            "prefix": prefix,
            "platform": platform,
            "hard_links": not self._copies,
            "link_scripts": self._link_scripts,
        }
        self._call("install", request, access, keep)

    def _call(
        self,
        operation: str,
        request: Mapping[str, Any],
        access: Access,
        keep: Sequence[int] = (),
    ) -> Any:  # noqa: ANN401 - each operation has its own
        asked = {
            "operation": operation,
            "repodata_cache": os.path.join(self._cache, "repodata"),
            "packages_cache": os.path.join(self._cache, "packages"),
            "authorization": {**access.authorization},
            "mirrors": {url: [*others] for url, others in access.mirrors.items()},
            "offline": access.offline,
            "insecure": access.insecure,
            "http_seconds": HTTP_SECONDS,
            **request,
        }
        done = run(
            [sys.executable, "-I", os.path.abspath(worker.__file__), _place()],
            variables={**access.variables, **self._variables},
            directory="/",
            stdin=json.dumps(asked).encode(),
            keep=keep,
        )
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            last = done.complaint.splitlines()[-1:] or ["it said nothing"]
            ended = f"signal {-done.exit_code}" if done.exit_code < 0 else f"code {done.exit_code}"
            raise EnvError(
                f"rattler, which installs conda packages, ended with {ended}: {clean(last[0])}"
            ) from None
        if "error" in answer:
            raise failure(answer)
        return answer["value"]


def _place() -> str:
    """Return the folder that rattler is imported from.

    Raises:
        EnvError: It is not installed.
    """
    found = find_spec("rattler")
    if found is None or found.origin is None:
        raise EnvError(
            "conda packages are installed by rattler, which is not there",
            hint="pip install 'py-rattler>=0.28,<0.29'",
        )
    return os.path.dirname(os.path.dirname(found.origin))


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
    return _of_text(text or f"rattler failed: {kind}")


def _of_text(text: str) -> EnvError:
    """Find out what is behind an error that rattler tells in words only."""
    address = URL.search(text)
    where = address[0].rstrip(".:,)") if address else None
    if re.search(r"hash mismatch", text, re.IGNORECASE):
        return EnvError(f"a package does not have the locked hash: {_sentence(text)}", hint=CHANGED)
    if worker.OFFLINE in text:
        wanted = text.partition(worker.OFFLINE)[2].split()[0]
        return EnvError(f"offline, and {wanted} was not fetched before", hint=WENT_OFFLINE)
    if "no usable repodata cache" in text:
        return EnvError(
            f"offline, and the index of {where or 'a channel'} was not fetched before",
            hint=WENT_OFFLINE,
        )
    if "No space left" in text or "os error 28" in text:
        return EnvError("the disk is full", hint="'runproj env prune' frees space")
    if "invalid peer certificate" in text:
        return EnvError(f"the certificate of {where or 'the channel'} is not trusted", hint=TRUST)
    if any(word in text for word in UNREACHABLE):
        return EnvError(f"the channel cannot be reached ({where or 'offline'})", hint=OFFLINE)
    return EnvError(_sentence(text))


OFFLINE = (
    "check the network and the proxy settings; with CONDA_OFFLINE=1 what was fetched before is used"
)
TRUST = "name the authority's file in 'ssl_verify' of conda's configuration, or in SSL_CERT_FILE"
WENT_OFFLINE = "--offline, CONDA_OFFLINE or 'offline' in conda's configuration forbids to fetch it"
CHANGED = "the package changed after it was locked, or somebody tampers; 'runproj lock' locks anew"


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
