"""Channels as people write them -> URLs, as conda and its configuration file have it.

Source: https://docs.conda.io/projects/conda/en/latest/user-guide/configuration/settings.html. Of a
configuration only those keys are read that say where packages come from.
"""

from __future__ import annotations

import base64
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from runner.environments.conda.remembered import configuration_files
from runner.errors import EnvError
from runner.model.value import Value
from runner.redaction import without_credentials
from runner.system.files import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALIAS = "https://conda.anaconda.org"
DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
TOKEN = re.compile(r"/t/([^/]+)(?=/|$)")
"""How conda writes an access token into a channel's URL."""


def public(name: str) -> str:
    """Return a channel as it may be shown: without passwords and tokens."""
    return TOKEN.sub("", without_credentials(name), count=1)


class Channel(Value):
    """One channel: a tier of one URL, or several that count as one. No credentials in URLs."""

    name: str
    urls: tuple[str, ...]


class Access(Value):
    """What the worker needs beyond public URLs; full of secrets, never shown.

    ``authorization`` maps ``host/path`` to a header, ``mirrors`` a URL to those to ask instead.
    """

    authorization: Mapping[str, str]
    mirrors: Mapping[str, tuple[str, ...]]
    offline: bool = False


class Channels:
    """The channels of a project, in the light of the user's configuration."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._rc = _configuration(environ)
        self._environ = environ
        self.authorization: dict[str, str] = {}
        self.mirrors: dict[str, tuple[str, ...]] = {}
        for url, replacements in _table(self._rc.get("mirrored_channels")).items():
            self.mirrors[self._plain(self._location(str(url), "/"))] = tuple(
                map(str, replacements if isinstance(replacements, list) else [replacements])
            )

    @property
    def access(self) -> Access:
        """What is needed to fetch from the channels that were read so far."""
        rc, variable = bool(self._rc.get("offline")), self._environ.get("CONDA_OFFLINE", "")
        return Access(
            authorization=self.authorization,
            mirrors=self.mirrors,
            offline=rc or variable.lower() in {"1", "true", "yes", "on"},
        )

    @property
    def configured(self) -> tuple[str, ...]:
        """The channels that the user's configuration names."""
        listed = self._rc.get("channels")
        return tuple(map(str, listed)) if isinstance(listed, list) else ()

    def access_to(self, names: Iterable[str]) -> Access:
        """Return what is needed to fetch from channels; folders need nothing."""
        self.read([name for name in names if not name.startswith((".", "/", "~"))], "/")
        return self.access

    def read(self, names: Iterable[str], directory: str) -> tuple[Channel, ...]:
        """Return channels in the order of their priority.

        ``directory`` is what relative paths are relative to. Without any name those of the
        configuration are taken, else ``defaults``.

        Raises:
            EnvError: A channel is a folder that is not there.
        """
        wanted = [name.strip() for name in names if name.strip() != "nodefaults"]
        wanted = wanted or [*self.configured] or ["defaults"]
        found: dict[tuple[str, ...], Channel] = {}
        for name in wanted:
            channel = self.channel(name, directory)
            found.setdefault(channel.urls, channel)
        return tuple(found.values())

    def channel(self, name: str, directory: str) -> Channel:
        """Return one channel by its name, URL or path."""
        several = _table(self._rc.get("custom_multichannels")).get(name)
        if name == "defaults" and several is None:
            several = self._rc.get("default_channels") or DEFAULTS
        if isinstance(several, list | tuple) and several:
            urls = tuple(self._plain(self._location(str(one), directory)) for one in several)
            return Channel(name=name, urls=urls)
        url = self._plain(self._location(name, directory))
        return Channel(name=name if "://" not in name else url, urls=(url,))

    def _location(self, name: str, directory: str) -> str:
        """Return the URL of a channel, which may still hold credentials."""
        if "://" in name:
            return name
        if name.startswith((".", "/", "~")):
            path = os.path.normpath(os.path.join(directory, os.path.expanduser(name)))
            if not os.path.isdir(path):
                raise EnvError(f"the channel {name!r} is no folder", where=path)
            return f"file://{quote(path)}"
        first, _, rest = name.partition("/")
        custom = _table(self._rc.get("custom_channels"))
        for key in (name, first):
            if key in custom:
                return f"{str(custom[key]).rstrip('/')}/{name}"
        if name.startswith("pkgs/"):
            return f"https://repo.anaconda.com/{name}"
        del rest
        return f"{str(self._rc.get('channel_alias') or ALIAS).rstrip('/')}/{name}"

    def _plain(self, url: str) -> str:
        """Take credentials out of a URL and note how to present them."""
        parts = urlsplit(url.rstrip("/"))
        host = parts.netloc.rpartition("@")[2]
        path = TOKEN.sub("", parts.path, count=1)
        if parts.scheme == "file":
            return urlunsplit(("file", host, re.sub(r"/{2,}", "/", path), "", ""))
        plain = urlunsplit((parts.scheme, host, path, "", ""))
        if parts.username:
            words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            header = "Basic " + base64.b64encode(words.encode()).decode()
            self.authorization[f"{parts.hostname}{path}"] = header
        if path != parts.path:
            self.mirrors[plain] = (urlunsplit((parts.scheme, host, parts.path, "", "")),)
        return plain


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _configuration(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return conda's configuration: of files that say the same the later ones win.

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
        found |= _table(content)
    return found
