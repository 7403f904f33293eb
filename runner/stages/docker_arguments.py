"""``-A NAME=VALUE`` -> settings of a container: MLflow's syntax, and none of its shell.

The names are the options of ``docker run`` without their dashes, long or short. Each is known here,
with how its value is read and what it is called in the Docker Engine API (the body of
``POST /containers/create``, or its ``HostConfig``); a name that is not in the table is refused.
"""

from __future__ import annotations

import re

from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([bkmgt]?)(?:i?b)?", re.IGNORECASE)


def size(text: str) -> int:
    """Read a number of bytes with a unit of docker: ``512m``, ``2g``, ``1.5GiB``."""
    found = SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError("a size such as 512m or 2g")
    return int(float(found[1]) * UNITS[found[2].lower() or "b"])


def swap(text: str) -> int:
    """Read a size of memory and swap; ``-1`` is no limit."""
    return -1 if text.strip() == "-1" else size(text)


def cpus(text: str) -> int:
    """Read a number of processors, in billionths."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < 1e6:  # noqa: PLR2004 - no machine has a million processors
        raise ValueError("a number of processors such as 2 or 0.5")
    return round(number * 1e9)


def whole(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("a whole number") from None


def word(text: str) -> str:
    """Take a text as it is."""
    if not text:
        raise ValueError("a value")
    return text


def listed(text: str) -> list[str]:
    """Take one value of an option that docker takes several times."""
    return [word(text)]


def listed_by_commas(text: str) -> list[str]:
    """Take several values, with commas between them."""
    return [word(item.strip()) for item in text.split(",")]


def pair(text: str) -> dict[str, str]:
    """Read ``NAME=VALUE``."""
    name, _, value = text.partition("=")
    return {word(name): value}


def host_entry(text: str) -> list[str]:
    """Read ``NAME:ADDRESS``."""
    name, colon, address = text.partition(":")
    if not (name and colon and address):
        raise ValueError("NAME:ADDRESS")
    return [text]


def device(text: str) -> list[dict[str, str]]:
    """Read ``HOST[:CONTAINER[:rwm]]``."""
    parts = text.split(":")
    if not text.startswith("/") or len(parts) > 3:  # noqa: PLR2004 - the three of the docstring
        raise ValueError("a device such as /dev/fuse")
    path, inside, rights = (*parts, *("", "")[: 3 - len(parts)])[:3]
    return [
        {
            "PathOnHost": path,
            "PathInContainer": inside or path,
            "CgroupPermissions": rights or "rwm",
        }
    ]


def entrypoint(text: str) -> list[str]:
    """Read a program, with its arguments; nothing takes the image's away."""
    return text.split() or [""]


def ulimit(text: str) -> list[dict[str, object]]:
    """Read ``NAME=SOFT[:HARD]``."""
    found = re.fullmatch(r"([a-z]+)=(-?\d+)(?::(-?\d+))?", text)
    if not found:
        raise ValueError("NAME=SOFT[:HARD] such as nofile=1024")
    return [{"Name": found[1], "Soft": int(found[2]), "Hard": int(found[3] or found[2])}]


def tmpfs(text: str) -> dict[str, str]:
    """Read ``PATH[:OPTIONS]``."""
    path, _, options = text.partition(":")
    if not path.startswith("/"):
        raise ValueError("an absolute path in the container")
    return {path: options}


def gpus(text: str) -> list[dict[str, object]]:
    """Read what ``docker run --gpus`` takes: ``all``, a number, or ``device=0,1``."""
    capabilities = {"Capabilities": [["gpu"]]}
    text = text.strip().strip('"')
    if text == "all":
        return [{"Count": -1, **capabilities}]
    if text.isdigit() and int(text) > 0:
        return [{"Count": int(text), **capabilities}]
    if text.startswith("device=") and text != "device=":
        devices = text.removeprefix("device=").split(",")
        return [{"DeviceIDs": devices, **capabilities}]
    raise ValueError("all, a number, or device=0,1")


