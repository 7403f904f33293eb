"""Spec -> what in it may keep runs from being reproduced. Told once, when the spec is read."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from runner.model.spec import CondaSpec, DockerSpec, PythonSpec, Risk
from runner.redaction import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.model.spec import EntryPoint, EnvironmentSpec, Parameter, ProjectSpec

SEED_WORDS = ("seed", "random_state", "random-state")
ABSOLUTE = re.compile(r"(?:^|[\s=\"'])(/(?!dev/|bin/|usr/bin/)[\w.-]+/[\w./-]+)")
WEB = re.compile(r"https?://[^\s\"']+")
SHOWN = 3
UNPINNED = "unpinned"
"""The rule that a lock in the project puts right (``runner.stages.load``)."""


def risks_of(spec: ProjectSpec) -> dict[str, tuple[Risk, ...]]:
    """Return the risks of each entry point; those of all of them under the empty name."""
    found = {"": tuple(_environment(spec.environment))}
    for name, entry_point in spec.entry_points.items():
        found[name] = tuple(_entry_point(entry_point))
    return found


def _environment(environment: EnvironmentSpec) -> Iterator[Risk]:
    where = str(environment.place) if environment.place else "MLproject"
    if isinstance(environment, DockerSpec):
        return  # Dockerfiles and locks of images change on their own: ``stages.image_risks``
    if isinstance(environment, CondaSpec):
        loose = [p for p in environment.packages if "=" not in p]
        yield from _unpinned(loose, where)
    else:
        yield from _python(environment, where)


def _python(environment: PythonSpec, where: str) -> Iterator[Risk]:
    yield from _unpinned([r for r in environment.requirements if _is_loose(r)], where)
    if environment.python is None:
        yield Risk(
            severity="low", rule="no-python", where=where,
            message="no Python version is asked for: that of whoever runs it is taken",
            fix="python: '3.12' in python_env.yaml, or requires-python in pyproject.toml",
        )  # fmt: skip


def _unpinned(loose: Sequence[str], where: str) -> Iterator[Risk]:
    if loose:
        more = f" and {len(loose) - SHOWN} more" if len(loose) > SHOWN else ""
        named = ", ".join(map(repr, map(without_credentials, loose[:SHOWN])))
        yield Risk(
            severity="medium", rule=UNPINNED, where=where,
            message=f"there is no lock, and {named}{more} may be another version next time",
            fix="runproj lock",
        )  # fmt: skip


def _is_loose(line: str) -> bool:
    """Whether a requirement leaves the version open."""
    text = line.partition(" --hash")[0].partition(" #")[0].strip()
    if not text or text.startswith("-"):
        return False
    try:
        wanted = Requirement(text)
    except InvalidRequirement:
        return False  # a path or a URL: what it means is in the tree, or in the URL
    if wanted.url:
        return False
    return not any(s.operator in {"==", "==="} and "*" not in s.version for s in wanted.specifier)


def _entry_point(entry_point: EntryPoint) -> Iterator[Risk]:
    name = entry_point.name
    where = str(entry_point.place or name)
    template = entry_point.template or ""
    if not any(word in p.name.lower() for p in entry_point.parameters for word in SEED_WORDS):
        yield Risk(
            severity="low", rule="no-seed", where=where,
            message=f"entry point {name!r} has no parameter for a random seed",
            fix="parameters: {seed: {type: int, default: 0}}, and use it",
        )  # fmt: skip
    for path in dict.fromkeys(ABSOLUTE.findall(template)):
        yield Risk(
            severity="medium", rule="absolute-path", where=where,
            message=f"the command of {name!r} names {path!r}, which is not in the project",
            fix="declare it as a 'path' parameter: its content is then recorded",
        )  # fmt: skip
    for url in dict.fromkeys(WEB.findall(template)):
        yield Risk(
            severity="medium", rule="network", where=where,
            message=f"the command of {name!r} reads {without_credentials(url)!r} when it runs",
            fix="declare it as a 'path' parameter: what was read is then recorded",
        )  # fmt: skip
    for parameter in entry_point.parameters:
        if not parameter.secret:
            yield from _parameter(parameter, name)


def _parameter(parameter: Parameter, entry_point: str) -> Iterator[Risk]:
    default = parameter.default
    values = (default,) if isinstance(default, str) else default or ()
    where = str(parameter.place or entry_point)
    title = f"parameter {parameter.name!r} of {entry_point!r}"
    for value in values:
        leaves = os.path.isabs(value) or os.path.normpath(value).startswith("..")
        if parameter.type == "path" and leaves:
            yield Risk(
                severity="medium", rule="outside-path", where=where,
                message=f"the default of {title} is {value!r}, outside of the project",
                fix="put it into the project, or leave the default away",
            )  # fmt: skip
        elif parameter.type == "uri" and WEB.match(value):
            yield Risk(
                severity="low", rule="network", where=where,
                message=f"{title} names {without_credentials(value)!r}, which is not recorded",
                fix="'type: path' downloads it and records its digest",
            )  # fmt: skip
