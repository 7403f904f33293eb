"""Spec and request -> invocation: the entry point is chosen, every parameter has its value."""

from __future__ import annotations

import json
import os

from runner.errors import ParameterError
from runner.model.plan import Invocation
from runner.model.spec import EntryPoint, Problem
from runner.model.value import EntryPointName
from runner.redaction import MASK, has_credentials, without_credentials
from runner.stages.render import parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model.plan import RunRequest
    from runner.model.project import WorkingTree
    from runner.model.spec import Parameter, ProjectSpec

    Given = str | tuple[str, ...]

DEFAULT = "main"
"""The entry point of a request that names none."""
SCRIPT_ENDINGS = (".py", ".sh", ".R")


def bind(spec: ProjectSpec, request: RunRequest, tree: WorkingTree) -> Invocation:
    """Choose the entry point and give each of its parameters a value.

    All that is wrong with the values is told at once. Lists are recorded as the JSON text of their
    elements, secrets as ``***``.

    Raises:
        ParameterError: There is no such entry point, or values are missing or do not fit.
        SpecError: The entry point has no command, or a malformed one.
    """
    entry_point = entry_point_of(spec, request.entry_point, tree)
    parsed(entry_point)
    binding = Binding(entry_point, request.parameters, strict=request.strict)
    for parameter in entry_point.parameters:
        binding.take(parameter)
    binding.take_undeclared()
    return binding.result()


class Binding:
    """Values under way to their parameters, and what was found wrong with them."""

    def __init__(
        self, entry_point: EntryPoint, given: Mapping[str, Given], *, strict: bool
    ) -> None:
        self._entry_point = entry_point
        self._given = given
        self._strict = strict
        self._values: dict[str, Given] = {}
        self._extra: dict[str, str] = {}
        self._errors: list[Problem] = []
        self._warnings: list[Problem] = []

    def take(self, parameter: Parameter) -> None:
        """Find the value of one declared parameter and see whether it fits."""
        value = self._given.get(parameter.name, parameter.default)
        if value is None:
            if parameter.is_required:
                self._error(parameter, "missing-value", "no value is given for", "...")
            return
        if isinstance(value, str):
            value = (value,) if parameter.is_list else value
        elif not parameter.is_list:
            value = self._only(parameter.name, value)
            if value is None:
                return
        self._values[parameter.name] = value
        from runner.stages.accept import refusal

        for text in (value,) if isinstance(value, str) else value:
            why = refusal(parameter, text)
            if why:
                self._error(parameter, why.rule, f"{why.message}:", why.example)
                return

    def _only(self, name: str, values: tuple[str, ...]) -> str | None:
        """Return the value of a parameter that takes one; several are an error."""
        if len(values) == 1:
            return values[0]
        parameter = self._entry_point.parameter(name)
        times = f"{len(values)} values are given for"
        self._errors.append(
            Problem(
                severity="error",
                rule="given-twice",
                message=f"{times} {self._title(name)}",
                place=parameter.place if parameter else None,
                hint=f"give it once, -P {name}=..., or declare it with 'list: true'",
            )
        )
        return None

    def take_undeclared(self) -> None:
        """Keep what no parameter is declared for: it is appended to the command."""
        for name, value in self._given.items():
            if self._entry_point.parameter(name) is not None:
                continue
            text = value if isinstance(value, str) else self._only(name, value)
            if text is None:
                continue
            if not name or "\0" in name + text:
                self._errors.append(
                    Problem(
                        severity="error",
                        rule="nul-character",
                        message=f"{self._title(name)} has no name or holds a NUL character",
                        hint="no program can be given that",
                    )
                )
                continue
            self._extra[name] = text
            if self._entry_point.parameters or self._entry_point.place:
                self._undeclared(name)

    def _undeclared(self, name: str) -> None:
        names = [p.name for p in self._entry_point.parameters]
        near = nearest(name, names)
        problem = Problem(
            severity="error" if self._strict else "warning",
            rule="undeclared-parameter",
            message=f"{self._title(name)} is not declared"
            + ("" if self._strict else f"; it is appended to the command as --{name}"),
            place=self._entry_point.place,
            hint=f"did you mean {near!r}?" if near else None,
        )
        (self._errors if self._strict else self._warnings).append(problem)

    def _title(self, name: str) -> str:
        return f"parameter {name!r} of entry point {self._entry_point.name!r}"

    def _error(self, parameter: Parameter, rule: str, start: str, example: str) -> None:
        name = parameter.name
        self._errors.append(
            Problem(
                severity="error",
                rule=rule,
                message=f"{start} {self._title(name)}",
                place=parameter.place or self._entry_point.place,
                hint=f"-P {name}={example}",
            )
        )

    def result(self) -> Invocation:
        """Return the invocation.

        Raises:
            ParameterError: Something was found wrong.
        """
        if self._errors:
            raise _failure(self._errors, self._entry_point)
        entry_point = self._entry_point
        masked = {p.name for p in entry_point.parameters if p.secret and p.name in self._values}
        confided = {name for name, value in self._values.items() if _is_confidential(value)}
        return Invocation(
            entry_point=entry_point,
            values=self._values,
            given={
                name: MASK if name in masked else recorded(_cleaned(value))
                for name, value in self._values.items()
            },
            extra=self._extra,
            secrets=frozenset(masked | confided),
            warnings=tuple(self._warnings),
        )


