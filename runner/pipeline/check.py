"""Working tree and spec -> what will stand in the way of running the project again later."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from runner.model.spec import CondaSpec, DockerSpec, PythonSpec
from runner.model.value import Value
from runner.pipeline.draft import release
from runner.redaction import without_credentials
from runner.stages.date import has_lock
from runner.stages.fetch import fetch
from runner.stages.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from runner.model.project import ProjectReference, WorkingTree
    from runner.model.spec import EntryPoint, Parameter, ProjectSpec
    from runner.ports import Services

SEED_WORDS = ("seed", "random_state", "random-state")
HARMLESS = ("made by tools", "a repository's own files", "a virtual environment", "a cache",
            "a conda environment")  # fmt: skip
ABSOLUTE = re.compile(r"(?:^|[\s=\"'])(/(?!dev/|bin/|usr/bin/)[\w.-]+/[\w./-]+)")
WEB = re.compile(r"https?://[^\s\"']+")
SHOWN = 3
ORDER = ("high", "medium", "low")


class Risk(Value):
    """One thing that may keep a run from being reproduced.

    ``high``: it cannot be run again as it was; ``medium``: it depends on things that change;
    ``low``: it may give other numbers, or only from here. ``rule`` is a stable identifier.
    """

    severity: Literal["high", "medium", "low"]
    rule: str
    message: str
    where: str
    fix: str


def check(reference: ProjectReference, services: Services) -> tuple[Risk, ...]:
    """Look at a project without running anything; the worst comes first.

    Raises:
        RunprojError: The project cannot be fetched, or its files are wrong.
    """
    tree = fetch(reference, services)
    try:
        spec, _ = load(tree, home=services.home)
        return risks(tree, spec)
    finally:
        release(tree)


def risks(tree: WorkingTree, spec: ProjectSpec) -> tuple[Risk, ...]:
    """Return everything that was found, the worst first."""
    found = [*_source(tree), *_environment(tree, spec)]
    for entry_point in spec.entry_points.values():
        found += _entry_point(entry_point)
    return tuple(sorted(found, key=lambda risk: ORDER.index(risk.severity)))


def _source(tree: WorkingTree) -> Iterator[Risk]:
    origin = tree.provenance
    where = without_credentials(origin.reference.location)
    if origin.commit is None:
        yield Risk(
            severity="high", rule="no-commit", where=where,
            message="the project is not in git, so its files are named by the record, not kept",
            fix="git init && git add -A && git commit",
        )  # fmt: skip
    elif origin.dirty:
        yield Risk(
            severity="low", rule="dirty-tree", where=where,
            message="the checkout has changes that are in no commit: they are kept with the run",
            fix="git commit -a",
        )  # fmt: skip
    if origin.commit and not origin.repository:
        yield Risk(
            severity="medium", rule="no-remote", where=where,
            message="the repository has no remote: nobody else can get the commit",
            fix="git remote add origin URL && git push",
        )  # fmt: skip
    for rule, severity, start in (("lfs-pointer", "high", "a Git LFS pointer"),
                                  ("not-recorded", "high", "")):  # fmt: skip
        lost = [
            o
            for o in origin.omitted
            if o.reason.startswith(start)
            and not o.reason.startswith(HARMLESS)
            and (rule == "lfs-pointer" or not o.reason.startswith("a Git LFS pointer"))
        ]
        if lost:
            named = ", ".join(f"{o.path} ({o.reason})" for o in lost[:SHOWN])
            more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
            yield Risk(
                severity=severity, rule=rule, where=lost[0].path,  # type: ignore[arg-type]  # literals above
                message=f"these are not recorded with a run: {named}{more}",
                fix="declare them as 'path' parameters, commit them, or ignore them in .gitignore",
            )  # fmt: skip


def _environment(tree: WorkingTree, spec: ProjectSpec) -> Iterator[Risk]:
    environment = spec.environment
    where = str(environment.place) if environment.place else "MLproject"
    if isinstance(environment, DockerSpec):
        if environment.image and "@sha256:" not in environment.image:
            yield Risk(
                severity="high", rule="image-by-tag", where=where,
                message=f"the image {environment.image!r} is named by a tag, which may move",
                fix=f"{environment.image.rpartition(':')[0] or environment.image}@sha256:...",
            )  # fmt: skip
    elif isinstance(environment, CondaSpec):
        loose = [p for p in environment.packages if "=" not in p]
        yield from _unpinned(loose, where)
    else:
        yield from _python(tree, environment, where)


def _python(tree: WorkingTree, environment: PythonSpec, where: str) -> Iterator[Risk]:
    if not has_lock(tree.project, environment):
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
            severity="medium", rule="unpinned", where=where,
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
