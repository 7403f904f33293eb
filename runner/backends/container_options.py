"""An order -> what the SDK's ``create_container`` is to be called with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.backends.container_files import CODE
from runner.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

OF_CONTAINER = frozenset({"hostname", "tty"})
"""Settings that belong to the container itself; the others are for its host."""
LABEL = "runproj."
"""What the names of our labels begin with."""


def creation(
    api: Any,  # noqa: ANN401 - the SDK is untyped
    order: Mapping[str, Any],
    *,
    command: Sequence[str],
    variables: Mapping[str, str],
    hosts: Mapping[str, str],
) -> dict[str, Any]:
    """Return the arguments that make the container of an order."""
    settings = dict(order["settings"])
    labels = {**settings.pop("labels", {}), **order["labels"]}
    own = {name: settings.pop(name) for name in OF_CONTAINER & settings.keys()}
    entrypoint = settings.pop("entrypoint", None)
    if hosts:
        settings["extra_hosts"] = {**hosts, **settings.get("extra_hosts", {})}
    memory = settings.get("mem_limit")
    if memory and "memswap_limit" not in settings:
        settings["memswap_limit"] = memory  # a limit that the disk stretches is none
    if order["network"]:
        settings["network_mode"] = order["network"]
    arguments = {
        "image": order["image"],
        "command": list(command),
        "name": order["name"],
        "environment": {"PYTHONUNBUFFERED": "1", "TINI_KILL_PROCESS_GROUP": "1", **variables},
        "labels": labels,
        "host_config": api.create_host_config(init=True, **mounted(order), **settings),
        **own,
    }
    optional = {
        "user": order["user"],
        "platform": order["platform"],
        "working_dir": order["directory"] or (CODE if order["code"] != "image" else None),
    }
    arguments |= {name: value for name, value in optional.items() if value is not None}
    if entrypoint is not None:
        arguments["entrypoint"] = entrypoint.split() if entrypoint else [""]
    return arguments


def _mounts(order: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = list(order["mounts"])
    if order["code"] == "mount":
        found.append(
            {"kind": "bind", "source": order["snapshot"], "target": CODE, "read_only": True}
        )
    return found


def mounted(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mounts as the Engine API has them; a folder that is not there yet is made.

    What has options beyond ``ro`` goes as a bind text, the only form that takes them all; its parts
    hold no colon, for they were parted at the colons.
    """
    from docker.types import Mount

    mounts, binds = [], []
    for one in _mounts(order):
        if one["kind"] == "bind" and not order["remote"]:
            _make_folder(one["source"])
        if options := one.get("options"):
            modes = ["ro" if one["read_only"] else "rw", *options]
            binds.append(f"{one['source']}:{one['target']}:{','.join(modes)}")
        else:
            mounts.append(
                Mount(
                    target=one["target"],
                    source=one["source"] or None,
                    type=one["kind"],
                    read_only=one["read_only"],
                )
            )
    return {"mounts": mounts, **({"binds": binds} if binds else {})}


def _make_folder(path: str) -> None:
    """Make a folder to mount, so that it belongs to the caller: the engine's would be root's."""
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError:  # a single file
        return
    except OSError as error:
        raise BackendError(f"the folder {path!r} cannot be made: {error.strerror}") from None
