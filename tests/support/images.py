"""Small container images made of this machine's own files, with no registry and no network."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import BinaryIO

APPLETS = (
    "sh", "ls", "cat", "env", "id", "sleep", "mkdir", "rm", "cp", "mv", "ln", "grep", "sed", "awk",
    "head", "tail", "wc", "test", "kill", "ps", "date", "hostname", "uname", "true", "false", "tr",
    "cut", "sort", "chmod", "chown", "find", "tar", "gzip", "echo", "printf", "touch", "pwd",
    "wget", "nc", "od", "dd", "stat", "readlink", "seq", "tee", "xargs", "basename", "dirname",
    "expr", "yes",
)  # fmt: skip
WITHOUT = frozenset({"test", "site-packages", "dist-packages", "__pycache__", "idlelib", "tkinter",
                     "turtledemo", "ensurepip", "lib2to3"})  # fmt: skip
"""Folders of the standard library that no test needs."""
EPOCH = "1970-01-01T00:00:00Z"
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGE = "tinymodel"
PACKAGE_VERSION = "1.2.0"


class Layer:
    """A file system of one layer, that is the same to the byte whenever it is made of the same."""

    def __init__(self, target: BinaryIO) -> None:
        self._tar = tarfile.TarFile(fileobj=target, mode="w", format=tarfile.GNU_FORMAT)
        self._there: set[str] = set()

    def folder(self, path: str, mode: int = 0o755) -> None:
        """Add a directory and those above it."""
        path = path.strip("/")
        if not path or path in self._there:
            return
        self.folder(os.path.dirname(path))
        self._add(path, tarfile.DIRTYPE, mode)

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a file."""
        self.folder(os.path.dirname(path))
        self._add(path.strip("/"), tarfile.REGTYPE, mode, content=content)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self.folder(os.path.dirname(path))
        self._add(path.strip("/"), tarfile.SYMTYPE, 0o777, target=target)

    def copy(self, source: str, path: str | None = None) -> None:
        """Add a file of this machine, by default at the same path."""
        status = os.stat(source)
        self.file(path or source, Path(source).read_bytes(), 0o755 if status.st_mode & 1 else 0o644)

    def close(self) -> None:
        """End the archive."""
        self._tar.close()

    def _add(
        self, path: str, kind: bytes, mode: int, *, content: bytes = b"", target: str = ""
    ) -> None:
        if path in self._there:
            return
        self._there.add(path)
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), target
        self._tar.addfile(entry, io.BytesIO(content))


def busybox() -> str:
    """Find a busybox that needs no libraries."""
    found = shutil.which("busybox", path=f"{os.environ.get('PATH', '')}:/bin:/usr/bin")
    assert found, "busybox is needed to make images: apt-get install busybox-static"
    return found


def add_shell(layer: Layer) -> None:
    """Add busybox and what a shell and an arbitrary user need."""
    layer.copy(busybox(), "/bin/busybox")
    for name in APPLETS:
        layer.link(f"/bin/{name}", "busybox")
    layer.link("/usr/bin/env", "../../bin/env")
    layer.folder("/tmp", 0o1777)
    layer.file("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    layer.file("/etc/group", b"root:x:0:\n")
    layer.folder("/root", 0o700)


def add_bash(layer: Layer) -> None:
    """Add this machine's bash."""
    bash = shutil.which("bash")
    assert bash
    layer.copy(os.path.realpath(bash), "/bin/bash")
    for library in libraries([bash]):
        layer.copy(library)


def add_python(layer: Layer) -> None:
    """Add the Python that runs the tests, at its own path, and one small package."""
    python = base_python()
    library = os.path.dirname(os.__file__)
    for path in files_below(library):
        layer.copy(path)
    objects = [p for p in files_below(library) if p.endswith(".so")]
    for path in libraries([python, *objects]):
        layer.copy(path)
    layer.copy(python)
    for name in ("python", "python3"):
        layer.link(f"/usr/local/bin/{name}", python)
    for path in ("/etc/ssl/certs/ca-certificates.crt",):
        if os.path.exists(path):
            layer.copy(path)
    layer.file("/etc/nsswitch.conf", b"hosts: files dns\npasswd: files\ngroup: files\n")
    ask = "import site; print(site.getsitepackages()[0])"
    site = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, check=True)
    folder = site.stdout.strip()
    about = f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: {PACKAGE_VERSION}\n"
    layer.file(f"{folder}/{PACKAGE}/__init__.py", b"def score(x):\n    return 2 * x\n")
    layer.file(f"{folder}/{PACKAGE}-{PACKAGE_VERSION}.dist-info/METADATA", about.encode())


def base_python() -> str:
    """Return the interpreter below whatever virtual environment runs the tests."""
    base: str = getattr(sys, "_base_executable", sys.executable)
    return os.path.realpath(base)


def files_below(folder: str) -> Iterator[str]:
    """Return the regular files that a Python needs, in one order."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in WITHOUT)
        for name in sorted(names):
            full = os.path.join(path, name)
            if not name.endswith((".a", ".pyc")) and os.path.isfile(full):
                yield full


def libraries(programs: Iterable[str]) -> list[str]:
    """Return the shared libraries that programs are loaded with, as their paths are looked up."""
    told = subprocess.run(
        ["ldd", *programs], capture_output=True, text=True, check=False, env={"PATH": SYSTEM}
    )
    found = set(re.findall(r"(?:=> )?(/\S+) \(0x", told.stdout))
    names = ("stdc++.so.6", "gcc_s.so.1", "nss_files.so.2", "nss_dns.so.2")
    more = [f"lib{n}" for n in (*names, "rt.so.1", "pthread.so.0", "dl.so.2", "util.so.1")]
    for folder in {os.path.dirname(path) for path in found}:
        found |= {p for name in more if os.path.exists(p := os.path.join(folder, name))}
    return sorted(found)


def python_search_path() -> str:
    """Return the folders of libraries that a loader would not look into by itself."""
    folders = {os.path.dirname(path) for path in libraries([base_python()])}
    return ":".join(sorted(folders))


def archive(
    target: BinaryIO,
    tag: str,
    layer: bytes,
    *,
    variables: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Write what ``docker load`` reads; return the image's id, which depends on the bytes only."""
    digest = hashlib.sha256(layer).hexdigest()
    given = {"PATH": SYSTEM, **(variables or {})}
    configuration = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "amd64"),
        "os": "linux",
        "created": EPOCH,
        "config": {
            "Cmd": ["/bin/sh"],
            "Env": [f"{name}={value}" for name, value in given.items()],
            "Labels": dict(labels or {}),
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": EPOCH, "created_by": "runproj test"}],
    }
    written = json.dumps(configuration, sort_keys=True).encode()
    identifier = hashlib.sha256(written).hexdigest()
    manifest = [
        {"Config": f"{identifier}.json", "RepoTags": [tag], "Layers": [f"{digest}/layer.tar"]}
    ]
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, content in (
            (f"{identifier}.json", written),
            (f"{digest}/layer.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return f"sha256:{identifier}"
