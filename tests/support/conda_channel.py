"""A conda channel made by hand in a moment: packages, repodata, a Python that works.

The formats are https://docs.conda.io/projects/conda-build/en/latest/resources/package-spec.html and
RFC 8878 (zstd), of which only stored blocks are written, so that no compressor is needed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import struct
import sys
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

PLACEHOLDER = "/opt/placeholder_" + "placehold_" * 20
"""What stands in files where the prefix belongs: long, so that long prefixes fit."""
EPOCH = 1_700_000_000
DAY = 86400
MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
FULL = f"{MINOR}.{sys.version_info[2]}"
SUBDIR = {("linux", "x86_64"): "linux-64", ("linux", "aarch64"): "linux-aarch64"}.get(
    (sys.platform, os.uname().machine), "linux-64"
)
DROPPED = re.compile(
    r"(^|/)(__pycache__|tests?|idle_test|idlelib|turtledemo|tkinter|lib2to3|ensurepip|pydoc_data"
    r"|site-packages)(/|$)|^config-|(_tkinter|_test\w*|xx\w*)\.[^/]*so$"
)


@dataclass(frozen=True)
class File:
    """One file of a package: content or the target of a link."""

    content: bytes = b""
    link: str | None = None
    mode: int = 0o644
    placeholder: bool = False
    binary: bool = False


@dataclass(frozen=True)
class CondaPackage:
    """One package, as its recipe would say it."""

    name: str
    version: str
    build: str = "0"
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    noarch: str | None = None
    files: dict[str, File] = field(default_factory=dict)
    entry_points: tuple[str, ...] = ()
    made: int = EPOCH
    archive: str = ".conda"
    platform: str = SUBDIR

    @property
    def subdir(self) -> str:
        return "noarch" if self.noarch else self.platform

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-{self.build}"

    def index(self) -> dict[str, object]:
        number = re.search(r"(\d+)$", self.build)
        said: dict[str, object] = {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "build_number": int(number[1]) if number else 0,
            "depends": [*self.depends],
            "constrains": [*self.constrains],
            "subdir": self.subdir,
            "timestamp": self.made * 1000,
            "license": "none",
        }
        return {**said, "noarch": self.noarch} if self.noarch else said


class Channel:
    """A channel in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, dict[str, object]]] = {"noarch": {}, SUBDIR: {}}

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def add(self, *packages: CondaPackage) -> Channel:
        """Write packages and the index anew."""
        for package in packages:
            content = _archive(package)
            folder = self.path / package.subdir
            folder.mkdir(parents=True, exist_ok=True)
            name = package.stem + package.archive
            (folder / name).write_bytes(content)
            self.rows.setdefault(package.subdir, {})[name] = {
                **package.index(),
                "md5": hashlib.md5(content).hexdigest(),  # noqa: S324 - the format asks for it
                "sha256": hashlib.sha256(content).hexdigest(),
                "size": len(content),
            }
        self.write()
        return self

    def remove(self, package: CondaPackage) -> None:
        """Take a package away, as a channel's owner does."""
        name = package.stem + package.archive
        del self.rows[package.subdir][name]
        (self.path / package.subdir / name).unlink()
        self.write()

    def write(self) -> None:
        for subdir, rows in self.rows.items():
            folder = self.path / subdir
            folder.mkdir(parents=True, exist_ok=True)
            document = {
                "info": {"subdir": subdir},
                "packages": {k: v for k, v in rows.items() if k.endswith(".tar.bz2")},
                "packages.conda": {k: v for k, v in rows.items() if k.endswith(".conda")},
                "removed": [],
                "repodata_version": 1,
            }
            (folder / "repodata.json").write_text(json.dumps(document, sort_keys=True))


def _archive(package: CondaPackage) -> bytes:
    info = _info(package)
    if package.archive == ".tar.bz2":
        import bz2

        return bz2.compress(_tar({**info, **package.files}), 1)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (
            ("metadata.json", b'{"conda_pkg_format_version": 2}'),
            (f"pkg-{package.stem}.tar.zst", zstd_stored(_tar(package.files))),
            (f"info-{package.stem}.tar.zst", zstd_stored(_tar(info))),
        ):
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def _info(package: CondaPackage) -> dict[str, File]:
    documents: dict[str, object] = {
        "info/index.json": package.index(),
        "info/paths.json": {"paths": [_path(*row) for row in sorted(package.files.items())],
                            "paths_version": 1},
        "info/about.json": {"summary": package.name},
    }  # fmt: skip
    if package.noarch == "python":
        points = {"type": "python", "entry_points": [*package.entry_points]}
        documents["info/link.json"] = {"noarch": points, "package_metadata_version": 1}
    names = "".join(f"{name}\n" for name in sorted(package.files))
    return {
        **{k: File(json.dumps(v, sort_keys=True).encode()) for k, v in documents.items()},
        "info/files": File(names.encode()),
    }


