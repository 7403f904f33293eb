"""Talking to the worker that rattler lives in."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from runner.environments.conda import worker
from runner.environments.conda.channels import Access
from runner.environments.conda.complaints import clean, failure
from runner.environments.conda.configuration import Configuration
from runner.errors import EnvError
from runner.system.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.environments.conda.channels import Channel

SOLVE_SECONDS = 600
HTTP_SECONDS = 120
FOREIGN = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONSAFEPATH"})


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
