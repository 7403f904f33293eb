"""Working tree -> spec, and what may keep its runs from being reproduced."""

from __future__ import annotations

import os

from runner.documents.remembered import OUTSIDE, SPARK_JOB, ProjectFiles, recalled, remember
from runner.errors import SpecError
from runner.hashing import sha256
from runner.model.spec import SEVERITIES, DockerSpec, Place, Problem, Risk
from runner.model.value import Value
from runner.redaction import without_credentials
from runner.schema import schema_text
from runner.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runner.documents.remembered import Reading
    from runner.model.project import WorkingTree
    from runner.model.spec import EnvironmentSpec, ProjectSpec

EDITION = "3"
"""To be raised whenever the same files are read to another spec: forgets what is remembered."""
SCHEMAS = ("mlproject", "python_env", "conda_env")
PREFERRED = ("MLproject", "MLProject", "mlproject")
EXTENSIONS = (".yaml", ".yml")


HARMLESS = ("made by tools", "a repository's own files", "a virtual environment", "a cache",
            "a conda environment")  # fmt: skip
SHOWN = 3
UNPINNED = "unpinned"
"""The rule that a lock in the project puts right."""


class Loaded(Value):
    """What a project's files say: the spec, what is odd about it, and its risks by entry point."""

    spec: ProjectSpec
    problems: tuple[Problem, ...]
    risks: Mapping[str, tuple[Risk, ...]]


def load(tree: WorkingTree, *, home: str) -> tuple[ProjectSpec, tuple[Problem, ...]]:
    """Read and validate a project; what was read once is remembered below ``home``.

    Nothing is written into the project, executed, or fetched. The problems are warnings, and
    errors that concern one entry point only: ``judged`` picks those that matter to a run.

    Raises:
        SpecError: The project as a whole cannot be used; ``problems`` holds everything found.
    """
    found = loaded(tree, home=home)
    return found.spec, found.problems


def loaded(tree: WorkingTree, *, home: str) -> Loaded:
    """Do the same as ``load``, and tell what may keep runs from being reproduced, too.

    Raises:
        SpecError: The project as a whole cannot be used.
    """
    files = ProjectFiles(tree.project, tree.root)
    reading, notes = _reading(files, home)
    problems = (*notes, *reading.problems)
    if reading.spec is None:
        raise _refusal([p for p in problems if p.severity == "error"], problems)
    return Loaded(spec=reading.spec, problems=problems, risks=reading.risks)


def judged(problems: Sequence[Problem], *, entry_point: str) -> tuple[Problem, ...]:
    """Return the warnings that concern a run of one entry point.

    Raises:
        SpecError: There are errors among the problems of the project or of the entry point.
    """
    concerned = (p for p in problems if p.entry_point in {None, entry_point})
    relevant = [p for p in concerned if p.severity != "note"]
    errors = [p for p in relevant if p.severity == "error" or p.rule == SPARK_JOB]
    if errors:
        raise _refusal(errors, problems)
    return tuple(relevant)


def risks(
    tree: WorkingTree,
    environment: EnvironmentSpec,
    told: Mapping[str, tuple[Risk, ...]],
    entry_points: Iterable[str],
) -> tuple[Risk, ...]:
    """Return everything that was found for some entry points, the worst first.

    ``told`` are the risks of the spec: those of each entry point, and under the empty name those
    of all.
    """
    found = [*_source(tree)]
    for name in ("", *entry_points):
        found += told.get(name, ())
    if any(risk.rule == UNPINNED for risk in found):
        from runner.stages.date import has_lock

        if has_lock(tree.project, environment):
            found = [risk for risk in found if risk.rule != UNPINNED]
    if isinstance(environment, DockerSpec):
        from runner.stages.image_risks import image_risks

        found += image_risks(tree.project, environment)
    return tuple(sorted(found, key=lambda risk: SEVERITIES.index(risk.severity)))


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


def _refusal(errors: Sequence[Problem], problems: Sequence[Problem]) -> SpecError:
    """Make one error of several: the only one itself, else their number; all problems with it."""
    if len(errors) == 1:
        only = errors[0]
        where = str(only.place) if only.place else None
        return SpecError(only.message, where=where, hint=only.hint, problems=problems)
    files = dict.fromkeys(p.place.file for p in errors if p.place)
    message = f"there are {len(errors)} errors in {', '.join(files) or 'the project'}"
    return SpecError(message, problems=problems)


