"""YAML -> plain values, with the place of every key and value.

Values are what PyYAML's ``safe_load`` makes of them (YAML 1.1, as mlflow reads it), except that
keys are the text that was written. Nothing here trusts the author: depth, size and the expansion
of aliases are bounded before anything is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from runner.documents.decoding import decoded
from runner.model.spec import Place
from runner.model.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.documents.findings import Findings

Path: TypeAlias = tuple[str | int, ...]

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEEPEST = 64
"""Levels of nesting that are read; the C parser overflows the stack far above."""
MOST_NODES = 50_000
"""Nodes that a document may have once its aliases are expanded."""
_SECOND_OPINION = 65_536
_BITS = 4096
_MERGE = "tag:yaml.org,2002:merge"
_STR = "tag:yaml.org,2002:str"


class Span(Value):
    """Where a value stands in the text: its place, and its first and last offset.

    ``style`` is ``None`` for plain scalars and collections, else the character that began it.
    """

    place: Place
    start: int
    end: int
    style: str | None = None


class YamlDocument(Value):
    """A document: its value, and by path where each value and each key stands."""

    file: str
    text: str
    data: Any
    values: Mapping[Path, Span]
    keys: Mapping[Path, Place]

    def place(self, path: Path) -> Place:
        """Return where a value stands, or the nearest thing around it that exists."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values[path].place

    def key_place(self, path: Path) -> Place:
        """Return where the key of a value stands; for list items, the item."""
        return self.keys.get(path) or self.place(path)

    def source(self, path: Path) -> str:
        """Return the text of a value as it was written, quotes included."""
        span = self.values[path]
        return self.text[span.start : span.end].rstrip()

    def place_at(self, offset: int) -> Place:
        """Return the place of an offset into the text."""
        line_start = self.text.rfind("\n", 0, offset) + 1
        line = self.text.count("\n", 0, offset) + 1
        return Place(file=self.file, line=line, column=offset - line_start + 1)


def read_yaml(content: bytes, file: str, findings: Findings) -> YamlDocument | None:
    """Read one YAML document; None, with the reasons among the findings, when there is none."""
    text = decoded(content, file, findings)
    if text is None:
        return None
    try:
        return _read(text, file, findings)
    except yaml.YAMLError as error:
        failure = error
    if len(text) < _SECOND_OPINION and LOADER is not yaml.SafeLoader:
        try:  # mlflow uses the parser in Python, which accepts a little more in places
            return _read(text, file, findings, loader=yaml.SafeLoader)
        except (yaml.YAMLError, ValueError):
            pass  # both refuse: the first failure explains it
    _explain(failure, text, file, findings)
    return None


def _read(
    text: str,
    file: str,
    findings: Findings,
    *,
    loader: Any = LOADER,  # noqa: ANN401
) -> YamlDocument | None:
    refusal = _Measure(file).refusal(yaml.parse(text, Loader=loader))
    if refusal:
        findings.error("yaml", refusal, Place(file=file, line=1, column=1))
        return None
    node = yaml.compose(text, Loader=loader)
    builder = _Builder(text, file, findings)
    data = None if node is None else builder.build(node, ())
    values = builder.values or {(): Span(place=Place(file=file, line=1, column=1), start=0, end=0)}
    return YamlDocument(file=file, text=text, data=data, values=values, keys=builder.keys)


class _Level:
    """A collection that is still open while the events of a document go by."""

    def __init__(self, anchor: str | None) -> None:
        self.anchor, self.nodes, self.height = anchor, 1, 1


