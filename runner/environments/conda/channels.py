"""Channels as people write them -> URLs, as conda and its configuration file have it.

Source: https://docs.conda.io/projects/conda/en/latest/user-guide/configuration/settings.html.
"""

from __future__ import annotations

import base64
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from runner.environments.conda.configuration import Configuration
from runner.errors import EnvError
from runner.model.value import EMPTY, Value
from runner.redaction import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALIAS = "https://conda.anaconda.org"
DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
TOKEN = re.compile(r"/t/([^/]+)(?=/|$)")
"""How conda writes an access token into a channel's URL."""


def public(name: str) -> str:
    """Return a channel as it may be shown: without passwords and tokens."""
    return TOKEN.sub("", without_credentials(name), count=1)


def is_path(name: str) -> bool:
    """Whether a channel is named by its folder."""
    return name.startswith((".", "/", "~"))


class Channel(Value):
    """One channel: a tier of one URL, or several that count as one. No credentials in URLs."""

    name: str
    urls: tuple[str, ...]


class Access(Value):
    """What the worker needs beyond public URLs; full of secrets, never shown.

    ``authorization`` maps ``host/path`` to a header, ``mirrors`` a URL to those to ask instead;
    ``variables`` name proxies and certificates; ``insecure`` has nobody's certificate checked.
    """

    authorization: Mapping[str, str] = EMPTY
    mirrors: Mapping[str, tuple[str, ...]] = EMPTY
    variables: Mapping[str, str] = EMPTY
    offline: bool = False
    insecure: bool = False


class Channels:
    """The channels of a project, in the light of the user's configuration."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.configuration = Configuration(environ)
        self.authorization: dict[str, str] = {}
        self.mirrors: dict[str, tuple[str, ...]] = {}
        for url, others in self.configuration.table("mirrored_channels").items():
            self.mirrors[self._plain(self._location(url, "/"))] = tuple(
                map(str, others if isinstance(others, list) else [others])
            )

    @property
    def access(self) -> Access:
        """What is needed to fetch from the channels that were read so far.

        Raises:
            EnvError: Passwords would go to servers that nobody checked.
        """
        said = self.configuration
        if said.trusts_anybody and self.authorization:
            raise EnvError(
                "'ssl_verify' is off, and a password in a channel's URL would go to anybody",
                hint="name the certificate in 'ssl_verify', or set SSL_CERT_FILE",
            )
        return Access(
            authorization=self.authorization,
            mirrors=self.mirrors,
            variables=said.network,
            offline=said.is_set("offline"),
            insecure=said.trusts_anybody,
        )

    @property
    def configured(self) -> tuple[str, ...]:
        """The channels that the user's configuration names."""
        return self.configuration.names("channels")

    @property
    def default(self) -> tuple[str, ...]:
        """The channels of who names none."""
        return self.configured or ("defaults",)

    def access_to(self, names: Iterable[str]) -> Access:
        """Return what is needed to fetch from channels; folders need nothing."""
        self.read([name for name in names if not is_path(name)], "/")
        return self.access

    def read(self, names: Iterable[str], directory: str) -> tuple[Channel, ...]:
        """Return channels in the order of their priority.

        ``directory`` is what relative paths are relative to. Without any name those of the
        configuration are taken, else ``defaults``.

        Raises:
            EnvError: A channel is a folder that is not there.
        """
        wanted = [name.strip() for name in names if name.strip() != "nodefaults"] or self.default
        found: dict[tuple[str, ...], Channel] = {}
        for name in wanted:
            channel = self.channel(name, directory)
            found.setdefault(channel.urls, channel)
        return tuple(found.values())

    def placed(self, spec: str, name: str | None, directory: str) -> str:
        """Return a match specification whose channel ``name`` is the URL that it stands for.

        One that stands for several is left out: their order decides.
        """
        if name is None:
            return spec
        urls, rest = self.channel(name, directory).urls, spec.partition("::")[2]
        return f"{urls[0]}::{rest}" if len(urls) == 1 else rest

    def channel(self, name: str, directory: str) -> Channel:
        """Return one channel by its name, URL or path."""
        several = self.configuration.table("custom_multichannels").get(name)
        if name == "defaults" and several is None:
            several = self.configuration.names("default_channels") or DEFAULTS
        if isinstance(several, list | tuple) and several:
            urls = tuple(self._plain(self._location(str(one), directory)) for one in several)
            return Channel(name=name, urls=urls)
        url = self._plain(self._location(name, directory))
        return Channel(name=name if "://" not in name else url, urls=(url,))

    def _location(self, name: str, directory: str) -> str:
        """Return the URL of a channel, which may still hold credentials."""
        if "://" in name:
            return name
        if is_path(name):
            path = os.path.normpath(os.path.join(directory, os.path.expanduser(name)))
            if not os.path.isdir(path):
                raise EnvError(f"the channel {name!r} is no folder", where=path)
            return f"file://{quote(path)}"
        custom = self.configuration.table("custom_channels")
        for key in (name, name.partition("/")[0]):
            if key in custom:
                return f"{str(custom[key]).rstrip('/')}/{name}"
        if name.startswith("pkgs/"):
            return f"https://repo.anaconda.com/{name}"
        alias = str(self.configuration.value("channel_alias") or ALIAS)
        return f"{alias.rstrip('/')}/{name}"

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
