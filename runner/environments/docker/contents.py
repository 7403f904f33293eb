"""What is inside an image: its shell, its Python, its packages. Asked of a container, once."""

from __future__ import annotations

import json
import time
from threading import Timer
from typing import TYPE_CHECKING

from runner.errors import RunprojError
from runner.model.event import Step, StepDone
from runner.system.engine_calls import Engine, EngineRefusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.ports import Reporter
    from runner.system.engine_calls import Bytes

LABEL = "runproj.probe"
SECONDS = 60.0
"""For a look into an image; what is not known by then stays unknown."""
NO_PROGRAM = ("executable file", "no such file", "not found", "permission denied")
"""What engines say when an image does not have the program that was to be started."""
FRAME = 8
"""Bytes before each piece of output: which stream it is of, three zeros, and how long it is."""
STDOUT = 1
SHELLS = """\
if command -v bash >/dev/null 2>&1; then echo bash; else echo sh; fi
for python in python python3; do
  if command -v $python >/dev/null 2>&1; then exec $python -c "$0"; fi
done
"""
"""For any POSIX shell: the best shell on the first line, what Python says after it."""
OBSERVE = r"""
import json, os, platform, sys, sysconfig
found = {}
for folder in sys.path:
    try:
        names = os.listdir(folder or ".")
    except OSError:
        continue
    for name in sorted(names):
        file = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}.get(os.path.splitext(name)[1])
        if not file:
            continue
        path = os.path.join(folder, name)
        path = os.path.join(path, file) if os.path.isdir(path) else path
        fields = {}
        try:
            with open(path, "rb") as opened:
                for line in opened.read().decode("utf-8", "replace").splitlines():
                    if not line.strip():
                        break
                    key, colon, value = line.partition(":")
                    fields.setdefault(key.lower(), value.strip())
        except (IOError, OSError):
            continue
        if "name" in fields and "version" in fields:
            found.setdefault(fields["name"].lower().replace("_", "-"), fields["version"])
print(json.dumps({
    "python": {
        "version": platform.python_version(),
        "implementation": platform.python_implementation().lower(),
        "abi": sysconfig.get_config_var("SOABI") or "",
        "platform": sysconfig.get_platform(),
        "path": os.path.realpath(sys.executable or ""),
    },
    "packages": [{"name": n, "version": v} for n, v in sorted(found.items())],
}))
"""
"""For any Python from 2.7 on, without importing anything of the image's packages."""


class Contents:
    """Looks into images; the containers have no network, and are gone afterwards."""

    def __init__(self, *, environ: Mapping[str, str], reporter: Reporter | None = None) -> None:
        self._environ, self._reporter = environ, reporter

    def of(self, identifier: str) -> tuple[str, dict[str, Any] | None]:
        """Return the best shell of an image (``""``: none) and what its Python says, if any.

        Raises:
            BackendError: The engine cannot be asked.
        """
        began, subject = time.monotonic(), identifier.removeprefix("sha256:")[:12]
        self._tell(Step(verb="looking into", subject=subject))
        engine = Engine(self._environ)
        try:
            said = printed(engine, identifier, ["sh", "-c", SHELLS, OBSERVE])
            shell, _, text = said.partition("\n")
            if shell not in {"bash", "sh"}:
                shell, text = "", printed(engine, identifier, ["python3", "-c", OBSERVE])
        finally:
            engine.close()
        seconds = time.monotonic() - began
        self._tell(StepDone(verb="looking into", subject=subject, seconds=seconds))
        return shell, _python(text)

    def _tell(self, event: Step | StepDone) -> None:
        if self._reporter:
            self._reporter.report(event)


def _python(text: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(text.strip().rpartition("\n")[2])
        return {"python": dict(found["python"]), "packages": list(found["packages"])}
    except (ValueError, KeyError, TypeError):
        return None


def printed(engine: Engine, identifier: str, argv: list[str]) -> str:
    """Return what a program prints in a container of the image; nothing when it has none such.

    Raises:
        BackendError: The engine cannot be asked, or starts no containers.
    """
    made = engine.ask(
        "POST",
        "/containers/create",
        {
            "Image": identifier,
            "Entrypoint": argv,
            "Cmd": [],
            "Env": ["PYTHONDONTWRITEBYTECODE=1"],
            "Labels": {LABEL: "1"},
            "HostConfig": {"NetworkMode": "none"},
        },
    )
    container = f"/containers/{made['Id']}"
    try:
        stream = engine.stream(str(made["Id"]))
        try:
            return _started(engine, container, stream).decode("utf-8", "replace")
        finally:
            stream.close()
    finally:
        engine.ask("DELETE", f"{container}?force=1&v=1")


def _started(engine: Engine, container: str, stream: Bytes) -> bytes:
    try:
        engine.ask("POST", f"{container}/start")
    except EngineRefusal as error:
        if any(words in error.message.lower() for words in NO_PROGRAM):
            return b""
        raise

    def end() -> None:
        try:
            engine.ask("POST", f"{container}/kill")
        except RunprojError:
            return  # it has ended by itself meanwhile

    limit = Timer(SECONDS, end)
    limit.daemon = True
    limit.start()
    try:
        return _output(stream)
    finally:
        limit.cancel()


def _output(stream: Bytes) -> bytes:
    """Return what comes on standard output, to its end."""
    found = []
    while len(frame := _exactly(stream, FRAME)) == FRAME:
        piece = _exactly(stream, int.from_bytes(frame[4:], "big"))
        if frame[0] == STDOUT:
            found.append(piece)
    return b"".join(found)


def _exactly(stream: Bytes, count: int) -> bytes:
    """Return so many bytes, fewer at the end."""
    found = b""
    while len(found) < count and (chunk := stream.recv(count - len(found))):
        found += chunk
    return found
