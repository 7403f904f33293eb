"""Pickled models and PyTorch's weights, compared by what their pickles say, unpickling nothing."""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

from runner.model.value import Value
from runner.pipeline.array_comparison import compared_numbers
from runner.pipeline.pickle_reading import Kind, Made, Name, Persistent, Raw, kind_of, read_pickle
from runner.pipeline.tolerance import within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeGuard

    from runner.model.verdict import Judgement, Tolerance

    Found = tuple[Judgement, str]

LARGEST = 256 << 20
"""Bytes of a storage that is looked into."""
SHOWN = 60
DATA = "data.pkl"
STORAGES = {"Double": "f8", "Float": "f4", "Half": "f2", "BFloat16": "bf16", "Long": "i8",
            "Int": "i4", "Short": "i2", "Char": "i1", "Byte": "u1", "Bool": "b1",
            "ComplexFloat": "c8", "ComplexDouble": "c16"}  # fmt: skip
"""PyTorch's classes of storages (without ``Storage``), and what numbers these hold."""
SETS = frozenset(
    Name(module=module, name=name)
    for module in ("builtins", "__builtin__")
    for name in ("set", "frozenset")
)
QUOTE = "'"
ABSENT = "(nothing)"


class Numbers(Value):
    """An array: its type, its shape and order, its bytes."""

    kind: Kind
    shape: object
    data: bytes


def compared_pickles(
    before: bytes, after: bytes, tolerance: Tolerance, names: Mapping[str, str]
) -> Found:
    """Compare two pickles by what they would build.

    Raises:
        ValueError: One is no pickle, or is not understood.
    """
    return _Comparison(tolerance, names).judged(read_pickle(before), read_pickle(after))


def compared_torch(
    before: bytes, after: bytes, tolerance: Tolerance, names: Mapping[str, str]
) -> Found:
    """Compare two files of ``torch.save`` (PyTorch 1.6 and newer) tensor by tensor.

    Raises:
        ValueError: They are none, or not understood.
    """
    one, other = _torch(before), _torch(after)
    return _Comparison(tolerance, names).judged(one, other)


def _root(archive: zipfile.ZipFile) -> str | None:
    """Return the folder in which ``torch.save`` put everything, named after the file."""
    for name in archive.namelist():
        folder, _, rest = name.partition("/")
        if rest == DATA:
            return folder
    return None


def _torch(content: bytes) -> object:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        root = _root(archive)
        if root is None or any(i.file_size > LARGEST for i in archive.infolist()):
            raise ValueError("not of torch.save, or too large")
        order = ">" if _member(archive, f"{root}/byteorder") == b"big" else "<"
        found = read_pickle(archive.read(f"{root}/{DATA}"))
        others = {
            name.partition("/")[2]: archive.read(name)
            for name in archive.namelist()
            if not name.startswith((f"{root}/data/", f"{root}/.")) and not name.endswith(DATA)
        }

        def storage(key: str) -> bytes:
            return archive.read(f"{root}/data/{key}")

        filled = _filled(found, storage, order, {})
    return (filled, tuple(sorted(others.items())))


def _member(archive: zipfile.ZipFile, name: str) -> bytes | None:
    return archive.read(name).strip() if name in archive.namelist() else None


def _filled(
    node: Any,  # noqa: ANN401 - what a pickle says
    storage: Callable[[str], bytes],
    order: str,
    done: dict[int, Any],
) -> Any:  # noqa: ANN401 - likewise
    """Put in the place of pointers to storages what is in them."""
    if id(node) in done:
        return done[id(node)]
    if isinstance(node, Persistent):
        done[id(node)] = _stored(node.identity, storage, order)
        return done[id(node)]
    if isinstance(node, tuple):
        done[id(node)] = tuple(_filled(item, storage, order, done) for item in node)
        return done[id(node)]
    if isinstance(node, Made):
        done[id(node)] = node
        node.arguments = _filled(node.arguments, storage, order, done)
        node.state = _filled(node.state, storage, order, done)
        node.items = [_filled(item, storage, order, done) for item in node.items]
        node.pairs = [
            (_filled(k, storage, order, done), _filled(v, storage, order, done))
            for k, v in node.pairs
        ]
    return node


