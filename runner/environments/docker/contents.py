"""What is inside an image: its shell, its Python, its packages. Asked of a container, once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runner.model.event import Step, StepDone
from runner.system.engine import address, translated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from docker import DockerClient
    from docker.models.containers import Container

    from runner.environments.docker.images import Images
    from runner.ports import Reporter

LABEL = "runproj.probe"
SECONDS = 60
NOT_STARTED = frozenset({126, 127})
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

    def __init__(
        self, images: Images, *, environ: Mapping[str, str], reporter: Reporter | None = None
    ) -> None:
        self._images, self._environ, self._reporter = images, environ, reporter

    def of(self, identifier: str) -> tuple[str, dict[str, Any] | None]:
        """Return the best shell of an image (``""``: none) and what its Python says, if any.

        Raises:
            BackendError: The engine cannot be asked.
        """
        import time

        began = time.monotonic()
        self._tell(Step(verb="looking into", subject=identifier.removeprefix("sha256:")[:12]))
        with translated(address(self._environ)):
            said = _said(self._images.client, identifier, ["sh", "-c", SHELLS, OBSERVE])
            if said is None:
                seen = _said(self._images.client, identifier, ["python3", "-c", OBSERVE])
                shell, text = "", seen or ""
            else:
                shell, _, text = said.partition("\n")
        seconds = time.monotonic() - began
        subject = identifier.removeprefix("sha256:")[:12]
        self._tell(StepDone(verb="looking into", subject=subject, seconds=seconds))
        return shell if shell in {"bash", "sh"} else "", _python(text)

    def _tell(self, event: Step | StepDone) -> None:
        if self._reporter:
            self._reporter.report(event)


def _python(text: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(text.strip().rpartition("\n")[2])
        return {"python": dict(found["python"]), "packages": list(found["packages"])}
    except (ValueError, KeyError, TypeError):
        return None


def _said(client: DockerClient, identifier: str, argv: list[str]) -> str | None:
    """Return what a program prints in a container of the image; None when it cannot be started."""
    from docker.errors import APIError

    container = client.containers.create(
        identifier,
        entrypoint=argv,
        command=[],
        network_mode="none",
        labels={LABEL: "1"},
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        try:
            container.start()
        except APIError:
            return None
        return _ended(container)
    finally:
        container.remove(force=True, v=True)


def _ended(container: Container) -> str | None:
    from requests import RequestException

    try:
        code = int(container.wait(timeout=SECONDS)["StatusCode"])
    except RequestException:  # the SDK's only sign that the time is over
        return ""
    if code in NOT_STARTED:
        return None
    text: bytes = container.logs(stdout=True, stderr=False)
    return text.decode("utf-8", "replace")
