"""A pickle -> what it would build, read opcode by opcode, building none of it.

Nothing is imported, called or unpickled: names stay names, calls stay descriptions of calls. Arrays
of numbers are found in what NumPy, joblib and PyTorch write.
"""

from __future__ import annotations

import bz2
import io
import lzma
import pickletools
import zlib
from typing import TYPE_CHECKING, Any

from runner.model.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST = 256 << 20
"""Bytes of a compressed pickle that are unpacked."""
MARK = object()
WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
PACKED: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x78", zlib.decompressobj),
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ", lzma.LZMADecompressor),
    (b"\x5d\x00", lzma.LZMADecompressor),
)
"""How compressed files begin, as joblib writes them, and what unpacks them."""


class Name(Value):
    """A class or function, which nobody has imported."""

    module: str
    name: str


class Persistent(Value):
    """What the pickle only points to: a storage of PyTorch's."""

    identity: object


class Raw(Value):
    """An array that joblib wrote between the opcodes: its wrapper's state, and its bytes."""

    wrapper: Made
    data: bytes


class Made:
    """An object under construction: a list, a set, a dictionary, or the result of a call."""

    def __init__(self, what: object, arguments: object = ()) -> None:
        self.what, self.arguments = what, arguments
        self.state: object = None
        self.items: list[object] = []
        self.pairs: list[tuple[object, object]] = []

    def get(self, key: str) -> object:
        """Return an attribute that the object's state or its own entries tell, else None."""
        entries = self.state.pairs if isinstance(self.state, Made) else self.pairs
        return next((value for k, value in entries if k == key), None)


def read_pickle(content: bytes) -> object:
    """Read a file as pickle, cloudpickle or joblib write it, compressed or not.

    Raises:
        ValueError: It is none, or holds what is not understood.
    """
    for start, unpacker in PACKED:
        if content.startswith(start):
            content = _unpacked(content, unpacker())
    file = io.BytesIO(content)
    try:
        found = _Reader(file).read()
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"malformed: {error!r}") from None
    if file.read(1):
        raise ValueError("there is more behind the pickle")
    return found


def _unpacked(content: bytes, unpacker: Any) -> bytes:  # noqa: ANN401 - one of three libraries'
    try:
        found: bytes = unpacker.decompress(content, LARGEST)
    except (zlib.error, lzma.LZMAError, OSError) as error:
        raise ValueError(str(error)) from None
    if not unpacker.eof:
        raise ValueError("cut off, or too large to look into")
    return found