def _path(name: str, file: File) -> dict[str, object]:
    row: dict[str, object] = {
        "_path": name,
        "path_type": "softlink" if file.link else "hardlink",
        "sha256": hashlib.sha256(file.content).hexdigest(),
        "size_in_bytes": len(file.content),
    }
    if file.placeholder:
        row["prefix_placeholder"] = PLACEHOLDER
        row["file_mode"] = "binary" if file.binary else "text"
    return row


def _tar(files: dict[str, File]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, file in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.mtime, member.mode = EPOCH, file.mode
            if file.link is not None:
                member.type, member.linkname = tarfile.SYMTYPE, file.link
            else:
                member.size = len(file.content)
            archive.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()


def zstd_stored(content: bytes) -> bytes:
    """Write a zstd frame of stored blocks (RFC 8878, 3.1.1): valid, and no smaller."""
    step = 1 << 17
    blocks = [content[at : at + step] for at in range(0, len(content), step)] or [b""]
    parts = [struct.pack("<IBBI", 0xFD2FB528, 0b1000_0000, 7 << 3, len(content))]
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1
        parts += [struct.pack("<I", len(block) << 3 | last)[:3], block]
    return b"".join(parts)


def python_stub(version: str = FULL) -> CondaPackage:
    """Return a Python that is a link to the interpreter of these tests: there in no time."""
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    home = f"home = {os.path.dirname(base)}\ninclude-system-site-packages = false\n"
    return CondaPackage(
        "python", version, "stub_0_cpython",
        depends=("tzdata", "__glibc >=2.17"),
        files={
            f"bin/python{MINOR}": File(link=base),
            "bin/python": File(link=f"python{MINOR}"),
            "bin/python3": File(link=f"python{MINOR}"),
            "pyvenv.cfg": File(f"{home}version = {version}\n".encode()),
            f"lib/python{MINOR}/site-packages/README.txt": File(b"\n"),
        },
    )  # fmt: skip


def python_real() -> CondaPackage:
    """Return the interpreter of these tests as a package that can lie anywhere."""
    base = os.path.realpath(sys.base_prefix)
    lib = f"lib/python{MINOR}"
    files = {f"{lib}/site-packages/README.txt": File(b"\n")}
    for folder, _, names in os.walk(os.path.join(base, lib)):
        for name in names:
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, os.path.join(base, lib))
            if not DROPPED.search(inside):
                files[f"{lib}/{inside}"] = _movable(path, base)
    files[f"bin/python{MINOR}"] = _movable(os.path.join(base, "bin", f"python{MINOR}"), base)
    for shared in Path(base, "lib").glob("libpython*.so*"):
        files[f"lib/{shared.name}"] = _movable(str(shared), base)
    for link in ("bin/python", "bin/python3"):
        files[link] = File(link=f"python{MINOR}")
    return CondaPackage("python", FULL, "real_0_cpython", depends=("tzdata",), files=files)


def _movable(path: str, base: str) -> File:
    """Return a file that does not mention where it was built."""
    if os.path.islink(path):
        return File(link=os.readlink(path))
    content = Path(path).read_bytes()
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if content.startswith(b"\x7fELF"):
        old = f"{base}/lib".encode() + b"\0"
        new = b"$ORIGIN/../lib\0".ljust(len(old), b"\0")
        return File(content.replace(old, new) if len(new) == len(old) else content, mode=mode)
    if base.encode() in content:
        replaced = content.replace(base.encode(), PLACEHOLDER.encode())
        return File(replaced, mode=mode, placeholder=True)
    return File(content, mode=mode)


