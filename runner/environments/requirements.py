"""Requirement lines, flattened: nested files read in, local packages found, places kept.

The format is pip's (https://pip.pypa.io/en/stable/reference/requirements-file-format/).
"""

from __future__ import annotations

import os

from runner.errors import EnvError
from runner.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.model.spec import PythonSpec

INDEX_OPTIONS = {
    "-i": "--index-url",
    "--index-url": "--index-url",
    "--pypi-url": "--index-url",
    "--extra-index-url": "--extra-index-url",
    "-f": "--find-links",
    "--find-links": "--find-links",
    "--trusted-host": "--allow-insecure-host",
    "--no-binary": "--no-binary",
    "--only-binary": "--only-binary",
}
"""Options with a value that change where packages come from, and uv's name for each."""
SWITCHES = {"--no-index": ("--no-index",), "--pre": ("--prerelease", "allow")}
"""Options without a value, and what uv calls them."""
WITHOUT_EFFECT = frozenset({"--prefer-binary", "--require-hashes", "--use-pep517"})
"""Options that ask for what Runproj does anyway, or that do not change what is installed."""
ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz")


class Line(Value):
    """One requirement. ``file`` is relative to the project, ``number`` counted from 1.

    ``local`` is the absolute path of the folder or archive it names, if it names one.
    """

    text: str
    file: str
    number: int
    local: str | None = None
    editable: bool = False

    @property
    def place(self) -> str:
        """Where the line stands, as editors write it."""
        return f"{self.file}:{self.number}"


class Requirements(Value):
    """All that an environment asks for. ``files`` are the files that were read, absolute.

    ``options`` are command line options for uv; they may hold credentials and are never shown.
    """

    lines: tuple[Line, ...]
    build: tuple[Line, ...]
    constraints: tuple[Line, ...]
    options: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def local_packages(self) -> tuple[Line, ...]:
        """The lines that name a folder or an archive on this machine."""
        return tuple(line for line in (*self.build, *self.lines) if line.local)


def requirements(spec: PythonSpec, project: str) -> Requirements:
    """Read a spec's requirements and all the files they include.

    Raises:
        EnvError: A file is not there, or a line makes no sense.
    """
    reading = _Reading(project)
    directory = os.path.normpath(os.path.join(project, spec.directory))
    numbered = _numbering(spec, project)
    wanted = (
        (reading.build, spec.build_requirements),
        (reading.lines, _project_lines(spec, directory)),
    )
    for into, texts in wanted:
        for text in texts:
            line = Line(text=text.strip(), file=spec.origin, number=numbered(text))
            reading.take(line, directory, into)
    return Requirements(
        lines=tuple(reading.lines),
        build=tuple(reading.build),
        constraints=tuple(reading.constraints),
        options=tuple(reading.options),
        files=tuple(reading.files),
    )


def _numbering(spec: PythonSpec, project: str) -> Callable[[str], int]:
    """Return what finds the line of the file that a requirement of the spec stands on."""
    first = spec.place.line if spec.place else 1
    try:
        with open(os.path.join(project, spec.origin), encoding="utf-8", errors="replace") as file:
            content = file.read().splitlines()
    except OSError:  # a spec without a file
        content = []
    return lambda text: next(
        (n for n, line in enumerate(content, 1) if text in line and "#" not in line.split(text)[0]),
        first,
    )


def _project_lines(spec: PythonSpec, directory: str) -> tuple[str, ...]:
    """Return the requirements; of a ``pyproject.toml`` the package that it builds, if it does.

    Otherwise uv reads the file's dependencies itself, with the sources that it names for them.
    """
    if spec.kind != "pyproject":
        return spec.requirements
    with open(os.path.join(directory, os.path.basename(spec.origin)), encoding="utf-8") as file:
        builds = any(line.strip() == "[build-system]" for line in file)
    return (".",) if builds else ()


class _Reading:
    """What has been read so far."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.lines: list[Line] = []
        self.build: list[Line] = []
        self.constraints: list[Line] = []
        self.options: list[str] = []
        self.files: list[str] = []

    def take(self, line: Line, directory: str, into: list[Line]) -> None:
        """Take one line: a requirement, or an option."""
        if not line.text.startswith("-"):
            into.append(_located(line, directory))
            return
        name, value = _option(line.text)
        if name in {"-r", "--requirement"}:
            self._include(line, value, directory, into)
        elif name in {"-c", "--constraint"}:
            self._include(line, value, directory, self.constraints)
        elif name in {"-e", "--editable"}:
            into.append(_editable(line, value, directory))
        elif name in SWITCHES:
            self.options += SWITCHES[name]
        elif name in INDEX_OPTIONS and value:
            self.options += (INDEX_OPTIONS[name], _resolved_option(name, value, directory))
        elif name not in WITHOUT_EFFECT:
            raise EnvError(
                f"the option {name!r} is not understood in requirements",
                where=line.place,
                hint="remove it, or configure it in uv.toml",
            )

    def _include(self, line: Line, name: str, directory: str, into: list[Line]) -> None:
        if not name:
            raise EnvError(f"{line.text!r} does not say which file to include", where=line.place)
        if "://" in name and not name.startswith("file:"):
            raise EnvError(
                "a requirements file from the network cannot be included: it may change any time",
                where=line.place,
                hint="put the file into the project",
            )
        path = _file_path(name, directory)
        if path in self.files:  # pip reads it again, to no effect; and files may include each other
            return
        content = _content(path, line)
        self.files.append(path)
        shown = os.path.relpath(path, self.project)
        for number, text in logical_lines(content):
            self.take(Line(text=text, file=shown, number=number), os.path.dirname(path), into)


def logical_lines(content: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, continuations joined, comments gone, with numbers."""
    pending, start = "", 0
    for number, raw in enumerate(content.splitlines(), 1):
        start = start or number
        stripped = raw.rstrip()
        if stripped.endswith("\\") and not stripped.lstrip().startswith("#"):
            pending += stripped[:-1] + " "
            continue
        text = _without_comment(pending + stripped)
        if text:
            yield start, text
        pending, start = "", 0
    if text := _without_comment(pending):
        yield start, text


