"""A script under way: a command template with its fields written as values, for a shell."""

from __future__ import annotations

from runner.errors import ParameterError, SpecError
from runner.redaction import has_credentials
from runner.stages.accept import TRUE
from runner.stages.quoting import CannotQuote, is_plain, single, write, write_reference
from runner.stages.render import Field, parts
from runner.stages.shell import LateEnd, Scanner
from runner.stages.shell_levels import BARE, DOUBLE, META, SINGLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model.plan import Invocation
    from runner.model.spec import Parameter
    from runner.stages.render import Part
    from runner.stages.shell_levels import Frame

SECRET = "RUNPROJ_SECRET_"  # noqa: S105 - the start of a variable's name, no secret


class Script:
    """A script under way: its text, where the shell is in it, and the secrets it refers to."""

    def __init__(self, invocation: Invocation) -> None:
        self.text = ""
        self.variables: dict[str, str] = {}
        self.scan = Scanner()
        self._invocation = invocation
        self._entry_point = invocation.entry_point

    def write(self, found: tuple[Part, ...]) -> None:
        """Write text as it is and fields as their values."""
        skip = 0
        for at, part in enumerate(found):
            following = _following(found[at + 1 : at + 3])
            try:
                if isinstance(part, Field):
                    skip = self._field(part, following)
                else:
                    self._literal(part[skip:])
                    skip = 0
            except LateEnd as error:
                raise self._refused(f"in a here-document that ends with {error}") from None

    def _literal(self, text: str) -> None:
        self.scan.feed(text, len(self.text))
        self.text += text

    def _field(self, field: Field, following: str) -> int:
        """Write a field; return how many characters of the following text it has used up."""
        parameter = self._entry_point.parameter(field.name)
        assert parameter is not None  # noqa: S101 - ``parsed`` has seen to it
        value = self._value(parameter)
        if value is None or value == ():
            return self._nothing(field, following, parameter)
        if isinstance(value, tuple):
            self._list(field, value, following)
        else:
            self._text(field, value, following)
        return 0

    def _value(self, parameter: Parameter) -> str | tuple[str, ...] | None:
        value = self._invocation.values.get(parameter.name)
        if parameter.switch is None:
            return value
        return parameter.switch if isinstance(value, str) and value.lower() in TRUE else None

    def _text(self, field: Field, value: str, following: str = "") -> None:
        """Write one value; a format's padding stands outside its quotes."""
        left, core, right = self._formatted(field, value)
        self._literal(left)
        try:
            if field.name in self._invocation.secrets:
                self.text += write_reference(self.scan, self.variable(value), len(self.text))
            else:
                force = self.scan.top.kind == BARE and self._has_meaning(core, following)
                self.text += write(self.scan, core, len(self.text), force=force)
        except CannotQuote as error:
            raise self._refused(str(error), field) from None
        self._literal(right)

    def _has_meaning(self, text: str, following: str) -> bool:
        """Whether a bare word means something to the shell here, though it is plain.

        A number before a redirection names a file descriptor; ``-a`` in ``[[ ... ]]`` is an
        operator unless it is quoted (Bash Reference Manual, "Conditional Constructs").
        """
        if following[:1] in {"<", ">"} and text.isdigit():
            return True
        return text.startswith("-") and self.text.rfind("[[") > self.text.rfind("]]")

    def _formatted(self, field: Field, value: str) -> tuple[str, str, str]:
        """Return a value cut as the format asks, and the padding before and after it."""
        if not field.spec:
            return "", value, ""
        if field.name in self._invocation.secrets:
            raise self._malformed(field, "a secret takes no format")
        spec = "".join(self._of_format(field, part) for part in parts(field.spec))
        try:
            shape = format("\0" * len(value), spec)
        except ValueError as error:
            raise self._malformed(field, f"{error}; values are texts") from None
        count = shape.count("\0")
        left, _, right = shape.partition("\0" * count) if count else (shape, "", "")
        return left, value[:count], right

    def _of_format(self, field: Field, part: Part) -> str:
        """Return a piece of a format, which may itself hold fields (``{x:>{width}}``)."""
        if isinstance(part, str):
            return part
        value = self._invocation.values.get(part.name)
        if part.spec or not isinstance(value, str) or part.name in self._invocation.secrets:
            raise self._malformed(field, f"{part.source} has no text to format with")
        return value

    def variable(self, value: str) -> str:
        """Return the name of the variable that hands a secret to the command."""
        for name, known in self.variables.items():
            if known == value:
                return name
        name = f"{SECRET}{len(self.variables) + 1}"
        self.variables[name] = value
        return name

    def _list(self, field: Field, values: tuple[str, ...], following: str) -> None:
        """Write one word per element, each with what its word has around it.

        ``--x={xs}`` becomes ``--x=a --x=b``. Where there are no words of our own (inside quotes,
        or when something other than plain text follows) the elements are joined by blanks.
        """
        frame = self.scan.top
        suffix = _plain_start(following)
        is_word = suffix is not None and frame.kind == BARE and not self.scan.escaped
        prefix = self.text[frame.word.start :] if is_word and frame.word else ""
        between = f"{suffix} {prefix}" if is_word else " "
        if is_word or field.name in self._invocation.secrets:
            for at, value in enumerate(values):
                if at:
                    self._literal(between)
                self._text(field, value)
        else:
            self._text(field, " ".join(values))

    def _nothing(self, field: Field, following: str, parameter: Parameter) -> int:
        """Leave a field out with its whole word and, for values, the option before it."""
        frame, quote = self._word_level()
        if frame is None or not _ends_word(following, quote):
            return self._empty(field)
        start = frame.word.start if frame.word else len(self.text)
        label = self.text[start:].replace(quote, "", 1)
        if label and not (label.endswith("=") and is_plain(label)):
            return self._empty(field)
        if not label and parameter.switch is None and frame.words:
            option = frame.words[-1]
            between = self.text[option.end : start].strip(" \t\\\n")
            if _is_option(option.text) and not between:
                start = frame.words.pop().start
        self._cut(frame, start)
        return len(quote)

    def _empty(self, field: Field) -> int:
        """Write an empty text as a part of a larger word."""
        try:
            self.text += write(self.scan, "", len(self.text))
        except CannotQuote as error:
            raise self._refused(str(error), field) from None
        return 0

    def _word_level(self) -> tuple[Frame | None, str]:
        """Return the level whose word holds the next field, and the quote it is in."""
        stack = self.scan.stack
        if self.scan.escaped or self.scan.dollar or stack[-1].inner:
            return None, ""
        if stack[-1].kind == BARE:
            return stack[-1], ""
        if stack[-1].kind in {DOUBLE, SINGLE} and stack[-2].kind == BARE:
            return stack[-2], '"' if stack[-1].kind == DOUBLE else "'"
        return None, ""

    def _cut(self, frame: Frame, start: int) -> None:
        """Take back a word that has begun, and the blanks before it."""
        floor = frame.words[-1].end if frame.words else 0
        kept = self.text[:start].rstrip(" \t")
        self.text = self.text[: max(len(kept), min(floor, start))]
        while self.scan.top is not frame:
            self.scan.stack.pop()
        frame.word = None
        self.scan.name = False
        self.scan.significant = min(self.scan.significant, len(self.text))

    def _refused(self, why: str, field: Field | None = None) -> ParameterError:
        entry_point = self._entry_point
        value = f"the value of {field.name!r}" if field else "a value"
        return ParameterError(
            f"{value} cannot be quoted where the command has it: {why}",
            where=str(entry_point.place) if entry_point.place else entry_point.name,
            hint="give it as an argument of its own: python train.py --name {name}",
        )

    def _malformed(self, field: Field, why: str) -> SpecError:
        entry_point = self._entry_point
        name = entry_point.name
        return SpecError(
            f"the command of the entry point {name!r} cannot write {field.source}: {why}",
            where=str(entry_point.place) if entry_point.place else entry_point.name,
        )


