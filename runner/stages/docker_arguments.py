"""``-A NAME=VALUE`` -> settings of a container: MLflow's syntax, and none of its shell.

The names are the options of ``docker run`` without their dashes, long or short. Each is known here,
with how its value is read and what it is called in the docker SDK (``create_host_config`` and
``create_container``); a name that is not in the table is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


def host_entry(text: str) -> dict[str, str]:
    """Read ``NAME:ADDRESS``."""
    name, colon, address = text.partition(":")
    if not (name and colon and address):
        raise ValueError("NAME:ADDRESS")
    return {name: address}


def ulimit(text: str) -> list[dict[str, object]]:
    """Read ``NAME=SOFT[:HARD]``."""
    found = re.fullmatch(r"([a-z]+)=(-?\d+)(?::(-?\d+))?", text)
    if not found:
        raise ValueError("NAME=SOFT[:HARD] such as nofile=1024")
    return [{"name": found[1], "soft": int(found[2]), "hard": int(found[3] or found[2])}]


def tmpfs(text: str) -> dict[str, str]:
    """Read ``PATH[:OPTIONS]``."""
    path, _, options = text.partition(":")
    if not path.startswith("/"):
        raise ValueError("an absolute path in the container")
    return {path: options}


def gpus(text: str) -> list[dict[str, object]]:
    """Read what ``docker run --gpus`` takes: ``all``, a number, or ``device=0,1``."""
    capabilities = [["gpu"]]
    text = text.strip().strip('"')
    if text == "all":
        return [{"count": -1, "capabilities": capabilities}]
    if text.isdigit() and int(text) > 0:
        return [{"count": int(text), "capabilities": capabilities}]
    if text.startswith("device=") and text != "device=":
        devices = text.removeprefix("device=").split(",")
        return [{"device_ids": devices, "capabilities": capabilities}]
    raise ValueError("all, a number, or device=0,1")


TABLE: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "add-host": ("extra_hosts", host_entry),
    "blkio-weight": ("blkio_weight", whole),
    "cap-add": ("cap_add", listed_by_commas),
    "cap-drop": ("cap_drop", listed_by_commas),
    "cgroup-parent": ("cgroup_parent", word),
    "cpu-period": ("cpu_period", whole),
    "cpu-quota": ("cpu_quota", whole),
    "cpu-shares": ("cpu_shares", whole),
    "cpus": ("nano_cpus", cpus),
    "cpuset-cpus": ("cpuset_cpus", word),
    "cpuset-mems": ("cpuset_mems", word),
    "device": ("devices", listed),
    "dns": ("dns", listed_by_commas),
    "dns-search": ("dns_search", listed_by_commas),
    "entrypoint": ("entrypoint", str),
    "env": ("env", pair),
    "gpus": ("device_requests", gpus),
    "group-add": ("group_add", listed_by_commas),
    "hostname": ("hostname", word),
    "ipc": ("ipc_mode", word),
    "label": ("labels", pair),
    "memory": ("mem_limit", size),
    "memory-reservation": ("mem_reservation", size),
    "memory-swap": ("memswap_limit", swap),
    "memory-swappiness": ("mem_swappiness", whole),
    "network": ("network", word),
    "oom-score-adj": ("oom_score_adj", whole),
    "pid": ("pid_mode", word),
    "pids-limit": ("pids_limit", whole),
    "platform": ("platform", word),
    "runtime": ("runtime", word),
    "security-opt": ("security_opt", listed),
    "shm-size": ("shm_size", size),
    "sysctl": ("sysctls", pair),
    "tmpfs": ("tmpfs", tmpfs),
    "ulimit": ("ulimits", ulimit),
    "user": ("user", word),
    "userns": ("userns_mode", word),
    "uts": ("uts_mode", word),
    "volume": ("volume", word),
    "workdir": ("directory", word),
}
"""Options with a value: their name in the SDK, and how the value is read."""

FLAGS = {"privileged": "privileged", "read-only": "read_only", "tty": "tty"}
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
    """Return what the docker arguments ask for, by the SDK's names.

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
        raise UsageError(f"-A {name} has a NUL character")
    try:
        return read(value)
    except ValueError as error:
        raise UsageError(f"-A {name}={value!r} is not {error}") from None


def _unknown(name: str) -> UsageError:
    if name in REFUSED:
        return UsageError(f"-A {name} is not possible: {REFUSED[name]}")
    from difflib import get_close_matches

    bare = name.lstrip("-")
    known = [*TABLE, *FLAGS, *IMPLIED, *SHORT]
    near = [bare] if bare in known else get_close_matches(bare, known, n=1, cutoff=0.5)
    return UsageError(
        f"-A {name!r} is no option of docker run that runproj knows",
        hint=f"did you mean '-A {near[0]}'?" if near else "docs/docker.md lists those it knows",
    )