TABLE: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "add-host": ("ExtraHosts", host_entry),
    "blkio-weight": ("BlkioWeight", whole),
    "cap-add": ("CapAdd", listed_by_commas),
    "cap-drop": ("CapDrop", listed_by_commas),
    "cgroup-parent": ("CgroupParent", word),
    "cpu-period": ("CpuPeriod", whole),
    "cpu-quota": ("CpuQuota", whole),
    "cpu-shares": ("CpuShares", whole),
    "cpus": ("NanoCpus", cpus),
    "cpuset-cpus": ("CpusetCpus", word),
    "cpuset-mems": ("CpusetMems", word),
    "device": ("Devices", device),
    "dns": ("Dns", listed_by_commas),
    "dns-search": ("DnsSearch", listed_by_commas),
    "entrypoint": ("Entrypoint", entrypoint),
    "env": ("env", pair),
    "gpus": ("DeviceRequests", gpus),
    "group-add": ("GroupAdd", listed_by_commas),
    "hostname": ("Hostname", word),
    "ipc": ("IpcMode", word),
    "label": ("Labels", pair),
    "memory": ("Memory", size),
    "memory-reservation": ("MemoryReservation", size),
    "memory-swap": ("MemorySwap", swap),
    "memory-swappiness": ("MemorySwappiness", whole),
    "network": ("network", word),
    "oom-score-adj": ("OomScoreAdj", whole),
    "pid": ("PidMode", word),
    "pids-limit": ("PidsLimit", whole),
    "platform": ("platform", word),
    "runtime": ("Runtime", word),
    "security-opt": ("SecurityOpt", listed),
    "shm-size": ("ShmSize", size),
    "sysctl": ("Sysctls", pair),
    "tmpfs": ("Tmpfs", tmpfs),
    "ulimit": ("Ulimits", ulimit),
    "user": ("user", word),
    "userns": ("UsernsMode", word),
    "uts": ("UTSMode", word),
    "volume": ("volume", word),
    "workdir": ("directory", word),
}
"""Options with a value: their name in the API (or ours, in small letters), and its reading."""

FLAGS = {"privileged": "Privileged", "read-only": "ReadonlyRootfs", "tty": "Tty"}
"""Options that stand alone."""
IMPLIED = frozenset({"init", "rm"})
"""Options that every run has: an init process, and nothing left behind."""
SHORT = {
    "c": "cpu-shares",
    "e": "env",
    "h": "hostname",
    "l": "label",
    "m": "memory",
    "net": "network",
    "t": "tty",
    "u": "user",
    "v": "volume",
    "w": "workdir",
}
REFUSED = {
    "attach": "the command's output is always followed",
    "cidfile": "the run's record tells its container",
    "d": "runproj follows its runs",
    "detach": "runproj follows its runs",
    "i": "a run has no input",
    "interactive": "a run has no input",
    "name": "the container is named after its run",
    "pull": "the project says that: docker_env, pull",
    "restart": "a run happens once",
}
"""Options that make no sense for a run, and why."""


def container_settings(given: Mapping[str, str | None]) -> dict[str, Any]:
    """Return what the docker arguments ask for, by the API's names.

    Raises:
        UsageError: There is no such option, or it does not take that value.
    """
    settings: dict[str, Any] = {}
    for name, value in given.items():
        option = SHORT.get(name, name)
        if option in IMPLIED:
            continue
        if option in FLAGS:
            settings[FLAGS[option]] = _switch(name, value)
        elif option in TABLE:
            field, read = TABLE[option]
            if field in settings:
                raise UsageError(f"-A {name!r} is given twice", hint="keep the one that is meant")
            settings[field] = _value(name, value, read)
        else:
            raise _unknown(name)
    return settings


def _switch(name: str, value: str | None) -> bool:
    if value is None or value.lower() in {"", "true", "1"}:
        return True
    if value.lower() in {"false", "0"}:
        return False
    raise UsageError(f"-A {name} is a flag and takes no value", hint=f"-A {name}")


def _value(name: str, value: str | None, read: Callable[[str], Any]) -> Any:  # noqa: ANN401
    if value is None:
        raise UsageError(f"-A {name} needs a value", hint=f"-A {name}=VALUE")
    if "\0" in value:
        raise UsageError(f"-A {name} has a NUL character", hint="leave it away")
    try:
        return read(value)
    except ValueError as error:
        raise UsageError(
            f"-A {name}={value!r} is not {error}",
            hint=f"docs/containers.md tells what {name} takes",
        ) from None


def _unknown(name: str) -> UsageError:
    if name in REFUSED:
        return UsageError(f"-A {name} is not possible: {REFUSED[name]}", hint="leave it away")
    from difflib import get_close_matches

    bare = name.lstrip("-")
    known = [*TABLE, *FLAGS, *IMPLIED, *SHORT]
    near = [bare] if bare in known else get_close_matches(bare, known, n=1)
    return UsageError(
        f"-A {name!r} is no option of docker run that runproj knows",
        hint=f"did you mean '-A {near[0]}'?" if near else "docs/containers.md lists those it knows",
    )
