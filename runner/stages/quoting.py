"""Writing any text into a script so that exactly that text arrives.

Text of the characters in ``PLAIN`` needs no quotes and gets none, wherever it is put; that is also
what MLflow writes, byte for byte. Any other text is quoted for the place where it lands, or refused
where no quoting exists (a here-document with a quoted delimiter cannot hold its own last line;
arithmetic evaluates what it is given).
"""

from __future__ import annotations

from runner.stages.shell import takes_text
from runner.stages.shell_levels import (
    ANSI,
    ARITHMETIC,
    BACKQUOTE,
    BARE,
    BRACE,
    COMMENT,
    DELIMITER,
    DOUBLE,
    HERE,
    NAME,
    SINGLE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.stages.shell import Scanner
    from runner.stages.shell_levels import Frame

PLAIN = NAME | frozenset("@%+=:,./-")
NOTHING = "${0+}"
"""Expands to nothing, and keeps what stands before it apart from what stands after it."""


class CannotQuote(ValueError):  # noqa: N818 - it names what happened
    """No quoting exists for the place; the argument names it: "inside $((...))"."""


def is_plain(text: str) -> bool:
    """Whether a shell takes the text as it is."""
    return bool(text) and PLAIN.issuperset(text)


def single(text: str) -> str:
    """Quote one word as ``shlex.quote`` does (which a warm run does not import)."""
    return text if is_plain(text) else "'" + text.replace("'", "'\"'\"'") + "'"


def in_double(text: str, specials: str = '\\$`"') -> str:
    """Escape a text for the inside of double quotes."""
    for special in specials:
        text = text.replace(special, f"\\{special}")
    return text


def write(scan: Scanner, text: str, at: int, *, force: bool = False) -> str:
    """Return the text as it has to be written at offset ``at``, and read past it.

    ``force`` quotes also what is plain.

    Raises:
        CannotQuote: Nothing can be put here but plain text.
    """
    if is_plain(text) and not force:
        return _passed(scan, _plain(scan, text), at)
    return _passed(scan, _form(scan, text, reference=False), at)


def write_reference(scan: Scanner, variable: str, at: int) -> str:
    """Return how to write the value of an environment variable at ``at``, and read past it.

    Raises:
        CannotQuote: The shell does not expand variables here.
    """
    return _passed(scan, _form(scan, variable, reference=True), at)


def _plain(scan: Scanner, text: str) -> str:
    """Return plain text; kept apart only where it might be the last line of a document."""
    frame = scan.top
    if frame.kind == HERE and frame.expands and text in frame.text:
        return f"{NOTHING}{text}"
    return text


def _passed(scan: Scanner, written: str, at: int) -> str:
    """Tell the scanner that a value has been written."""
    frame = scan.top
    plain = is_plain(written)
    start = at - 1 if scan.escaped else at
    scan.escaped = scan.dollar = False
    scan.name = scan.name and plain
    frame.fresh = False
    if frame.kind == BARE:
        frame.angles = 0
        frame.begin_word(start).text += "\0"
    elif frame.kind == HERE:
        *lines, last = written.split("\n")
        ends = (f"{frame.line}{lines[0]}", *lines[1:]) if lines else ()
        if any((line.lstrip("\t") if frame.tabs else line) == frame.text for line in ends):
            raise CannotQuote(f"in a here-document that ends with the same line ({frame.text})")
        frame.line = last if lines else frame.line + last
        frame.touched = True
    elif frame.kind in {BRACE, DELIMITER}:
        frame.text += written if plain else "\0"
    if frame.inner:
        _passed(frame.inner, written, at)
    scan.advance(at + len(written))
    return written


def _form(scan: Scanner, text: str, *, reference: bool) -> str:
    """Return a text, or a reference to a variable, quoted for the place where the scanner is."""
    if scan.dollar:
        raise CannotQuote("directly after a $")
    if "\n" in text and any(level.kind == HERE for level in scan.stack[:-1]):
        raise CannotQuote("in a substitution in a here-document, which is read line by line")
    form = FORMS[scan.top.kind](scan, scan.top, text, reference)
    if not scan.escaped:
        return form
    if scan.top.kind == BARE:
        return f"\n{form}"  # the backslash joins this line to the last one, and nothing else
    if scan.top.kind in {DOUBLE, ANSI, HERE} and not scan.top.inner:
        return f"\\{form}"  # before plain text it stands for itself, and so it does here
    raise CannotQuote("directly after a backslash")


def _bare(scan: Scanner, frame: Frame, text: str, reference: bool) -> str:  # noqa: FBT001 - a table
    del scan
    if frame.angles == len("<<"):
        raise CannotQuote("as the last line of a here-document")
    if reference:
        return f'"${{{text}}}"'
    return f"'{text}'" if is_plain(text) else single(text)


def _double(scan: Scanner, frame: Frame, text: str, reference: bool) -> str:  # noqa: FBT001
    if frame.inner:
        return in_double(_form(frame.inner, text, reference=reference))
    if reference:
        return f"${{{text}}}"
    apart = scan.name and (not text or text[0] in NAME)
    return ('""' if apart else "") + in_double(text)


def _single(scan: Scanner, frame: Frame, text: str, reference: bool) -> str:  # noqa: FBT001
    if any(level.kind == BRACE for level in scan.stack):
        raise CannotQuote("between quotes inside ${...}")
    if frame.inner:
        return _form(frame.inner, text, reference=reference).replace("'", "'\\''")
    return f"'\"${{{text}}}\"'" if reference else text.replace("'", "'\\''")


def _ansi(scan: Scanner, frame: Frame, text: str, reference: bool) -> str:  # noqa: FBT001
    del scan, frame
    return f"'\"${{{text}}}\"$'" if reference else in_double(text, "\\'")


def _comment(scan: Scanner, frame: Frame, text: str, reference: bool) -> str:  # noqa: FBT001
    del scan, frame
    return "***" if reference else single(text.replace("\n", " "))


def _brace(scan: Scanner, frame: Frame, text: str, reference: bool) -> str:  # noqa: FBT001
    if not takes_text(frame.text) or any(level.kind == HERE for level in scan.stack):
        raise CannotQuote("inside ${...}")
    if reference:
        return f'"${{{text}}}"'
    if scan.in_double():  # bash expands braces and substitutions there that it ought to leave
        raise CannotQuote("inside ${...} between double quotes")
    return f'"{in_double(text)}"'


def _backquote(scan: Scanner, frame: Frame, text: str, reference: bool) -> str:  # noqa: FBT001
    del scan
    if not reference and ("<(" in text or ">(" in text):  # bash looks for these even in quotes
        raise CannotQuote("between backquotes ($(...) can hold it)")
    assert frame.inner is not None  # noqa: S101 - made with the frame
    return in_double(_form(frame.inner, text, reference=reference), "\\`$")


def _here(scan: Scanner, frame: Frame, text: str, reference: bool) -> str:  # noqa: FBT001
    if not frame.expands:
        if reference:
            raise CannotQuote("in a here-document whose delimiter is quoted")
        return text
    if reference:
        return f"${{{text}}}"
    if scan.name or "\n" in text or "\t" in text or text in frame.text:
        return "\n".join(NOTHING + in_double(line, "\\$`") for line in text.split("\n"))
    return in_double(text, "\\$`")


def _nowhere(scan: Scanner, frame: Frame, text: str, reference: bool) -> str:  # noqa: FBT001
    del scan, text, reference
    if frame.kind == ARITHMETIC:
        raise CannotQuote("inside arithmetic, which the shell evaluates")
    raise CannotQuote("as the last line of a here-document")


FORMS = {
    BARE: _bare,
    SINGLE: _single,
    DOUBLE: _double,
    ANSI: _ansi,
    COMMENT: _comment,
    BRACE: _brace,
    BACKQUOTE: _backquote,
    HERE: _here,
    ARITHMETIC: _nowhere,
    DELIMITER: _nowhere,
}