def _is_confidential(value: Given) -> bool:
    """Whether a value is a URL with credentials, which only the command may see."""
    return any(has_credentials(text) for text in ((value,) if isinstance(value, str) else value))


def _cleaned(value: Given) -> Given:
    if isinstance(value, str):
        return without_credentials(value)
    return tuple(without_credentials(text) for text in value)


def recorded(value: Given) -> str:
    """Return a value as it is recorded: as given, lists as the JSON text of their elements."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def nearest(name: str, names: list[str]) -> str | None:
    """Return the name that was probably meant, None when none is near."""
    folded = {other.lower().replace("-", "_"): other for other in names}
    same = folded.get(name.lower().replace("-", "_"))
    if same is not None:
        return same
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, names, n=1)), None)


def _failure(errors: list[Problem], entry_point: EntryPoint) -> ParameterError:
    if len(errors) == 1:
        (problem,) = errors
        place = problem.place
        return ParameterError(
            problem.message,
            where=str(place) if place else None,
            hint=problem.hint,
            problems=errors,
        )
    return ParameterError(
        f"{len(errors)} parameters do not fit the entry point {entry_point.name!r}",
        where=str(entry_point.place) if entry_point.place else None,
        problems=errors,
    )


def entry_point_of(spec: ProjectSpec, name: str, tree: WorkingTree) -> EntryPoint:
    """Return the entry point of that name, or one that runs the script of that name.

    Raises:
        ParameterError: There is neither.
    """
    declared = spec.entry_points.get(EntryPointName(name))
    if declared is not None:
        return declared
    if name.endswith(SCRIPT_ENDINGS):
        return EntryPoint(name=EntryPointName(name), template=_script_command(name, spec, tree))
    raise _missing(name, spec, tree)


def _script_command(name: str, spec: ProjectSpec, tree: WorkingTree) -> str:
    """Return the template that runs a script, by its ending, as MLflow does."""
    from runner.stages.quoting import in_double, single

    path = os.path.relpath(os.path.join(tree.project, name), tree.project)
    real = os.path.realpath(os.path.join(tree.project, path))
    root = os.path.realpath(tree.root)
    if path.split(os.sep)[0] == os.pardir or os.path.commonpath((root, real)) != root:
        raise ParameterError(f"the script {name!r} is not inside the project", where=tree.project)
    if not os.path.isfile(real):
        raise _missing(name, spec, tree)
    word = f"./{path}" if path.startswith("-") else path
    if name.endswith(".py"):
        command = f"python {single(word)}"
    elif name.endswith(".sh"):
        command = f'"${{SHELL:-bash}}" {single(word)}'
    else:
        text = word.replace("\\", "\\\\").replace("'", "\\'")
        command = f"Rscript -e \"mlflow::mlflow_source('{in_double(text)}')\" --args"
    return command.replace("{", "{{").replace("}", "}}")


def _missing(name: str, spec: ProjectSpec, tree: WorkingTree) -> ParameterError:
    """Say that there is no such entry point, and which ones there are."""
    from difflib import get_close_matches

    from runner.stages.quoting import single

    names = [*spec.entry_points]
    choices = names or _scripts(tree)
    near = get_close_matches(name, choices, n=1)
    if near:
        hint = f"did you mean -e {single(near[0])}?"
    elif choices:
        hint = f"choose one: -e {single(choices[0])}"
    else:
        hint = "declare entry_points in an MLproject file, or name a script: -e train.py"
    what = "script" if name.endswith(SCRIPT_ENDINGS) else "entry point"
    listed = f"; there are: {', '.join(names)}" if names else "; the project declares none"
    return ParameterError(
        f"there is no {what} {name!r}{listed}", where=spec.file or tree.project, hint=hint
    )


def _scripts(tree: WorkingTree) -> list[str]:
    """Return the scripts at the top of a project that declares no entry points."""
    try:
        return sorted(f for f in os.listdir(tree.project) if f.endswith(SCRIPT_ENDINGS))
    except OSError:
        return []
