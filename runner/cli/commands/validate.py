"""``runproj validate``: every problem of every project and file, at once."""

from __future__ import annotations

import os

from runner.app import Application
from runner.cli.output import SilentReporter
from runner.documents.environment_file import read_environment_file
from runner.documents.findings import public
from runner.errors import RunprojError
from runner.model.spec import Problem, PythonSpec
from runner.model.value import Value, changed
from runner.pipeline.request import parsed_reference
from runner.settings import settings
from runner.stages.fetch import fetch
from runner.stages.load import read_anew

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from runner.cli.output import Console
    from runner.codec import JSON
    from runner.documents.remembered import Reading
    from runner.model.project import WorkingTree
    from runner.ports import Services

INVALID = 2


class Verdict(Value):
    """What is wrong with one target, as the user named it; ``prefix`` leads to its files."""

    target: str
    prefix: str
    problems: tuple[Problem, ...]

    @property
    def is_valid(self) -> bool:
        """Whether nothing but warnings was found."""
        return all(problem.severity != "error" for problem in self.problems)


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "exit code: 0 when everything is valid, 2 when something is not"
    add = parser.add_argument
    add(
        "targets",
        nargs="*",
        default=["."],
        metavar="URI",
        help="project (directory, git URL, archive) or file: MLproject, python_env.yaml, "
        "conda.yaml, pyproject.toml (default: .)",
    )
    add("-v", "--version", metavar="REVISION", help="branch, tag or commit of a git project")
    add("--strict", action="store_true", help="treat warnings as errors")
    add("--json", action="store_true", help="print the findings as JSON")
    add("-q", "--quiet", action="store_true", help="no summary")


def call(options: Namespace, console: Console) -> int:
    """Check the targets; print a line for each finding, and a summary."""
    services = Application(settings(), SilentReporter())
    verdicts = [_verdict(target, options.version, services) for target in options.targets or ["."]]
    if options.strict:
        verdicts = [_strict(verdict) for verdict in verdicts]
    valid = all(verdict.is_valid for verdict in verdicts)
    if options.json:
        console.emit({"valid": valid, "targets": [_document(verdict) for verdict in verdicts]})
    else:
        for verdict in verdicts:
            for problem in verdict.problems:
                console.say(_line(problem, verdict))
        console.tell(_summary(verdicts), colour="green" if valid else "red")
    return 0 if valid else INVALID


def _verdict(target: str, revision: str | None, services: Services) -> Verdict:
    """Check one target; whatever keeps us from reading it is a finding as well."""
    try:
        if revision is None and os.path.isfile(target) and not _is_archive(target):
            return _file_verdict(target, services)
        tree = fetch(parsed_reference(target, revision), services)
        problems = _released(tree, _project_problems(tree))
    except RunprojError as error:
        return Verdict(target=target, prefix="", problems=_problems_of(error))
    local = os.path.isdir(target) and revision is None
    prefix = os.path.relpath(tree.project) if local else public(target)
    return Verdict(target=target, prefix=_folder(prefix), problems=problems)


def _is_archive(target: str) -> bool:
    return target.lower().endswith((".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2"))


def _folder(prefix: str) -> str:
    return "" if prefix == "." else os.path.join(prefix, "")


def _released(tree: WorkingTree, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    if tree.lease is not None:
        os.close(tree.lease)
    return problems


def _project_problems(tree: WorkingTree) -> tuple[Problem, ...]:
    reading = read_anew(tree)
    spec = reading.spec
    if spec and spec.file is None and spec.environment == PythonSpec():
        message = "there is no MLproject file"
        hint = "'runproj run -e SCRIPT' runs a script without one"
        missing = Problem(severity="error", rule="no-project", message=message, hint=hint)
        return (*reading.problems, missing)
    return reading.problems


def _file_verdict(target: str, services: Services) -> Verdict:
    """Check one file: an MLproject file with all it names, or an environment file alone."""
    folder, name = os.path.split(target)
    tree = fetch(parsed_reference(folder or ".", None), services)
    reading = _file_reading(tree, name)
    return Verdict(target=target, prefix=_folder(folder or "."), problems=reading.problems)


def _file_reading(tree: WorkingTree, name: str) -> Reading:
    if name.lower().startswith("mlproj"):
        return read_anew(tree, file=name)
    return read_environment_file(tree.project, tree.root, name)


def _problems_of(error: RunprojError) -> tuple[Problem, ...]:
    if error.problems:
        return error.problems
    where = f"{error.where}: " if error.where else ""
    return (
        Problem(severity="error", rule=error.code, message=where + error.message, hint=error.hint),
    )


def _strict(verdict: Verdict) -> Verdict:
    problems = tuple(
        problem if problem.severity == "note" else changed(problem, severity="error")
        for problem in verdict.problems
    )
    return changed(verdict, problems=problems)


def _line(problem: Problem, verdict: Verdict) -> str:
    return f"{verdict.prefix}{problem}" if problem.place else f"{public(verdict.target)}: {problem}"


def _summary(verdicts: Sequence[Verdict]) -> str:
    found: list[str] = [problem.severity for verdict in verdicts for problem in verdict.problems]
    counts = [
        f"{count} {word}{'s' * (count != 1)}"
        for word in ("error", "warning")
        if (count := found.count(word))
    ]
    where = public(verdicts[0].target) if len(verdicts) == 1 else f"{len(verdicts)} targets"
    return f"{where}: {' and '.join(counts) or 'valid'}"


def _document(verdict: Verdict) -> JSON:
    return {
        "target": public(verdict.target),
        "valid": verdict.is_valid,
        "problems": [_problem_document(problem) for problem in verdict.problems],
    }


def _problem_document(problem: Problem) -> JSON:
    place = problem.place
    return {
        "severity": problem.severity,
        "rule": problem.rule,
        "message": problem.message,
        "hint": problem.hint,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "entry_point": problem.entry_point,
    }
