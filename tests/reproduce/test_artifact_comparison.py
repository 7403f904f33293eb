"""Files whose bytes differ, and whether they say the same."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.model.verdict import Tolerance
from runner.pipeline.artifact_comparison import compared_content

NEAR = Tolerance(absolute=1e-3)
NAMES = {"a" * 32: "<run>", "b" * 32: "<run>"}


def judged(path: str, before: bytes | str, after: bytes | str) -> tuple[str, str]:
    one, other = (x.encode() if isinstance(x, str) else x for x in (before, after))
    return compared_content(path, one, other, NEAR, names=NAMES)


def zipped(files: dict[str, bytes], year: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def npy(values: list[float], kind: str = "<f8", shape: object = None) -> bytes:
    head = str({"descr": kind, "fortran_order": False, "shape": shape or (len(values),)}).encode()
    code = {"f8": "d", "f4": "f", "i4": "i", "f2": "e"}[kind[1:]]
    return (
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", len(head))
        + head
        + struct.pack(f"{kind[0]}{len(values)}{code}", *values)
    )


def safetensors(values: list[float], name: str = "w", note: str = "") -> bytes:
    data = struct.pack(f"<{len(values)}f", *values)
    entry = {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, len(data)]}
    head = json.dumps({"__metadata__": {"note": note}, name: entry}).encode()
    return struct.pack("<Q", len(head)) + head + data


def skops(values: list[float], address: int, *, class_: str = "Ridge") -> bytes:
    """Write a model as skops does: parts are named by where objects lay in memory."""
    array = {"type": "numpy", "file": f"{address}.npy", "__id__": address}
    again = {"__loader__": "CachedNode", "__id__": address}
    schema = {
        "__class__": class_,
        "content": {"coef_": array, "same": again},
        "__id__": address + 8,
    }
    files = {"schema.json": json.dumps(schema).encode(), f"{address}.npy": npy(values)}
    return zipped(files, 1990 + address % 30)


def png(pixels: bytes, *, level: int, text: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0)
    extra = chunk(b"tEXt", text) if text else b""
    picture = chunk(b"IDAT", zlib.compress(pixels, level))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + picture + chunk(b"IEND", b"")


PIXELS = b"\0" + b"abcabc"
SAME = [
    ("a.txt", "one\r\ntwo  \n", "one\ntwo\n\n"),
    ("a.log", f"run {'a' * 32}", f"run {'b' * 32}"),
    ("a.json", '{"x": 1.0, "y": [1]}', '{"y": [1], "x": 1.0001}'),
    ("m.skops", skops([1.0, 2.0], 1234), skops([1.0, 2.0001], 99)),
    ("a.jsonl", '{"x": 1}\n{"x": 2}\n', '{"x": 1.0}\n{"x": 2.0}'),
    ("a.yaml", "x: 1\ny: [a]\n", "y: [a]\nx: 1.0\n"),
    ("model/MLmodel", f"run_id: {'a' * 32}\nflavors: {{}}\n", "run_id: other\nflavors: {}\n"),
    ("a.csv", "x,y\n1.0,b\n", "x,y\n1.0002,b\n"),
    ("a.tsv", "x\ty\n1\t2\n", "x\ty\n1.0\t2\n"),
    ("a.ipynb", '{"cells": [{"execution_count": 1}]}', '{"cells": [{"execution_count": 9}]}'),
    ("a.zip", zipped({"m": b"x"}, 1990), zipped({"m": b"x"}, 2020)),
    ("a.pt", zipped({"m": b"x"}, 1990), zipped({"m": b"x"}, 2020)),
    ("a.npz", zipped({"x.npy": npy([1.0])}, 1990), zipped({"x.npy": npy([1.0001])}, 2020)),
    ("a.npy", npy([1, 2], ">f8"), npy([1, 2.0001], ">f8")),
    ("a.npy", npy([1, 2], "<f2"), npy([1, 2.0], "<f2") + b""),
    ("a.safetensors", safetensors([1.0]), safetensors([1.0001], note="later")),
    ("a.json.gz", gzip.compress(b'{"x":1}', mtime=1), gzip.compress(b'{"x": 1}', mtime=2)),
    ("a.png", png(PIXELS, level=1), png(PIXELS, level=9, text=b"Date\x00now")),
]
OTHERS = [
    ("a.txt", "one\ntwo\n", "one\n2\n", "line 2: 'two' -> '2'"),
    ("a.txt", "one\n", "one\ntwo\n", "line 2: (end of file) -> 'two'"),
    ("a.bin", b"\0\1\2", b"\0\1\3", "other bytes, from offset 2 on"),
    ("a.json", '{"x": [1, 2]}', '{"x": [1, 2.1]}', "$.x[1]: '2' -> '2.1'"),
    ("a.json", '{"x": 1}', '{"x": true}', "$.x: '1' -> 'True'"),
    ("a.json", '{"x": 1}', "{}", "$.x: '1' -> '(nothing)'"),
    ("a.json", "{no json", "{no more", "line 1: '{no json' -> '{no more'"),
    ("a.csv", "x,y\n1,b\n", "x,y\n1,c\n", "row 2, column y: 'b' -> 'c'"),
    ("a.csv", "x\n1\n", "x\n1\n2\n", "2 rows, now 3"),
    ("a.npy", npy([1, 2]), npy([1, 3]), "1 of 2 numbers, first at 1: 2.0 -> 3.0"),
    ("a.npy", npy([1, 2]), npy([1, 2], "<f4"), "type <f8 -> <f4"),
    ("a.npy", npy([1, 2]), npy([1, 2], shape=(2, 1)), "shape (2,) -> (2, 1)"),
    ("a.safetensors", safetensors([1.0]), safetensors([2.0]), "tensor w: 1 of 1 numbers"),
    ("a.safetensors", safetensors([1.0]), safetensors([1.0], "v"), "tensor v is in one"),
    ("a.zip", zipped({"m": b"x"}, 1990), zipped({"n": b"x"}, 1990), "m is in one of the archives"),
    ("a.npz", zipped({"x.npy": npy([1.0])}, 1990), zipped({"x.npy": npy([2.0])}, 1990), "x.npy: 1"),
    ("a.png", png(PIXELS, level=1), png(b"\0abcabd", level=1), "other pixels"),
    ("m.skops", skops([1.0], 7), skops([2.0], 8), "array 0.npy: 1 of 1 numbers"),
    ("m.skops", skops([1.0], 7), skops([1.0], 8, class_="Lasso"), "'Ridge' -> 'Lasso'"),
]


@pytest.mark.parametrize(("path", "before", "after"), SAME)
def test_what_says_the_same_is_equivalent(
    path: str, before: bytes | str, after: bytes | str
) -> None:
    assert judged(path, before, after)[0] in {"equivalent", "identical"}


@pytest.mark.parametrize(("path", "before", "after", "detail"), OTHERS)
def test_what_says_something_else_diverges_and_is_shown(
    path: str, before: bytes | str, after: bytes | str, detail: str
) -> None:
    judgement, found = judged(path, before, after)
    assert judgement == "diverged"
    assert detail in found


NAMED = st.sampled_from([path for path, *_ in SAME])


@given(NAMED, st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_make_a_comparison_fail(path: str, before: bytes, after: bytes) -> None:
    assert judged(path, before, after)[0] in {"identical", "equivalent", "diverged"}


@given(st.sampled_from(SAME), st.data())
def test_no_damage_makes_a_comparison_fail(
    case: tuple[str, bytes | str, bytes | str], data: st.DataObject
) -> None:
    path, before, after = case
    content = bytearray(after.encode() if isinstance(after, str) else after)
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(content)))
    assert judged(path, before, bytes(content[:cut]))[0] in {"identical", "equivalent", "diverged"}
