"""Spec and request -> how the run's container is made; what reaches beyond it is refused or said.

Nothing here is read by a shell: volumes and values are taken apart as texts. What a *project* asks
of the host (the caller's home, the host's network) needs the caller's word, and so does what gives
the whole host away, whoever asks for it (``--privileged``, the engine's socket, ``/``). Other
folders outside of the project are shown as MLflow does, and said.
"""

from __future__ import annotations

import os
import re

from runner.errors import ParameterError, SpecError, UsageError
from runner.model.plan import Container, Mount
from runner.model.spec import Problem
from runner.stages.docker_arguments import container_settings, gpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.model.plan import Invocation, RunRequest
    from runner.model.project import WorkingTree
    from runner.model.spec import CodePlacement, DockerSpec

CODE = "/mlflow/projects/code"
"""Where the project is in every container, as MLflow has it."""
FLAG = "--allow-host-access"
VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
MODES = frozenset(
    (
        *("ro", "rw", "z", "Z", "nocopy", "cached", "delegated", "consistent"),
        *("shared", "slave", "private", "rshared", "rslave", "rprivate"),
    )
)
VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
PRECIOUS = ("/proc", "/sys", "/dev", "/etc", "/boot", "/run", "/var/run", "/var/lib/docker")
"""Folders of the host through which the whole of it can be had."""
OWN_NAMESPACES = {"PidMode": "processes", "IpcMode": "memory", "UTSMode": "name"}
REACHING = {"CapAdd": "cap-add", "Devices": "device", "CgroupParent": "cgroup-parent"}


class Containment:
    """A container under way: its mounts, its settings, and what goes beyond it."""

    def __init__(self, tree: WorkingTree, environ: Mapping[str, str]) -> None:
        self._project = os.path.realpath(tree.project)
        self._environ = environ
        self.mounts: list[Mount] = []
        self.outside: list[str] = []
        self.asked: list[str] = []
        self.grave: list[str] = []

    @property
    def powers(self) -> tuple[str, ...]:
        """Everything that reaches beyond the container, each once."""
        return tuple(dict.fromkeys((*self.refused, *self.outside)))

    @property
    def refused(self) -> tuple[str, ...]:
        """What of it needs the caller's word."""
        return tuple(dict.fromkeys((*self.asked, *self.grave)))

    def volume(self, text: str, *, by_project: bool) -> None:
        """Add ``[source:]target[:modes]``; paths of a project are relative to it.

        Raises:
            SpecError: The text is no volume.
        """
        source, target, modes = _parts(text)
        kind = "volume"
        if source and not VOLUME_NAME.fullmatch(source):
            kind, source = "bind", self._path(source, text)
            self._judge(source, text, by_project=by_project)
        mount = Mount(
            kind="bind" if kind == "bind" else "volume",
            source=source,
            target=os.path.normpath(target),
            read_only="ro" in modes,
            options=tuple(mode for mode in modes if mode not in {"ro", "rw"}),
        )
        if mount.kind == "bind" and mount.read_only and not os.path.exists(source):
            raise SpecError(
                f"the volume {text!r} shows {source!r}, which does not exist",
                hint="make it, or leave ':ro' away to have an empty folder made",
            )
        self.mounts.append(mount)

    def _path(self, source: str, text: str) -> str:
        """Return the real path of the host that a volume names."""

        def value(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if name not in self._environ:
                raise SpecError(
                    f"the volume {text!r} needs the variable {name!r}, which is unset",
                    hint=f"export {name}=...",
                )
            return self._environ[name]

        expanded = VARIABLE.sub(value, source)
        if expanded == "~" or expanded.startswith("~/"):
            expanded = self._environ.get("HOME", "/") + expanded[1:]
        return os.path.realpath(os.path.join(self._project, expanded))

    def _judge(self, path: str, text: str, *, by_project: bool) -> None:
        inside = path == self._project or path.startswith(os.path.join(self._project, ""))
        if path == "/":
            self.grave.append(f"the volume {text!r} shows it the whole file system of the host")
        elif path.endswith((".sock", ".socket")):
            self.grave.append(f"the volume {text!r} hands it the socket of a service of the host")
        elif any(_is_below(path, top) or _is_below(top, path) for top in PRECIOUS):
            self.grave.append(f"the volume {text!r} shows it the host's {path}")
        elif by_project and not inside:
            found = f"the volume {text!r} shows it {path}, outside of the project"
            (self.asked if self._is_private(path) else self.outside).append(found)

    def _is_private(self, path: str) -> bool:
        """Whether a path shows the caller's home, or what is hidden in it: keys, for one."""
        home = os.path.realpath(self._environ.get("HOME") or "/nowhere")
        hidden = _is_below(path, home) and os.path.relpath(path, home).startswith(".")
        return hidden or _is_below(home, path)

    def settings(self, found: Mapping[str, Any]) -> None:
        """Note which of the settings give the host away."""
        if found.get("Privileged"):
            self.grave.append("--privileged gives it everything that root of the host has")
        for name, what in OWN_NAMESPACES.items():
            if str(found.get(name, "")) == "host":
                self.grave.append(f"it shares the host's {what}")
        if found.get("UsernsMode") == "host":
            self.grave.append("it shares the host's users")
        for name, option in REACHING.items():
            if found.get(name):
                self.grave.append(f"--{option} reaches into the host")
        options = [o for o in found.get("SecurityOpt", ()) if not o.startswith("no-new-priv")]
        if options:
            self.grave.append(f"security-opt {options} takes a guard away")


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top + "/")


