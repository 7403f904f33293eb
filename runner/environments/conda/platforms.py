"""Conda's names for platforms, and the system packages that solves may count on.

Virtual packages are fixed, not detected: the same project gets the same lock on every machine.
``CONDA_OVERRIDE_GLIBC``, ``CONDA_OVERRIDE_CUDA``, ... change them, as they do for conda
(https://docs.conda.io/projects/conda/en/latest/user-guide/tasks/manage-virtual.html).
"""

from __future__ import annotations

import os

from runner.errors import EnvError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Virtual = tuple[str, str, str]
    """Name, version, build string."""

SUBDIRS = {
    ("Linux", "x86_64"): "linux-64",
    ("Linux", "aarch64"): "linux-aarch64",
    ("Linux", "ppc64le"): "linux-ppc64le",
    ("Darwin", "x86_64"): "osx-64",
    ("Darwin", "arm64"): "osx-arm64",
}
KNOWN = (*SUBDIRS.values(), "win-64")
"""The platforms that locks can be made for."""
ARCHITECTURES = {"64": "x86_64", "aarch64": "aarch64", "ppc64le": "ppc64le", "arm64": "m1"}
LINUX = (("__unix", "0"), ("__linux", "5.10"), ("__glibc", "2.28"))
MACS = {"osx-64": "10.15", "osx-arm64": "11.0"}
OVERRIDES = {
    "CONDA_OVERRIDE_GLIBC": "__glibc",
    "CONDA_OVERRIDE_LINUX": "__linux",
    "CONDA_OVERRIDE_OSX": "__osx",
    "CONDA_OVERRIDE_CUDA": "__cuda",
    "CONDA_OVERRIDE_ARCHSPEC": "__archspec",
}


def platform_here() -> str:
    """Return conda's name of this machine's platform.

    Raises:
        EnvError: Conda packages are not made for it.
    """
    system = os.uname()
    subdir = SUBDIRS.get((system.sysname, system.machine))
    if subdir is None:
        raise EnvError(f"there are no conda packages for {system.sysname} on {system.machine}")
    return subdir


def virtual_packages(platform: str, environ: Mapping[str, str]) -> tuple[Virtual, ...]:
    """Return the virtual packages of a platform, with the caller's overrides."""
    family, _, machine = platform.partition("-")
    plain = {
        "linux": LINUX,
        "osx": (("__unix", "0"), ("__osx", MACS.get(platform, "11.0"))),
        "win": (("__win", "0"),),
    }[family]
    found = {name: (name, version, "0") for name, version in plain}
    found["__archspec"] = ("__archspec", "1", ARCHITECTURES.get(machine, machine))
    for variable, name in OVERRIDES.items():
        value = environ.get(variable)
        if value is None:
            continue
        if not value:
            found.pop(name, None)
        elif name == "__archspec":
            found[name] = (name, "1", value)
        else:
            found[name] = (name, value, "0")
    return tuple(found.values())


def unmet(depends: tuple[str, ...]) -> str | None:
    """Say which demand of a package on the system this machine does not meet; None if all.

    Only glibc is looked at: an older one makes programs fail in ways that nobody understands.
    """
    from packaging.version import InvalidVersion, Version

    try:
        have = (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2]
    except (ValueError, OSError):
        return None
    for demand in depends:
        name, _, wanted = demand.partition(" ")
        lowest = wanted.partition(",")[0].removeprefix(">=")
        if name != "__glibc" or not have or not wanted.startswith(">="):
            continue
        try:
            if Version(have) < Version(lowest):
                return f"glibc {lowest} is needed, and this machine has {have}"
        except InvalidVersion:
            continue
    return None
