"""A document against its JSON Schema: every deviation, at its place, in our own words.

The schemas in ``schemas/`` say what is right, for us and for editors. Annotations in them (keys
that begin with ``x-``, which validators ignore) say how bad a deviation is: ``x-severity`` of a
wrong value, ``x-unknown`` of an unknown key; and how to speak about it: ``x-expected`` names what
would be right, ``x-example`` shows it; ``x-elsewhere`` says where keys belong that people put here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.documents.findings import did_you_mean, nearest
from runner.schema import validator

if TYPE_CHECKING:
    from jsonschema import ValidationError

    from runner.documents.findings import Findings
    from runner.documents.yaml_document import Path, YamlDocument
    from runner.model.spec import Place

TYPE_WORDS = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
OTHER_NAMES = {
    "integer": "int",
    "long": "int",
    "number": "float",
    "double": "float",
    "real": "float",
    "text": "string",
    "file": "path",
    "directory": "path",
    "dir": "path",
    "folder": "path",
    "url": "uri",
    "flag": "bool",
    "cmd": "command",
    "run": "command",
    "script": "command",
    "params": "parameters",
    "args": "parameters",
    "help": "description",
    "doc": "description",
    "minimum": "min",
    "maximum": "max",
    "enum": "choices",
    "values": "choices",
    "env": "environment",
    "conda": "conda_env",
    "docker": "docker_env",
    "virtualenv": "python_env",
    "venv": "python_env",
    "requirements": "dependencies",
    "pip": "dependencies",
    "packages": "dependencies",
    "python_version": "python",
}
"""Words that people write for ours, which no spelling distance finds."""


def check(document: YamlDocument, schema: str, findings: Findings) -> None:
    """Add every deviation of a document from ``schemas/<schema>.schema.json``."""
    for error in validator(schema).iter_errors(document.data):
        _Deviation(document, error, findings).report()


class _Deviation:
    """One error of the validator, on its way to a sentence."""

    def __init__(self, document: YamlDocument, error: ValidationError, findings: Findings) -> None:
        self.document, self.findings = document, findings
        self.schema: dict[str, Any] = dict(error.schema)  # type: ignore[arg-type]
        self.keyword = str(error.validator)
        self.value: Any = error.instance
        self.path: Path = tuple(error.absolute_path)
        self.what = described(self.path, document.file)

    def report(self) -> None:
        """Add the findings."""
        reports = {
            "type": self._wrong_type,
            "additionalProperties": self._unknown_keys,
            "enum": self._wrong_word,
            "required": self._missing_keys,
        }
        reports.get(self.keyword, self._wrong_value)()

    def _add(self, rule: str, message: str, hint: str | None, place: Place | None = None) -> None:
        inside = self.path[:1] == ("entry_points",) and self.path[1:]
        unknown = self.keyword == "additionalProperties"
        severity = self.schema.get("x-unknown" if unknown else "x-severity", "error")
        note = self.findings.warn if severity == "warning" else self.findings.error
        note(
            rule,
            message,
            place or self.document.place(self.path),
            hint=hint,
            entry_point=str(inside[0]) if inside else None,
        )

    def _wrong_type(self) -> None:
        if not self.path and self.value is None:
            self._add("empty", f"{self.document.file} is empty", self.schema.get("x-example"))
            return
        if self.value is None:
            message = f"{self.what} is empty; it must be {self._expected()}"
            self._add("empty", message, self._type_hint(), self.document.key_place(self.path))
            return
        message = f"{self.what} must be {self._expected()}, not {found(self.value)}"
        self._add("wrong-type", message, self._type_hint())

    def _expected(self) -> str:
        if expected := self.schema.get("x-expected"):
            return str(expected)
        types = self.schema.get("type", [])
        names = [types] if isinstance(types, str) else types
        return " or ".join(TYPE_WORDS[name] for name in names if name != "null" or len(names) == 1)

    def _type_hint(self) -> str | None:
        """Say what was probably meant, from what is known about frequent mistakes."""
        match self.path:
            case ("entry_points", name):
                return self._entry_point_hint(str(name))
            case ("docker_env",) if isinstance(self.value, str):
                return f"write 'docker_env: {{image: {self.value}}}'"
            case ("entry_points", _, "parameters", name) if self.value is not None:
                kind = {bool: "bool", int: "int", float: "float"}.get(type(self.value))
                if kind:
                    source = self.document.source(self.path)
                    return f"write '{name}: {{type: {kind}, default: {source}}}'"
            case ("python",) if isinstance(self.value, int | float):
                return f"write 'python: \"{self.document.source(self.path)}\"', in quotes"
        return self._example()

    def _entry_point_hint(self, name: str) -> str | None:
        misplaced = {"command", "parameters"} & set(self.document.data["entry_points"])
        if name in misplaced or (self.value is None and misplaced):
            return f"indent '{sorted(misplaced)[0]}' further, so that it belongs to an entry point"
        if isinstance(self.value, str):
            return f"write '{name}: {{command: ...}}'"
        return None

    def _example(self) -> str | None:
        example = self.schema.get("x-example")
        return f"for example '{example}'" if example else None

    def _unknown_keys(self) -> None:
        known = self.schema.get("properties", {})
        for key in self.value:
            if key in known:
                continue
            path = (*self.path, key)
            if glued := _unglued(key, known):
                missing = "space after ':'" if ":" in key else "':' in it"
                message = f"'{key}' is one word to YAML: there is no {missing}"
                self._add("glued-key", message, f"write '{glued}'", self.document.key_place(path))
                continue
            where = f" in {self.what}" if self.path else ""
            message = f"unknown key '{key}'{where}"
            hint = _meant(key, known) or self._elsewhere(key)
            self._add("unknown-key", message, hint, self.document.key_place(path))

    def _elsewhere(self, key: str) -> str | None:
        """Say where a key belongs that the schema's ``x-elsewhere`` knows of."""
        places = self.schema.get("x-elsewhere", {})
        meant = nearest(key, places)
        return f"{meant!r} belongs into {places[meant]}" if meant else None

    def _wrong_word(self) -> None:
        if not isinstance(self.value, str):
            return  # its type is reported already
        known = self.schema["enum"]
        what = self.what if self.path[-1] == "type" else f"the type of {self.what}"
        message = f"{what} is '{self.value}', which is not known: it is taken as a string"
        hint = _meant(self.value, known) or f"one of {', '.join(known)}"
        self._add("unknown-type", message, hint)

    def _missing_keys(self) -> None:
        for key in self.schema["required"]:
            if key not in self.value:
                what = self.what if self.path else self.document.file
                place = self.document.key_place(self.path)
                self._add("missing-key", f"{what} has no '{key}'", self._example(), place)

    def _wrong_value(self) -> None:
        if self.keyword in {"minLength", "minItems"} and not self.value:
            self._add("empty", f"{self.what} is empty", self._example())
            return
        message = f"{self.what} must be {self._expected()}, not {found(self.value)}"
        self._add("wrong-value", message, self._example())


