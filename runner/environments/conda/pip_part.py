"""The ``pip:`` section of a conda environment: locked and installed by uv around what conda has."""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from packaging import tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from runner.environments import pylock
from runner.environments.conda.lockfile import Package
from runner.environments.installed import distributions
from runner.environments.interpreters import PROBE, Interpreter
from runner.environments.requirements import Line
from runner.environments.resolution import Resolution
from runner.environments.uv import Uv, failure
from runner.errors import EnvError
from runner.model.spec import PythonSpec
from runner.model.value import changed
from runner.system.files import cache_directory
from runner.system.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.environments.requirements import Requirements
    from runner.model.lock import LockRequest
    from runner.model.spec import CondaSpec
    from runner.ports import Reporter

SECONDS = 60.0
STUB_WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


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
        self._prefix, self._home, self._environ = prefix, home, environ
        self._uv = Uv(environ=environ, reporter=reporter)

    # --- locking

    def locked(
        self,
        request: LockRequest,
        spec: CondaSpec,
        asked: Requirements,
        *,
        platform: str,
        kept: Sequence[Package] = (),
    ) -> tuple[tuple[Package, ...], list[dict[str, Any]]]:
        """Return the packages to add, and the local ones: name, path below the project, editable.

        What conda has is there as it is: its versions are constraints, its files stay. Versions of
        ``kept`` are preferred.

        Raises:
            EnvError: Nothing fits.
        """
        interpreter = self._interpreter(spec)
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
                universal=False,
            ).table(_preferences(folder, kept))
        rows = [r for r in table.get("packages", []) if pylock.canonical(r["name"]) not in has]
        found = pylock.packages({**table, "packages": rows}, interpreter)
        by_name = {pylock.canonical(row["name"]): row for row in rows}
        local = [
            {"name": p.name, "path": os.path.join(p.source, p.subdirectory),
             "editable": p.editable}
            for p in found if p.kind == "directory"
        ]  # fmt: skip
        order = {tag: at for at, tag in enumerate(_tags(interpreter))}
        others = [p for p in found if p.kind != "directory"]
        return tuple(_entry(p, by_name[p.name], order, platform) for p in others), local

    def _interpreter(self, spec: CondaSpec) -> Interpreter:
        path = os.path.join(self._prefix, "bin", "python")
        if not os.path.exists(path):
            raise EnvError(
                "there is no Python in the environment to install pip packages for",
                where=spec.origin,
                hint="add 'python' to the dependencies",
            )
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

    # --- installing

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


def _tags(interpreter: Interpreter) -> list[tags.Tag]:
    """Return the tags of the wheels that fit, the best first; the libc is this machine's."""
    major, minor = (int(part) for part in interpreter.version.split(".")[:2])
    threads = "t" if f"-{major}{minor}t" in interpreter.abi else ""
    platforms = list(tags.platform_tags())
    name = f"cp{major}{minor}"
    return [
        *tags.cpython_tags((major, minor), [name + threads], platforms),
        *tags.compatible_tags((major, minor), name, platforms),
    ]


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