def read_anew(tree: WorkingTree, *, file: str | None = None) -> Reading:
    """Read a project without looking at what is remembered; errors are in the reading.

    ``file`` is the name of the MLproject file, where it is not to be looked for.

    Raises:
        SpecError: The project folder or its file cannot be read at all.
    """
    from runner.documents.project import read_project
    from runner.model.value import changed

    files = ProjectFiles(tree.project, tree.root)
    name, notes = (file, ()) if file else find_project_file(files)
    reading = read_project(files, name, _content(files, name))
    return changed(reading, problems=(*notes, *reading.problems))


def _reading(files: ProjectFiles, home: str) -> tuple[Reading, tuple[Problem, ...]]:
    file, notes = find_project_file(files)
    content = _content(files, file)
    path = os.path.join(home, "specs", f"{_key(file, content)}.json")
    known = recalled(path)
    if known and files.unchanged(known.files):
        return known, notes
    from runner.documents.project import read_project

    reading = read_project(files, file, content)
    remember(path, reading)
    return reading, notes


def _content(files: ProjectFiles, file: str | None) -> bytes:
    if file is None:
        return b""
    content = files.read(file)
    if content is None:
        outside = files.states[file] == OUTSIDE
        why = "leads out of the project" if outside else "cannot be read"
        hint = "it must be a file of the project" if outside else "check its permissions"
        raise SpecError(f"{file} {why}", where=files.project, hint=hint)
    del files.states[file]  # the key of what is remembered covers it
    return content


def _key(file: str | None, content: bytes) -> str:
    digest = sha256(f"{EDITION} {__version__} {file}".encode("utf-8", "surrogatepass"))
    for part in (*map(schema_text, SCHEMAS), content):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def find_project_file(files: ProjectFiles) -> tuple[str | None, tuple[Problem, ...]]:
    """Find the MLproject file: in any case, else ``MLproject.yaml`` or ``.yml``.

    Where there are several, ``MLproject`` comes first, then ``MLProject`` and ``mlproject``, then
    the rest in alphabetical order; a warning says so. Folders of that name are no projects.

    Raises:
        SpecError: There is no such directory.
    """
    try:
        alike = [name for name in os.listdir(files.project) if name.lower().startswith("mlproj")]
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise SpecError(
            f"the project folder cannot be read: {reason}", where=files.project
        ) from None
    found = sorted(filter(_is_name, alike), key=_rank)
    found = [n for n in found if not os.path.isdir(os.path.join(files.project, n))]
    if not found:
        return None, tuple(_not_read(name, files) for name in sorted(alike))
    if found[1:] and not _is_one(files, found):
        others = ", ".join(found[1:])
        message = f"there are several project files: {found[0]} is used, {others} not"
        return found[0], (_warning("several-files", message, found[0], "remove the others"),)
    return found[0], ()


def _is_one(files: ProjectFiles, names: Sequence[str]) -> bool:
    """Whether all names are the same file: links, or a file system that ignores case."""
    paths = [os.path.join(files.project, name) for name in names]
    return all(os.path.exists(p) and os.path.samefile(paths[0], p) for p in paths)


def _is_name(name: str) -> bool:
    folded = name.lower()
    return folded == "mlproject" or folded in {f"mlproject{end}" for end in EXTENSIONS}


def _rank(name: str) -> tuple[bool, int, str]:
    stem, extension = os.path.splitext(name)
    order = PREFERRED.index(stem) if stem in PREFERRED else len(PREFERRED)
    return (bool(extension), order, name)


def _not_read(name: str, files: ProjectFiles) -> Problem:
    if os.path.isdir(os.path.join(files.project, name)):
        hint = f"the project may be in there: add '#{name}' to its address"
        return _warning("folder", f"{name} is a folder, not a project file", name, hint)
    return _warning("unknown-file", f"{name} is not read", name, "rename it to MLproject")


def _warning(rule: str, message: str, file: str, hint: str) -> Problem:
    place = Place(file=file, line=1, column=1)
    return Problem(severity="warning", rule=rule, message=message, place=place, hint=hint)
