"""The words of a caller, read into the parts of a request."""

from __future__ import annotations

import os

from runner.errors import UsageError
from runner.model.project import ProjectReference
from runner.redaction import without_credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta


QUOTES = "\"'"


def parsed_reference(text: str, revision: str | None) -> ProjectReference:
    """Split ``location#subdirectory``; a directory whose own name holds a ``#`` wins.

    Raises:
        UsageError: Nothing is named, or the subdirectory leads out of the project.
    """
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in QUOTES:
        text = text[1:-1]
    location, subdirectory = _split(text)
    if not location:
        raise UsageError(
            "no project is named",
            hint="name a directory, a git URL or an archive; '.' is this directory",
        )
    return ProjectReference(
        location=location,
        revision=revision or None,
        subdirectory=_checked(subdirectory, without_credentials(text)),
    )


def _split(text: str) -> tuple[str, str]:
    """Split at the ``#`` that ends the longest existing path, else at the first one."""
    if "#" not in text or os.path.exists(text):
        return text, ""
    if "://" not in text:
        at = text.rfind("#")
        while at > 0:
            if os.path.exists(text[:at]):
                return text[:at], text[at + 1 :]
            at = text.rfind("#", 0, at)
    location, _, subdirectory = text.partition("#")
    return location, subdirectory


def _checked(subdirectory: str, where: str) -> str:
    parts = [part for part in subdirectory.split("/") if part not in {"", "."}]
    odd = any(ord(character) < ord(" ") for character in subdirectory)
    if subdirectory.startswith("/") or ".." in parts or odd:
        raise UsageError(
            f"{subdirectory!r} is not allowed as a project subdirectory",
            where=where,
            hint="name a directory below the project's root, such as 'examples/train'",
        )
    return "/".join(parts)


def named_values(texts: Sequence[str], flag: str, *, bare: bool = False) -> dict[str, str | None]:
    """Read ``NAME=VALUE`` texts; with ``bare`` a text without ``=`` is a name of its own."""
    found: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not (equals or bare):
            raise UsageError(f"{flag} {text!r} is not NAME=VALUE", hint=f"{flag} name=value")
        if name in found:
            raise UsageError(f"{flag} {name!r} is given twice", hint="keep the one that is meant")
        found[name] = value if equals else None
    return found


def backend_options(text: str | None, directory: str) -> Mapping[str, object]:
    """Read ``--backend-config``: a JSON object, or the path of a file that holds one."""
    if text is None:
        return {}
    import json

    where = "--backend-config"
    if text.endswith(".json"):
        where = os.path.join(directory, text)
        try:
            with open(where, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"the backend's options cannot be read: {reason}",
                where=where,
                hint="-c takes JSON text, or the name of a .json file",
            ) from None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the backend's options are not JSON: {error}", where=where) from None
    if not isinstance(value, dict):
        raise UsageError("the backend's options are not a JSON object", where=where)
    return value


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> timedelta:
    """Read a duration: a number of seconds, or with a unit (``90``, ``1.5h``, ``2d``)."""
    from datetime import timedelta
    from math import isfinite

    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "s")
    try:
        seconds = float(number) * UNITS[unit]
        if isfinite(seconds) and seconds > 0:
            return timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"{text!r} is not a duration", hint="for example 90, 15m, 2h or 1d")
