"""What a request asks for, read as the protocol buffers of MLflow's API would read it.

JSON of protocol buffers writes 64-bit integers as strings and NaN as ``"NaN"``; the R client sends
every number as a string, others do not. All of these are understood; what is wrong is refused with
``INVALID_PARAMETER_VALUE`` and the name of the parameter.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runner.serving.messages import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.codec import JSON
    from runner.serving.messages import Request

BODY_LIMIT = 16 << 20
"""Bytes of a JSON body: MLflow's own limit is 1 MiB for a batch."""
WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""The codings that bodies may have, and what zlib calls them (``wbits``)."""
INT64 = 1 << 63
PLAIN = (str, int, float)
DIGITS = 19
"""The longest number that is worth reading: what has more digits has more than 64 bits."""
SHOWN = 120
"""Characters of a wrong value that an answer repeats."""


class Arguments:
    """The named arguments of a call, or of an object inside it."""

    __slots__ = ("_given", "_inside", "_place")

    def __init__(
        self,
        given: Mapping[str, JSON],
        inside: Arguments | None = None,
        place: str | tuple[str, int] = "",
    ) -> None:
        self._given = given
        self._inside = inside
        self._place = place

    @property
    def where(self) -> str:
        """How the names of these arguments begin: where the object stands."""
        if self._inside is None:
            return ""
        place = self._place if isinstance(self._place, str) else "{}[{}]".format(*self._place)
        return f"{self._inside.where}{place}."

    def has(self, name: str) -> bool:
        """Whether the argument was given, and is not null."""
        return self._given.get(name) is not None

    def text(self, *names: str, default: str | None = None) -> str:
        """Return a string; several names are one argument under its old and new name."""
        for name in names:
            value = self._given.get(name)
            if value is not None:
                return self._as_text(name, value)
        if default is None:
            raise Refusal(f"Missing value for required parameter '{self.where}{names[0]}'.")
        return default

    def maybe(self, name: str) -> str | None:
        """Return a string, None when it was not given."""
        return self.text(name) if self.has(name) else None

    def _as_text(self, name: str, value: JSON) -> str:
        if isinstance(value, bool) or not isinstance(value, PLAIN):
            raise self._wrong(name, value, "a string")
        text = str(value)
        if text.isascii():
            return text
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise self._wrong(name, value, "valid Unicode") from None
        return text

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a 64-bit integer."""
        value = self._given.get(name)
        if value is None:
            if default is None:
                raise Refusal(f"Missing value for required parameter '{self.where}{name}'.")
            return default
        if type(value) is int and -INT64 <= value < INT64:  # the usual case
            return value
        if isinstance(value, bool) or not isinstance(value, PLAIN):
            raise self._wrong(name, value, "an integer")
        try:
            number = value if isinstance(value, int) else _whole(value)
        except (ValueError, OverflowError):
            raise self._wrong(name, value, "an integer") from None
        if not -INT64 <= number < INT64:
            raise self._wrong(name, value, "an integer of 64 bits")
        return number

    def number(self, name: str) -> float:
        """Return a floating-point number; ``NaN`` and the infinities may be words."""
        value = self._given.get(name)
        if value is None:
            raise Refusal(f"Missing value for required parameter '{self.where}{name}'.")
        if type(value) is float:  # the usual case
            return value
        if isinstance(value, bool) or not isinstance(value, PLAIN):
            raise self._wrong(name, value, "a number")
        try:
            return float(value)
        except (ValueError, OverflowError):
            raise self._wrong(name, value, "a number") from None

    def flag(self, name: str) -> bool:
        """Return a truth value, False when it was not given."""
        value = self._given.get(name)
        if value in (None, False, "false", "False"):
            return False
        if value in (True, "true", "True"):
            return True
        raise self._wrong(name, value, "true or false")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings; a single one may stand for itself."""
        value = self._given.get(name)
        if value is None:
            return ()
        items = value if isinstance(value, list) else [value]
        return tuple(self._as_text(name, item) for item in items)

    def object(self, name: str) -> Arguments:
        """Return an object inside this one."""
        value = self._given.get(name)
        if not isinstance(value, dict):
            raise self._wrong(name, value, "an object")
        return Arguments(value, self, name)

    def objects(self, name: str) -> tuple[Arguments, ...]:
        """Return a list of objects, empty when it was not given."""
        value = self._given.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self._wrong(name, value, "a list")
        found = []
        for at, item in enumerate(value):
            if not isinstance(item, dict):
                raise self._wrong(f"{name}[{at}]", item, "an object")
            found.append(Arguments(item, self, (name, at)))
        return tuple(found)

    def pairs(self, name: str) -> dict[str, str]:
        """Return a list of ``{"key", "value"}`` as a mapping; the last of a key wins."""
        return {item.text("key"): item.text("value", default="") for item in self.objects(name)}

    def _wrong(self, name: str, value: JSON, expected: str) -> Refusal:
        shown = ascii(value)
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
        return Refusal(
            f"Invalid value {shown} for parameter '{self.where}{name}' supplied: "
            f"{expected} was expected."
        )


def _whole(value: str | float) -> int:
    if isinstance(value, str) and len(value) <= 2 * DIGITS and value.strip().lstrip("+-").isdigit():
        return int(value)
    number = float(value)
    if number != int(number):
        raise ValueError
    return int(number)


def asked(request: Request) -> Arguments:
    """Collect the arguments that stand in the query of a request."""
    return Arguments(_query(request))


def arguments(request: Request, names: Mapping[str, str]) -> Arguments:
    """Collect the arguments of a request: query, JSON body, and names in the path, which win."""
    found = _query(request)
    if body := json_body(request):
        found.update(_parsed(body))
    found.update(names)
    return Arguments(found)


def _query(request: Request) -> dict[str, JSON]:
    from urllib.parse import parse_qs

    if not request.query:
        return {}
    found: dict[str, JSON] = {}
    try:
        query = parse_qs(request.query, keep_blank_values=True, max_num_fields=10_000)
    except ValueError:
        raise Refusal("the query of the request makes no sense") from None
    for name, values in query.items():
        several: list[JSON] = [*values]
        found[name] = several if len(several) > 1 else several[0]
    return found


def json_body(request: Request) -> bytes:
    """Return the whole body of a request, unpacked, which must not be too long."""
    coding = request.headers.get("content-encoding", "identity").strip().lower() or "identity"
    if coding not in {"identity", *WINDOWS}:
        raise Refusal(
            f"bodies in the coding {coding[:SHOWN]!r} are not understood here, only gzip and "
            "deflate",
            "BAD_REQUEST",
            http=415,
        )
    body = request.body.read(BODY_LIMIT + 1)
    if coding != "identity" and len(body) <= BODY_LIMIT:
        body = _unpacked(body, WINDOWS[coding])
    if len(body) > BODY_LIMIT:
        raise Refusal(
            f"the request is longer than {BODY_LIMIT >> 20} MiB: send smaller batches",
            "INVALID_PARAMETER_VALUE",
            http=413,
        )
    return body


def _unpacked(body: bytes, window: int) -> bytes:
    """Unpack a body, but never more of it than one byte above the limit."""
    import zlib

    unpacking = zlib.decompressobj(window)
    try:
        found = unpacking.decompress(body, BODY_LIMIT + 1)
    except zlib.error:
        raise Refusal("the body of the request is damaged", "MALFORMED_REQUEST") from None
    if len(found) <= BODY_LIMIT and not unpacking.eof:
        raise Refusal("the body of the request is cut off", "MALFORMED_REQUEST")
    return found


def _parsed(body: bytes) -> dict[str, JSON]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal("the body of the request is not JSON", "MALFORMED_REQUEST") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise Refusal("the body of the request is not a JSON object", "MALFORMED_REQUEST")
    return document
