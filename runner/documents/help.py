"""Entry points and their parameters in words, for a terminal."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from runner.documents.findings import showable
from runner.redaction import MASK

if TYPE_CHECKING:
    from runner.model.spec import EntryPoint, Parameter, ProjectSpec

WIDTH = 100
"""Columns that the help fills at most."""
TERM = 28
"""Columns that the names of parameters take before their descriptions begin."""


def entry_point_help(spec: ProjectSpec, entry_point: EntryPoint) -> str:
    """Return the help of one entry point: what it does, its parameters, and how to run it."""
    chosen = "" if entry_point.name == "main" else f" -e {entry_point.name}"
    default = " (default)" if entry_point.name == "main" and len(spec.entry_points) > 1 else ""
    lines = [f"  {showable(entry_point.name)}{default}"]
    if entry_point.description:
        lines += _wrapped(entry_point.description, "    ")
    if entry_point.template is None:
        lines.append("    (has no command and cannot run)")
    needed = [p for p in entry_point.parameters if p.is_required]
    given = "".join(f" -P {p.name}=..." for p in needed)
    lines.append(f"    runproj run URI{chosen}{given}")
    for parameter in entry_point.parameters:
        lines += _parameter_lines(parameter)
    return "\n".join(lines) + "\n"


def _parameter_lines(parameter: Parameter) -> list[str]:
    term = f"    -P {showable(parameter.name)}={placeholder(parameter)}"
    text = "; ".join(filter(None, [parameter.description, facts(parameter)]))
    indent = " " * (TERM + 4)
    described = _wrapped(text, indent)
    if len(term) < len(indent) - 1 and described:
        described[0] = term.ljust(len(indent)) + described[0].lstrip()
        return described
    return [term, *described]


def placeholder(parameter: Parameter) -> str:
    """Return what stands for the value: ``FLOAT``, ``adam|sgd``, ``PATH...``."""
    choices = "|".join(parameter.choices)
    word = choices if 0 < len(choices) <= TERM // 2 else parameter.type.upper()
    return f"{word}..." if parameter.is_list else word


def facts(parameter: Parameter) -> str:
    """Say what is known about a parameter's value: required, default, range, choices."""
    parts = []
    if parameter.is_required:
        parts.append("required")
    if parameter.default is not None:
        parts.append(f"default {_default(parameter)}")
    elif parameter.optional:
        parts.append("optional")
    if bounds := _bounds(parameter):
        parts.append(bounds)
    if parameter.choices and placeholder(parameter) != "|".join(parameter.choices):
        parts.append(f"one of {', '.join(parameter.choices)}")
    if parameter.switch:
        parts.append(f"true means {parameter.switch}")
    if parameter.is_list:
        parts.append("may be repeated")
    if parameter.secret:
        parts.append("secret: never shown or stored")
    return ", ".join(parts)


def _default(parameter: Parameter) -> str:
    if parameter.secret and parameter.default:
        return MASK
    if isinstance(parameter.default, tuple):
        return " ".join(map(repr, parameter.default)) or "none"
    text = parameter.default or ""
    return text if text and " " not in text else repr(text)


def _bounds(parameter: Parameter) -> str:
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"at least {low}"
    return f"at most {high}" if high is not None else ""


def _wrapped(text: str, indent: str) -> list[str]:
    shown = showable(" ".join(text.split()))
    return textwrap.wrap(shown, WIDTH, initial_indent=indent, subsequent_indent=indent)