class _Measure:
    """Counts what a document would hold, aliases expanded, without building it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.levels: list[_Level] = []
        self.sizes: dict[str | None, tuple[int, int]] = {}

    def refusal(self, events: Iterable[Any]) -> str | None:
        """Say why a document must not be built: too deep, too large, or contained in itself."""
        for event in events:
            if isinstance(event, yaml.CollectionStartEvent):
                self.levels.append(_Level(event.anchor))
                too_much = self._too_much(0, 0)
            elif isinstance(event, yaml.CollectionEndEvent):
                level = self.levels.pop()
                too_much = self._closed(level.anchor, level.nodes, level.height)
            elif isinstance(event, yaml.ScalarEvent):
                too_much = self._closed(event.anchor, 1, 0)
            elif isinstance(event, yaml.AliasEvent):
                if any(level.anchor == event.anchor for level in self.levels):
                    return f"the alias '*{event.anchor}' in {self.file} is contained in itself"
                too_much = self._closed(None, *self.sizes.get(event.anchor, (1, 0)))
            else:
                continue
            if too_much:
                return too_much
        return None

    def _closed(self, anchor: str | None, nodes: int, height: int) -> str | None:
        if anchor:
            self.sizes[anchor] = (nodes, height)
        if self.levels:
            level = self.levels[-1]
            level.nodes += nodes
            level.height = max(level.height, height + 1)
        return self._too_much(nodes, height)

    def _too_much(self, nodes: int, height: int) -> str | None:
        if max(nodes, self.levels[-1].nodes if self.levels else 0) > MOST_NODES:
            return f"{self.file} has more than {MOST_NODES:,} values, aliases expanded"
        if len(self.levels) + height > DEEPEST:
            return f"{self.file} is nested more than {DEEPEST} levels deep"
        return None


class _Builder:
    """Makes plain values of nodes and writes down where each of them stands."""

    def __init__(self, text: str, file: str, findings: Findings) -> None:
        self.text, self.file, self.findings = text, file, findings
        self.values: dict[Path, Span] = {}
        self.keys: dict[Path, Place] = {}
        self._constructor = SafeConstructor()

    def build(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - whatever YAML holds
        """Make the value of a node that stands at a path."""
        self.values[path] = Span(
            place=self._place(node),
            start=node.start_mark.index,
            end=node.end_mark.index,
            style=node.style if isinstance(node, yaml.ScalarNode) else None,
        )
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        self._check_tag(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        return [self.build(item, (*path, at)) for at, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self._look_for_duplicates(node)
        self._constructor.flatten_mapping(node)
        result = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            self.keys[*path, key] = self._place(key_node)
            result[key] = self.build(value_node, (*path, key))
        return result

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise ConstructorError(None, None, "a key must be a single text", node.start_mark)
        if node.tag not in {_STR, "tag:yaml.org,2002:value"}:
            self._scalar(node)
            message = f"the key '{node.value}' is not read as text by YAML 1.1"
            self.findings.warn(
                "key-not-text", message, self._place(node), hint=f"write '\"{node.value}\":'"
            )
        return _joined(node.value, node)

    def _look_for_duplicates(self, node: yaml.MappingNode) -> None:
        seen: dict[str, yaml.Node] = {}
        for key, _value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if first := seen.get(key.value):
                message = f"the key '{key.value}' is given twice; the last one wins"
                hint = f"the first one is at {self._place(first)}"
                self.findings.warn("duplicate-key", message, self._place(key), hint=hint)
            seen[key.value] = key

    def _scalar(self, node: yaml.ScalarNode) -> Any:  # noqa: ANN401 - whatever YAML holds
        try:
            value = self._constructor.construct_object(node)
        except ConstructorError:
            raise
        except (ValueError, KeyError, OverflowError, IndexError, TypeError, AttributeError):
            kind = node.tag.rpartition(":")[2]
            message = f"'{node.value[:40]}' is no valid {kind}"
            raise ConstructorError(None, None, message, node.start_mark) from None
        if isinstance(value, int) and value.bit_length() > _BITS:
            raise ConstructorError(None, None, "the number is too large", node.start_mark)
        return _joined(value, node) if isinstance(value, str) else value

    def _check_tag(self, node: yaml.Node) -> None:
        """Refuse sets, ordered maps and everything else that JSON could not hold."""
        kind = "map" if isinstance(node, yaml.MappingNode) else "seq"
        if node.tag != f"tag:yaml.org,2002:{kind}":
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise ConstructorError(None, None, f"the tag '{tag}' means nothing", node.start_mark)

    def _place(self, node: yaml.Node) -> Place:
        mark = node.start_mark
        return Place(file=self.file, line=mark.line + 1, column=mark.column + 1)


def _joined(text: str, node: yaml.Node) -> str:
    """Join the surrogate halves that JSON writes for characters beyond U+FFFF."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        message = "half of a character is missing ('\\ud83d' without '\\ude00')"
        raise ConstructorError(None, None, message, node.start_mark) from None