def _parts(text: str) -> tuple[str, str, list[str]]:
    """Take a volume apart: source (empty for a new volume), target, modes."""
    parts = text.split(":")
    modes: list[str] = []
    if len(parts) > 1 and not parts[-1].startswith("/"):
        modes = parts.pop().split(",")
    unknown = [mode for mode in modes if mode not in MODES]
    source, target = (parts[0], parts[1]) if len(parts) == 2 else ("", parts[0])  # noqa: PLR2004
    if len(parts) not in {1, 2} or unknown or not target.startswith("/") or "\0" in text:
        raise SpecError(
            f"{text!r} is no volume",
            hint="write HOST:CONTAINER or HOST:CONTAINER:ro, the second an absolute path",
        )
    if os.path.normpath(target) == "/":
        raise SpecError(f"the volume {text!r} would hide the whole image", hint="name a folder")
    return source, target, modes


def contained(
    spec: DockerSpec,
    request: RunRequest,
    tree: WorkingTree,
    invocation: Invocation,
    *,
    environ: Mapping[str, str],
) -> Container:
    """Decide how the container is made, all but its image.

    Raises:
        SpecError: What the project asks for cannot be done, or needs the caller's word.
        UsageError: A docker argument makes no sense.
        ParameterError: A variable to hand in is not set.
    """
    settings = container_settings(request.docker_arguments)
    under_way = Containment(tree, environ)
    for text in spec.volumes:
        under_way.volume(text, by_project=True)
    if text := settings.pop("volume", None):
        under_way.volume(text, by_project=False)
    under_way.settings(settings)
    network = settings.pop("network", None) or spec.network
    if network == "host" and "network" not in {*request.docker_arguments, "net"}:
        under_way.asked.append("it uses the host's network")
    if spec.gpus and "DeviceRequests" not in settings:
        settings["DeviceRequests"] = _gpus(spec)
    code: CodePlacement = "image" if _hides_code(under_way.mounts) else spec.code
    if code == "copy" and settings.get("ReadonlyRootfs"):
        raise UsageError(
            "a read-only container takes no copy of the project",
            hint="show the project read-only as well: 'code: mount' in docker_env",
        )
    _ask(under_way, request, spec)
    inputs = _inputs(invocation, under_way.mounts)
    extra = settings.pop("env", {})
    return Container(
        code=code,
        mounts=(*under_way.mounts, *inputs),
        variables={**{k: v for k, v in spec.variables.items() if v is not None}, **extra},
        copied=_copied(spec, environ),
        network=network,
        user=settings.pop("user", None) or spec.user or "caller",
        platform=settings.pop("platform", None) or spec.platform,
        directory=_directory(settings.pop("directory", None)),
        settings=settings,
        powers=under_way.powers,
    )


def _gpus(spec: DockerSpec) -> list[dict[str, object]]:
    try:
        return gpus(spec.gpus or "")
    except ValueError as error:
        where = str(spec.place) if spec.place else None
        raise SpecError(f"'gpus: {spec.gpus}' is not {error}", where=where) from None


def _ask(under_way: Containment, request: RunRequest, spec: DockerSpec) -> None:
    """Refuse what the caller has not allowed."""
    if request.host_access or not under_way.refused:
        return
    first, *more = under_way.refused
    also = f" (and {len(more)} more)" if more else ""
    message = f"the container would reach beyond itself: {first}{also}"
    hint = f"if that is meant, allow it with {FLAG}"
    if under_way.asked and spec.place:
        raise SpecError(message, where=str(spec.place), hint=hint)
    raise UsageError(message, hint=hint)


def _hides_code(mounts: list[Mount]) -> bool:
    return any(mount.target == CODE for mount in mounts)


def _inputs(invocation: Invocation, taken: list[Mount]) -> list[Mount]:
    """Show the files that ``path`` parameters name where the command is told that they are."""
    targets = {mount.target for mount in taken}
    paths = dict.fromkeys(one.path for one in invocation.inputs)
    return [
        Mount(kind="bind", source=os.path.realpath(path), target=path, read_only=True)
        for path in paths
        if path not in targets
    ]


def _copied(spec: DockerSpec, environ: Mapping[str, str]) -> tuple[str, ...]:
    names = tuple(name for name, value in spec.variables.items() if value is None)
    unset = [name for name in names if name not in environ]
    if unset:
        raise ParameterError(
            f"the project expects the environment variable{'s' * (len(unset) > 1)} "
            f"{', '.join(unset)} to be set",
            where=str(spec.place) if spec.place else None,
            hint=f"export {unset[0]}=...",
        )
    return names


def _directory(given: str | None) -> str | None:
    if given is not None and not given.startswith("/"):
        raise UsageError(
            f"-A workdir={given!r} is no absolute path in the container",
            hint=f"for example -A workdir={CODE}",
        )
    return given


def warnings(container: Container) -> tuple[Problem, ...]:
    """Say what the caller should know: every power, and code that is not what is recorded."""
    found = [
        Problem(severity="warning", rule="host-access", message=f"the container: {power}")
        for power in container.powers
    ]
    if container.network == "none":
        found.append(
            Problem(
                severity="warning",
                rule="no-network",
                message="without a network the command cannot log to the tracking store",
                hint="parameters, output and outcome are recorded all the same",
            )
        )
    if container.code == "image":
        found.append(
            Problem(
                severity="warning",
                rule="code-of-image",
                message="the code that runs is what the image or its volumes hold, not the "
                "project's files that are recorded",
                hint="'code: copy' in docker_env runs the project's files",
            )
        )
    return tuple(found)