class _Reader:
    """The machine that pickles are programs of (``pickletools``), which makes descriptions only."""

    def __init__(self, file: io.BytesIO) -> None:
        self._file = file
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self) -> object:
        for opcode, argument, _ in pickletools.genops(self._file):
            name = opcode.name
            if name == "STOP":
                return self._stack.pop()
            if name in VALUES:
                self._stack.append(argument)
            elif name in CONSTANTS:
                self._stack.append(CONSTANTS[name])
            else:
                step = STEPS.get(name)
                if step is None:
                    raise ValueError(f"{name} is not understood")
                step(self, argument)
        raise ValueError("cut off")

    # --- the memo

    def put(self, number: int) -> None:
        self._memo[number] = self._stack[-1]

    def memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, number: int) -> None:
        self._stack.append(self._memo[number])

    # --- the stack

    def mark(self, _: object) -> None:
        self._stack.append(MARK)

    def pop(self, _: object) -> None:
        self._stack.pop()

    def double(self, _: object) -> None:
        self._stack.append(self._stack[-1])

    def _to_mark(self) -> list[Any]:
        at = len(self._stack) - 1
        while self._stack[at] is not MARK:
            at -= 1  # IndexError at the bottom, below which no mark can be
        found = self._stack[at + 1 :]
        del self._stack[at:]
        return found

    def to_mark(self, _: object) -> None:
        self._to_mark()

    # --- collections

    def empty(self, kind: str) -> None:
        self._stack.append(Made(kind))

    def listed(self, _: object) -> None:
        made = Made("list")
        made.items = self._to_mark()
        self._stack.append(made)

    def frozen(self, _: object) -> None:
        made = Made("frozenset")
        made.items = self._to_mark()
        self._stack.append(made)

    def mapped(self, _: object) -> None:
        made = Made("dict")
        made.pairs = _pairs(self._to_mark())
        self._stack.append(made)

    def tupled(self, size: int | None) -> None:
        if size is None:
            self._stack.append(tuple(self._to_mark()))
            return
        self._stack[len(self._stack) - size :] = [tuple(self._stack[len(self._stack) - size :])]

    def append(self, _: object) -> None:
        item = self._stack.pop()
        self._stack[-1].items.append(item)

    def extend(self, _: object) -> None:
        items = self._to_mark()
        self._stack[-1].items.extend(items)

    def set_item(self, _: object) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._stack[-1].pairs.append((key, value))

    def set_items(self, _: object) -> None:
        items = self._to_mark()
        self._stack[-1].pairs.extend(_pairs(items))

    # --- names, calls, objects

    def named(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(Name(module=module, name=name))

    def stack_named(self, _: object) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(Name(module=str(module), name=str(name)))

    def call(self, _: object) -> None:
        arguments, what = self._stack.pop(), self._stack.pop()
        self._stack.append(Made(what, arguments))

    def call_with_words(self, _: object) -> None:
        words, arguments, what = self._stack.pop(), self._stack.pop(), self._stack.pop()
        self._stack.append(Made(what, (arguments, words)))

    def instance(self, argument: str) -> None:
        arguments = tuple(self._to_mark())
        self.named(argument)
        self._stack.append(Made(self._stack.pop(), arguments))

    def old_object(self, _: object) -> None:
        what, *arguments = self._to_mark()
        self._stack.append(Made(what, tuple(arguments)))

    def persistent(self, argument: str | None) -> None:
        identity = self._stack.pop() if argument is None else argument
        self._stack.append(Persistent(identity=identity))

    def build(self, _: object) -> None:
        state, made = self._stack.pop(), self._stack[-1]
        made.state = state
        if isinstance(made.what, Name) and (made.what.module, made.what.name) == WRAPPER:
            self._stack[-1] = self._between(made)

    def _between(self, wrapper: Made) -> object:
        """Read the array that joblib (0.10 and newer) put behind its wrapper."""
        kind, shape = kind_of(wrapper.get("dtype")), wrapper.get("shape")
        if kind.code == "O":
            return _Reader(self._file).read()
        if not isinstance(shape, tuple):
            raise ValueError("an array without a shape")  # noqa: TRY004 - a malformed file
        if wrapper.get("numpy_array_alignment_bytes") is not None:
            self._file.read(self._file.read(1)[0])
        size = kind.size
        for length in shape:
            size *= int(length)
        data = self._file.read(size)
        if size < 0 or len(data) != size:
            raise ValueError("an array is cut off")
        return Raw(wrapper=wrapper, data=data)


def _pairs(items: list[Any]) -> list[tuple[object, object]]:
    return list(zip(items[::2], items[1::2], strict=True))


# --- NumPy's types


class Kind(Value):
    """A type of NumPy's: ``<f8``, its size in bytes, and the fields of a structure."""

    code: str
    size: int
    fields: tuple[tuple[str, int, Kind], ...] = ()


def kind_of(dtype: object) -> Kind:
    """Return what a description of ``numpy.dtype`` says.

    Raises:
        ValueError: It is none, or not understood.
    """
    if not (
        isinstance(dtype, Made) and isinstance(dtype.what, Name) and dtype.what.name == "dtype"
    ):
        raise ValueError("no type of NumPy's")
    arguments, state = dtype.arguments, dtype.state
    if not isinstance(arguments, tuple) or not isinstance(state, tuple):
        raise ValueError("a type of NumPy's without its state")  # noqa: TRY004 - a malformed file
    code = str(arguments[0])
    if code.startswith("O"):
        return Kind(code="O", size=8)
    if state[3] and isinstance(state[4], Made):
        fields = {str(k): v for k, v in state[4].pairs if isinstance(v, tuple)}
        return Kind(
            code=code, size=int(state[5]),
            fields=tuple((n, int(fields[n][1]), kind_of(fields[n][0])) for n in state[3]),
        )  # fmt: skip
    order = state[1] if state[1] in {"<", ">"} else "<"
    digits = code.lstrip("?biufcmMSUV<>|=")
    size = int(digits) if digits else 1
    if isinstance(state[5], int) and state[5] > 0:
        size = state[5]
    return Kind(code=f"{order}{code.lstrip('<>|=')}", size=size)


VALUES = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
})  # fmt: skip
"""The opcodes that push what stands behind them."""
CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    "PROTO": lambda _reader, _argument: None,
    "FRAME": lambda _reader, _argument: None,
    "PUT": _Reader.put,
    "BINPUT": _Reader.put,
    "LONG_BINPUT": _Reader.put,
    "MEMOIZE": _Reader.memoize,
    "GET": _Reader.get,
    "BINGET": _Reader.get,
    "LONG_BINGET": _Reader.get,
    "MARK": _Reader.mark,
    "POP": _Reader.pop,
    "POP_MARK": _Reader.to_mark,
    "DUP": _Reader.double,
    "EMPTY_LIST": lambda reader, _: reader.empty("list"),
    "EMPTY_DICT": lambda reader, _: reader.empty("dict"),
    "EMPTY_SET": lambda reader, _: reader.empty("set"),
    "LIST": _Reader.listed,
    "DICT": _Reader.mapped,
    "FROZENSET": _Reader.frozen,
    "TUPLE": lambda reader, _: reader.tupled(None),
    "TUPLE1": lambda reader, _: reader.tupled(1),
    "TUPLE2": lambda reader, _: reader.tupled(2),
    "TUPLE3": lambda reader, _: reader.tupled(3),
    "APPEND": _Reader.append,
    "APPENDS": _Reader.extend,
    "ADDITEMS": _Reader.extend,
    "SETITEM": _Reader.set_item,
    "SETITEMS": _Reader.set_items,
    "GLOBAL": _Reader.named,
    "STACK_GLOBAL": _Reader.stack_named,
    "REDUCE": _Reader.call,
    "NEWOBJ": _Reader.call,
    "NEWOBJ_EX": _Reader.call_with_words,
    "INST": _Reader.instance,
    "OBJ": _Reader.old_object,
    "PERSID": _Reader.persistent,
    "BINPERSID": _Reader.persistent,
    "BUILD": _Reader.build,
}
