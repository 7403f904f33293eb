"""An order -> the document of ``POST /containers/create`` (Docker Engine API)."""

from __future__ import annotations

import os

from runner.backends.container_files import CODE
from runner.errors import BackendError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

OF_CONTAINER = ("Hostname", "Tty", "Entrypoint")
"""Settings that belong to the container itself; the others are for its host."""


def creation(
    order: Mapping[str, Any],
    *,
    command: Sequence[str],
    variables: Mapping[str, str],
    hosts: Mapping[str, str],
) -> dict[str, Any]:
    """Return the document that makes the container of an order."""
    settings = dict(order["settings"])
    labels = {**settings.pop("Labels", {}), **order["labels"]}
    own = {name: settings.pop(name) for name in OF_CONTAINER if name in settings}
    if hosts:
        known = [f"{name}:{target}" for name, target in hosts.items()]
        settings["ExtraHosts"] = [*known, *settings.get("ExtraHosts", ())]
    if settings.get("Memory"):
        # a limit that the disk stretches is none
        settings.setdefault("MemorySwap", settings["Memory"])
    if order["network"]:
        settings["NetworkMode"] = order["network"]
    default = CODE if order["code"] != "image" else None
    optional = {"User": order["user"], "WorkingDir": order["directory"] or default}
    given = {"PYTHONUNBUFFERED": "1", "TINI_KILL_PROCESS_GROUP": "1", **variables}
    return {
        "Image": order["image"],
        "Cmd": list(command),
        "Env": [f"{name}={value}" for name, value in given.items()],
        "Labels": labels,
        "HostConfig": {"Init": True, **mounted(order), **settings},
        **{name: value for name, value in optional.items() if value is not None},
        **own,
    }


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
    mounts, binds = [], []
    for one in _mounts(order):
        if one["kind"] == "bind" and not order["remote"]:
            _make_folder(one["source"])
        if options := one.get("options"):
            modes = ["ro" if one["read_only"] else "rw", *options]
            binds.append(f"{one['source']}:{one['target']}:{','.join(modes)}")
        else:
            mounts.append(
                {
                    "Type": one["kind"],
                    "Source": one["source"],
                    "Target": one["target"],
                    "ReadOnly": one["read_only"],
                }
            )
    return {"Mounts": mounts, "Binds": binds}


def _make_folder(path: str) -> None:
    """Make a folder to mount, so that it belongs to the caller: the engine's would be root's."""
    try:
        os.makedirs(path, exist_ok=True)
    except FileExistsError:  # a single file
        return
    except OSError as error:
        raise BackendError(f"the folder {path!r} cannot be made: {error.strerror}") from None
