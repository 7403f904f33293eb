"""The declaration of one parameter -> ``Parameter``, with every contradiction in it named."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from runner.documents.schema_check import found
from runner.model.spec import Parameter
from runner.redaction import MASK

if TYPE_CHECKING:
    from runner.documents.findings import Findings
    from runner.documents.yaml_document import Path, YamlDocument
    from runner.model.spec import ParameterType

TYPES: dict[str, ParameterType] = {
    "string": "string",
    "str": "string",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "boolean": "bool",
    "path": "path",
    "uri": "uri",
}
BOOLEANS = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0"})


def as_text(value: object) -> str:
    """Return the text that mlflow would pass for a YAML value: ``True``, ``10``, ``0.5``."""
    return str(value)


def fits(text: str, type_: ParameterType) -> bool:
    """Say whether a text is a value of a type."""
    try:
        if type_ == "int":
            int(text)
        elif type_ == "float":
            float(text)
    except (ValueError, OverflowError):
        return False
    return type_ != "bool" or text.strip().lower() in BOOLEANS


class ParameterReader:
    """Reads the parameter that is declared at a path of an MLproject document."""

    def __init__(self, document: YamlDocument, path: Path, findings: Findings) -> None:
        self.document, self.path, self.findings = document, path, findings
        self.name, self.entry_point = str(path[-1]), str(path[1])

    def read(self, body: Any) -> Parameter:  # noqa: ANN401 - whatever YAML holds
        """Return the parameter; parts that make no sense are reported and left out."""
        facts = body if isinstance(body, dict) else {"type": body}
        parameter = self._parameter(facts)
        self._check_default(parameter, facts)
        self._check_choices(parameter)
        self._check_range(parameter)
        self._check_switch(parameter, facts)
        self._check_combinations(parameter)
        return parameter

    def _parameter(self, facts: dict[str, Any]) -> Parameter:
        kind = facts.get("type")
        choices = facts.get("choices")
        return Parameter(
            name=self.name,
            type=TYPES.get(kind, "string") if isinstance(kind, str) else "string",
            default=self._default(facts),
            optional=facts.get("optional") is True,
            is_list=facts.get("list") is True,
            choices=tuple(map(as_text, choices)) if isinstance(choices, list) else (),
            minimum=_number(facts.get("min")),
            maximum=_number(facts.get("max")),
            switch=_text(facts.get("switch")),
            secret=facts.get("secret") is True,
            description=_text(facts.get("description")),
            place=self.document.key_place(self.path),
        )

    def _default(self, facts: dict[str, Any]) -> str | tuple[str, ...] | None:
        value = facts.get("default")
        if value is None:
            return None
        if facts.get("list") is True:
            return tuple(map(as_text, value)) if isinstance(value, list) else (as_text(value),)
        return as_text(value)

    def _check_default(self, parameter: Parameter, facts: dict[str, Any]) -> None:
        value = facts.get("default")
        if value is None:
            return
        if isinstance(value, dict) or (isinstance(value, list) and not parameter.is_list):
            message = f"the default of parameter '{self.name}' is {found(value)}"
            hint = "add 'list: true' for several values, or put the default in quotes"
            self._warn("default-not-scalar", f"{message}: its Python form is passed", hint)
        texts = parameter.default if isinstance(parameter.default, tuple) else [as_text(value)]
        for text in texts:
            shown = MASK if parameter.secret else text
            if not fits(text, parameter.type):
                message = f"the default of parameter '{self.name}', '{shown}', is no"
                self._error("default-type", f"{message} {parameter.type}", "default")
            elif parameter.type == "uri" and ":" not in text:
                message = f"the default of parameter '{self.name}', '{shown}', has no scheme"
                self._warn("default-type", message, "write a URI such as 'file:///data', or 'path'")
        self._check_spelling(parameter, value)

    def _check_spelling(self, parameter: Parameter, value: object) -> None:
        """Point out defaults that YAML 1.1 changes: ``010``, ``12:30``, ``on``, ``1.50``."""
        path = (*self.path, "default")
        span = self.document.values.get(path)
        if span is None or span.style or not isinstance(value, bool | int | float):
            return
        source = self.document.source(path)
        if (
            parameter.secret
            or parameter.type == "bool"
            or as_text(value) == source
            or source.startswith(("*", "&"))
        ):
            return
        if parameter.type == "float" and _same_number(source, value):
            return
        message = f"the default {source} of parameter '{self.name}' is read as {as_text(value)}"
        self._warn("yaml-spelling", message, f"write it in quotes: '{source}'")

    def _check_choices(self, parameter: Parameter) -> None:
        for at, choice in enumerate(parameter.choices):
            if not fits(choice, parameter.type):
                message = f"'{choice}' among the choices of parameter '{self.name}' is no"
                self._error("choice-type", f"{message} {parameter.type}", "choices", at)
        for text in _defaults(parameter):
            if parameter.choices and text not in parameter.choices:
                shown = MASK if parameter.secret else text
                message = f"the default '{shown}' of parameter '{self.name}' is not among its"
                choices = ", ".join(parameter.choices)
                self._error("default-choice", f"{message} choices ({choices})", "default")

    def _check_range(self, parameter: Parameter) -> None:
        low, high = parameter.minimum, parameter.maximum
        if parameter.type not in {"int", "float"}:
            for key, bound in (("min", low), ("max", high)):
                if bound is not None:
                    message = f"'{key}' makes no sense for parameter '{self.name}' of type"
                    self._error("range-type", f"{message} {parameter.type}", key)
            return
        if low is not None and high is not None and low > high:
            message = f"'min' {low} is above 'max' {high} for parameter '{self.name}'"
            self._error("empty-range", message, "min")
            return
        for text in _defaults(parameter):
            if not fits(text, parameter.type):
                continue
            value = float(text)
            if (low is not None and value < low) or (high is not None and value > high):
                shown = MASK if parameter.secret else text
                message = f"the default {shown} of parameter '{self.name}' is out of range"
                self._error("default-range", message, "default")

    def _check_switch(self, parameter: Parameter, facts: dict[str, Any]) -> None:
        if "switch" in facts and parameter.type != "bool":
            message = f"'switch' is for type bool, but parameter '{self.name}' is of type"
            self._error("switch-type", f"{message} {parameter.type}", "switch")
        if parameter.switch and parameter.is_list:
            message = f"parameter '{self.name}' cannot be a switch and a list"
            self._error("switch-list", message, "switch")

    def _check_combinations(self, parameter: Parameter) -> None:
        if parameter.optional and parameter.default is not None:
            message = f"parameter '{self.name}' is optional and has a default, which is always used"
            self._warn("optional-default", message, "leave one of the two out")
        if parameter.secret and parameter.default not in (None, ""):
            message = f"the secret parameter '{self.name}' has its default in the file"
            self._warn("secret-default", message, "leave the default out, and give it with -P")

    def _error(self, rule: str, message: str, *below: str | int) -> None:
        place = self.document.place((*self.path, *below))
        self.findings.error(rule, message, place, entry_point=self.entry_point)

    def _warn(self, rule: str, message: str, hint: str) -> None:
        place = self.document.place((*self.path, "default"))
        self.findings.warn(rule, message, place, hint=hint, entry_point=self.entry_point)


def _defaults(parameter: Parameter) -> tuple[str, ...]:
    default = parameter.default
    if default is None:
        return ()
    return default if isinstance(default, tuple) else (default,)


def _number(value: object) -> float | None:
    """Return a bound; the whole numbers stay whole, so that messages show them as written."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return None if math.isnan(value) else value
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _text(value: object) -> str | None:
    return None if value is None or isinstance(value, dict | list) else str(value)


def _same_number(source: str, value: float) -> bool:
    try:
        if not math.isfinite(value):
            return True  # what Python writes for ".inf" and ".nan" is as good
        return float(source) == float(value) and "_" not in source
    except (ValueError, OverflowError):
        return False
