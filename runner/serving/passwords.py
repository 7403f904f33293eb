"""Passwords and tokens, kept so that who steals the file cannot use it.

Passwords go through scrypt (RFC 7914) with the parameters that OWASP's password storage cheat
sheet gives for 16 MiB: a guess costs about a tenth of a second. Tokens are 256 random bits, which
nobody can guess: a plain digest is enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading

N, R, P = 1 << 14, 8, 5
SALT_BYTES = 16
TOKEN_BYTES = 32
TOKEN_PREFIX = "rpj_"  # noqa: S105 - lets scanners for leaked secrets find tokens
SHORTEST = 8
_ONE_AT_A_TIME = threading.Lock()
"""Each check takes 16 MiB: strangers must not make us take a gigabyte."""


def hashed(password: str) -> str:
    """Return what is kept of a password."""
    salt = secrets.token_bytes(SALT_BYTES)
    key = _derived(password, salt, N, R, P)
    return f"scrypt${N}${R}${P}${_text(salt)}${_text(key)}"


def verified(password: str, kept: str | None) -> bool:
    """Whether a password is the one that ``kept`` was made of; as slow when there is none."""
    try:
        _, n, r, p, salt, key = (kept or _NOBODY).split("$")
        found = _derived(password, base64.b64decode(salt), int(n), int(r), int(p))
        same = hmac.compare_digest(found, base64.b64decode(key))
    except ValueError:
        return False
    return same and kept is not None


def new_token() -> str:
    """Return a token that nobody can guess."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def token_digest(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _derived(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    secret = password.encode("utf-8", "surrogatepass")
    with _ONE_AT_A_TIME:
        return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=256 << 20, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


_NOBODY = f"scrypt${N}${R}${P}${_text(bytes(SALT_BYTES))}${_text(bytes(32))}"
"""What the password of an unknown user is compared with, so that names cannot be found by time."""
