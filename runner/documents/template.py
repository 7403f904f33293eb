"""What can be said about a command template without running it.

Templates are ``str.format`` texts, as in mlflow: ``{name}`` is a placeholder, ``{{`` and ``}}``
are braces.
"""

from __future__ import annotations

import re
from itertools import pairwise
from string import Formatter
from typing import TYPE_CHECKING

from runner.documents.findings import nearest
from runner.model.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.documents.findings import Findings
    from runner.documents.yaml_document import Path, YamlDocument
    from runner.model.spec import Place

UNFINISHED = ("|", "&&", "(")
"""Ends of shell lines after which the next line belongs to the same command."""


class Placeholder(Value):
    """One ``{name!conversion:format}`` of a template."""

    name: str
    conversion: str = ""
    format: str = ""

    def __str__(self) -> str:
        conversion = f"!{self.conversion}" if self.conversion else ""
        return f"{{{self.name}{conversion}{':' if self.format else ''}{self.format}}}"

    @property
    def refusal(self) -> str | None:
        """Why no text can be put in, None when one can."""
        if self.conversion and self.conversion not in "rsa":
            return "has an unknown conversion: there are !r, !s and !a"
        if re.search(r"\d{5}", self.format):
            return "is wider than any line"
        if "{" not in self.format:
            try:
                format("", self.format)
            except ValueError:
                return "has a format for numbers, but values are texts"
        return None


def placeholders(template: str) -> Iterator[Placeholder]:
    """Find the placeholders of a template, in order; those in formats come after their owners.

    Raises:
        ValueError: The braces do not match.
    """
    for _text, name, inner, conversion in Formatter().parse(template):
        if name is not None:
            yield Placeholder(name=name, conversion=conversion or "", format=inner or "")
            yield from placeholders(inner or "")


_REASONS = {
    "Single '}'": "a '}' is alone",
    "Single '{'": "a '{' is alone",
    "expected '}'": "a '{' is not closed",
    "unmatched": "a '{' is not closed",
    "unexpected '{'": "a '{' stands inside of another placeholder",
    "expected ':'": "a conversion is one letter: !r, !s or !a",
}


def _reason(error: ValueError) -> str:
    """Say what is wrong with the braces of a template in our own words."""
    text = str(error)
    return next((ours for theirs, ours in _REASONS.items() if text.startswith(theirs)), text)


class TemplateCheck:
    """Checks the command of one entry point against its declared parameters."""

    def __init__(self, document: YamlDocument, path: Path, findings: Findings) -> None:
        self.document, self.path, self.findings = document, path, findings
        self.entry_point = str(path[1])

    def report(self, template: str, declared: dict[str, Place]) -> None:
        """Add what is odd about a template; ``declared`` are parameters and their places."""
        try:
            found = tuple(placeholders(template))
        except ValueError as error:
            self._error(
                "braces", f"the command cannot be filled in: {_reason(error)}", self._start()
            )
            return
        used = dict.fromkeys(placeholder.name for placeholder in found)
        for name in used:
            if name not in declared:
                self._undeclared(name, template, declared)
        for one in found:
            if one.name in declared and one.refusal:
                message = f"'{one}' in the command {one.refusal}"
                self._error("format", message, self._place_of(str(one)), f"write '{{{one.name}}}'")
        for name, place in declared.items():
            if name not in used:
                message = f"parameter '{name}' is not used in the command"
                hint = f"add {{{name}}} to the command"
                self._warn("unused-parameter", message, place, hint)
        self._look_for_missing_backslashes(template)

    def _undeclared(self, name: str, template: str, declared: dict[str, Place]) -> None:
        place = self._place_of("{" + name)
        if not name or name.isdigit():
            message = f"the command contains '{{{name}}}', which names no parameter"
            self._error("undeclared-placeholder", message, place, "write '{{' for a brace")
            return
        message = f"the command uses '{{{name}}}', but no parameter '{name}' is declared"
        near = nearest(name, declared)
        if re.search(r"\$\{" + re.escape(name) + r"[}:!]", template):
            hint = f"for the shell's variable write '${{{{{name}}}}}', with double braces"
        elif (whole := re.split(r"[.\[]", name, maxsplit=1)[0]) in declared:
            hint = f"write '{{{whole}}}': only the whole value can be used"
        elif near:
            hint = f"did you mean '{{{near}}}'?"
        elif name.isidentifier() or re.fullmatch(r"[\w.-]+", name):
            hint = f"declare it under 'parameters', as '{name}: string'"
        else:
            hint = "write '{{' and '}}' for braces that belong to the command"
        self._error("undeclared-placeholder", message, place, hint)

    def _look_for_missing_backslashes(self, template: str) -> None:
        lines = template.split("\n")
        for before, line in pairwise(lines):
            option = line.strip().split(" ")[0]
            if option.startswith("--") and option != "--" and not self._goes_on(before):
                message = f"a line of the command begins with '{option}', which bash runs by itself"
                hint = f"end the line before it with a backslash: '{before.strip()} \\'"
                self._warn("missing-backslash", message, self._place_of(line.strip()), hint)

    @staticmethod
    def _goes_on(line: str) -> bool:
        return not line.strip() or line.endswith("\\") or line.rstrip().endswith(UNFINISHED)

    def _start(self) -> Place:
        return self.document.place(self.path)

    def _place_of(self, text: str) -> Place:
        """Find a piece of the template in the file, where it can be found as written."""
        span = self.document.values[self.path]
        at = self.document.text.find(text, span.start, span.end)
        return self.document.place_at(at) if at >= 0 else span.place

    def _error(self, rule: str, message: str, place: Place, hint: str | None = None) -> None:
        hint = hint or "write '{{' and '}}' for braces that belong to the command"
        self.findings.error(rule, message, place, hint=hint, entry_point=self.entry_point)

    def _warn(self, rule: str, message: str, place: Place, hint: str) -> None:
        self.findings.warn(rule, message, place, hint=hint, entry_point=self.entry_point)
