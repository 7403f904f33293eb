"""Lets one container reach servers on this machine's loopback: the run's endpoint, for one.

A container has a loopback of its own, but it reaches the host at the gateway of its network. The
relay listens there, on a port of its own for each server, and passes bytes on, for this container's
addresses and nobody else. Engines in a virtual machine (Docker Desktop) do the same by themselves
under the name ``host.docker.internal``.
"""

from __future__ import annotations

import re
import select
import socket
import sys
import threading

from runner.errors import BackendError
from runner.system.engine_calls import EngineRefusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runner.system.engine_calls import Engine

LOOPBACK_URL = re.compile(r"(https?://(?:[^/@\s]*@)?)(localhost|127(?:\.\d+){3}|\[::1\]):(\d+)")
DESKTOP = "host.docker.internal"
FREEBIND = 15
"""``IP_FREEBIND`` of Linux: Podman makes the bridge with the first container, after us."""
CHUNK = 1 << 16


def loopback_ports(names: Iterable[str], variables: Mapping[str, str]) -> tuple[int, ...]:
    """Return the ports of this machine's loopback that variables of these names speak of."""
    found = (LOOPBACK_URL.match(variables.get(name, "")) for name in names)
    return tuple(dict.fromkeys(int(one[3]) for one in found if one))


def gateway(engine: Engine, network: str | None) -> str:
    """Return the address under which a container on a network finds this machine.

    Raises:
        BackendError: The network has none, or does not exist.
    """
    name = network if network not in {None, "default"} else "bridge"
    for one in (name, "podman") if name == "bridge" else (name,):
        try:
            settings = engine.ask("GET", f"/networks/{_quoted(str(one))}")
        except EngineRefusal:
            continue
        for subnet in (settings.get("IPAM") or {}).get("Config") or ():
            if found := _gateway_of(subnet):
                return found
    raise BackendError(
        f"a container on the network {name!r} cannot reach the tracking server of this machine",
        hint="use the default network, or -A network=host",
    )


def _quoted(name: str) -> str:
    if name.replace("-", "").replace("_", "").isalnum():
        return name
    from urllib.parse import quote

    return quote(name, safe="")


def _gateway_of(subnet: Mapping[str, str]) -> str | None:
    """Return a subnet's IPv4 gateway: the one that is named, else its first address."""
    named, whole = subnet.get("Gateway") or "", subnet.get("Subnet") or ""
    if ":" in named or ":" in whole:
        return None
    if named or not whole:
        return named.partition("/")[0] or None
    first = int.from_bytes(socket.inet_aton(whole.partition("/")[0]), "big") + 1
    return socket.inet_ntoa(first.to_bytes(4, "big"))


class Relay:
    """Sockets on a gateway, each in front of one port of the loopback."""

    def __init__(self, host: str, ports: Mapping[int, int], listeners: list[socket.socket]) -> None:
        self.host, self._ports = host, ports
        self._listeners = listeners
        self._targets = dict(zip(listeners, ports, strict=False)) if listeners else {}
        self._closed = threading.Event()

    @classmethod
    def between(
        cls,
        engine: Engine,
        network: str | None,
        ports: Iterable[int],
    ) -> Relay:
        """Listen for a container that is about to be made.

        Raises:
            BackendError: The engine is on another machine, or the gateway is none of ours.
        """
        where = engine.where
        if not where.is_local:
            raise BackendError(
                "the tracking store is on this machine and the container engine is not",
                where=where.url,
                hint="record to a server that both reach: --tracking-uri http://...",
            )
        if sys.platform == "darwin" or "/desktop/" in where.url:
            return cls(DESKTOP, {port: port for port in ports}, [])
        host = gateway(engine, network)
        listeners: list[socket.socket] = []
        try:
            listeners.extend(_listener(host) for _port in ports)
        except OSError as error:
            for listener in listeners:
                listener.close()
            raise BackendError(
                f"the gateway {host} of the container's network is no address of this machine: "
                f"{error.strerror}",
                hint="-A network=host lets the command reach the tracking server",
            ) from None
        own = [listener.getsockname()[1] for listener in listeners]
        return cls(host, dict(zip(ports, own, strict=True)), listeners)

    @property
    def hosts(self) -> Mapping[str, str]:
        """Names to make known in the container."""
        return {} if self.host == DESKTOP else {DESKTOP: self.host}

    def rewritten(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that speak of relayed ports, as the container is to see them.

        Those that exempt hosts from proxies exempt the relay, too.
        """

        def moved(found: re.Match[str]) -> str:
            port = self._ports.get(int(found[3]))
            return f"{found[1]}{self.host}:{port}" if port else found[0]

        result = {}
        for name, value in variables.items():
            changed = LOOPBACK_URL.sub(moved, value)
            if name.lower() == "no_proxy":
                changed = f"{value},{self.host}" if value else self.host
            if changed != value:
                result[name] = changed
        return result

    def start(self, addresses: Callable[[], set[str]]) -> None:
        """Serve in the background, whoever comes from the container's ``addresses``."""
        if self._listeners:
            threading.Thread(target=self._serve, args=(addresses,), daemon=True).start()

    def close(self) -> None:
        """Listen no more; what is under way ends with the container."""
        self._closed.set()
        for listener in self._listeners:
            listener.close()

    def _serve(self, addresses: Callable[[], set[str]]) -> None:
        known: set[str] = set()
        poller = select.poll()
        listeners = {listener.fileno(): listener for listener in self._listeners}
        for descriptor in listeners:
            poller.register(descriptor, select.POLLIN)
        while not self._closed.is_set():
            for descriptor, _ in poller.poll(1000):
                listener = listeners[descriptor]
                try:
                    guest, (address, _port) = listener.accept()
                except OSError:
                    continue  # closed, or the guest has given up
                if address not in known:
                    known |= _asked(addresses)
                if address in known:
                    target = self._targets[listener]
                    threading.Thread(target=_connect, args=(guest, target), daemon=True).start()
                else:
                    guest.close()


def _asked(addresses: Callable[[], set[str]]) -> set[str]:
    try:
        return addresses()
    except BackendError:  # the engine is out of reach for now: the guest may try again
        return set()


def _listener(host: str) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.IPPROTO_IP, FREEBIND, 1)
        listener.bind((host, 0))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)  # noqa: FBT003 - positional only
    return listener


def _connect(guest: socket.socket, port: int) -> None:
    """Pass bytes on in both directions until one side has no more and the other has heard it."""
    with guest:
        guest.setblocking(True)  # noqa: FBT003 - positional only
        try:
            server = socket.create_connection(("127.0.0.1", port))
        except OSError:
            return
        with server:
            back = threading.Thread(target=_pass, args=(server, guest), daemon=True)
            back.start()
            _pass(guest, server)
            back.join()


def _pass(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(CHUNK):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
