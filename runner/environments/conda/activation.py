"""What ``conda activate`` would do to a command's variables, found out once and kept.

The order is conda's: ``etc/conda/env_vars.d/*.json``, the variables of ``conda-meta/state``, then
the scripts of ``etc/conda/activate.d``. The scripts see nothing of the caller's variables, so that
the result is the same for everybody.
"""

from __future__ import annotations

import glob
import json
import os
from typing import TYPE_CHECKING, Any

from runner.errors import EnvError
from runner.system.files import read
from runner.system.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin")
SOURCED = """\
for script in "$@"; do . "$script" >&2 || exit 3; done
exec env -0
"""
SECONDS = 60.0
PASSING = frozenset({"SHLVL", "_", "PWD", "OLDPWD", "PATH"})


def write_state(prefix: str, variables: Mapping[str, str]) -> None:
    """Write the variables of an environment where conda keeps them."""
    if variables:
        path = os.path.join(prefix, "conda-meta", "state")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"version": 1, "env_vars": dict(sorted(variables.items()))}, file)


def activation(prefix: str) -> dict[str, Any]:
    """Return the folders to put first on the PATH and the variables to set.

    Raises:
        EnvError: A script of a package fails.
    """
    base = {
        "CONDA_PREFIX": prefix,
        "CONDA_DEFAULT_ENV": prefix,
        "CONDA_SHLVL": "1",
        "PYTHONNOUSERSITE": "1",
    }
    for path in _files(prefix, "env_vars.d", "*.json"):
        base |= _variables(path, ())
    base |= _variables(os.path.join(prefix, "conda-meta", "state"), ("env_vars",))
    paths = [os.path.join(prefix, "bin")]
    scripts = _files(prefix, "activate.d", "*.sh")
    if not scripts:
        return {"paths": paths, "variables": base}
    before = {
        **base,
        "PATH": os.pathsep.join([*paths, *SYSTEM]),
        "HOME": prefix,
        "LANG": "C.UTF-8",
    }
    after = _sourced(scripts, before, prefix)
    found = {k: v for k, v in after.items() if k not in PASSING and before.get(k) != v}
    entries = after.get("PATH", "").split(os.pathsep)
    first = next((i for i, entry in enumerate(entries) if entry in SYSTEM), len(entries))
    return {
        "paths": list(dict.fromkeys(entries[:first])) or paths,
        "variables": {**base, **dict(sorted(found.items()))},
    }


def _files(prefix: str, folder: str, pattern: str) -> list[str]:
    inside = os.path.join(glob.escape(prefix), "etc", "conda", folder, pattern)
    return sorted(glob.glob(inside))


def _variables(path: str, keys: Sequence[str]) -> dict[str, str]:
    """Read variables from a JSON file; those that are to be unset are left out."""
    try:
        data = json.loads(read(path))
        for key in keys:
            data = data[key]
        return {str(name): str(value) for name, value in data.items() if value is not None}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EnvError("a package of the environment sets variables in a file that makes no sense",
                       where=path) from None  # fmt: skip


def _sourced(scripts: Sequence[str], variables: Mapping[str, str], prefix: str) -> dict[str, str]:
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    quiet = ["--noprofile", "--norc"] if shell.endswith("bash") else []
    done = run(
        [shell, *quiet, "-c", SOURCED, "activate", *scripts],
        variables=variables, directory=prefix, timeout=SECONDS,
    )  # fmt: skip
    if done.exit_code:
        names = ", ".join(os.path.basename(path) for path in scripts)
        raise EnvError(
            f"the environment cannot be activated: one of its scripts ({names}) failed with code "
            f"{done.exit_code}",
            where=os.path.dirname(scripts[0]),
            hint="\n    ".join(done.complaint.splitlines()[-6:]) or None,
        )
    pairs = (entry.partition("=") for entry in done.text.split("\0") if "=" in entry)
    return {name: value for name, _, value in pairs}
