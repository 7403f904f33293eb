"""What holds for every test: variables, a cache, a git identity and a umask of its own."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from containers import bare_image, engine, python_image, registry, sh_image
from hypothesis import settings

from tests.mlflow_clients import mlflow_python

__all__ = ["bare_image", "engine", "mlflow_python", "python_image", "registry", "sh_image"]

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("no clocks", deadline=None)
settings.load_profile("no clocks")

ROOT = Path(__file__).parents[1]
FOREIGN = ("MLFLOW_", "RUNPROJ_", "PYTHON", "CONDA_", "GIT_", "VIRTUAL_ENV", "COLUMNS", "NO_COLOR")
"""Starts of variables of whoever runs the tests that would change what they see."""
KEPT = frozenset({"RUNPROJ_TEST_CACHE"})
DISPOSITIONS: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGQUIT: signal.SIG_DFL,
    signal.SIGTERM: signal.SIG_DFL,
}
"""What a shell in the foreground gives its programs; ``nohup`` and ``&`` give others."""
GIT_CONFIGURATION = """\
[user]
    name = Tess Ter
    email = tess@example.org
[init]
    defaultBranch = main
[commit]
    gpgSign = false
"""


@pytest.fixture(scope="session", autouse=True)
def _plain_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Take away what the caller's shell, git and Python settings would add."""
    folder = tmp_path_factory.mktemp("surroundings")
    configuration = folder / "gitconfig"
    configuration.write_text(GIT_CONFIGURATION)
    before = os.umask(0o022)
    for number, handler in DISPOSITIONS.items():
        signal.signal(number, handler)
    with pytest.MonkeyPatch.context() as patch:
        for name in tuple(os.environ):
            if name.startswith(FOREIGN) and name not in KEPT:
                patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("GIT_TERMINAL_PROMPT", "0")
        yield
    os.umask(before)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own, ``RUNPROJ_HOME``, that nothing was written to yet."""
    path = tmp_path_factory.mktemp("home") / "runproj"
    monkeypatch.setenv("RUNPROJ_HOME", str(path))
    return path


@pytest.fixture(scope="session")
def runproj(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the command, as an executable file that runs this checkout."""
    path = tmp_path_factory.mktemp("bin") / "runproj"
    lines = (
        f"#!{sys.executable}",
        "import sys",
        f"sys.path.insert(0, {str(ROOT)!r})",
        "from runner.cli.main import entry",
        "entry()",
    )
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path
