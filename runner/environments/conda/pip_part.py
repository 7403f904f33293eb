"""The ``pip:`` section of a conda environment, installed by uv around what conda has."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runner.environments.uv import Uv, failure
from runner.system.files import cache_directory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.environments.conda.lockfile import Package
    from runner.ports import Reporter


class PipPart:
    """What pip is to add to one prefix that conda packages are in already."""

    def __init__(
        self,
        prefix: str,
        *,
        home: str,
        environ: Mapping[str, str],
        reporter: Reporter | None = None,
    ) -> None:
        self._prefix, self._home = prefix, home
        self._uv = Uv(environ=environ, reporter=reporter)

    def install(
        self,
        packages: Sequence[Package],
        plan: Mapping[str, Any],
        *,
        as_of: str | None,
        keep: Sequence[int] = (),
    ) -> None:
        """Add locked packages, each with its hash, then local ones.

        Raises:
            EnvError: A package cannot be had, has another hash, or does not build.
        """
        hashed = [p for p in packages if p.sha256]
        loose = [f"{p.name} @ {p.url}" for p in packages if not p.sha256]
        common = ["--python", os.path.join(self._prefix, "bin", "python"), "--quiet", "--no-deps",
                  "--link-mode", "copy", "--break-system-packages"]  # fmt: skip
        if as_of:
            common += ["--exclude-newer", as_of]
        options = tuple(plan["options"])
        if hashed:
            self._install_hashed(hashed, common, options, keep)
        for name, path in sorted(plan["local"].items()):
            editable = name in plan["editable"]
            loose += ["--editable", path] if editable else [f"{name} @ file://{quote(path)}"]
        if loose:
            done = self._uv.attempt("pip", "install", *common, *loose, options=options, keep=keep)
            if done.exit_code:
                raise failure(done, "a pip package cannot be installed")

    def _install_hashed(
        self,
        packages: Sequence[Package],
        common: Sequence[str],
        options: tuple[str, ...],
        keep: Sequence[int],
    ) -> None:
        """Ask the index by name, where a mirror will do, then the URLs of the lock."""
        scratch = cache_directory(self._home, "scratch")
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            path = os.path.join(folder, "requirements.txt")
            command = ["pip", "install", *common, "--require-hashes", "-r", path]
            _write(path, "".join(f"{p.name}=={p.version} --hash=sha256:{p.sha256}\n"
                                 for p in packages))  # fmt: skip
            done = self._uv.attempt(*command, options=options, keep=keep, told=False)
            if done.exit_code and "ailed to build" not in done.complaint:
                _write(path, "".join(f"{p.name} @ {p.url} --hash=sha256:{p.sha256}\n"
                                     for p in packages))  # fmt: skip
                second = self._uv.attempt(*command, options=options, keep=keep)
                done = second if "mismatch" in second.complaint or not second.exit_code else done
        if done.exit_code:
            raise failure(done, "the pip packages cannot be installed")


def _write(path: str, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