def pure(
    name: str, version: str, *depends: str, build: str = "py_0", made: int = EPOCH
) -> CondaPackage:
    """Return a Python package with a module that knows its version, and a command."""
    info = f"site-packages/{name}-{version}.dist-info"
    body = f"VERSION = {version!r}\n\n\ndef main() -> None:\n    print({name!r}, VERSION)\n"
    return CondaPackage(
        name, version, build,
        depends=("python >=3.8", *depends),
        noarch="python",
        made=made,
        entry_points=(f"{name} = {name}:main",),
        files={
            f"site-packages/{name}.py": File(body.encode()),
            f"{info}/METADATA": File(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
            ),
            f"{info}/INSTALLER": File(b"conda\n"),
            f"{info}/RECORD": File(
                f"{name}.py,,\n{name}-{version}.dist-info/METADATA,,\n".encode()
            ),
        },
    )  # fmt: skip


ACTIVE = CondaPackage(
    "active", "1.0",
    files={
        "etc/conda/activate.d/a.sh": File(
            b'export ACTIVE="on:$CONDA_PREFIX"\nexport ACTIVE_LINES="a\nb=c"\n'
        ),
        "etc/conda/env_vars.d/a.json": File(b'{"ACTIVE_FILE": "x y"}\n'),
        "bin/active": File(f"#!/bin/sh\necho {PLACEHOLDER}\n".encode(), mode=0o755,
                           placeholder=True),
        "lib/active.bin": File(b"\x7fBIN" + PLACEHOLDER.encode() + b"/share\0tail\0",
                               placeholder=True, binary=True),
    },
)  # fmt: skip


def standard_packages() -> tuple[CondaPackage, ...]:
    """Return what most tests need: a Python, choices for the solver, dead ends for it."""
    return (
        python_stub(),
        CondaPackage("python", "3.8.18", "none_0_cpython", depends=("tzdata",)),
        CondaPackage("tzdata", "2024a", noarch="generic", files={"share/tz": File(b"tz\n")}),
        pure("pip", "24.0"),
        pure("alpha", "1.0"),
        pure("alpha", "1.1", made=EPOCH + DAY),
        pure("alpha", "2.0", made=EPOCH + 30 * DAY),
        pure("beta", "1.0", "alpha"),
        pure("beta", "2.0", "alpha <2"),
        pure("gamma", "1.0", "alpha >=2"),
        CondaPackage("tool", "1.0",
                     files={"bin/tool": File(b"#!/bin/sh\necho tool\n", mode=0o755)}),
        CondaPackage("tool", "0.9", archive=".tar.bz2",
                     files={"bin/tool": File(b"#!/bin/sh\necho old\n", mode=0o755)}),
        CondaPackage("needs_cuda", "1.0", depends=("__cuda >=12",), files={"x": File(b"x")}),
        ACTIVE,
    )  # fmt: skip


def standard_channel(path: Path) -> Channel:
    """Write a channel of the standard packages: a few milliseconds."""
    return Channel(path).add(*standard_packages())


def installed_packages(folder: Path) -> tuple[CondaPackage, ...]:
    """Return what ``pip install --target`` put into a folder, one conda package for each wheel."""
    infos = {info: info.name.split("-")[0].replace("_", "-").lower()
             for info in sorted(folder.glob("*.dist-info"))}  # fmt: skip
    return tuple(_of_wheel(info, name, frozenset(infos.values())) for info, name in infos.items())


def _of_wheel(info: Path, name: str, known: frozenset[str]) -> CondaPackage:
    version = info.name.removesuffix(".dist-info").split("-")[1]
    needed = re.findall(
        r"^Requires-Dist: ([\w.-]+)([^;\n]*)$", (info / "METADATA").read_text(), re.MULTILINE
    )
    names = {found.replace("_", "-").replace(".", "-").lower() for found, _ in needed}
    site = f"lib/python{MINOR}/site-packages"
    files = {}
    for line in (info / "RECORD").read_text().splitlines():
        path = line.rpartition(",")[0].rpartition(",")[0].strip('"')
        whole = info.parent / path
        if whole.is_file() and not path.startswith("..") and not path.endswith(".pyc"):
            files[f"{site}/{path}"] = File(whole.read_bytes(), mode=whole.stat().st_mode & 0o777)
    minor = MINOR.replace(".", "")
    return CondaPackage(
        name, version, f"py{minor}_0",
        depends=(f"python {MINOR}.*", *sorted(names & known - {name})),
        files=files,
    )  # fmt: skip
