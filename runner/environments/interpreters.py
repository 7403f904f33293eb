"""Python interpreters: those that are installed, the one that a project asks for.

What is not installed is had from uv, and what uv has not from conda.
"""

from __future__ import annotations

import glob
import json
import os
import re
import sys
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from runner.errors import EnvError, RunprojError
from runner.model.value import Value, fields
from runner.system.files import cache_directory, read, write_whole
from runner.system.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.environments.uv import Uv

PROBE = """
import json, os, platform, sys, sysconfig
try:
    implementation = sys.implementation.name
except AttributeError:
    sys.exit("too old")
print(json.dumps({
    "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
    "version": platform.python_version(),
    "implementation": implementation,
    "abi": sysconfig.get_config_var("SOABI") or "",
    "platform": sysconfig.get_platform(),
}))
"""
PROBE_SECONDS = 20.0
NAMED = re.compile(r"/(?:cpython-)?(\d+\.\d+\.\d+)(?:-[^/]*)?/bin/[^/]+$")
"""How pyenv and uv name the folders of the versions they installed."""
EXACT = 3
"""How many numbers a full version has."""


class Interpreter(Value):
    """A Python that environments can be made of. ``path`` is the real file, no link or shim."""

    path: str
    version: str
    implementation: str
    abi: str
    platform: str
    size: int
    modified: int

    @property
    def minor(self) -> str:
        """The version's first two numbers."""
        return ".".join(self.version.split(".")[:2])


class Interpreters:
    """Finds interpreters: on the PATH, of pyenv, of uv; at last uv or rattler installs one."""

    def __init__(self, *, home: str, environ: Mapping[str, str], uv: Uv) -> None:
        self._environ = environ
        self._uv = uv
        self._note = os.path.join(home, "interpreters.json")
        self._home = home
        self._probed: dict[str, dict[str, object]] = self._remembered()

    def find(self, asked: str | None) -> Interpreter:
        """Return the interpreter that a project asks for.

        ``asked`` is a path, a version (``3.11.7``, ``3.11``, ``3``), or a PEP 440 specifier; with
        none it is the minor version that runs Runproj, as MLflow has it. Of several that fit the
        newest release is taken, of equals the first found.

        Raises:
            EnvError: There is none, and none could be installed.
        """
        if asked and os.sep in asked:
            return self._at(asked)
        wanted = specifier(asked or f"{sys.version_info.major}.{sys.version_info.minor}")
        fitting = [found for found in self.installed(wanted) if _fits(found, wanted)]
        if not fitting:
            return self._provided(asked, wanted)
        newest = max(Version(found.version) for found in fitting)
        return next(found for found in fitting if Version(found.version) == newest)

    def installed(self, wanted: SpecifierSet | None = None) -> tuple[Interpreter, ...]:
        """Return every interpreter there is, in the order of preference, each file once.

        With ``wanted`` those are left out that lie in folders named after other versions.
        """
        found: dict[str, Interpreter] = {}
        for candidate in self._candidates():
            if wanted is not None and not _may_fit(candidate, wanted):
                continue
            if interpreter := self._probe(candidate):
                found.setdefault(interpreter.path, interpreter)
        self._remember()
        return tuple(found.values())

    def _candidates(self) -> Iterator[str]:
        for folder in self._environ.get("PATH", os.defpath).split(os.pathsep):
            if folder and os.path.basename(folder) != "shims":
                yield from _in_folder(folder)
        yield str(getattr(sys, "_base_executable", sys.executable))
        pyenv = self._environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
        for folder in sorted(glob.glob(os.path.join(glob.escape(pyenv), "versions", "*", "bin"))):
            yield from _in_folder(folder)
        for folder in sorted(glob.glob(os.path.join(glob.escape(self._managed), "*", "bin"))):
            yield from _in_folder(folder)
        of_conda = os.path.join(glob.escape(self._pythons), "envs", "*", "bin")
        for folder in sorted(glob.glob(of_conda)):
            yield from _in_folder(folder)

    @property
    def _managed(self) -> str:
        """Where uv keeps the interpreters that it installs."""
        if chosen := self._environ.get("UV_PYTHON_INSTALL_DIR"):
            return chosen
        data = self._environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        return os.path.join(data, "uv", "python")

    @property
    def _pythons(self) -> str:
        """Where Pythons of conda's are kept."""
        return os.path.join(self._home, "pythons")

    def _at(self, path: str) -> Interpreter:
        found = self._probe(os.path.abspath(os.path.expanduser(path)))
        if found is None:
            raise EnvError(f"there is no working Python interpreter at {path!r}")
        self._remember()
        return found

    def _provided(self, asked: str | None, wanted: SpecifierSet) -> Interpreter:
        """Have uv install an interpreter."""
        text = asked or f"{sys.version_info.major}.{sys.version_info.minor}"
        uv_words = text if text[:1].isdigit() else str(wanted)
        reason = "uv may not install one here"
        if self._environ.get("UV_PYTHON_DOWNLOADS") != "never":
            done = self._uv.attempt("python", "install", "--no-bin", "--no-progress", uv_words)
            fitting = [found for found in self.installed() if _fits(found, wanted)]
            if done.exit_code == 0 and fitting:
                return max(fitting, key=lambda found: Version(found.version))
            reason = f"uv could not install one: {self._uv.reason(done)}"
            try:
                return self._of_conda(uv_words, wanted)
            except EnvError as error:
                reason += f"; nor conda: {error.message}"
        have = ", ".join(sorted({i.version for i in self.installed()}, key=Version)) or "none"
        raise EnvError(
            f"there is no Python {text} on this machine, and {reason}",
            hint=f"installed: {have}; install one with pyenv or uv, or ask for another version",
        )

    def _of_conda(self, words: str, wanted: SpecifierSet) -> Interpreter:
        """Have rattler install conda's Python, into a store of its own that is never pruned.

        The channels are those of the user's conda configuration, else conda-forge.

        Raises:
            EnvError: No channel has it, or there is no network.
        """
        from runner.environments.conda.pythons import conda_python

        path = conda_python(words, home=self._pythons, environ=self._environ, uv=self._uv)
        found = self._probe(path)
        if found is None or not _fits(found, wanted):
            raise EnvError(f"the Python that conda has for {words!r} does not run here")
        self._remember()
        return found

    def _probe(self, candidate: str) -> Interpreter | None:
        """Ask an interpreter who it is; the answer is remembered while the file stays the same."""
        try:
            path = os.path.realpath(candidate)
            status = os.stat(path)
            if _is_script(path):
                return None
        except OSError:
            return None
        known = self._probed.get(candidate)
        if known is None or (known["seen"], known["at"]) != (_seen(status), path):
            known = {"seen": _seen(status), "at": path, "found": self._asked(candidate)}
            self._probed[candidate] = known
        found = known["found"]
        return Interpreter(**found) if isinstance(found, dict) else None

    def _asked(self, candidate: str) -> dict[str, object] | None:
        variables = {k: v for k, v in self._environ.items() if not k.startswith("PYTHON")}
        try:
            done = run([candidate, "-I", "-c", PROBE], variables=variables, timeout=PROBE_SECONDS)
            answer = json.loads(done.stdout) if done.exit_code == 0 else None
        except (RunprojError, OSError, ValueError):
            return None
        if answer is None:
            return None
        path = str(answer.pop("executable"))
        return fields(_interpreter(path, answer)) if os.path.exists(path) else None

    def _remembered(self) -> dict[str, dict[str, object]]:
        try:
            document = json.loads(read(self._note))
        except (OSError, ValueError):
            return {}
        entries = document.get("interpreters") if isinstance(document, dict) else None
        return entries if isinstance(entries, dict) and document.get("layout") == 1 else {}

    def _remember(self) -> None:
        document = {"layout": 1, "interpreters": self._probed}
        if self._probed != self._remembered():
            cache_directory(self._home)
            write_whole(self._note, json.dumps(document).encode())


