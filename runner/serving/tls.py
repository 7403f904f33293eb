"""A certificate from files, read anew when they change: renewals need no restart."""

from __future__ import annotations

import os
import ssl
import time

from runner.errors import UsageError

CHECK_SECONDS = 1.0
"""How often the files are looked at."""


class Certificate:
    """The certificate (with its chain) and the private key of a server, as PEM files."""

    def __init__(self, certificate: str, key: str) -> None:
        self._files = certificate, key
        self._checked = time.monotonic()
        self._stamp = self._stamps()
        self._context = self._loaded()

    def context(self) -> ssl.SSLContext:
        """Return what new connections use; a broken renewal leaves the old certificate in use."""
        if time.monotonic() - self._checked >= CHECK_SECONDS:
            self._checked = time.monotonic()
            stamp = self._stamps()
            if stamp != self._stamp:
                try:
                    self._context = self._loaded()
                except UsageError:  # half of a renewal: the other file comes in a moment
                    return self._context
                self._stamp = stamp
        return self._context

    def _stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(path) for path in self._files)

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        certificate, key = self._files
        try:
            # Without a password function OpenSSL would ask on the terminal.
            context.load_cert_chain(certificate, key, password=lambda: b"")
        except OSError as error:  # SSLError is one
            raise UsageError(
                f"the certificate cannot be used: {error.strerror or error}",
                where=f"{certificate}, {key}",
                hint="--tls-cert is the certificate with its chain, --tls-key its key without a "
                "password; both in PEM",
            ) from error
        return context


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
