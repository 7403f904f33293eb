"""The ``pip:`` section of a conda environment, locked by uv around what conda has."""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from runner.environments import pylock
from runner.environments.conda.lockfile import Package
from runner.environments.conda.targets import python_here
from runner.environments.installed import distributions
from runner.environments.interpreters import PROBE, Interpreter
from runner.environments.requirements import Line
from runner.environments.resolution import Resolution
from runner.environments.uv import Uv
from runner.errors import EnvError
from runner.model.spec import PythonSpec
from runner.model.value import changed
from runner.system.files import cache_directory
from runner.system.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from packaging import tags

    from runner.environments.conda.targets import Target
    from runner.environments.requirements import Requirements
    from runner.model.lock import LockRequest
    from runner.model.spec import CondaSpec
    from runner.ports import Reporter

SECONDS = 60.0
STUB_WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


class PipLocking:
    """What pip is to add to a prefix that conda packages are in already.

    The prefix may be one of another platform: it is looked at, and nothing in it is run.
    """

    def __init__(
        self,
        prefix: str,
        target: Target,
        *,
        home: str,
        environ: Mapping[str, str],
        reporter: Reporter | None = None,
    ) -> None:
        self._prefix, self._target, self._home, self._environ = prefix, target, home, environ
        self._uv = Uv(environ=environ, reporter=reporter)

    def locked(
        self,
        request: LockRequest,
        spec: CondaSpec,
        asked: Requirements,
        *,
        kept: Sequence[Package] = (),
    ) -> tuple[tuple[Package, ...], list[dict[str, Any]]]:
        """Return the packages to add, and the local ones: name, path below the project, editable.

        What conda has is there as it is: its versions are constraints, its files stay. Versions of
        ``kept`` are preferred.

        Raises:
            EnvError: Nothing fits.
        """
        interpreter = self._interpreter() if self._target.is_here else self._stand_in()
        has = {d.name: d.version for d in distributions(self._prefix)}
        scratch = cache_directory(self._home, "scratch")
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            _write_stubs(folder, has)
            table = Resolution(
                _python_request(request, spec),
                changed(
                    asked,
                    constraints=(*asked.constraints, *_pins(has, spec.origin)),
                    options=(*asked.options, "--find-links", folder),
                ),
                interpreter,
                uv=self._uv,
                home=self._home,
                scope=self._target.scope,
            ).table(_preferences(folder, kept))
        rows = [r for r in table.get("packages", []) if pylock.canonical(r["name"]) not in has]
        holding = interpreter if self._target.is_here else None
        found = pylock.packages({**table, "packages": rows}, holding)
        return self._entries(found, rows), _local(found)

    def _entries(
        self, found: Sequence[pylock.Package], rows: Sequence[Mapping[str, Any]]
    ) -> tuple[Package, ...]:
        by_name = {pylock.canonical(row["name"]): row for row in rows}
        order = {tag: at for at, tag in enumerate(self._target.tags())}
        platform = self._target.platform
        others = (p for p in found if p.kind != "directory")
        return tuple(_entry(p, by_name[p.name], order, platform) for p in others)

    def _stand_in(self) -> Interpreter:
        """Return a Python of this machine that says it is the one elsewhere."""
        return Interpreter(
            path=python_here(), version=self._target.version, implementation="cpython", abi="",
            platform=self._target.platform, size=0, modified=0,
        )  # fmt: skip

    def _interpreter(self) -> Interpreter:
        path = os.path.join(self._prefix, "bin", "python")
        variables = {"PATH": self._environ.get("PATH", os.defpath)}
        done = run([path, "-I", "-c", PROBE], variables=variables, timeout=SECONDS)
        if done.exit_code:
            last = done.complaint.splitlines()[-1:] or [f"exit code {done.exit_code}"]
            raise EnvError(f"the Python of the environment does not run: {last[0]}")
        answer = json.loads(done.stdout)
        status = os.stat(path)
        return Interpreter(
            path=path,
            version=answer["version"],
            implementation=answer["implementation"],
            abi=answer["abi"],
            platform=answer["platform"],
            size=status.st_size,
            modified=status.st_mtime_ns,
        )