def specifier(asked: str) -> SpecifierSet:
    """Read what a project asks for: ``3.11`` means any 3.11, ``3.11.7`` itself.

    Raises:
        EnvError: It is neither a version nor a specifier.
    """
    text = asked.strip()
    lowered = text.lower()
    for prefix in ("cpython", "python"):
        if lowered.startswith(prefix):
            text = text[len(prefix) :].lstrip("-=@ ")
            break
    try:
        if text[:1].isdigit() and not text.endswith("*"):
            release = Version(text).release
            return SpecifierSet(f"=={text}" if len(release) >= EXACT else f"=={text}.*")
        if text[:1].isdigit():
            return SpecifierSet(f"=={text}")
        return SpecifierSet(text)
    except (InvalidVersion, InvalidSpecifier):
        raise EnvError(
            f"{asked!r} is no Python version",
            hint="write a version ('3.11', '3.11.7') or a specifier ('>=3.9,<3.13')",
        ) from None


def _fits(found: Interpreter, wanted: SpecifierSet) -> bool:
    return wanted.contains(found.version, prereleases=wanted.prereleases or False)


def _may_fit(candidate: str, wanted: SpecifierSet) -> bool:
    """Whether nothing in the path speaks against it: ``versions/3.12.1/bin/python3`` is 3.12.1."""
    named = NAMED.search(candidate)
    return named is None or wanted.contains(named[1], prereleases=True)


def _in_folder(folder: str) -> Iterator[str]:
    """Yield the interpreters of a ``bin`` folder, the plain names first."""
    for name in ("python3", "python"):
        yield os.path.join(folder, name)
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "python3.*"))):
        if os.path.basename(path)[len("python3.") :].isdigit():
            yield path


def _is_script(path: str) -> bool:
    """Whether the file is a wrapper, such as pyenv's shims, and no interpreter."""
    with open(path, "rb") as file:
        return file.read(2) == b"#!"


def _seen(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns]


def _interpreter(path: str, answer: dict[str, str]) -> Interpreter:
    status = os.stat(path)
    return Interpreter(path=path, size=status.st_size, modified=status.st_mtime_ns, **answer)
