"""Conda's Pythons for those who only want a Python."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.environments.conda.builder import CondaBuilder
from runner.environments.conda.channels import Channels
from runner.model.lock import LockRequest
from runner.model.spec import CondaSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.environments.uv import Uv

CHANNEL = "conda-forge"


def conda_python(words: str, *, home: str, environ: Mapping[str, str], uv: Uv) -> str:
    """Return the path of a Python of conda's, installed when it is not there.

    ``words`` are a version (``3.8.18``) or a PEP 440 specifier. ``home`` is the folder of the store
    to keep it in.

    Raises:
        EnvError: No channel has it, or it cannot be fetched.
    """
    spec = CondaSpec(
        origin="Python",
        channels=Channels(environ).configured or (CHANNEL,),
        packages=(f"python={words}" if words[:1].isdigit() else f"python {words}",),
        variables={},
    )
    builder = CondaBuilder(home=home, environ=environ, reporter=uv.reporter)
    made = builder.build(builder.lock(LockRequest(spec=spec, project=os.path.join(home, "none"))))
    return os.path.join(made.bin_paths[0], "python")
