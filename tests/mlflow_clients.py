"""Real MLflow clients of several versions, each in its own environment, made once per machine."""

import fcntl
import glob
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

CLIENTS: dict[str, tuple[str, list[str]]] = {
    "1.30.1": ("3.10", ["mlflow==1.30.1", "setuptools<70"]),
    "2.9.2": ("3.10", ["mlflow==2.9.2", "setuptools<70"]),
    "2.22.5": ("3.11", ["mlflow==2.22.5", "sqlalchemy<2.1", "scikit-learn"]),
    "3.1.4": ("3.11", ["mlflow==3.1.4", "sqlalchemy<2.1"]),
    "3.17.2": ("3.11", ["mlflow==3.17.2", "scikit-learn"]),
}
"""For each version of the client the Python that it runs on, and what is installed beside it."""
SKINNY: dict[str, tuple[str, list[str]]] = {
    "3.1.4-skinny": ("3.11", ["mlflow-skinny==3.1.4"]),
}
"""A client without NumPy and pandas, small enough to be put into an image."""


def cache() -> Path:
    chosen = os.environ.get("RUNPROJ_TEST_CACHE")
    return Path(chosen) if chosen else Path(tempfile.gettempdir()) / "runproj-tests"


def interpreter(version: str) -> str:
    """Find a Python; pyenv's, which is not on the PATH, before one that uv would download."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    known = glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python"))
    return known[0] if known else version


def uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    assert found, "uv is needed to make the clients' environments"
    return found


def made(name: str, python_version: str, packages: list[str]) -> str:
    """Return the Python of an environment with packages, made when it is not in the cache."""
    folder = cache() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    marker = folder / "complete"
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        python = folder / "bin" / "python"
        if not marker.exists():
            make = [uv(), "venv", "--clear", "--quiet", "--python", interpreter(python_version)]
            subprocess.run([*make, str(folder)], check=True)
            install = [uv(), "pip", "install", "--quiet", "--python", str(python)]
            # one that is mounted into containers cannot be compiled there
            compiled = ["--compile-bytecode"] if name.endswith("skinny") else []
            subprocess.run([*install, *compiled, *packages], check=True)
            marker.touch()
    return str(python)


def client(version: str) -> str:
    python_version, packages = (CLIENTS | SKINNY)[version]
    return made(f"mlflow-{version}", python_version, packages)


@pytest.fixture(scope="session")
def mlflow_python() -> Callable[[str], str]:
    """Return the Python of an environment that has this version of mlflow."""
    return client
