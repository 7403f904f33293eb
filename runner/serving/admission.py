"""Which names and web pages a server answers to: the defence against lured browsers.

A page of a stranger can make a browser on our network send requests here. Two things give it away:
the name it called us by (DNS rebinding points a name of the stranger's at our address), and the
``Origin`` header that browsers add (cross-site request forgery).
"""

from __future__ import annotations

from runner.serving.messages import Refusal, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from runner.serving.messages import Request

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Admission:
    """Decides about hosts and origins.

    Addresses in figures need no permission: a browser that was lured by a name sends that name.
    ``*`` among the hosts allows every name, ``*.example.org`` those below one.
    """

    def __init__(self, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._hosts = {host.lower() for host in hosts} | LOOPBACK
        self._suffixes = tuple(host[1:] for host in self._hosts if host.startswith("*."))
        self._origins = {origin.lower().rstrip("/") for origin in origins}

    def check(self, request: Request) -> None:
        """Let a request pass.

        Raises:
            Refusal: ``PERMISSION_DENIED``: the host is not ours, or the page is a stranger's.
        """
        host = request.headers.get("host", "localhost").lower()
        if not self._is_ours(host_name(host)):
            raise Refusal(
                f"this server does not answer to the name {host_name(host)[:100]!r}: "
                "start it with --allowed-hosts",
                "PERMISSION_DENIED",
            )
        if request.method in READING:
            return
        if self._is_foreign(request, host):
            raise Refusal(
                "a web page of another origin may not write here: "
                "start the server with --allowed-origins",
                "PERMISSION_DENIED",
            )

    def _is_ours(self, name: str) -> bool:
        return (
            "*" in self._hosts
            or name in self._hosts
            or name.endswith(self._suffixes or ("\0",))
            or _is_address(name)
        )

    def _is_foreign(self, request: Request, host: str) -> bool:
        origin = request.headers.get("origin", "").lower()
        if not origin:
            return request.headers.get("sec-fetch-site", "none") == "cross-site"
        return origin.partition("://")[2] != host and not self._allows(origin)

    def _allows(self, origin: str) -> bool:
        return bool(origin) and (origin in self._origins or "*" in self._origins)

    def preflight(self, request: Request) -> Response | None:
        """Answer a browser that asks what a page may do; None for other requests."""
        if request.method != "OPTIONS" or "access-control-request-method" not in request.headers:
            return None
        headers = {}
        if self._allows(request.headers.get("origin", "").lower()):
            headers = {
                "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
                "Access-Control-Allow-Headers": "Authorization, Content-Type",
                "Access-Control-Max-Age": "600",
            }
        return Response(204, headers=headers)

    def permit(self, request: Request, response: Response) -> None:
        """Let the page read the answer, when it may."""
        origin = request.headers.get("origin", "")
        if self._allows(origin.lower()):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"


def host_name(host: str) -> str:
    """Return the name in a ``Host`` header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def _is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    import ipaddress

    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