def with_flags(script: Script, extra: Mapping[str, str]) -> str:
    """Append undeclared parameters as flags of the last command.

    MLflow appends them to the whole text; here they stand before what does not belong to that
    command: trailing line ends, a comment, the lines of a here-document, a closing ``;`` or ``&``.
    """
    if not extra:
        return script.text
    flags = "".join(
        f' --{single(name)} "${{{script.variable(value)}}}"'
        if has_credentials(value)
        else f" --{single(name)} {single(value)}"
        for name, value in extra.items()
    )
    text = script.text.rstrip("\n")
    backslashes = len(text) - len(text.rstrip("\\"))
    end = script.scan.significant
    if end >= len(text) and backslashes % 2:  # a continued line: it goes on with the flags
        return f"{text}\n{flags}"
    if not text[end:].strip():
        return text + flags
    return text[:end] + flags + text[end:]


def _is_option(word: str) -> bool:
    """Whether a word is an option that waits for its value: ``--seed`` or ``-s``."""
    return word[:1] == "-" and is_plain(word) and "=" not in word and bool(word.strip("-"))


def _following(found: tuple[Part, ...]) -> str:
    """Return the text after a field; a brace stands for the field that comes next."""
    text = found[0] if found and isinstance(found[0], str) else ""
    return f"{text}{{" if len(found) > bool(text) else text


def _ends_word(following: str, quote: str) -> bool:
    """Whether the word of a field ends right after it (and after the closing quote)."""
    rest = following[len(quote) :]
    return following.startswith(quote) and (not rest or rest[0] in META)


def _plain_start(following: str) -> str | None:
    """Return the plain text between a field and the end of its word; None if there is more."""
    end = next((at for at, c in enumerate(following) if not is_plain(c)), len(following))
    return following[:end] if end == len(following) or following[end] in META else None
