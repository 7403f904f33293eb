"""An installed conda, mamba or micromamba, for those who ask for it by name.

It installs the same lock, as a list of files with hashes (``@EXPLICIT``): nothing is solved again.
MLflow's variables say where conda is, as they do for ``mlflow run``:
https://mlflow.org/docs/latest/api_reference/python_api/mlflow.environment_variables.html.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from runner.environments.conda.builder import EMBEDDED
from runner.environments.conda.complaints import clean
from runner.errors import EnvError
from runner.system.files import Lock, cache_directory
from runner.system.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.environments.conda.lockfile import Package

VARIABLES = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")
SHOWN = 12
"""How many lines of a tool's last words are shown."""


def found(tool: str, environ: Mapping[str, str]) -> str | None:
    """Return the executable of a tool, None when it is not there."""
    for path in _candidates(tool, environ):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _candidates(tool: str, environ: Mapping[str, str]) -> Iterator[str]:
    home = environ.get("MLFLOW_CONDA_HOME")
    if tool == "conda":
        for name in (environ.get("MLFLOW_CONDA_CREATE_ENV_CMD"), "conda"):
            if name and os.sep in name:
                yield name
            elif name and home:
                yield os.path.join(home, "bin", name)
        if "CONDA_EXE" in environ:
            yield environ["CONDA_EXE"]
    elif os.path.basename(environ.get("MAMBA_EXE", "")) == tool:
        yield environ["MAMBA_EXE"]
    elif home:
        yield os.path.join(home, "bin", tool)
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        yield os.path.join(folder or ".", tool)


def missing(tool: str) -> EnvError:
    """Return the error that there is no such tool."""
    return EnvError(
        f"the program {tool!r} is not installed, and --env-manager {tool} asks for it",
        hint=f"leave --env-manager out: runproj installs conda packages itself ({EMBEDDED}); "
        + ("or set MLFLOW_CONDA_HOME" if tool == "conda" else f"or install {tool}"),
    )


def explicit(packages: Sequence[Package]) -> str:
    """Write packages as a list that every tool can install as it is.

    The hash is the MD5 where there is one: older tools know no other.
    """
    lines = [f"{p.url}#{p.md5 or 'sha256:' + p.sha256}" for p in packages]
    return "\n".join(["@EXPLICIT", *lines, ""])


def install(
    tool: str,
    packages: Sequence[Package],
    prefix: str,
    *,
    home: str,
    environ: Mapping[str, str],
    keep: Sequence[int],
) -> None:
    """Make a prefix of locked packages; one at a time, for these tools share a package cache.

    Raises:
        EnvError: The tool is not there, or it fails.
    """
    program = found(tool, environ)
    if program is None:
        raise missing(tool)
    variables = {k: v for k, v in environ.items() if k not in VARIABLES}
    variables |= {"MAMBA_NO_BANNER": "1", "CONDA_JSON": "false"}
    scratch = cache_directory(home, "scratch")
    with (
        Lock(os.path.join(cache_directory(home, "conda"), "external.lock")) as alone,
        tempfile.TemporaryDirectory(dir=scratch) as folder,
    ):
        path = os.path.join(folder, "explicit.txt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(explicit(packages))
        done = run(
            [program, "create", "--yes", "--quiet", "--prefix", prefix, "--file", path],
            variables=variables, directory="/", keep=(*keep, alone.descriptor),
        )  # fmt: skip
    if done.exit_code:
        said = clean(done.complaint) or clean(done.text.strip())
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        raise EnvError(
            f"{tool} could not make the environment (exit code {done.exit_code})",
            where=program,
            hint="\n    ".join(lines[-SHOWN:]) or None,
        )
