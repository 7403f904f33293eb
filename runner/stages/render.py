"""Invocation -> command: the template with every value quoted for the place where it stands.

A template's syntax is that of ``str.format`` (``string`` in the standard library, "Format String
Syntax"), because MLflow calls it. What differs: a field names a parameter and nothing else.
``{x.real}`` is the parameter called ``x.real``, never an attribute, so no template reaches into the
interpreter.
"""

from __future__ import annotations

from runner.errors import SpecError
from runner.model.plan import Command
from runner.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from runner.model.plan import Invocation
    from runner.model.spec import EntryPoint


class Field(Value):
    """One ``{name!conversion:spec}``; ``source`` is its text in the template."""

    name: str
    conversion: str = ""
    spec: str = ""
    source: str = ""


if TYPE_CHECKING:
    Part: TypeAlias = str | Field


def render(invocation: Invocation) -> Command:
    """Write the command that a shell runs in the project's directory.

    Raises:
        SpecError: The template is malformed, or formats its values as something that no text is.
        ParameterError: A value stands where the shell has no quoting for it.
    """
    found = parsed(invocation.entry_point)
    texts = [part for part in found if isinstance(part, str)]
    if len(texts) == len(found) and not invocation.extra:
        return Command(argv=("bash", "-c", "".join(texts)))
    from runner.stages.script import Script, with_flags

    script = Script(invocation)
    script.write(found)
    text = with_flags(script, invocation.extra)
    return Command(argv=("bash", "-c", text), variables=script.variables)


class TemplateError(ValueError):
    """The template is no ``str.format`` template; the argument is a sentence."""


def parts(template: str) -> tuple[Part, ...]:
    """Split a template into text and fields; doubled braces become single ones.

    ``{x!r}`` puts the value between single quotes, as Python writes a text: the quotes become
    part of the text around the field.

    Raises:
        TemplateError: A brace is alone, or a field has no name.
    """
    found: list[Part] = []
    at = 0
    while at < len(template):
        brace = min((b for b in (template.find(c, at) for c in "{}") if b >= 0), default=-1)
        if brace < 0:
            _add_text(found, template[at:])
            break
        _add_text(found, template[at:brace])
        if template[brace : brace + 2] in {"{{", "}}"}:
            _add_text(found, template[brace])
            at = brace + 2
            continue
        if template[brace] == "}":
            raise TemplateError("a '}' is alone: write '}}' for a brace that the shell shall see")
        end = _end_of_field(template, brace)
        _add_field(found, template[brace:end])
        at = end
    return tuple(found)


def _add_text(found: list[Part], text: str) -> None:
    if found and isinstance(found[-1], str):
        found[-1] += text
    elif text:
        found.append(text)


def _end_of_field(template: str, start: int) -> int:
    """Return the position after the brace that closes the field; braces nest in a spec."""
    depth = 0
    for at in range(start, len(template)):
        if template[at] == "{":
            depth += 1
        elif template[at] == "}":
            depth -= 1
            if depth == 0:
                return at + 1
    raise TemplateError("a '{' is never closed: write '{{' for a brace that the shell shall see")


def _add_field(found: list[Part], source: str) -> None:
    inside = source[1:-1]
    end = min((at for at in map(inside.find, ":!{") if at >= 0), default=len(inside))
    name, rest = inside[:end], inside[end:]
    conversion = ""
    if rest.startswith("!"):
        conversion, rest = rest[1:2], rest[2:]
        if conversion not in {"s", "r", "a"} or not (not rest or rest.startswith(":")):
            raise TemplateError(f"{source} has an unknown conversion: there are !r, !s and !a")
    if rest and not rest.startswith(":"):
        raise TemplateError(f"{source} has a brace in its name")
    spec = rest[1:]
    if not name:
        raise TemplateError(f"{source} names no parameter")
    if conversion in {"r", "a"}:
        if spec:
            raise TemplateError(f"{source} has both a conversion and a format: use one of them")
        _add_text(found, "'")
        found.append(Field(name=name, conversion=conversion, source=source))
        _add_text(found, "'")
    else:
        found.append(Field(name=name, conversion=conversion, spec=spec, source=source))


def parsed(entry_point: EntryPoint) -> tuple[Part, ...]:
    """Return the parts of an entry point's command, all its fields declared.

    Line ends of Windows become those of the shell.

    Raises:
        SpecError: There is no command, it is malformed, or it uses an undeclared parameter.
    """
    where = str(entry_point.place) if entry_point.place else f"entry point {entry_point.name}"
    if entry_point.template is None:
        raise SpecError(
            f"the entry point {entry_point.name!r} has no command",
            where=where,
            hint='add one, for example  command: "python train.py {alpha}"',
        )
    template = entry_point.template.replace("\r\n", "\n")
    if "\0" in template:
        raise SpecError(
            f"the command of the entry point {entry_point.name!r} has a NUL character", where=where
        )
    try:
        found = parts(template)
        for field in fields_of(found):
            _check_declared(field, entry_point)
    except TemplateError as error:
        raise SpecError(
            f"the command of the entry point {entry_point.name!r} is malformed: {error}",
            where=where,
            hint="braces that are not for a parameter are doubled, as in ${{HOME}}",
        ) from None
    return found


def fields_of(found: tuple[Part, ...]) -> tuple[Field, ...]:
    """Return the fields, and the fields in the formats of fields (``{x:>{width}}``)."""
    flat: list[Field] = []
    for part in found:
        if isinstance(part, Field):
            flat.append(part)
            if "{" in part.spec or "}" in part.spec:
                flat += fields_of(parts(part.spec))
    return tuple(flat)


def _check_declared(field: Field, entry_point: EntryPoint) -> None:
    if entry_point.parameter(field.name) is not None:
        return
    where = str(entry_point.place) if entry_point.place else f"entry point {entry_point.name}"
    message = f"the command of the entry point {entry_point.name!r} uses the undeclared parameter"
    base = field.name.replace("[", ".").partition(".")[0]
    if base != field.name and entry_point.parameter(base) is not None:
        raise SpecError(
            f"{message} {field.source}",
            where=where,
            hint=f"a field is a parameter's whole name, such as {{{base}}}: it cannot look inside",
        )
    from difflib import get_close_matches

    near = get_close_matches(field.name, [p.name for p in entry_point.parameters], n=1)
    raise SpecError(
        f"{message} {field.source}",
        where=where,
        hint=f"did you mean {{{near[0]}}}?"
        if near
        else f"declare it under parameters, or double the braces ({{{field.source}}}) "
        "when the shell shall see them",
    )