def _stored(identity: object, storage: Callable[[str], bytes], order: str) -> Numbers:
    """Read one storage; where it lay (CPU or GPU) does not count."""
    if not isinstance(identity, tuple) or identity[0] != "storage":
        raise ValueError("a pointer to what is no storage")
    _, class_, key, _, size = identity
    name = class_.name.removesuffix("Storage") if isinstance(class_, Name) else ""
    code = STORAGES.get(name, "u1")
    data = storage(str(key))
    return Numbers(kind=Kind(code=f"{order}{code}", size=1), shape=(size,), data=data)


class _Comparison:
    """Walks through two descriptions at once; what was compared is not compared again."""

    def __init__(self, tolerance: Tolerance, names: Mapping[str, str]) -> None:
        self._tolerance, self._names = tolerance, names
        self._seen: set[tuple[int, int]] = set()

    def judged(self, before: object, after: object) -> Found:
        for place, difference in self.differing(before, after, "$"):
            return "diverged", f"{place}: {difference}"
        return "equivalent", "the pickles say the same"

    def differing(self, before: Any, after: Any, place: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401
        if isinstance(before, Made | Raw | tuple):
            if (id(before), id(after)) in self._seen:
                return
            self._seen.add((id(before), id(after)))
        one, other = _numbers(before), _numbers(after)
        if one is not None and other is not None:
            yield from self._arrays(one, other, place)
        elif isinstance(before, Made) and isinstance(after, Made):
            yield from self._objects(before, after, place)
        elif isinstance(before, Persistent) and isinstance(after, Persistent):
            yield from self.differing(before.identity, after.identity, place)
        elif isinstance(before, tuple) and isinstance(after, tuple):
            yield from self._rows(before, after, place)
        elif not self._same(_plain(before), _plain(after)):
            yield place, f"{_shown(before)} -> {_shown(after)}"

    def _arrays(self, one: Numbers, other: Numbers, place: str) -> Iterator[tuple[str, str]]:
        if one.kind != other.kind:
            yield place, f"type {one.kind.code} -> {other.kind.code}"
        elif one.shape != other.shape:
            yield place, f"shape {one.shape} -> {other.shape}"
        else:
            for name, kind, data, new in _columns(one, other):
                judgement, detail = self._numbers(data, new, kind.code)
                if judgement == "diverged":
                    yield f"{place}.{name}" if name else place, detail

    def _numbers(self, data: bytes, new: bytes, code: str) -> Found:
        try:
            return compared_numbers(data, new, code, self._tolerance)
        except ValueError:
            return "diverged", "other bytes"

    def _objects(self, before: Made, after: Made, place: str) -> Iterator[tuple[str, str]]:
        if isinstance(before.what, Name | str) or isinstance(after.what, Name | str):
            if before.what != after.what:
                yield place, f"{_shown(before.what)} -> {_shown(after.what)}"
                return
        else:
            yield from self.differing(before.what, after.what, f"{place}.function")
        if before.what in SETS:  # as protocols before 4 write them
            before, after = _listed(before), _listed(after)
        yield from self.differing(before.arguments, after.arguments, place)
        yield from self.differing(before.state, after.state, place)
        if before.what in {"set", "frozenset", *SETS}:
            yield from self._rows(_sorted(before.items), _sorted(after.items), place)
        else:
            yield from self._rows(before.items, after.items, place)
        yield from self._entries(before, after, place)

    def _rows(self, before: Any, after: Any, place: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401
        if len(before) != len(after):
            yield f"{place}.length()", f"{len(before)} -> {len(after)}"
            return
        for at, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from self.differing(one, other, f"{place}[{at}]")

    def _entries(self, before: Made, after: Made, place: str) -> Iterator[tuple[str, str]]:
        ours, theirs = _by_key(before), _by_key(after)
        for key in (*ours, *(k for k in theirs if k not in ours)):
            value, new = ours.get(key, ABSENT), theirs.get(key, ABSENT)
            yield from self.differing(value, new, f"{place}.{_shown(key).strip(QUOTE)}")
        odd, new_odd = ([p for p in m.pairs if not _is_plain(p[0])] for m in (before, after))
        yield from self._rows(odd, new_odd, place)

    def _same(self, before: object, after: object) -> bool:
        if _is_number(before) and _is_number(after):
            return within(float(before), float(after), self._tolerance)
        if isinstance(before, str) and isinstance(after, str):
            return self._named(before) == self._named(after)
        return type(before) is type(after) and before == after

    def _named(self, text: str) -> str:
        for word, substitute in self._names.items():
            text = text.replace(word, substitute)
        return text


def _plain(node: object) -> object:
    """Return bytes for how protocols before 3 write them."""
    content = _bytes(node)
    return node if content is None else content


def _listed(made: Made) -> Made:
    """Return a set whose items are not in a list of its own."""
    found = Made(made.what)
    if isinstance(made.arguments, tuple) and isinstance(made.arguments[0], Made):
        found.items = made.arguments[0].items
    return found


def _by_key(made: Made) -> dict[Any, object]:
    """Return what has a name or a number as its key."""
    return {key: value for key, value in made.pairs if _is_plain(key)}


def _is_plain(key: object) -> bool:
    return isinstance(key, str | bytes | int | float | Name | None)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sorted(items: list[object]) -> list[object]:
    return sorted(items, key=repr) if all(_is_plain(item) for item in items) else items


def _shown(value: object) -> str:
    if isinstance(value, Name):
        return f"{value.module}.{value.name}"
    if isinstance(value, Made):
        return _shown(value.what)
    if isinstance(value, Numbers | Raw):
        return "an array"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    text = repr(value) if value != ABSENT else ABSENT
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _columns(one: Numbers, other: Numbers) -> Iterator[tuple[str, Kind, bytes, bytes]]:
    """Return the fields of two arrays of structures; what lies between these is no content."""
    if not one.kind.fields:
        yield "", one.kind, one.data, other.data
    for name, at, kind in one.kind.fields:
        column, new = (
            b"".join(
                array.data[start + at : start + at + kind.size]
                for start in range(0, len(array.data), one.kind.size)
            )
            for array in (one, other)
        )
        yield name, kind, column, new


# --- NumPy's arrays, as pickles tell of them


def _numbers(node: object) -> Numbers | None:
    """Return the array that a description is of, or None where it is of something else."""
    if isinstance(node, Numbers):
        return node
    if isinstance(node, Raw):
        wrapper = node.wrapper
        shape = (wrapper.get("shape"), wrapper.get("order"))
        return Numbers(kind=kind_of(wrapper.get("dtype")), shape=shape, data=node.data)
    if not (isinstance(node, Made) and isinstance(node.what, Name)):
        return None
    if not node.what.module.startswith("numpy"):
        return None
    reader = READERS.get(node.what.name)
    return reader(node) if reader else None


def _reconstructed(node: Made) -> Numbers | None:
    if not isinstance(node.state, tuple):
        return None
    _, shape, dtype, fortran, data = node.state
    content = _bytes(data)
    if content is None:
        return None  # an array of objects
    return Numbers(kind=kind_of(dtype), shape=(shape, fortran), data=content)


def _from_buffer(node: Made) -> Numbers | None:
    if not isinstance(node.arguments, tuple):
        return None
    data, dtype, shape, order = node.arguments[:4]
    content = _bytes(data)
    return (
        None
        if content is None
        else Numbers(kind=kind_of(dtype), shape=(shape, order), data=content)
    )


def _scalar(node: Made) -> Numbers | None:
    if not isinstance(node.arguments, tuple) or len(node.arguments) != 2:  # noqa: PLR2004 - type, bytes
        return None
    dtype, data = node.arguments
    content = _bytes(data)
    return None if content is None else Numbers(kind=kind_of(dtype), shape=(), data=content)


def _bytes(node: object) -> bytes | None:
    """Return bytes, also where protocol 2 wrote them as a text in Latin 1."""
    if isinstance(node, bytes | bytearray):
        return bytes(node)
    if isinstance(node, Made) and node.what == Name(module="_codecs", name="encode"):
        arguments = node.arguments
        if isinstance(arguments, tuple) and isinstance(arguments[0], str):
            return arguments[0].encode("latin-1")
    return None


READERS: dict[str, Callable[[Made], Numbers | None]] = {
    "_reconstruct": _reconstructed,
    "_frombuffer": _from_buffer,
    "scalar": _scalar,
}
