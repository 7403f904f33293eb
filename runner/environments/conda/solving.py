"""Solving for a conda environment: rattler picks the conda packages, uv what pip is to add."""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from runner.environments.conda import lockfile
from runner.environments.conda.builder import EMBEDDED
from runner.environments.conda.channels import Channels, is_path
from runner.environments.conda.complaints import BadSpecError, UnsolvableError
from runner.environments.conda.configuration import runs_link_scripts
from runner.environments.conda.inputs import (
    channel_of,
    inputs_digest,
    package_name,
    specs,
    stamp,
    texts,
)
from runner.environments.conda.lockfile import CondaLock
from runner.environments.conda.pip_locking import PipLocking
from runner.environments.conda.platforms import virtual_packages
from runner.environments.conda.rattler import Rattler
from runner.environments.conda.targets import target
from runner.environments.warning import warn
from runner.errors import EnvError
from runner.model.event import Step, StepDone
from runner.system.files import cache_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.environments.conda.channels import Channel
    from runner.environments.conda.lockfile import Package
    from runner.environments.requirements import Requirements
    from runner.model.lock import LockRequest
    from runner.model.spec import CondaSpec
    from runner.ports import Reporter

Picked: TypeAlias = "tuple[tuple[Package, ...], dict[str, str]]"
"""Conda packages, and what the lock says of how they were found."""


class Solving:
    """Makes new locks. Slow: starts processes, may use the network.

    ``manager`` is who picks the conda packages: rattler, or an installed program.
    """

    def __init__(
        self,
        *,
        home: str,
        environ: Mapping[str, str],
        reporter: Reporter | None = None,
        manager: str = EMBEDDED,
    ) -> None:
        self._home, self._environ, self._reporter = home, environ, reporter
        self._manager = manager
        self._rattler = Rattler(home=home, environ=environ)

    def solved(
        self,
        request: LockRequest,
        spec: CondaSpec,
        asked: Requirements,
        *,
        platform: str,
        kept: tuple[Package, ...] = (),
    ) -> CondaLock:
        """Solve for a new lock for one platform; versions of ``kept`` are preferred.

        Raises:
            EnvError: Nothing fits all specifications, or they make no sense.
        """
        begun = time.monotonic()
        self._report(Step(verb="locking", subject=spec.origin))
        base = os.path.join(request.project, os.path.dirname(spec.origin))
        channels = Channels(self._environ)
        wanted = specs(spec, asked)
        named = [name for text in wanted if (name := channel_of(text))]
        tiers = channels.read((*(spec.channels or channels.default), *named), base)
        virtual = [list(words) for words in virtual_packages(platform, self._environ)]
        given = {
            "platform": platform,
            "virtual_packages": virtual,
            "as_of": stamp(request),
            "locked": [
                lockfile.as_row(p) for p in kept if (p.platform, p.manager) == (platform, "conda")
            ],
        }
        part = self._conda_part if self._manager == EMBEDDED else self._external_part
        placed = [channels.placed(text, channel_of(text), base) for text in wanted]
        packages, solver = part(spec, placed, channels, tiers, given)
        local: list[dict[str, Any]] = []
        if asked.lines:
            pip = tuple(p for p in kept if (p.platform, p.manager) == (platform, "pip"))
            added, local = self._pip_part(request, spec, asked, packages, pip)
            packages = (*packages, *added)
        ours: dict[str, Any] = {
            "requirements": texts(spec, asked),
            **solver,
            "virtual_packages": {platform: virtual},
        }
        if local:
            ours["local"] = local
        if request.as_of:
            ours["as_of"] = stamp(request)
        if runs_link_scripts(self._environ):
            ours["link_scripts"] = True
        seconds = time.monotonic() - begun
        self._report(StepDone(verb="locking", subject=spec.origin, seconds=seconds))
        return CondaLock(
            packages=packages,
            channels=tuple(url for tier in tiers for url in tier.urls),
            platforms=(platform,),
            source=os.path.basename(spec.origin),
            inputs={platform: inputs_digest(spec, asked, request.project)},
            ours=ours,
        )

    def _conda_part(
        self,
        spec: CondaSpec,
        asked: list[str],
        channels: Channels,
        tiers: tuple[Channel, ...],
        given: Mapping[str, Any],
    ) -> Picked:
        """Solve with strict channel priority; where that has no answer, as conda does."""
        ask, platform = self._rattler.solved, given["platform"]
        try:
            records = ask(asked, tiers, channels.access, priority="Strict", **given)
            return lockfile.of_records(records, platform), {"priority": "strict"}
        except BadSpecError as error:
            error.where = spec.origin
            raise
        except UnsolvableError as strict:
            why = EnvError(strict.message, where=spec.origin, hint=strict.hint)
        if len(tiers) == 1:
            raise why
        try:
            records = ask(asked, tiers, channels.access, priority="Flexible", **given)
        except UnsolvableError:
            raise why from None
        warn(
            self._reporter,
            "mixed-channels",
            f"{spec.origin}: no solution takes each package from the first channel that has it; "
            "channels were mixed",
        )
        return lockfile.of_records(records, platform), {"priority": "flexible"}

    def _external_part(
        self,
        spec: CondaSpec,
        asked: list[str],
        channels: Channels,
        tiers: tuple[Channel, ...],
        given: Mapping[str, Any],
    ) -> Picked:
        """Have an installed program solve, with the channels as they are written.

        conda-lock keeps it from adding pip to Python, as it would otherwise do.
        """
        from runner.environments.conda.external_solver import solved

        del channels
        named = {package_name(text) for text in asked}
        if "python" in named and "pip" not in named:
            asked = [*asked, "pip"]
        urls = [url for tier in tiers for url in tier.urls]
        written = [name for name in spec.channels if name != "nodefaults"]
        names = urls if any(map(is_path, written)) or len(written) < len(tiers) else written
        found = solved(self._manager, asked, names, given, home=self._home, environ=self._environ)
        return found, {"solver": self._manager}

    def _pip_part(
        self,
        request: LockRequest,
        spec: CondaSpec,
        asked: Requirements,
        packages: tuple[Package, ...],
        kept: tuple[Package, ...],
    ) -> tuple[tuple[Package, ...], list[dict[str, Any]]]:
        """Lock what pip is to add, around a prefix that is thrown away."""
        platform = packages[0].platform
        python = target(packages, platform, spec.origin)
        scratch = cache_directory(self._home, "scratch")
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            prefix = os.path.join(folder, "prefix")
            rows = [lockfile.as_row(package) for package in packages]
            access = Channels(self._environ).access_to(spec.channels)
            self._rattler.install(rows, prefix, access, platform=platform)
            part = PipLocking(
                prefix, python, home=self._home, environ=self._environ, reporter=self._reporter
            )
            return part.locked(request, spec, asked, kept=kept)

    def _report(self, event: Step | StepDone) -> None:
        if self._reporter:
            self._reporter.report(event)
