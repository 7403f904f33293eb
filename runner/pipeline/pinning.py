"""The parameters of a recorded run -> values that bind to the same, on whatever machine this is."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

from runner.errors import ParameterError
from runner.model.value import Value
from runner.pipeline.foreign import unquoted
from runner.pipeline.recorded import inputs_of, original_root
from runner.redaction import MASK
from runner.stages.bind import recorded as as_recorded
from runner.system.digests import file_input, folder_input

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.model.project import WorkingTree
    from runner.model.spec import EntryPoint, ProjectSpec
    from runner.pipeline.recorded import RecordedRun
    from runner.pipeline.reproduce import Reproduction

    Given = str | tuple[str, ...]


class Pinned(Value):
    """What to ask for so that everything is bound as before.

    ``varied`` are the values that the caller wants to be others than they were; ``tolerances`` is
    what the project's ``reproduce:`` key says.
    """

    parameters: Mapping[str, Given]
    varied: Mapping[str, str]
    tolerances: Mapping[str, Any]


def pinned(asked: Reproduction, spec: ProjectSpec, tree: WorkingTree, home: str) -> Pinned:
    """Find a value for each parameter that the run had; what the caller gives wins.

    Where the files are those of another commit, inputs among them are taken as it has them.

    Raises:
        ParameterError: A secret or an input is not to be had; all that is missing is told at once.
    """
    reference, overrides = asked.reference, asked.overrides
    record = reference.record
    entry_point = spec.entry_points.get(record["entry_point"])
    pinning = _Pinning(asked, entry_point, tree, home)
    found: dict[str, Given] = {}
    for name, value in _recorded_values(reference, entry_point).items():
        if name not in overrides and (pin := pinning.value(name, value)) is not None:
            found[name] = pin
    found.update(record.get("extra_parameters") or {})
    pinning.refuse_missing()
    found.update(overrides)
    varied = {
        name: as_recorded(value)
        for name, value in overrides.items()
        if not pinning.is_same(name, value)
    }
    return Pinned(parameters=found, varied=varied, tolerances=spec.reproduce)


def _recorded_values(reference: RecordedRun, entry_point: EntryPoint | None) -> dict[str, str]:
    """Return the values that the run was given; of a foreign run those of declared parameters.

    MLflow keeps what the program itself logged in the same place.
    """
    values: Mapping[str, str] = reference.record["parameters"]
    if not reference.is_foreign:
        return dict(values)
    declared = {p.name for p in entry_point.parameters} if entry_point else set()
    return {name: unquoted(value) for name, value in values.items() if name in declared}


class _Pinning:
    """Values under way back to their parameters, and what is missing of them."""

    def __init__(
        self, asked: Reproduction, entry_point: EntryPoint | None, tree: WorkingTree, home: str
    ) -> None:
        reference = asked.reference
        self._entry_point, self._tree = entry_point, tree
        self._home, self._caller = home, asked.caller
        self._takes_tree = asked.commit is not None
        self._record = reference.record
        self._is_foreign = reference.is_foreign
        self._inputs = inputs_of(reference)
        self._root = original_root(reference)
        self._missing: list[tuple[str, str]] = []

    def value(self, name: str, recorded: str) -> Given | None:
        """Return what to give for a parameter; None to let its default speak."""
        parameter = self._entry_point.parameter(name) if self._entry_point else None
        if name in (self._record.get("secret_parameters") or []):
            self._missing.append((name, "it is secret, so its value was not recorded"))
            return None
        default = parameter.default if parameter else None
        if default is not None and as_recorded(default) == recorded:
            return None
        value = _elements(recorded) if parameter and parameter.is_list else recorded
        if name not in self._inputs:
            is_path = self._is_foreign and parameter is not None and parameter.type == "path"
            return self._moved(name, recorded) if is_path else value
        inputs = self._inputs[name]
        if isinstance(value, str):
            return self._local(name, inputs[0])
        return tuple(self._local(name, item) for item in inputs)

    def _local(self, name: str, item: Mapping[str, Any]) -> str:
        """Return a path of this machine at which an input lies, unchanged."""
        given = str(item["given"])
        if given == MASK:
            self._missing.append((name, "it is secret, so its path was not recorded"))
            return given
        if "://" in given or given.startswith(("runs:", "file:")):
            return given
        places = list(dict.fromkeys(self._places(given, str(item["path"]))))
        there = [place for place in places if os.path.exists(place)]
        for place in there:
            if self._takes_tree and place.startswith(self._tree.root + os.sep):
                return place
            if digest_of(place, self._home) == item["digest"]:
                return place
        if there:
            why = f"{there[0]} is not what it was (recorded {item['digest']})"
        else:
            why = f"{given!r} is not here (looked for {', '.join(places)})"
        self._missing.append((name, why))
        return given

    def _moved(self, name: str, path: str) -> str:
        """Return where the path of a run that MLflow made is now: MLflow recorded absolute ones."""
        if "://" in path or path.startswith("runs:"):
            return path
        places = self._places(path, path)
        there = next((place for place in places if os.path.exists(place)), None)
        if there is None:
            self._missing.append((name, f"{path!r} is not here"))
        return there or path

    def _places(self, given: str, path: str) -> Sequence[str]:
        """Return where an input may lie: in the restored tree, where it was, near the caller."""
        found = []
        if self._root and path.startswith(self._root + os.sep):
            inside = os.path.relpath(path, self._root)
            found.append(os.path.join(self._tree.root, inside))
        found.append(path)
        if not os.path.isabs(given):
            found.append(os.path.normpath(os.path.join(self._caller, given)))
        return found

    def is_same(self, name: str, value: Given) -> bool:
        """Whether a value that the caller gives is what the run had, or the same file."""
        if name in (self._record.get("secret_parameters") or []):
            return True
        extra = self._record.get("extra_parameters") or {}
        before = {**extra, **self._record["parameters"]}.get(name)
        if as_recorded(value) in {before, unquoted(before or "") if self._is_foreign else before}:
            return True
        if name not in self._inputs:
            return False
        given = (value,) if isinstance(value, str) else value
        found = [digest_of(os.path.join(self._caller, text), self._home) for text in given]
        return found == [item["digest"] for item in self._inputs[name]]

    def refuse_missing(self) -> None:
        """Tell everything that the caller has to provide.

        Raises:
            ParameterError: There is something.
        """
        if not self._missing:
            return
        reasons = "; ".join(f"{name}: {why}" for name, why in self._missing)
        names = list(dict.fromkeys(name for name, _ in self._missing))
        plural = "s" if len(names) > 1 else ""
        raise ParameterError(
            f"the value{plural} of {', '.join(map(repr, names))} cannot be had",
            where=reasons,
            hint=" ".join(f"-P {name}=..." for name in names),
        )


def _elements(recorded: str) -> Given:
    """Read a list parameter as it was recorded: the JSON text of its elements."""
    try:
        found = json.loads(recorded)
    except ValueError:
        return recorded
    return tuple(map(str, found)) if isinstance(found, list) else recorded


def digest_of(path: str, home: str) -> str | None:
    """Return the digest that an input has, None where there is nothing that could be one."""
    try:
        folder = stat.S_ISDIR(os.stat(path).st_mode)
        return (folder_input if folder else file_input)(path, home)[0]
    except (OSError, ValueError):
        return None
