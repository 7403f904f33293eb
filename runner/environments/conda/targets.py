"""The Pythons that pip packages are locked for: the one in a prefix here, or one elsewhere.

Which wheels fit is said in https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from packaging import tags

from runner.environments.conda.platforms import platform_here
from runner.errors import EnvError
from runner.model.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.environments.conda.lockfile import Package

UV_PLATFORMS = {
    "linux-64": "x86_64-manylinux_2_28",
    "linux-aarch64": "aarch64-manylinux_2_28",
    "osx-64": "x86_64-apple-darwin",
    "osx-arm64": "aarch64-apple-darwin",
    "win-64": "x86_64-pc-windows-msvc",
}
"""uv's names for conda's platforms; the glibc is that of the virtual packages."""
MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64", "osx-64": "x86_64",
            "osx-arm64": "arm64"}  # fmt: skip
GLIBC = 28
MACOS = (13, 0)
"""The oldest macOS that uv has wheels fit."""
OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
X86_ONLY = 17
"""Below glibc 2.17 there are wheels for x86 alone."""
OLDEST = 5


class Target(Value):
    """A CPython of conda's on a platform. ``threaded`` is one without the interpreter lock."""

    platform: str
    version: str
    threaded: bool = False

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.platform == platform_here()

    @property
    def scope(self) -> tuple[str, ...]:
        """The options that have uv resolve for it; none where it can be asked itself."""
        if self.is_here:
            return ()
        return ("--python-version", self.version, "--python-platform", UV_PLATFORMS[self.platform])

    def tags(self) -> list[tags.Tag]:
        """Return the tags of the wheels that fit, the best first; the libc here is this one."""
        major, minor = (int(part) for part in self.version.split(".")[:2])
        name, abi = f"cp{major}{minor}", f"cp{major}{minor}{'t' * self.threaded}"
        platforms = list(tags.platform_tags() if self.is_here else _platform_tags(self.platform))
        return [
            *tags.cpython_tags((major, minor), [abi], platforms),
            *tags.compatible_tags((major, minor), name, platforms),
        ]


def target(packages: Iterable[Package], platform: str, origin: str) -> Target:
    """Return the Python among the conda packages of a platform.

    Raises:
        EnvError: There is none, or uv knows nothing of the platform.
    """
    python = next((p for p in packages if p.manager == "conda" and p.name == "python"), None)
    if python is None:
        raise EnvError(
            "there is no Python in the environment to install pip packages for",
            where=origin,
            hint="add 'python' to the dependencies",
        )
    if platform not in UV_PLATFORMS and platform != platform_here():
        raise EnvError(
            f"the pip section can be locked for {platform} on such a machine only",
            where=origin,
            hint=f"elsewhere it can be for {', '.join(UV_PLATFORMS)}",
        )
    threaded = re.search(r"_cp\d+t$", python.build) is not None
    return Target(platform=platform, version=python.version, threaded=threaded)


def python_here() -> str:
    """Return a Python of this machine, for uv to build metadata with where it must."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def _platform_tags(platform: str) -> Iterator[str]:
    machine = MACHINES.get(platform, "")
    if platform.startswith("osx"):
        yield from tags.mac_platforms(MACOS, machine)
    elif platform.startswith("win"):
        yield "win_amd64"
    else:
        lowest = OLDEST if machine == "x86_64" else X86_ONLY
        for minor in range(GLIBC, lowest - 1, -1):
            yield f"manylinux_2_{minor}_{machine}"
            if minor in OLD_NAMES:
                yield f"{OLD_NAMES[minor]}_{machine}"
        yield f"linux_{machine}"
