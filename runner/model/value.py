"""The one idiom for values: frozen, slotted, keyword-only records; and names for plain strings.

``dataclasses`` would do, but costs a warm run 12 ms of its 35 (it pulls ``inspect`` and compiles
code for each class); see ``docs/design/startup.md``. Type checkers treat a ``Value`` exactly as a
frozen, keyword-only dataclass (PEP 681).

    class Point(Value):
        x: int
        y: int = 0
"""

from __future__ import annotations

from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, ClassVar, NewType, TypeVar, dataclass_transform

    V = TypeVar("V", bound="Value")
    Digest = NewType("Digest", str)
    """A content address: ``sha256:<hex>``, or for trees ``swh:1:dir:<hex>`` (ISO/IEC 18670)."""
    Commit = NewType("Commit", str)
    RunId = NewType("RunId", str)
    EntryPointName = NewType("EntryPointName", str)
else:
    Digest = Commit = RunId = EntryPointName = str

    def dataclass_transform(**_options):  # noqa: ANN003, ANN201
        """Do at run time what the type checkers' decorator does: nothing."""
        return lambda class_: class_


EMPTY: Mapping[str, Any] = MappingProxyType({})
"""The default for fields that are mappings."""


class ValueType(type):
    """Turns annotated names into slots and their assigned values into defaults."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> ValueType:
        """Make the class; ``ClassVar`` annotations are left alone."""
        annotations = namespace.get("__annotations__", {})
        own = tuple(f for f in annotations if not str(annotations[f]).startswith("ClassVar"))
        inherited: Any = next((b for b in bases if isinstance(b, ValueType)), None)
        defaults = {f: namespace.pop(f) for f in own if f in namespace}
        namespace["__slots__"] = own
        namespace["FIELDS"] = (*inherited.FIELDS, *own) if inherited else own
        namespace["DEFAULTS"] = {**inherited.DEFAULTS, **defaults} if inherited else defaults
        made = super().__new__(cls, name, bases, namespace)
        made.SETTERS = tuple((f, getattr(made, f).__set__) for f in namespace["FIELDS"])
        return made

    SETTERS: tuple[tuple[str, Callable[[Any, object], None]], ...]
    """What writes each field past ``__setattr__``, in the fields' order."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Value(metaclass=ValueType):
    """A record that never changes; equal when its type and all its fields are equal."""

    if TYPE_CHECKING:
        FIELDS: ClassVar[tuple[str, ...]]
        DEFAULTS: ClassVar[dict[str, Any]]

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - the type checker sees the fields
        setters = type(self).SETTERS
        if len(given) != len(setters):
            given = {**self.DEFAULTS, **given}
        try:
            for field, put in setters:
                put(self, given[field])
        except KeyError:
            raise self._misfit(given) from None
        if len(given) != len(setters):
            raise self._misfit(given)

    def _misfit(self, given: dict[str, Any]) -> TypeError:
        missing = [f for f in self.FIELDS if f not in given and f not in self.DEFAULTS]
        unknown = sorted(given.keys() - set(self.FIELDS))
        return TypeError(f"{type(self).__name__}: missing {missing}, unknown {unknown}")

    def __setattr__(self, name: str, value: object) -> None:
        message = f"{type(self).__name__}.{name} cannot be changed: make another with changed()"
        raise AttributeError(message)

    def __delattr__(self, name: str) -> None:
        message = f"{type(self).__name__}.{name} cannot be deleted"
        raise AttributeError(message)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, f) == getattr(other, f) for f in self.FIELDS)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, f) for f in self.FIELDS)))

    def __repr__(self) -> str:
        inside = ", ".join(f"{f}={getattr(self, f)!r}" for f in self.FIELDS)
        return f"{type(self).__name__}({inside})"

    def __getstate__(self) -> dict[str, object]:
        return fields(self)

    def __setstate__(self, state: dict[str, object]) -> None:
        for field, value in state.items():
            object.__setattr__(self, field, value)


def fields(value: Value) -> dict[str, Any]:
    """Return the fields of a value by name, in the order they were declared."""
    return {f: getattr(value, f) for f in value.FIELDS}


def changed(value: V, **changes: Any) -> V:  # noqa: ANN401 - checked when the value is made
    """Return the same value with some fields exchanged."""
    return type(value)(**{**fields(value), **changes})


def swhid(tree: str) -> Digest:
    """Write a git tree id as a SWHID (ISO/IEC 18670)."""
    return Digest(f"swh:1:dir:{tree}")