def _python_request(request: LockRequest, spec: CondaSpec) -> LockRequest:
    """Return the request as a resolution wants it."""
    python = PythonSpec(
        origin=spec.origin,
        kind="conda",
        directory=os.path.dirname(spec.origin),
        requirements=spec.pip,
        place=spec.place,
    )
    return changed(request, spec=python)


def _preferences(folder: str, kept: Sequence[Package]) -> str | None:
    """Write the packages of an old lock the way that uv reads preferences."""
    rows = [
        {"name": p.name, "version": p.version,
         "wheels": [{"name": p.file, "url": p.url, "hashes": {"sha256": p.sha256}}]}
        for p in kept if p.sha256 and p.file.endswith(".whl")
    ]  # fmt: skip
    if not rows:
        return None
    path = os.path.join(folder, "kept.toml")
    table = {"lock-version": pylock.VERSION, "created-by": "runproj", "packages": rows}
    _write(path, pylock.render(table).decode())
    return path


def _pins(has: Mapping[str, str], origin: str) -> tuple[Line, ...]:
    return tuple(
        Line(text=f"{name}=={version}", file=origin, number=1) for name, version in has.items()
    )


def _write_stubs(folder: str, has: Mapping[str, str]) -> None:
    """Write a wheel for each package that conda has, so that no index needs to know it.

    They say that they need nothing: what they need is conda's business and done.
    """
    for name, version in has.items():
        plain = re.sub(r"[-_.]+", "_", name)
        info = f"{plain}-{version}.dist-info"
        path = os.path.join(folder, f"{plain}-{version}-py3-none-any.whl")
        with zipfile.ZipFile(path, "w") as archive:
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            archive.writestr(f"{info}/METADATA", text)
            archive.writestr(f"{info}/WHEEL", STUB_WHEEL)
            archive.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n")


def _local(found: Sequence[pylock.Package]) -> list[dict[str, Any]]:
    return [
        {"name": p.name, "path": os.path.join(p.source, p.subdirectory), "editable": p.editable}
        for p in found if p.kind == "directory"
    ]  # fmt: skip


def _entry(
    package: pylock.Package, row: Mapping[str, Any], order: Mapping[tags.Tag, int], platform: str
) -> Package:
    """Return a package as a conda-lock has it: with the one file that will be installed."""
    version = package.version or "0"
    if package.kind == "vcs":
        url = package.source if "://" in package.source else f"file://{package.source}"
        below = f"#subdirectory={package.subdirectory}" if package.subdirectory else ""
        return Package(manager="pip", name=package.name, version=version, platform=platform,
                       url=f"git+{url}@{package.commit}{below}", depends={})  # fmt: skip
    file = row["archive"] if package.kind == "archive" else _best(row, order)
    if file is None:
        raise EnvError(f"{package} has no wheel for this Python and platform, and no source")
    url = file.get("url") or f"file://{quote(os.path.abspath(file['path']))}"
    sha256 = (file.get("hashes") or {}).get("sha256", "")
    if not sha256:
        raise EnvError(f"the package index names no sha256 for {package}")
    return Package(manager="pip", name=package.name, version=version, platform=platform, url=url,
                   sha256=sha256, depends={})  # fmt: skip


def _best(row: Mapping[str, Any], order: Mapping[tags.Tag, int]) -> Mapping[str, Any] | None:
    """Return the wheel with the best tags, else the source package."""
    ranked = []
    for at, wheel in enumerate(row.get("wheels", ())):
        name = wheel.get("name") or str(wheel.get("url") or wheel.get("path")).rpartition("/")[2]
        try:
            fitting = [order[tag] for tag in parse_wheel_filename(name)[3] if tag in order]
        except InvalidWheelFilename:
            continue
        if fitting:
            ranked.append((min(fitting), at, wheel))
    if ranked:
        return min(ranked, key=lambda entry: entry[:2])[2]  # type: ignore[no-any-return]
    return row.get("sdist")


def _write(path: str, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
