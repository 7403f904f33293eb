"""What the variables say about reaching a server: proxies and credentials."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote, urlsplit

from runner.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def proxy_of(scheme: str, host: str, environ: Mapping[str, str]) -> str | None:
    """Return the proxy for a host by ``http_proxy`` and ``no_proxy``; loopback never has one."""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return None
    name = f"{scheme}_proxy"
    proxy = environ.get(name) or (environ.get(name.upper()) if scheme == "https" else None)
    proxy = proxy or environ.get("all_proxy") or environ.get("ALL_PROXY")
    if not proxy or proxy.lower().startswith("socks"):
        return None
    for exempt in (environ.get("no_proxy") or environ.get("NO_PROXY") or "").split(","):
        suffix = exempt.strip().lower().partition(":")[0].lstrip("*").lstrip(".")
        if exempt.strip() == "*" or (suffix and (host == suffix or host.endswith(f".{suffix}"))):
            return None
    return proxy if "://" in proxy else f"http://{proxy}"


def host_and_port(proxy: str) -> tuple[str, int]:
    """Return where a proxy listens."""
    parts = urlsplit(proxy)
    return parts.hostname or "", parts.port or 80


def proxy_headers(proxy: str) -> dict[str, str]:
    """Return the credentials that a proxy's address carries."""
    parts = urlsplit(proxy)
    if not parts.username:
        return {}
    return {"Proxy-Authorization": _basic(unquote(parts.username), unquote(parts.password or ""))}


def headers(user: str, password: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what every request carries: the credentials of the URL, else of the variables."""
    headers = {"User-Agent": f"runproj/{__version__}"}
    if not user:
        user = environ.get("MLFLOW_TRACKING_USERNAME", "")
        password = environ.get("MLFLOW_TRACKING_PASSWORD", "")
    token = environ.get("MLFLOW_TRACKING_TOKEN", "")
    if user:
        headers["Authorization"] = _basic(user, password)
    elif token:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
