"""Solving with an installed conda, mamba or micromamba, which conda-lock knows how to ask.

conda-lock (https://conda.github.io/conda-lock/) is an optional part of Runproj, and a process here:
importing it takes seconds. It is only asked for the conda packages; what pip is to add is uv's
business as everywhere.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from runner.environments.conda import lockfile
from runner.environments.conda.complaints import UnsolvableError, clean
from runner.environments.conda.external import VARIABLES, found, missing
from runner.errors import EnvError
from runner.system.files import cache_directory
from runner.system.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.environments.conda.lockfile import Package

PROGRAM = "conda-lock"
STARTS, ENDS = "Could not lock the environment", "    Command:"
"""The lines of conda-lock between which the solver's own words stand."""
SHOWN = 12


def solver(environ: Mapping[str, str]) -> list[str]:
    """Return the words that start conda-lock.

    Raises:
        EnvError: It is not installed.
    """
    if find_spec("conda_lock") is not None:
        return [sys.executable, "-m", "conda_lock"]
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder or ".", PROGRAM)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return [path]
    raise EnvError(
        "solving with an installed program is done by conda-lock, which is not there",
        hint="pip install 'runproj[conda-lock]'; or leave --env-manager out: "
        "runproj solves conda environments itself",
    )


def solved(
    tool: str,
    specs: Sequence[str],
    channels: Sequence[str],
    given: Mapping[str, Any],
    *,
    home: str,
    environ: Mapping[str, str],
) -> tuple[Package, ...]:
    """Return the conda packages that a program picks.

    ``given`` is what is asked of rattler, too: platform, virtual packages, date.

    Raises:
        EnvError: The program or conda-lock is not there, or there is no solution.
    """
    program = found(tool, environ)
    if program is None:
        raise missing(tool)
    if given["as_of"]:
        raise EnvError(
            f"{tool} cannot see channels as of a date", hint="leave --env-manager or --as-of out"
        )
    start, platform = solver(environ), given["platform"]
    scratch = cache_directory(home, "scratch")
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        virtual = {name: _version(*words) for name, *words in given["virtual_packages"]}
        subdirs = {"subdirs": {platform: {"packages": virtual}}}
        environment = {"channels": [*channels], "dependencies": [*specs]}
        out = os.path.join(folder, "conda-lock.yml")
        done = run(
            [*start, "lock", "--conda", program, "--kind", "lock", "--lockfile", out,
             "--file", _write(folder, "environment.yml", environment), "--platform", platform,
             "--virtual-package-spec", _write(folder, "virtual.yml", subdirs),
             "--pypi_to_conda_lookup_file", f"file://{_write(folder, 'names.json', {})}"],
            variables={
                **{k: v for k, v in environ.items() if k not in VARIABLES},
                "TMPDIR": folder,
            },
            directory=folder,
        )  # fmt: skip
        if done.exit_code or not os.path.exists(out):
            raise _failure(tool, program, done.complaint)
        lock = lockfile.load(out, shown=f"the lock of {tool}", platform=platform)
    return lock.part(platform, "conda")


def _version(version: str, build: str) -> str:
    """Write a virtual package as conda-lock reads it: the build counts for ``__archspec`` alone."""
    return version if build == "0" else f"{version} {build}"


def _write(folder: str, name: str, document: object) -> str:
    """Write a file for conda-lock; JSON is YAML, too."""
    path = os.path.join(folder, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        json.dump(document, file)
    return path


def _failure(tool: str, program: str, complaint: str) -> EnvError:
    """Say what the solver said; conda-lock prints it amid its own distress."""
    lines = [line.rstrip() for line in clean(complaint).splitlines() if line.strip()]
    start = next((at for at, line in enumerate(lines) if line.startswith(STARTS)), None)
    if start is None:
        raise EnvError(
            f"conda-lock could not lock with {tool}",
            where=program,
            hint="\n    ".join(lines[-SHOWN:]) or None,
        )
    end = next((at for at, line in enumerate(lines) if line.startswith(ENDS)), len(lines))
    words = "\n    ".join(lines[start + 1 : end][:SHOWN])
    return UnsolvableError(
        f"{tool} finds no packages that can be installed together", where=program, hint=words
    )
