"""Reading a shell script far enough to know how bash takes what comes next.

A ``Scanner`` is fed the text of a script, character by character, and knows at any point what it
is in: a bare word, quotes, a here-document, a comment, a substitution inside quotes. Sources of the
rules: POSIX.1-2024, Shell Command Language, 2.2 to 2.7 and 2.9; Bash Reference Manual,
"Quoting", "Shell Expansions", "Here Documents".
"""

from __future__ import annotations

from runner.stages.shell_levels import (
    ANSI,
    ARITHMETIC,
    BACKQUOTE,
    BARE,
    BLANK,
    BRACE,
    COMMENT,
    DELIMITER,
    DOUBLE,
    HERE,
    META,
    NAME,
    SINGLE,
    Frame,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias


class LateEnd(ValueError):  # noqa: N818 - it names what happened
    """A line of a here-document became its last one because of what was put into it."""


def _bare(scan: Scanner, frame: Frame, character: str, at: int, *, dollar: bool) -> None:
    fresh, frame.fresh = frame.fresh, False
    if frame.angles and character != "<":
        is_document, frame.angles = frame.angles == len("<<"), 0
        if is_document:
            scan.push(DELIMITER)
            scan.read(character, at)
            return
    if scan.escaped:
        scan.escaped = False
        if character != "\n":  # a continued line is as if nothing were there
            frame.begin_word(at - 1).text += "\0"
    elif fresh and character == "(" and frame.text in {"(", "$("}:
        frame.kind, frame.text = ARITHMETIC, "))"
    elif character in META and not (dollar and character == "("):
        _between(scan, frame, character, at)
    elif character == "#" and frame.word is None:
        scan.push(COMMENT)
    else:
        _in_word(scan, frame, character, at, dollar=dollar)


def _in_word(scan: Scanner, frame: Frame, character: str, at: int, *, dollar: bool) -> None:
    if character == "\\":
        scan.escaped, scan.name = True, False
        return
    starts = frame.word is None
    word = frame.begin_word(at)
    word.text += "\0" if character in "'\"`" else character
    if character in "'\"":
        kind = DOUBLE if character == '"' else ANSI if dollar else SINGLE
        script = starts and kind != ANSI and frame.holds_script()
        scan.push(kind, inner=type(scan)() if script else None)
    else:
        scan.expansion(character, dollar=dollar)


def _between(scan: Scanner, frame: Frame, character: str, at: int) -> None:
    """Read a character that ends a word."""
    scan.name = False
    frame.end_word(at)
    if character not in " \t<>":
        frame.words.clear()
    if character == "<":
        frame.angles += 1
    elif character == "(":
        scan.push(BARE, "(")
    elif character == ")" and not frame.case and len(scan.stack) > 1:
        scan.stack.pop()
    elif character == "\n" and scan.documents:
        scan.stack.append(scan.documents.pop(0))


def _single(scan: Scanner, frame: Frame, character: str, at: int, *, dollar: bool) -> None:
    del dollar
    if character == "'":
        scan.stack.pop()
    elif frame.inner:
        frame.inner.feed(character, at)


def _double(scan: Scanner, frame: Frame, character: str, at: int, *, dollar: bool) -> None:
    if scan.escaped:
        scan.escaped = False
        if frame.inner:
            frame.inner.feed(character if character in '\\$`"' else f"\\{character}", at)
    elif character == "\\":
        scan.escaped, scan.name = True, False
    elif character == '"':
        scan.stack.pop()
        scan.name = False
    else:
        scan.expansion(character, dollar=dollar)
        if frame.inner and frame is scan.top:
            frame.inner.feed(character, at)


def _ansi(scan: Scanner, frame: Frame, character: str, at: int, *, dollar: bool) -> None:
    del frame, at, dollar
    if scan.escaped:
        scan.escaped = False
    elif character == "\\":
        scan.escaped = True
    elif character == "'":
        scan.stack.pop()


def _comment(scan: Scanner, frame: Frame, character: str, at: int, *, dollar: bool) -> None:
    del frame, dollar
    if character == "\n":
        scan.stack.pop()
        scan.read(character, at)


def _quotes(scan: Scanner, character: str) -> bool:
    """Read a backslash or a quote inside an expansion; say whether it was one."""
    if scan.escaped:
        scan.escaped = False
    elif character == "\\":
        scan.escaped = True
    elif character == '"':
        scan.push(DOUBLE)
    elif character == "'":
        scan.push(SINGLE)
    else:
        return False
    scan.name = False
    return True


def _arithmetic(scan: Scanner, frame: Frame, character: str, at: int, *, dollar: bool) -> None:
    del at
    closes = frame.text[0]
    if _quotes(scan, character):
        return
    if not dollar and character == {")": "(", "]": "["}[closes]:
        frame.depth += 1
    elif character == closes and frame.depth:
        frame.depth -= 1
    elif character == closes:
        frame.text = frame.text[1:]
        if not frame.text:
            scan.stack.pop()
    else:
        scan.expansion(character, dollar=dollar)


def _brace(scan: Scanner, frame: Frame, character: str, at: int, *, dollar: bool) -> None:
    del at
    if _quotes(scan, character):
        frame.text += "\0"
    elif character == "}":
        scan.stack.pop()
    else:
        frame.text += character
        scan.expansion(character, dollar=dollar)


def takes_text(inside: str) -> bool:
    """Whether the inside of ``${...}``, so far, goes on with text: ``NAME:-`` and its like.

    After anything else an offset or a subscript may follow, which the shell evaluates, or a
    pattern, in which bash looks for process substitutions even between quotes.
    """
    at = 1 if inside[:1] in {"!", "#"} and inside[1:2] in NAME else 0
    end = at
    while end < len(inside) and inside[end] in NAME:
        end += 1
    rest = inside[max(end, at + 1) :].removeprefix(":")
    return rest[:1] in {"-", "=", "?", "+"}


def _backquote(scan: Scanner, frame: Frame, character: str, at: int, *, dollar: bool) -> None:
    del dollar
    assert frame.inner is not None  # noqa: S101 - made with the frame
    if scan.escaped:
        scan.escaped = False
        special = character in "$`\\" or (character == '"' and scan.in_double())
        frame.inner.feed(character if special else f"\\{character}", at)
    elif character == "\\":
        scan.escaped = True
    elif character == "`":
        scan.stack.pop()
    else:
        frame.inner.feed(character, at)


def _delimiter(scan: Scanner, frame: Frame, character: str, at: int, *, dollar: bool) -> None:
    """Read the word after ``<<``: the document begins with the next line."""
    del dollar
    fresh, frame.fresh = frame.fresh, False
    if frame.quote:
        frame.text += character if character != frame.quote else ""
        frame.quote = frame.quote if character != frame.quote else ""
    elif scan.escaped:
        scan.escaped = False
        frame.text += character
    elif fresh and character == "-":
        frame.tabs = True
    elif character in "\\'\"":
        frame.expands = False
        scan.escaped = character == "\\"
        frame.quote = "" if scan.escaped else character
    elif character not in META:
        frame.text += character
    elif frame.text or not frame.expands or character not in " \t":
        scan.stack.pop()
        frame.kind = HERE
        scan.documents.append(frame)
        scan.read(character, at)


def _here(scan: Scanner, frame: Frame, character: str, at: int, *, dollar: bool) -> None:
    del at
    if scan.escaped:
        scan.escaped = False
        frame.line += "" if character == "\n" else character
    elif character == "\n":
        end_line(scan, frame)
    else:
        frame.line += character
        if frame.expands and character == "\\":
            scan.escaped, scan.name = True, False
        elif frame.expands:
            scan.expansion(character, dollar=dollar)


def end_line(scan: Scanner, frame: Frame) -> None:
    """Finish a line of a here-document, and the document when it was the last line.

    Raises:
        LateEnd: It is the last line because of what was put into it.
    """
    line, frame.line = frame.line.lstrip("\t") if frame.tabs else frame.line, ""
    touched, frame.touched = frame.touched, False
    scan.name = False
    if line == frame.text:
        if touched:
            raise LateEnd(frame.text)
        scan.stack.pop()
        if scan.documents:
            scan.stack.append(scan.documents.pop(0))


if TYPE_CHECKING:
    Reader: TypeAlias = Callable[..., None]

READERS: dict[str, Reader] = {
    BARE: _bare,
    SINGLE: _single,
    DOUBLE: _double,
    ANSI: _ansi,
    COMMENT: _comment,
    ARITHMETIC: _arithmetic,
    BRACE: _brace,
    BACKQUOTE: _backquote,
    DELIMITER: _delimiter,
    HERE: _here,
}


class Scanner:
    """Reads a script as far as it has been written.

    ``escaped``: the last character was a backslash that quotes the next one. ``dollar``: it was
    a ``$`` that starts an expansion; ``name``: the last ones are ``$NAME``, which may go on.
    ``significant`` is the offset after the last character of the commands themselves (comments,
    here-documents, blanks and a closing ``;`` or ``&`` not counted).
    """

    def __init__(self) -> None:
        self.stack = [Frame(BARE)]
        self.escaped = self.dollar = self.name = False
        self.significant = 0
        self.documents: list[Frame] = []

    @property
    def top(self) -> Frame:
        """The innermost level."""
        return self.stack[-1]

    def push(self, kind: str, text: str = "", inner: Scanner | None = None) -> None:
        """Enter a level."""
        self.name = False
        self.stack.append(Frame(kind, text, inner))

    def feed(self, text: str, at: int = 0) -> None:
        """Read on; ``at`` is the offset of the text in the whole script."""
        for offset, character in enumerate(text, at):
            quoted = self.escaped
            self.read(character, offset)
            base = len(self.stack) == 1
            if not (base and not quoted and (character in BLANK or character in ";&")):
                self.advance(offset + 1)

    def advance(self, at: int) -> None:
        """Note that the commands reach up to here, unless this is a comment or a document."""
        if self.top.kind != COMMENT and all(frame.kind != HERE for frame in self.stack):
            self.significant = at

    def read(self, character: str, at: int) -> None:
        """Read one character."""
        dollar, self.dollar = self.dollar, False
        READERS[self.top.kind](self, self.top, character, at, dollar=dollar)

    def in_double(self) -> bool:
        """Whether the level under the innermost one lies between double quotes."""
        for frame in reversed(self.stack[:-1]):
            if frame.kind != BRACE:
                return frame.kind in {DOUBLE, HERE}
        return False

    def expansion(self, character: str, *, dollar: bool) -> None:
        """Open what a character opens wherever the shell expands."""
        if character == "$":
            self.dollar, self.name = not dollar, False
        elif character == "`":
            self.push(BACKQUOTE, inner=Scanner())
        elif dollar and character == "(":
            self.push(BARE, "$(")
        elif dollar and character == "{":
            self.push(BRACE)
        elif dollar and character == "[":
            self.push(ARITHMETIC, "]")
        else:
            starts = dollar and character in NAME and not character.isdigit()
            self.name = starts or (self.name and character in NAME)
