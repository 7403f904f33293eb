"""The program that stands for a container among processes: it makes, follows and removes one.

It runs under the supervisor in the place of the command. What the container writes comes out of it,
signals that it gets go to the container, it ends as the container ends, and the container is gone
by then. ``ORDER`` is a JSON document (``runner.backends.containers``); values that are nobody's
business come in variables. How it went stands in ``container.json`` of the job folder, because an
exit code cannot tell a command that was killed from one that had too little memory.
"""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import time

from runner.backends.container_files import Packing, shell_words
from runner.backends.container_options import creation
from runner.backends.container_result import RESULT
from runner.backends.relay import Relay, loopback_ports
from runner.errors import RunprojError
from runner.system.engine_calls import PATIENCE, Engine
from runner.system.files import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.system.engine_calls import Bytes

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
TROUBLE = 125
"""The exit code when the container never ran, or nobody knows how it ended."""
KILLED = 128 + signal.SIGKILL
HEADER = 8
"""Bytes before each piece of output: which stream it is of, and how long it is."""
OUTAGE = 30.0
"""Seconds in which an engine that has gone may come back."""


class Ending:
    """Signals that came for the container, and when the next step is due."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._due: float | None = None
        self._next = signal.SIGTERM
        self.asked = False

    def heard(self, number: int) -> int:
        """Take note of a signal; return what the container is to get."""
        self.asked = True
        self._due = time.monotonic() + self._grace
        self._next = signal.SIGTERM if number in {signal.SIGINT, signal.SIGHUP} else signal.SIGKILL
        return number

    def step(self) -> int | None:
        """Return the signal that is due now, None when none is."""
        if self._due is None or time.monotonic() < self._due:
            return None
        return self.heard(self._next)

    @property
    def patience(self) -> float | None:
        """Seconds until the next step, None when there is none to come."""
        return None if self._due is None else max(0.0, self._due - time.monotonic())


class Client:
    """One container, from its creation to its removal."""

    def __init__(self, order: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self.order, self.environ = order, environ
        self.engine = Engine(environ)
        self.result: dict[str, Any] = {"version": 1, "phase": "submit", "removed": True}
        self.ending = Ending(float(order["grace"]))
        self.relay: Relay | None = None
        self._id = ""
        self._deaf: set[int] = set()
        self._news, self._bell = os.pipe()

    def run(self) -> int:
        """Do it all; return the exit code of the container."""
        self._listen()
        try:
            return self._run()
        except RunprojError as error:
            self.result.update(error=error.message, hint=error.hint)
            return TROUBLE
        finally:
            self._remove()
            self._publish()

    def _run(self) -> int:
        self._create()
        if self._cancelled_early():
            return 128 + signal.SIGTERM
        stream = self.engine.stream(self._id)
        self._ask("POST", "/start")
        self.result["phase"] = "command"
        if self.relay:
            self.relay.start(self._addresses)
        pump = threading.Thread(target=self._pump, args=(stream,), daemon=True)
        pump.start()
        self._attend()
        pump.join(OUTAGE)
        return self._verdict()

    def _ask(self, method: str, rest: str, *, patience: float | None = PATIENCE) -> Any:  # noqa: ANN401 - JSON
        return self.engine.ask(method, f"/containers/{self._id}{rest}", patience=patience)

    # -- beginning

    def _listen(self) -> None:
        """Let signals wake us up; what the caller ignores (nohup) stays ignored."""
        os.set_blocking(self._bell, False)
        for number in FORWARDED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._bell, warn_on_full_buffer=False)

    def _create(self) -> None:
        """Make the container, put the code and what is confidential into it."""
        order = self.order
        variables = dict(order["variables"])
        confidential = {name: self.environ[name] for name in order["confidential"]}
        image = self.engine.ask("GET", f"/images/{order['image']}/json")
        self._prepare_network(variables, confidential)
        packing = Packing(order, image, self._user())
        command, variables = shell_words(order, variables, confidential)
        document = creation(
            {**order, "user": packing.user},
            command=command,
            variables=packing.variables(variables),
            hosts=self.relay.hosts if self.relay else {},
        )
        target = f"/containers/create?name={order['name']}"
        if order["platform"]:
            target += f"&platform={order['platform']}"
        self._id = self.engine.ask("POST", target, document)["Id"]
        self.result.update(id=self._id, image=order["image"], removed=False)
        for content, size in packing.archives(confidential if command.is_wrapped else {}):
            with content:
                self.engine.put(f"/containers/{self._id}/archive?path=/", content, size)

    def _user(self) -> str | None:
        """Return whom the command runs as; None for the one that the image names.

        Root needs no mapping, and where the engine belongs to the caller (rootless), root of the
        container is the caller.
        """
        given = self.order["user"]
        if given == "image":
            return None
        if given != "caller":
            return str(given)
        uid, path = os.getuid(), self.engine.where.socket
        if uid == 0 or (path and os.stat(path).st_uid == uid):
            return None
        return f"{uid}:{os.getgid()}"

    def _prepare_network(self, variables: dict[str, str], confidential: dict[str, str]) -> None:
        """Let the container reach servers on this machine's loopback that it is told about."""
        ports = loopback_ports(self.order["servers"], {**variables, **confidential})
        if not ports or self.order["network"] in {"host", "none"}:
            return
        self.relay = Relay.between(self.engine, self.order["network"], ports)
        for values in (variables, confidential):
            values.update(self.relay.rewritten(values))

    def _cancelled_early(self) -> bool:
        """Whether we were asked to end before the container has started."""
        return bool(select.select([self._news], [], [], 0)[0])

    # -- meanwhile

    def _pump(self, stream: Bytes) -> None:
        """Hand on what the container writes, wait until it has ended, and ring."""
        try:
            if self.order["settings"].get("Tty"):
                while chunk := stream.recv(1 << 16):
                    self._hand_on(1, chunk)
            else:
                while len(header := _exactly(stream, HEADER)) == HEADER:
                    size = int.from_bytes(header[4:], "big")
                    target = 2 if header[0] == 2 else 1  # noqa: PLR2004 - 2 is stderr
                    while size > 0 and (chunk := stream.recv(min(size, 1 << 16))):
                        self._hand_on(target, chunk)
                        size -= len(chunk)
        except OSError:
            pass  # the engine has gone: the end is found out elsewhere
        finally:
            self._wait()
            os.write(self._bell, b"\0")

    def _hand_on(self, target: int, chunk: bytes) -> None:
        """Write a piece of output; when nobody listens any more the command goes on."""
        try:
            while chunk and target not in self._deaf:
                chunk = chunk[os.write(target, chunk) :]
        except OSError:
            self._deaf.add(target)

    def _wait(self) -> None:
        """Wait until the container has ended; an engine that goes away may come back."""
        deadline = time.monotonic() + OUTAGE
        while True:
            try:
                self._ask("POST", "/wait", patience=None)
            except RunprojError:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.5)
            else:
                return

    def _attend(self) -> None:
        """Listen to signals and to the clock until the container has ended."""
        while True:
            select.select([self._news], [], [], self.ending.patience)
            for number in self._heard():
                if number == 0:
                    return
                if number in FORWARDED:
                    self._kill(self.ending.heard(number))
            if (due := self.ending.step()) is not None:
                self._kill(due)

    def _heard(self) -> bytes:
        return os.read(self._news, 64) if select.select([self._news], [], [], 0)[0] else b""

    def _kill(self, number: int) -> None:
        try:
            self._ask("POST", f"/kill?signal={signal.Signals(number).name}")
        except RunprojError:
            return  # it has just ended, or the next step tries again

    def _addresses(self) -> set[str]:
        """Return the container's own addresses: nobody else may use its relay."""
        networks = self._ask("GET", "/json")["NetworkSettings"]["Networks"]
        return {one["IPAddress"] for one in networks.values() if one.get("IPAddress")}

    # -- ending

    def _verdict(self) -> int:
        """Find out how the container ended."""
        state = self._ask("GET", "/json")["State"]
        code = int(state["ExitCode"])
        self.result.update(
            exit_code=code,
            # the flag alone is also true when only a child ran out of memory
            out_of_memory=bool(state.get("OOMKilled")) and code == KILLED,
            child_out_of_memory=bool(state.get("OOMKilled")) and code != KILLED,
        )
        if state.get("Running"):
            self.result["error"] = "the connection to the container engine broke off"
            return TROUBLE
        return code

    def _remove(self) -> None:
        """Take the container away, with the volumes that it alone had."""
        if self.relay:
            self.relay.close()
        if not self._id:
            return
        try:
            self._ask("DELETE", "?v=1&force=1")
        except RunprojError as error:  # ``runproj doctor`` takes it away later
            self.result["leftover"] = error.message
        else:
            self.result["removed"] = True

    def _publish(self) -> None:
        path = os.path.join(self.order["folder"], RESULT)
        write_whole(path, f"{json.dumps(self.result)}\n".encode())


def _exactly(stream: Bytes, count: int) -> bytes:
    found = b""
    while len(found) < count and (chunk := stream.recv(count - len(found))):
        found += chunk
    return found


def main(path: str, environ: Mapping[str, str]) -> int:
    """Run the container that an order asks for."""
    with open(path, encoding="utf-8") as file:
        order = json.load(file)
    return Client(order, environ).run()