def _explain(error: yaml.YAMLError, text: str, file: str, findings: Findings) -> None:
    """Turn a YAML error into one sentence with a place and, where the cause is plain, a hint."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        offset = getattr(error, "position", 0)
        findings.error(
            "yaml",
            f"{file} contains a control character, which YAML does not allow",
            _place_in(text, offset if isinstance(offset, int) else 0, file),
        )
        return
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    rule, message, hint = _cause(error, line, text)
    beginning = getattr(error, "context_mark", None)
    if "not closed" in message and beginning is not None:  # show what was opened, not the end
        mark, hint = beginning, None
    place = Place(file=file, line=mark.line + 1, column=mark.column + 1)
    found = line[mark.column :].split(maxsplit=1)
    findings.error(rule, message.replace("...", found[0] if found else ""), place, hint=hint)


def _cause(error: yaml.YAMLError, line: str, text: str) -> tuple[str, str, str | None]:
    problem = str(getattr(error, "problem", None) or "it cannot be parsed")
    if "{%" in text or "{{" in line or "}}" in line or "{{ cookiecutter" in text:
        hint = "render it first, or quote texts that begin with a brace"
        return "template", "this looks like a template, not like YAML", hint
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation or "'\\t'" in problem:
        return "tab", "a tab indents this line; YAML allows only spaces", "replace it by spaces"
    if isinstance(error, ConstructorError):
        return "yaml", _own_words(problem), None
    message = _own_words(problem)
    if "mapping values are not allowed" in problem:
        return "yaml", message, "quote texts that contain ': ', and check the indentation"
    if "expected" in problem and "document" not in problem:
        return "yaml", message, "check the indentation of this line and of the one before"
    return "yaml", message, None


_WORDS = {
    "mapping values are not allowed": "a second ':' in one line, or a wrong indentation",
    "did not find expected key": "no key where one is due: the indentation does not fit",
    "could not find expected ':'": "a key without ':'",
    "did not find expected '-' indicator": "a list item was due here",
    "did not find expected ',' or '}'": "a '{' is not closed, or a ',' is missing",
    "did not find expected ',' or ']'": "a '[' is not closed, or a ',' is missing",
    "did not find expected node content": "a value was due here",
    "cannot start any token": "a text that begins like this must be quoted",
    "found unexpected end of stream": "a quote is not closed",
    "found undefined alias": "the alias '...' comes without its anchor",
    "found duplicate anchor": "the same anchor is defined twice",
    "but found another document": "a second document begins here; one is enough",
    "did not find expected <document start>": "text after the end of the document",
    "found unknown escape character": "an unknown escape in double quotes: '\\' must be '\\\\'",
    "block sequence entries are not allowed": "a list item is not allowed here",
    "invalid Unicode character escape": "an escape for no character, or for half of one",
    "could not determine a constructor": "the tag '...' is not known",
    "expected a mapping": "'<<' must be followed by a mapping or a list of mappings",
}


def _own_words(problem: str) -> str:
    for theirs, ours in _WORDS.items():
        if theirs in problem:
            return f"this is not valid YAML: {ours}"
    return f"this is not valid YAML: {problem}"


def _place_in(text: str, offset: int, file: str) -> Place:
    before = text[:offset]
    column = len(before) - (before.rfind("\n") + 1) + 1
    return Place(file=file, line=before.count("\n") + 1, column=column)
