"""Whether a text is a value of a parameter's type, and within its bounds."""

from __future__ import annotations

from runner.model.value import Value
from runner.redaction import without_credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model.spec import Parameter

TRUE = frozenset(("true", "yes", "1", "on"))
FALSE = frozenset(("false", "no", "0", "off"))
"""The words for truth values, in any case. The command gets the word that was given."""
SHOWN = 60
"""How many characters of a value an error message shows."""
DIGITS = 4300
"""The longest integer that Python reads (``sys.int_info``)."""


class Refusal(Value):
    """Why a text is not accepted, what to put before a parameter's title, and a better text."""

    rule: str
    message: str
    example: str


def refusal(parameter: Parameter, text: str) -> Refusal | None:
    """Say why a text cannot be the value (or an element) of a parameter, None if it can.

    Numbers are what Python's ``int`` and ``float`` read, because that is what the command will
    call: signs, underscores between digits, ``1e-5``, ``inf`` and ``nan``.
    """
    if "\0" in text:
        return _refused("nul-character", parameter, text, "holds a NUL character", "...")
    check = CHECKS.get(parameter.type)
    if check is None:
        return _choice(parameter, text, text)
    return check(parameter, text)


def _int(parameter: Parameter, text: str) -> Refusal | None:
    try:
        number = int(text)
    except ValueError:
        long = len(text) > DIGITS
        return _refused(
            "wrong-type", parameter, text, "is not an int", "7" if long else _near_int(text)
        )
    return _bounds(parameter, text, number) or _choice(parameter, text, number)


def _near_int(text: str) -> str:
    """Return the integer that was probably meant (``3.0``, ``1e3``), or an example."""
    try:
        number = float(text)
        return str(int(number)) if number.is_integer() else "7"
    except (ValueError, OverflowError):
        return "7"


def _float(parameter: Parameter, text: str) -> Refusal | None:
    try:
        number = float(text)
    except ValueError:
        decimal = text.replace(",", ".", 1)
        example = decimal if decimal != text and _is_float(decimal) else "0.5"
        return _refused("wrong-type", parameter, text, "is not a float", example)
    return _bounds(parameter, text, number) or _choice(parameter, text, number)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _bool(parameter: Parameter, text: str) -> Refusal | None:
    word = text.lower()
    if word not in TRUE and word not in FALSE:
        return _refused("wrong-type", parameter, text, "is not a bool", "true")
    return _choice(parameter, text, word in TRUE)


def _uri(parameter: Parameter, text: str) -> Refusal | None:
    scheme, colon, _ = text.partition(":")
    letters = scheme.replace("+", "").replace("-", "").replace(".", "")
    if not colon or not (scheme[:1].isalpha() and letters.isalnum() and scheme.isascii()):
        why = "is not a URI: it has no scheme"
        return _refused("wrong-type", parameter, text, why, f"file:///{text.lstrip('/')}")
    return _choice(parameter, text, text)


def _bounds(parameter: Parameter, text: str, number: float) -> Refusal | None:
    low, high = parameter.minimum, parameter.maximum
    if low is not None and not number >= low:
        return _refused(
            "out-of-range", parameter, text, f"is less than {_number(low)}", _number(low)
        )
    if high is not None and not number <= high:
        return _refused(
            "out-of-range", parameter, text, f"is more than {_number(high)}", _number(high)
        )
    return None


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _choice(parameter: Parameter, text: str, value: object) -> Refusal | None:
    choices = parameter.choices
    if not choices or text in choices:
        return None
    if not isinstance(value, str) and value in [_read(parameter, choice) for choice in choices]:
        return None
    why = f"is not one of {', '.join(choices)}"
    return _refused("not-a-choice", parameter, text, why, _near_choice(text, choices))


def _read(parameter: Parameter, choice: str) -> object:
    """Return a choice as a value of the parameter's type; the text when it is none."""
    if parameter.type == "bool":
        return choice.lower() in TRUE
    try:
        return int(choice) if parameter.type == "int" else float(choice)
    except ValueError:
        return choice


def _near_choice(text: str, choices: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(text, choices, n=1)), choices[0])


def _refused(rule: str, parameter: Parameter, text: str, why: str, example: str) -> Refusal:
    shown = "the value" if parameter.secret else quoted(text)
    if parameter.secret:
        example = "..."
    return Refusal(rule=rule, message=f"{shown} {why}", example=example)


def quoted(text: str) -> str:
    """Return a value as messages show it: short, printable, without credentials."""
    text = without_credentials(text)
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}...")


CHECKS = {"int": _int, "float": _float, "bool": _bool, "uri": _uri}
