"""Parameters as people write them: ``-P NAME=VALUE`` texts, and files in YAML or JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runner.errors import ParameterError, UsageError
from runner.model.spec import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from yaml import Mark, MarkedYAMLError, Node

    Given: TypeAlias = str | tuple[str, ...]

TRUTH = {"true": "true", "True": "true", "TRUE": "true"} | {
    "false": "false",
    "False": "false",
    "FALSE": "false",
}
NULL = frozenset(("", "~", "null", "Null", "NULL"))
EXAMPLE = "write a mapping of names to values, for example  alpha: 0.5"


def parse_assignments(texts: Sequence[str]) -> Mapping[str, Given]:
    """Read ``NAME=VALUE`` texts; the first ``=`` splits.

    A name that comes several times gets a tuple of its values, in their order.

    Raises:
        UsageError: A text has no ``=``, or nothing before it.
    """
    found: dict[str, Given] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"-P {text!r} is not NAME=VALUE", hint=f"-P {text or 'name'}=value")
        if not name:
            raise UsageError(f"-P {text!r} has no name before the '='", hint=f"-P name{text}")
        if name in found:
            before = found[name]
            found[name] = (*((before,) if isinstance(before, str) else before), value)
        else:
            found[name] = value
    return found


def read_parameters(path: str) -> Mapping[str, Given]:
    """Read a file of parameters: a mapping of names to values, or to lists of values.

    Numbers keep the text that they have in the file (``0.10``, ``1e-5``, ``010``), ``true`` and
    ``false`` are written so, ``null`` leaves a parameter unset. JSON and YAML are told apart by
    their content.

    Raises:
        UsageError: The file cannot be read.
        ParameterError: It is no such mapping; says at which line and column.
    """
    text = _decoded(path)
    if path.endswith(".json") or text.lstrip()[:1] == "{":
        try:
            pairs = json.loads(
                text,
                object_pairs_hook=_Pairs,
                parse_float=_Number,
                parse_int=_Number,
                parse_constant=_Number,
            )
        except json.JSONDecodeError as error:
            if path.endswith(".json"):
                where = str(Place(file=path, line=error.lineno, column=error.colno))
                raise ParameterError(f"not JSON: {error.msg}", where=where) from None
        except RecursionError:
            raise ParameterError("nested too deeply", where=path, hint=EXAMPLE) from None
        else:
            if found := _of_json(pairs):
                return found
    return _of_yaml(path, text)


def _decoded(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise UsageError(
            f"the parameters file cannot be read: {error.strerror}", where=path
        ) from None
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        where = str(Place(file=path, line=line, column=column))
        raise ParameterError(
            "the parameters file is not UTF-8", where=where, hint="save it as UTF-8"
        ) from None


class _Pairs(list[tuple[str, object]]):
    """A JSON object, with its names as often as they come."""


class _Number(str):
    """A JSON number, as written."""

    __slots__ = ()


def _of_json(pairs: object) -> dict[str, Given] | None:
    """Return the parameters of a plain JSON object; None where YAML's reader shall complain."""
    if not isinstance(pairs, _Pairs) or len(dict(pairs)) != len(pairs):
        return None
    found: dict[str, Given] = {}
    for name, value in pairs:
        if value is None:
            continue
        items = value if isinstance(value, list) and not isinstance(value, _Pairs) else [value]
        texts = [_json_text(item) for item in items]
        if not name or None in texts:
            return None
        whole = tuple(text for text in texts if text is not None)
        found[name] = whole if items is value else whole[0]
    return found


def _json_text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else None


def _of_yaml(path: str, text: str) -> dict[str, Given]:
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(path, error) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        column = error.position - text.rfind("\n", 0, error.position)
        where = str(Place(file=path, line=line, column=column))
        raise ParameterError(
            f"the character U+{ord(text[error.position]):04X} is not allowed here", where=where
        ) from None
    except RecursionError:
        raise ParameterError("nested too deeply", where=path, hint=EXAMPLE) from None
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise _wrong(path, root, "this is not a mapping of names to values", EXAMPLE)
    return _parameters(path, root.value)


def _not_yaml(path: str, error: MarkedYAMLError) -> ParameterError:
    mark: Mark | None = error.problem_mark or error.context_mark
    where = str(Place(file=path, line=mark.line + 1, column=mark.column + 1)) if mark else path
    return ParameterError(
        f"not YAML: {error.problem or error.context or 'it cannot be read'}",
        where=where,
        hint=EXAMPLE,
    )


def _wrong(path: str, node: Node, message: str, hint: str | None = None) -> ParameterError:
    mark = node.start_mark
    where = str(Place(file=path, line=mark.line + 1, column=mark.column + 1))
    return ParameterError(message, where=where, hint=hint)


def _parameters(path: str, pairs: Sequence[tuple[Node, Node]]) -> dict[str, Given]:
    import yaml

    found: dict[str, Given] = {}
    lines: dict[str, int] = {}
    for key, value in pairs:
        if not isinstance(key, yaml.ScalarNode) or not key.value:
            raise _wrong(path, key, "this is not a parameter's name", EXAMPLE)
        name = key.value
        if key.tag == "tag:yaml.org,2002:merge":
            raise _wrong(path, key, "merge keys ('<<') are not supported here")
        if name in lines:
            raise _wrong(
                path,
                key,
                f"the parameter {name!r} is given twice, first in line {lines[name]}",
                f"give it once, or as a list: {name}: [a, b]",
            )
        lines[name] = key.start_mark.line + 1
        if isinstance(value, yaml.SequenceNode):
            found[name] = tuple(_element(path, name, item) for item in value.value)
        elif (text := _text(path, name, value)) is not None:
            found[name] = text
    return found


def _element(path: str, name: str, node: Node) -> str:
    text = _text(path, name, node)
    if text is None:
        raise _wrong(
            path, node, f"an element of {name!r} is null", "leave it out, or write '' for no text"
        )
    return text


def _text(path: str, name: str, node: Node) -> str | None:
    """Return a scalar's text as written, None for null; ``yes`` and ``on`` stay words."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        raise _wrong(
            path,
            node,
            f"the value of {name!r} is a mapping: a parameter is one text, or a list of texts",
            f"give each of its entries a parameter of its own, such as {name}.key: value",
        )
    if not isinstance(node, yaml.ScalarNode):
        raise _wrong(path, node, f"an element of {name!r} is a list itself", "write one flat list")
    if node.style is None and node.tag == "tag:yaml.org,2002:null" and node.value in NULL:
        return None
    if node.style is None and node.tag == "tag:yaml.org,2002:bool":
        return TRUTH.get(node.value, str(node.value))
    return str(node.value)