def _meant(word: str, known: Any) -> str | None:  # noqa: ANN401 - any collection of words
    other = OTHER_NAMES.get(word.lower())
    return f"did you mean '{other}'?" if other in known else did_you_mean(word, known)


def _unglued(key: str, known: Any) -> str | None:  # noqa: ANN401 - any collection of words
    """Return what ``type:int`` or ``type path`` was meant to be, None for other keys."""
    for separator in ":", " ":
        name, found_it, rest = key.partition(separator)
        if found_it and rest.strip():
            meant = name.strip() if name.strip() in known else nearest(name.strip(), known)
            return f"{meant}: {rest.strip()}" if meant else None
    return None


def described(path: Path, file: str) -> str:
    """Name the thing at a path as its author would."""
    match path:
        case ():
            return file
        case ("entry_points", name):
            return f"entry point '{name}'"
        case ("entry_points", entry, "parameters", name):
            return f"parameter '{name}' of entry point '{entry}'"
        case _:
            *before, last = path
            name = f"item {last + 1}" if isinstance(last, int) else f"'{last}'"
            return f"{name} of {described(tuple(before), file)}" if before else name


SHOWN = 40
"""Characters of a wrong text that a message repeats."""


def found(value: object) -> str:
    """Say what a value is, briefly."""
    if isinstance(value, str):
        return f"the text '{value if len(value) <= SHOWN else value[: SHOWN - 3] + '...'}'"
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return f"the number {str(value)[:SHOWN]}"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    return f"a {type(value).__name__}"
