"""One resolution: from requirements to a lock, by ``uv pip compile``."""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from typing import TYPE_CHECKING
from urllib.parse import quote

from packaging.utils import canonicalize_name

from runner.environments import pylock
from runner.environments.freshness import moment
from runner.environments.local_packages import content_digest, snapshot
from runner.environments.requirements import extras, marker
from runner.environments.uv import clean, failure
from runner.errors import EnvError
from runner.model.value import changed
from runner.redaction import without_credentials
from runner.system.files import cache_directory, read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from runner.environments.interpreters import Interpreter
    from runner.environments.pylock import Table
    from runner.environments.requirements import Line, Requirements
    from runner.environments.uv import Uv
    from runner.model.lock import LockRequest
    from runner.model.spec import PythonSpec
    from runner.system.process import Completed

IN, CONSTRAINTS, OUT = "requirements.in", "constraints.txt", "pylock.toml"


class Resolution:
    """One resolution, in a folder of its own.

    ``scope`` are the options that say for which Pythons and platforms, where it is not for the
    interpreter alone.
    """

    def __init__(
        self,
        request: LockRequest,
        asked: Requirements,
        interpreter: Interpreter,
        *,
        uv: Uv,
        home: str,
        scope: tuple[str, ...] = (),
    ) -> None:
        self._uv, self._home, self._scope = uv, home, scope
        self._request, self._asked, self._interpreter = request, asked, interpreter
        self._places: dict[str, str] = {}
        self._update: tuple[str, ...] = ()
        self.warning: str | None = None

    def table(self, kept: str | None = None, update: Sequence[str] = ()) -> Table:
        """Resolve, preferring the versions of the lock ``kept`` but for some packages.

        When only the build requirements are in the way, resolve without their pins.
        """
        self._update = tuple(update)
        scratch = cache_directory(self._home, "scratch")
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            if kept:
                _write(os.path.join(folder, OUT), read(kept).decode())
            done = self._compiled(folder, (*self._asked.build, *self._asked.lines))
            if done.exit_code and self._asked.build and "No solution found" in done.complaint:
                done = self._without_build_pins(folder, done)
            elif done.exit_code:
                self._fail(done, (*self._asked.build, *self._asked.lines))
            table = parsed(read(os.path.join(folder, OUT)), folder)
        return pylock.relocated(table, self._places, self._request.project)

    def _without_build_pins(self, folder: str, first: Completed) -> Completed:
        """Do as pip does in two steps: what the requirements need wins over build requirements."""
        loose = [
            line if line.local else changed(line, text=_name_of(line.text))
            for line in self._asked.build
        ]
        done = self._compiled(folder, (*loose, *self._asked.lines))
        if done.exit_code:
            self._fail(first, (*self._asked.build, *self._asked.lines))
        self.warning = (
            "build_dependencies contradict dependencies; what dependencies need was taken"
        )
        return done

    def _compiled(self, folder: str, lines: tuple[Line, ...]) -> Completed:
        content = "".join(self._written(line) + "\n" for line in lines)
        _write(os.path.join(folder, IN), content)
        constraints = "".join(line.text + "\n" for line in self._asked.constraints)
        _write(os.path.join(folder, CONSTRAINTS), constraints)
        sources = [os.path.join(folder, IN)]
        spec: PythonSpec = self._request.spec  # type: ignore[assignment]
        if spec.kind == "pyproject" and not self._asked.local_packages:
            sources.append(os.path.join(self._request.project, spec.origin))
        return self._uv.attempt(
            "pip", "compile", *sources, "--constraints", os.path.join(folder, CONSTRAINTS),
            "--format", "pylock.toml", "--output-file", os.path.join(folder, OUT), "--no-header",
            "--quiet", "--no-python-downloads",
            "--python", self._interpreter.path, *self._choices(),
            options=self._asked.options,
            directory=os.path.join(self._request.project, spec.directory),
        )  # fmt: skip

    def _choices(self) -> list[str]:
        chosen = [word for name in self._update for word in ("--upgrade-package", name)]
        if self._request.as_of:
            chosen += ["--exclude-newer", moment(self._request.as_of)]
        return [*chosen, *self._scope]

    def _written(self, line: Line) -> str:
        """Return a line for uv; local packages are read from a copy, so that theirs stay clean."""
        if line.local is None:
            return line.text
        path = line.local
        if not line.editable and os.path.isdir(path):
            path = snapshot(path, content_digest(path, self._home), self._home)
            self._places[os.path.realpath(path)] = line.local
        url, name = f"file://{quote(path)}{extras(line)}", _name_before_at(line.text)
        if line.editable:
            return f"-e {url}"
        if name:
            url = f"{name}{extras(line)} @ file://{quote(path)}"
        return f"{url}{marker(line)}"

    def _fail(self, done: Completed, lines: tuple[Line, ...]) -> NoReturn:
        complaint = clean(done.complaint)
        line = self._blamed(complaint, lines)
        if line and ("parse" in complaint or "Unexpected" in complaint):
            why = re.search(r"^\s*cause: (.+)$", complaint, re.MULTILINE)
            raise EnvError(
                f"{without_credentials(line.text)!r} is no requirement"
                f"{': ' + why[1].strip() if why else ''}",
                where=line.place,
            )
        missing = re.search(
            r"([\w.-]+) was not found in the (?:package registry|provided)", complaint
        )
        if missing:
            line = next(
                (x for x in lines if _name_of(x.text) == canonicalize_name(missing[1])), line
            )
            if line:
                raise EnvError(
                    f"there is no package {missing[1]!r} in the package index",
                    where=line.place,
                    hint="check the spelling, and the index settings if it is a private package",
                )
        origin = getattr(self._request.spec, "origin", "") or None
        raise failure(
            done, "the requirements cannot be locked", where=line.place if line else origin
        )

    def _blamed(self, complaint: str, lines: tuple[Line, ...]) -> Line | None:
        """Find the line that uv complains about; it counts lines, or characters."""
        at_line = re.search(rf"{re.escape(IN)}`?:(\d+)", complaint)
        if at_line and int(at_line[1]) <= len(lines):
            return lines[int(at_line[1]) - 1]
        at = re.search(rf"{re.escape(IN)}`? at position (\d+)", complaint)
        if not at:
            return next((x for x in lines if x.local is None and f"`{x.text}`" in complaint), None)
        position, total = int(at[1]), 0
        for line in lines:
            total += len(self._written(line)) + 1
            if position < total:
                return line
        return None


def parsed(output: bytes, base: str) -> Table:
    """Read what uv wrote, with local paths made absolute."""
    table: Table = tomllib.loads(output.decode())
    for row in table.get("packages", []):
        for kind in ("directory", "archive", "vcs"):
            if path := (row.get(kind) or {}).get("path"):
                row[kind]["path"] = os.path.normpath(os.path.join(base, path))
    return table


def _name_of(text: str) -> str:
    found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", text)
    return canonicalize_name(found[1]) if found else ""


def _name_before_at(text: str) -> str:
    found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*@", text)
    return found[1] if found else ""


def _write(path: str, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
