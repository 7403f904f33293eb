"""Pythons of conda's, for Python environments that ask for a version nobody else has."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from conda_channel import FULL, python_real, python_stub

from runner.environments.interpreters import Interpreters
from runner.environments.uv import Uv
from runner.errors import EnvError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conda_bench import CondaBench

    from runner.environments.interpreters import Interpreter


class Bare(Interpreters):
    """Interpreters of a machine that has none but those that were fetched for it."""

    def _candidates(self) -> Iterator[str]:
        for path in super()._candidates():
            if path.startswith(self._pythons):
                yield path


def find(conda: CondaBench, asked: str) -> Interpreter:
    conda.environ.pop("UV_PYTHON_DOWNLOADS", None)
    conda.environ |= {"UV_OFFLINE": "1", "UV_PYTHON_INSTALL_DIR": str(conda.home / "uv")}
    uv = Uv(environ=conda.environ)
    return Bare(home=str(conda.home), environ=conda.environ, uv=uv).find(asked)


def test_what_conda_has_not_either_is_told(conda: CondaBench) -> None:
    rc = conda.project.parent / ".condarc"
    rc.write_text(f"channels: ['{conda.channel.url}']\n")
    with pytest.raises(EnvError, match="nor conda: no channel has 'python") as caught:
        find(conda, "3.6.15")
    assert "there is no Python 3.6.15 on this machine" in caught.value.message


def test_who_forbids_downloads_gets_none_of_conda(conda: CondaBench) -> None:
    conda.environ["UV_PYTHON_DOWNLOADS"] = "never"
    uv = Uv(environ=conda.environ)
    interpreters = Bare(home=str(conda.home), environ=conda.environ, uv=uv)
    with pytest.raises(EnvError, match="uv may not install one here"):
        interpreters.find(FULL)
    assert not (conda.home / "pythons").exists()


@pytest.mark.slow
@pytest.mark.parametrize("asked", [FULL, f"=={FULL}"])
def test_a_python_of_conda_s_makes_environments(conda: CondaBench, asked: str) -> None:
    rc = conda.project.parent / ".condarc"
    rc.write_text(f"channels: ['{conda.channel.url}']\n")
    conda.channel.remove(python_stub())
    conda.channel.add(python_real())
    found = find(conda, asked)
    assert found.version == FULL
    assert found.path.startswith(str(conda.home / "pythons"))
    environment = conda.project / "venv"
    uv = Uv(environ=conda.environ)
    done = uv.attempt("venv", "--python", found.path, str(environment))
    assert done.exit_code == 0, done.complaint
    program = "import sys, ssl; print(sys.base_prefix)"
    told = subprocess.check_output([environment / "bin" / "python", "-c", program], text=True)
    assert told.strip() == os.path.dirname(os.path.dirname(found.path))
    conda.channel.remove(python_real())
    again = find(conda, asked)
    assert again.path == found.path
    assert again == found