def _without_comment(text: str) -> str:
    text = text.strip()
    if text.startswith("#"):
        return ""
    for mark in (" #", "\t#"):
        text = text.partition(mark)[0]
    return text.strip()


def _option(text: str) -> tuple[str, str]:
    """Split ``-r file``, ``-rfile``, ``--requirement=file`` into name and value."""
    if text.startswith("--"):
        at = min(
            (i for i in (text.find("="), text.find(" "), text.find("\t")) if i > 0), default=-1
        )
        name, value = (text, "") if at < 0 else (text[:at], text[at + 1 :])
        return name, _unquoted(value.strip())
    return text[:2], _unquoted(text[2:].strip().removeprefix("="))


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value


def _content(path: str, line: Line) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except FileNotFoundError:
        raise EnvError(
            f"there is no file {line.text.split(None, 1)[-1]!r} to read requirements from",
            where=line.place,
            hint="create it, or correct the line",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise EnvError(f"{os.path.basename(path)!r} cannot be read: {reason}", where=path) from None


def _resolved_option(name: str, value: str, directory: str) -> str:
    if name in {"-f", "--find-links"} and "://" not in value:
        return _file_path(value, directory)
    return value


def _file_path(name: str, directory: str) -> str:
    """Return the absolute path that a file name or ``file:`` URL names."""
    if name.startswith("file:"):
        from urllib.parse import unquote

        name = unquote(name.removeprefix("file:").removeprefix("//").partition("#")[0])
        name = name.removeprefix("localhost") if name.startswith("localhost/") else name
    return os.path.normpath(os.path.join(directory, os.path.expanduser(name)))


def _located(line: Line, directory: str) -> Line:
    """Find out whether a requirement names something on this machine."""
    target = _target(line.text)
    named = target.startswith((".", "/", "~", "file:"))
    if not named and ("://" in target or not _is_local(target, directory)):
        return line
    path = _file_path(_without_extras(target), directory)
    if not os.path.exists(path):
        raise EnvError(f"there is no package at {target!r}", where=line.place)
    return Line(text=line.text, file=line.file, number=line.number, local=path)


def _is_local(target: str, directory: str) -> bool:
    looks = "/" in target or target.endswith(ARCHIVES)
    return looks and os.path.exists(os.path.join(directory, _without_extras(target)))


def _editable(line: Line, value: str, directory: str) -> Line:
    if "://" in value and not value.startswith("file:"):  # -e git+https://…: as good as without -e
        return Line(text=_named_url(value, line), file=line.file, number=line.number)
    target = _target(value)
    path = _file_path(_without_extras(target), directory)
    if not os.path.isdir(path):
        raise EnvError(f"there is no package folder at {target!r}", where=line.place)
    return Line(text=value, file=line.file, number=line.number, local=path, editable=True)


def _named_url(url: str, line: Line) -> str:
    """Turn ``git+https://…#egg=name`` into ``name @ git+https://…``."""
    address, _, fragment = url.partition("#")
    words = dict(part.partition("=")[::2] for part in fragment.split("&"))
    name = words.pop("egg", "")
    if not name:
        raise EnvError(
            "an editable URL needs a name", where=line.place, hint="append '#egg=NAME' to the URL"
        )
    rest = "&".join(f"{key}={value}" for key, value in words.items() if key)
    return f"{name} @ {address}{'#' + rest if rest else ''}"


def _target(text: str) -> str:
    """Return what a requirement points to: the URL or path, without name, marker and hashes."""
    text = text.partition(" --hash")[0]
    name, at, url = text.partition("@")
    if at and "/" not in name and ":" not in name:
        return url.strip().partition(" ;")[0].strip()
    text = text.partition(" ;")[0].strip()
    return text if text.startswith("file:") else text.partition(";")[0].strip()


def _without_extras(target: str) -> str:
    return target.partition("[")[0] if target.endswith("]") else target


def extras(line: Line) -> str:
    """Return the extras of a requirement, ``[dev,gpu]``, or nothing."""
    head = line.text.partition(";")[0]
    return f"[{head.partition('[')[2].partition(']')[0]}]" if "[" in head and "]" in head else ""


def marker(line: Line) -> str:
    """Return the marker of a requirement, ``; python_version < '3'``, or nothing."""
    _, semicolon, condition = line.text.partition(";")
    return f" ; {condition.strip()}" if semicolon else ""
