"""The host as it is: nothing is built, and what is there is written down."""

from __future__ import annotations

import json
import os

from runner.codec import digest, sha256
from runner.errors import EnvError
from runner.model.lock import HostLock, ProcessEnvironment
from runner.model.spec import DockerSpec
from runner.model.value import Digest
from runner.system.files import cache_directory, read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.codec import JSON
    from runner.model.lock import EnvironmentLock, LockRequest
    from runner.model.spec import EnvironmentSpec

    Note = dict[str, Any]

LAYOUT = 1
SHAPING = ("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYENV_VERSION", "VIRTUAL_ENV")
"""Variables that change which Python answers, or what it imports."""
OBSERVE = """
import json, os, platform, sys, sysconfig
from importlib import metadata
found = {}
for item in metadata.distributions():
    name = item.metadata["Name"]
    if name:
        found.setdefault(name.lower().replace("_", "-"), item.version)
json.dump({
    "python": {
        "version": platform.python_version(),
        "implementation": sys.implementation.name,
        "abi": sysconfig.get_config_var("SOABI") or "",
        "platform": sysconfig.get_platform(),
        "path": os.path.realpath(sys.executable),
    },
    "folders": [path for path in sys.path if os.path.isdir(path)],
    "packages": [{"name": n, "version": v} for n, v in sorted(found.items())],
}, sys.stdout)
"""
SECONDS = 60.0


class HostBuilder:
    """Uses whatever ``python`` is on the PATH, with whatever it has: no promise is made."""

    def __init__(self, *, home: str, environ: Mapping[str, str]) -> None:
        self._home, self._environ = home, environ

    def refusal(self, spec: EnvironmentSpec) -> str | None:
        """Serve everything that needs no container."""
        if isinstance(spec, DockerSpec):
            return f"the project runs in a docker image ({spec.image}), which the host is not"
        return None

    def lock(self, request: LockRequest) -> EnvironmentLock:
        """Observe the host.

        Raises:
            EnvError: ``locked`` or ``as_of`` was asked: nothing here can be pinned.
        """
        if request.locked or request.as_of:
            asked = "--locked" if request.locked else "--as-of"
            raise EnvError(
                f"{asked} makes no sense with the environment manager 'local'",
                hint="the host is used as it is; choose --env-manager uv",
            )
        note = self._observed(request.project)
        return HostLock(
            builder="local",
            platform=note["platform"],
            digest=Digest(note["digest"]),
        )

    def build(self, lock: EnvironmentLock) -> ProcessEnvironment:
        """Return the host: no variable is changed; the description is what ``lock`` saw."""
        if not isinstance(lock, HostLock):
            raise EnvError("this lock is not for the environment manager 'local'")
        path = self._description(lock.digest)
        return ProcessEnvironment(description=path if os.path.exists(path) else None)

    def _observed(self, project: str) -> Note:
        """Return what is known of the host's Python, asked anew when anything moved."""
        python = self._python()
        address = self._address(python, project)
        path = os.path.join(self._home, "hosts", f"{address}.json")
        try:
            note: Note = json.loads(read(path))
            if note["folders"] == _states(note["folders"]):
                return note
        except (OSError, ValueError, KeyError, TypeError):
            pass
        seen = self._asked(python, project) if python else None
        folders = seen.pop("folders", []) if seen else []
        described: JSON = {"layout": LAYOUT, "manager": "local", **(seen or {"python": None})}
        note = {
            "digest": digest(described),
            "folders": _states(dict.fromkeys(folders)),
            "platform": (seen or {}).get("python", {}).get("platform") or _platform(),
        }
        cache_directory(self._home, "hosts")
        text = json.dumps(described, indent=1, ensure_ascii=False).encode("utf-8", "replace")
        write_whole(self._description(note["digest"]), text)
        write_whole(path, json.dumps(note).encode())
        return note

    def _description(self, address: str) -> str:
        return os.path.join(self._home, "hosts", f"{address.rpartition(':')[2][:32]}.host.json")

    def _python(self) -> str | None:
        """Return the program that ``python`` (else ``python3``) starts."""
        for name in ("python", "python3"):
            for folder in self._environ.get("PATH", os.defpath).split(os.pathsep):
                path = os.path.join(folder or ".", name)
                if os.access(path, os.X_OK) and not os.path.isdir(path):
                    return path
        return None

    def _address(self, python: str | None, project: str) -> str:
        """Return the digest of all that decides which Python answers."""
        pyenv = self._environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
        files = [os.path.join(pyenv, "version"), os.path.join(project, ".python-version")]
        if python:
            files += [python, os.path.realpath(python)]
            files.append(os.path.join(os.path.dirname(python), "..", "pyvenv.cfg"))
        given: JSON = {
            "layout": LAYOUT,
            "files": [[path, _state(path)] for path in files],
            "variables": {n: self._environ[n] for n in SHAPING if n in self._environ},
        }
        return sha256(json.dumps(given, sort_keys=True).encode()).rpartition(":")[2][:32]

    def _asked(self, python: str, project: str) -> dict[str, Any] | None:
        from runner.errors import RunprojError
        from runner.system.process import run

        try:
            done = run(
                [python, "-c", OBSERVE],
                variables=self._environ,
                directory=project,
                timeout=SECONDS,
            )
            found: dict[str, Any] = json.loads(done.stdout)
        except (RunprojError, OSError, ValueError):
            return None
        return found


def _state(path: str) -> str | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def _states(paths: Mapping[str, str | None]) -> dict[str, str | None]:
    return {path: _state(path) for path in paths}


def _platform() -> str:
    system = os.uname()
    return f"{system.sysname.lower()}-{system.machine}"
