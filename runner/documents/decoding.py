"""Bytes of a text file -> text, or the reason why not."""

from __future__ import annotations

import codecs

from runner.model.spec import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.documents.findings import Findings

LARGEST = 1 << 20
"""Project files above this many bytes are refused: a real one has a few kilobytes."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8", None),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)


def decoded(content: bytes, file: str, findings: Findings) -> str | None:
    """Return the text of a file, None (and an error) when it is not text.

    UTF-8 is expected, with or without a byte order mark. UTF-16 and UTF-32 with a mark, as
    PowerShell's ``>`` writes them, are read with a warning.
    """
    start = Place(file=file, line=1, column=1)
    if len(content) > LARGEST:
        size = f"{len(content):,} bytes"
        findings.error("too-large", f"{file} is too large to be a project file: {size}", start)
        return None
    encoding, name = "utf-8", None
    for mark, codec, title in _MARKS:
        if content.startswith(mark):
            encoding, name = codec, title
            content = content[len(mark) :] if codec == "utf-8" else content
            break
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        _report(content, (file, error.start, name), findings)
        return None
    if name:
        hint = "save it as UTF-8; mlflow cannot read it"
        findings.warn("not-utf8", f"{file} is saved as {name}", start, hint=hint)
    if "\0" in text:
        _report(content, (file, text.index("\0"), None), findings)
        return None
    return text


def _report(content: bytes, what: tuple[str, int, str | None], findings: Findings) -> None:
    """Say why bytes are not text."""
    file, offset, name = what
    if name:
        message, place = f"{file} is no valid {name}", Place(file=file, line=1, column=1)
    else:
        before = content[:offset].decode("utf-8", "replace")
        column = len(before) - (before.rfind("\n") + 1) + 1
        place = Place(file=file, line=before.count("\n") + 1, column=column)
        if content.count(0) > len(content) // 4:
            message = f"{file} looks like UTF-16 without a byte order mark"
        elif content[offset : offset + 1] == b"\0":
            message = f"{file} contains a NUL byte"
        else:
            message = f"{file} is not UTF-8: byte 0x{content[offset]:02x}"
    findings.error("not-utf8", message, place, hint="save it as UTF-8")
