"""A project in git, packages made by hand, and machines that share nothing but those."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from git_repositories import Repo, make_repo
from machines import PROJECT, SCRIPT, TRAIN, Machine
from packages import make_wheel

from tests.mlflow_clients import uv

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def tool_python(tmp_path: Path) -> Callable[..., str]:
    """Return what makes an environment of packages from the configured index; its Python."""

    def made(*packages: str) -> str:
        folder = tmp_path / "tools"
        python = str(folder / "bin" / "python")
        subprocess.run([uv(), "venv", "-q", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([uv(), "pip", "install", "-q", "--python", python, *packages], check=True)
        return python

    return made


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    make_wheel(folder, "tensorish", "1.0", body="def score(alpha):\n    return alpha * 2\n")
    return folder


@pytest.fixture
def machine(tmp_path: Path, runproj: Path, wheels: Path) -> Callable[[str], Machine]:
    return lambda name: Machine(tmp_path / name, runproj, wheels)


@pytest.fixture
def project(tmp_path: Path) -> Repo:
    return make_repo(
        tmp_path / "checkout",
        {
            "MLproject": PROJECT,
            "python_env.yaml": "dependencies:\n  - tensorish\n",
            "train.py": TRAIN,
            "logging_client.py": SCRIPT,
            "data.csv": "1.0\n2.5\n",
        },
    )
