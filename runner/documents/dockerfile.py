"""The images that a Dockerfile begins with. Source: Docker's Dockerfile reference."""

from __future__ import annotations

import re

from runner.errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FROM = re.compile(
    r"(?P<start>[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*)(?P<image>\S+)"
    r"(?P<end>(?:[ \t]+AS[ \t]+(?P<stage>\S+))?[ \t\r]*)",
    re.IGNORECASE,
)
COPY = re.compile(
    r"(?P<start>[ \t]*COPY[ \t]+(?:--\S+[ \t]+)*?--from=)(?P<image>\S+)(?P<end>[ \t].*)",
    re.IGNORECASE | re.DOTALL,
)
ARGUMENT = re.compile(
    r"[ \t]*ARG[ \t]+(?P<name>\w+)(?:=(?P<value>\"[^\"]*\"|'[^']*'|\S*))?", re.IGNORECASE
)
VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?::(?P<sign>[-+])(?P<word>[^}]*))?\})")
EMPTY_IMAGE = "scratch"


def bases(text: str, arguments: Mapping[str, str], *, where: str) -> tuple[str, ...]:
    """Return the images that stages begin with or copy from, each once, in order.

    Raises:
        SpecError: There is no FROM, or a name depends on an argument without value.
    """
    found = [image for _, image in _named(text, arguments, where)]
    if not any(FROM.fullmatch(line) for line in text.split("\n")):
        raise SpecError("the Dockerfile has no FROM line", where=where)
    return tuple(dict.fromkeys(found))


def pinned(text: str, arguments: Mapping[str, str], pins: Mapping[str, str], *, where: str) -> str:
    """Return a Dockerfile that begins with other images, by the names that ``bases`` gave."""
    lines = text.split("\n")
    for number, image in _named(text, arguments, where):
        if image in pins:
            line = lines[number]
            part = FROM.fullmatch(line) or COPY.fullmatch(line)
            assert part  # noqa: S101 - _named found it by one of the two
            lines[number] = f"{part['start']}{pins[image]}{part['end']}"
    return "\n".join(lines)


def _named(text: str, arguments: Mapping[str, str], where: str) -> Iterator[tuple[int, str]]:
    """Yield line numbers (from 0) and the names of images in them, stages of the file left out."""
    known: dict[str, str] = {}
    stages: set[str] = set()
    count = 0
    for number, line in enumerate(text.split("\n")):
        if (given := ARGUMENT.match(line)) and not count:
            name, default = given["name"], given["value"]
            if name in arguments or default is not None:
                known[name] = arguments.get(name, (default or "").strip("\"'"))
            continue
        part = FROM.fullmatch(line)
        copied = None if part else COPY.fullmatch(line)
        if part:
            image = _expanded(part["image"], known, f"{where}:{number + 1}")
        elif copied:
            image = copied["image"]
        else:
            continue
        internal = image.lower() in stages or image == EMPTY_IMAGE
        if not (internal or (copied and image.isdigit())):
            yield number, image
        if part:
            count += 1
            stages.add((part["stage"] or "").lower())


def _expanded(text: str, known: Mapping[str, str], where: str) -> str:
    """Put the values of arguments into a name, as FROM lines may use them."""

    def value(found: re.Match[str]) -> str:
        name = found["plain"] or found["name"]
        given = known.get(name, "")
        if found["sign"] == "+":
            return (found["word"] or "") if given else ""
        if not given and found["sign"] != "-":
            raise SpecError(
                f"the Dockerfile begins with {text!r}, and {name} has no value",
                where=where,
                hint=f"docker_env: {{args: {{{name}: ...}}}}, or a default: ARG {name}=...",
            )
        return given or (found["word"] or "")

    return VARIABLE.sub(value, text).strip("\"'")
