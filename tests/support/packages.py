"""Packages made by hand, so that locking and building need no network."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from runner.environments.python import PythonBuilder
from runner.model.lock import LockRequest, PackageLock
from runner.model.spec import Place, PythonSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model.event import Event
    from runner.model.lock import ProcessEnvironment


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    body: str = "",
    tag: str = "py3-none-any",
) -> Path:
    """Write a wheel with one module, ``name.VERSION``."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n{body}",
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {r}\n" for r in requires),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},sha256={_hash(text)},{len(text)}\n" for path, text in files.items())
    target = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return target


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


BACKEND = """\
import base64, hashlib, os, zipfile
NAME, VERSION, REQUIRES = {name!r}, {version!r}, {requires!r}
def build_wheel(folder, config_settings=None, metadata_directory=None):
    {hook}
    info = f"{{NAME}}-{{VERSION}}.dist-info"
    text = f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: {{VERSION}}\\n"
    text += "".join(f"Requires-Dist: {{r}}\\n" for r in REQUIRES)
    with open(NAME + ".py") as file:
        module = file.read()
    open("built-here", "w").close()
    files = {{NAME + ".py": module, info + "/METADATA": text,
             info + "/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"}}
    raw = lambda t: base64.urlsafe_b64encode(hashlib.sha256(t.encode()).digest())
    h = lambda t: raw(t).rstrip(b"=").decode()
    record = "".join(f"{{p}},sha256={{h(t)}},{{len(t)}}\\n" for p, t in files.items())
    name = f"{{NAME}}-{{VERSION}}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        for path, text in {{**files, info + "/RECORD": record + info + "/RECORD,,\\n"}}.items():
            archive.writestr(path, text)
    return name
def build_sdist(folder, config_settings=None):
    raise NotImplementedError
"""


def make_source(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    module: str = "",
    hook: str = "pass",
) -> Path:
    """Write a package's sources, with a build backend of their own that needs nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = {list(requires)!r}\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    folder.joinpath("backend.py").write_text(
        BACKEND.format(name=name, version=version, requires=list(requires), hook=hook)
    )
    folder.joinpath(f"{name}.py").write_text(f"VERSION = {version!r}\n{module}")
    return folder


def make_sdist(folder: Path, name: str, version: str, *, hook: str = "pass") -> Path:
    """Write a source distribution."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{version}.tar.gz"
    info = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n".encode()
    with tempfile.TemporaryDirectory() as scratch, tarfile.open(target, "w:gz") as archive:
        for path in sorted(make_source(Path(scratch), name, version, hook=hook).iterdir()):
            archive.add(path, f"{name}-{version}/{path.name}")
        member = tarfile.TarInfo(f"{name}-{version}/PKG-INFO")
        member.size = len(info)
        archive.addfile(member, io.BytesIO(info))
    return target


class Watcher:
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)

    def named(self, kind: type) -> list[Event]:
        return [event for event in self.events if type(event) is kind]


class Bench:
    """A project, a folder of wheels, and builders that see no other packages."""

    def __init__(self, base: Path) -> None:
        self.home = base / "home"
        self.wheels = base / "wheels"
        self.project = base / "project"
        self.wheels.mkdir()
        self.project.mkdir()
        self.watcher = Watcher()
        self.environ = {
            **os.environ,
            "UV_CACHE_DIR": str(base / "cache"),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_CONFIG": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_NO_INDEX": "1",
        }

    def builder(self, manager: str = "uv") -> PythonBuilder:
        return PythonBuilder(
            manager=manager,
            home=str(self.home),
            environ=self.environ,
            reporter=self.watcher,
        )

    def request(self, *lines: str, **given: object) -> LockRequest:
        options = {k: given.pop(k) for k in ("as_of", "locked", "refresh") if k in given}
        spec = {
            "origin": "python_env.yaml",
            "kind": "python_env",
            "python": None,
            "requirements": lines,
            "place": Place(file="python_env.yaml", line=3, column=5),
            **given,
        }
        return LockRequest(spec=PythonSpec(**spec), project=str(self.project), **options)  # type: ignore[arg-type]

    def lock(self, *lines: str, manager: str = "uv", **given: object) -> PackageLock:
        lock = self.builder(manager).lock(self.request(*lines, **given))
        assert isinstance(lock, PackageLock)
        return lock

    def build(self, *lines: str, manager: str = "uv", **given: object) -> ProcessEnvironment:
        return self.builder(manager).build(self.lock(*lines, manager=manager, **given))
