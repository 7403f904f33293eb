"""Keeping secrets out of everything that is shown or stored."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "***"


def has_credentials(text: str) -> bool:
    """Whether a text is a URL with something in it that ``without_credentials`` takes out."""
    return "://" in text and without_credentials(text) != text


def without_credentials(url: str) -> str:
    """Take user names, passwords and tokens out of a URL; other text comes back as it is.

    A bare user name is kept for ``ssh`` and scp-like locations (``git@host:path``), where it is
    part of the address. Query values whose names look like secrets are masked.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.replace("+", "").replace("-", "").replace(".", "").isalnum():
        return url
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    user, at, host = authority.rpartition("@")
    if at:
        name = user.partition(":")[0]
        authority = f"{name}@{host}" if name and scheme.endswith("ssh") else host
    return f"{scheme}://{authority}{_without_secret_queries(tail)}"


_SECRET_WORDS = ("token", "secret", "password", "passwd", "pwd", "key", "sig", "credential", "auth")


def _without_secret_queries(tail: str) -> str:
    path, question, query = tail.partition("?")
    if not question:
        return tail
    query, hash_, fragment = query.partition("#")
    parts = []
    for part in query.split("&"):
        name, equals, _value = part.partition("=")
        secret = equals and any(word in name.lower() for word in _SECRET_WORDS)
        parts.append(f"{name}={MASK}" if secret else part)
    return f"{path}?{'&'.join(parts)}{hash_}{fragment}"


def masked(text: str, secrets: Iterable[str]) -> str:
    """Replace every occurrence of the secrets, longest first; empty ones are ignored."""
    for secret in sorted({s for s in secrets if s}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
