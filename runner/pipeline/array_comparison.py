"""NumPy and safetensors files, compared number by number with nothing but the standard library."""

from __future__ import annotations

import ast
import json
import struct
import sys
from array import array
from typing import TYPE_CHECKING, Any

from runner.pipeline.tolerance import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model.verdict import Judgement, Tolerance

NPY_START = b"\x93NUMPY"
TYPECODES = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "i2": "h", "i1": "b", "u8": "Q",
             "u4": "I", "u2": "H", "u1": "B", "b1": "B"}  # fmt: skip
"""NumPy's kinds of numbers, and the typecodes of ``array`` and ``struct`` for them."""
COMPLEX = {"c8": "f4", "c16": "f8"}
"""Complex numbers are compared part by part."""
SAFETENSORS = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "bf16", "I64": "i8", "I32": "i4",
               "I16": "i2", "I8": "i1", "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1",
               "BOOL": "b1"}  # fmt: skip


def compared_npy(before: bytes, after: bytes, tolerance: Tolerance) -> tuple[Judgement, str]:
    """Compare two ``.npy`` files (numpy.lib.format, versions 1 to 3).

    Raises:
        ValueError: They are none, or hold what are no numbers.
    """
    head, data = _npy(before)
    other, new = _npy(after)
    for key, what in (("shape", "shape"), ("descr", "type"), ("fortran_order", "order")):
        if head[key] != other[key]:
            return "diverged", f"{what} {head[key]} -> {other[key]}"
    return compared_numbers(data, new, str(head["descr"]), tolerance)


def _npy(content: bytes) -> tuple[dict[str, Any], bytes]:
    if not content.startswith(NPY_START):
        raise ValueError("no .npy file")
    wide = content[6] > 1
    start = 12 if wide else 10
    size = int.from_bytes(content[8:start], "little")
    head = ast.literal_eval(content[start : start + size].decode("utf-8" if wide else "latin-1"))
    if not isinstance(head, dict):
        raise ValueError("no .npy header")  # noqa: TRY004 - a malformed file, not a wrong argument
    return head, content[start + size :]


def compared_safetensors(
    before: bytes, after: bytes, tolerance: Tolerance
) -> tuple[Judgement, str]:
    """Compare two ``.safetensors`` files tensor by tensor.

    Raises:
        ValueError: They are none.
    """
    tensors, others = _tensors(before), _tensors(after)
    if tensors.keys() != others.keys():
        odd = sorted(tensors.keys() ^ others.keys())[0]
        return "diverged", f"tensor {odd} is in one of the files only"
    for name, (kind, shape, data) in tensors.items():
        new_kind, new_shape, new = others[name]
        if (kind, shape) != (new_kind, new_shape):
            return "diverged", f"tensor {name}: {kind} {shape} -> {new_kind} {new_shape}"
        judgement, detail = compared_numbers(data, new, f"<{SAFETENSORS[kind]}", tolerance)
        if judgement == "diverged":
            return judgement, f"tensor {name}: {detail}"
    return "equivalent", ""


def _tensors(content: bytes) -> dict[str, tuple[str, list[int], bytes]]:
    size = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + size])
    data = content[8 + size :]
    return {
        name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
        for name, entry in head.items()
        if name != "__metadata__"
    }


def compared_numbers(
    before: bytes, after: bytes, kind: str, tolerance: Tolerance
) -> tuple[Judgement, str]:
    """Compare two rows of numbers of one kind, as NumPy spells it: ``<f8``, ``>i2``, ``<c16``.

    Raises:
        ValueError: That is no kind of number, or a number is cut off.
    """
    if before == after:
        return "equivalent", "the same numbers"
    one, other = _unpacked(before, kind), _unpacked(after, kind)
    if len(one) != len(other):
        return "diverged", f"{len(one)} numbers, now {len(other)}"
    off = [at for at, (a, b) in enumerate(zip(one, other, strict=True))
           if a != b and not within(float(a), float(b), tolerance)]  # fmt: skip
    if not off:
        return "equivalent", ""
    at = off[0]
    detail = f"{len(off)} of {len(one)} numbers, first at {at}: {one[at]!r} -> {other[at]!r}"
    return "diverged", detail


def _unpacked(data: bytes, kind: str) -> Sequence[float]:
    order, name = kind[:1], kind[1:]
    if name == "bf16":  # the upper half of a single precision number
        wide = b"".join(b"\0\0" + data[at : at + 2] for at in range(0, len(data), 2))
        return struct.unpack(f"<{len(data) // 2}f", wide)
    if name == "f2":
        return struct.unpack(f"{'>' if order == '>' else '<'}{len(data) // 2}e", data)
    if name in COMPLEX:
        name = COMPLEX[name]
    if name not in TYPECODES:
        raise ValueError(f"{kind} is no kind of number")
    numbers = array(TYPECODES[name])
    numbers.frombytes(data)
    if (order == ">") == (sys.byteorder == "little") and numbers.itemsize > 1:
        numbers.byteswap()
    return numbers
