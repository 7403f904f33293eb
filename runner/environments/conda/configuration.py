"""Conda's configuration: what ``.condarc`` files and ``CONDA_...`` variables say.

Source: https://docs.conda.io/projects/conda/en/latest/user-guide/configuration/settings.html. Only
those keys are read that say where packages come from, and how they are fetched and linked.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from runner.environments.conda.remembered import configuration_files
from runner.errors import EnvError
from runner.system.files import read

if TYPE_CHECKING:
    from collections.abc import Mapping

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
NAMED = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
"""A variable in a text; one that is not set stays as it is written."""
LINK_SCRIPTS = "RUNPROJ_LINK_SCRIPTS"
"""The variable that has post-link scripts of packages run."""
PROXIES = {"http": ("http_proxy", "HTTP_PROXY"), "https": ("https_proxy", "HTTPS_PROXY"),
           "all": ("all_proxy", "ALL_PROXY")}  # fmt: skip
"""Keys of ``proxy_servers``, and the variables that mean the same and win."""
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that name the certificates to trust; they win, too."""
OF_REQUESTS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that conda listens to for the same."""


class Configuration:
    """What the user configured for conda; variables win over files, later files over earlier."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._files = _read(environ)

    def value(self, key: str) -> Any:  # noqa: ANN401 - whatever YAML holds
        """Return what is said for a key, None when nothing is."""
        text = self._environ.get(f"CONDA_{key.upper()}")
        return text if text else self._expanded(self._files.get(key))

    def names(self, key: str) -> tuple[str, ...]:
        """Return a list of names; in a variable commas stand between them."""
        found = self.value(key)
        if isinstance(found, str):
            found = [name.strip() for name in found.split(",") if name.strip()]
        return tuple(map(str, found)) if isinstance(found, list) else ()

    def table(self, key: str) -> dict[str, Any]:
        """Return what is said by name; files only."""
        found = self._expanded(self._files.get(key))
        return found if isinstance(found, dict) else {}

    def is_set(self, key: str) -> bool:
        """Whether a switch is on."""
        return str(self.value(key)).lower() in TRUE

    @property
    def trusts_anybody(self) -> bool:
        """Whether the certificates of servers are not to be checked (``ssl_verify: false``)."""
        return str(self.value("ssl_verify")).lower() in FALSE

    @property
    def network(self) -> dict[str, str]:
        """The variables that make proxies and certificates known to a process."""
        found = {}
        servers = self.table("proxy_servers")
        for key, names in PROXIES.items():
            if servers.get(key) and not any(name in self._environ for name in names):
                found[names[0]] = str(servers[key])
        told = any(name in self._environ for name in CERTIFICATES)
        if not told and (bundle := self._bundle()):
            found[CERTIFICATES[os.path.isdir(bundle)]] = bundle
        return found

    def _bundle(self) -> str | None:
        """Return the file or folder of the certificates to trust.

        Raises:
            EnvError: It is not there.
        """
        said = str(self.value("ssl_verify") or "")
        if not said or said.lower() in TRUE | FALSE | {"truststore"}:
            return next((v for n in OF_REQUESTS if (v := self._environ.get(n))), None)
        path = os.path.expanduser(said)
        if not os.path.exists(path):
            raise EnvError("'ssl_verify' of conda's configuration names no file", where=path)
        return path

    def _expanded(self, value: Any) -> Any:  # noqa: ANN401 - likewise
        """Put variables into the texts that name them, as conda does: ``$TOKEN``."""
        if isinstance(value, str):
            return NAMED.sub(lambda m: self._environ.get(m[1] or m[2], m[0]), value)
        if isinstance(value, list):
            return [self._expanded(item) for item in value]
        if isinstance(value, dict):
            return {str(key): self._expanded(item) for key, item in value.items()}
        return value


def runs_link_scripts(environ: Mapping[str, str]) -> bool:
    """Whether the user wants post-link scripts of packages to be run."""
    return environ.get(LINK_SCRIPTS, "").lower() in TRUE


def _read(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the keys of all files.

    Raises:
        EnvError: A file is no YAML.
    """
    import yaml

    found: dict[str, Any] = {}
    for path in configuration_files(environ):
        try:
            content = yaml.safe_load(read(path))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError):
            continue
        except (yaml.YAMLError, ValueError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{path}:{mark.line + 1}" if mark else path
            raise EnvError("conda's configuration file is no YAML", where=where) from None
        found |= content if isinstance(content, dict) else {}
    return found
