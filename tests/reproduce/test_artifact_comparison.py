"""Files whose bytes differ, and whether they say the same."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import OrderedDict
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet as pq

from runner.model.verdict import Tolerance
from runner.pipeline.artifact_comparison import compared_content
from runner.pipeline.pickle_reading import read_pickle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

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


def notebook(count: int, loss: str, printed: list[str] | None = None, picture: bytes = b"") -> str:
    """Write a notebook with one cell that has printed and drawn something."""
    words = [*(printed or ["loss"]), f" {loss} <O at 0x7f0000{count:06x}>\n"]
    stream = [{"output_type": "stream", "name": "stdout", "text": [word]} for word in words]
    drawn = base64.encodebytes(png(picture or PIXELS, level=count)).decode()
    shown = {"output_type": "display_data", "data": {"image/png": drawn}, "metadata": {}}
    cell = {
        "cell_type": "code", "id": f"c{count}", "execution_count": count, "source": ["train()"],
        "metadata": {"ExecuteTime": {"start_time": f"{count}"}},
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "begin\n"}, *stream, shown],
    }  # fmt: skip
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def parquet(columns: dict[str, list[Any]], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


def jpeg(grey: int, *, size: int = 8, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (grey, grey, grey)).save(buffer, "JPEG", comment=comment)
    return buffer.getvalue()


def pillow_png() -> bytes:
    """Write the pixels of ``PIXELS`` as Pillow does, which may filter them otherwise."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", (2, 1), PIXELS[1:]).save(buffer, "PNG")
    return buffer.getvalue()


class Opcodes:
    """A pickle, written opcode by opcode: of names that nobody has to have."""

    def __init__(self) -> None:
        self.written = b"\x80\x02"

    def name(self, module: str, name: str) -> Opcodes:
        self.written += f"c{module}\n{name}\n".encode()
        return self

    def put(self, *values: object) -> Opcodes:
        for value in values:
            self.written += pickle.dumps(value, 2)[2:-1]
        return self

    def raw(self, opcodes: bytes) -> Opcodes:
        self.written += opcodes
        return self


def torch_zip(name: str, weights: list[float], *, device: str = "cpu") -> bytes:
    """Write what ``torch.save({"weight": tensor}, "NAME.pt")`` does: a pickle that only points."""
    made = Opcodes().raw(b"}").put("weight").name("torch._utils", "_rebuild_tensor_v2").raw(b"((")
    made.put("storage").name("torch", "FloatStorage").put("0", device, len(weights))
    made.raw(b"tQ").put(0, (len(weights),), (1,)).raw(b"\x89").name("collections", "OrderedDict")
    made.raw(b")RtRs.")
    return zipped(
        {
            f"{name}/data.pkl": made.written,
            f"{name}/byteorder": b"little",
            f"{name}/data/0": struct.pack(f"<{len(weights)}f", *weights),
            f"{name}/version": b"3\n",
            f"{name}/.data/serialization_id": name.encode(),
        },
        2000,
    )


THING = {"w": 1.0, "names": ("a", "b"), "when": date(2020, 1, 2), "raw": b"x", "none": None,
         "set": {1}, "ordered": OrderedDict(a=[1, 2]), ("odd", "key"): Fraction(1, 3)}  # fmt: skip
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
    ("a.ipynb", notebook(1, "0.5"), notebook(9, "0.5")),
    ("a.ipynb", notebook(1, "0.5"), notebook(9, "0.5001", ["lo", "ss"])),
    (
        "a.parquet",
        parquet({"x": [1.0, None], "s": ["a", "b"]}),
        parquet({"x": [1.0001, None], "s": ["a", "b"]}),
    ),
    (
        "a.parquet",
        parquet({"x": [1, 2]}),
        parquet({"x": [1, 2]}, compression="gzip", row_group_size=1),
    ),
    ("a.parquet", parquet({"x": [{"y": [1.0]}]}), parquet({"x": [{"y": [1.0001]}]})),
    ("a.jpg", jpeg(200), jpeg(200, comment=b"later")),
    ("a.png", png(PIXELS, level=1), pillow_png()),
    ("a.pkl", pickle.dumps(THING, 4), pickle.dumps({**THING, "w": 1.0001}, 5)),
    ("a.pkl", pickle.dumps({"t", "u"}, 2), pickle.dumps({"u", "t"}, 2)),
    ("a.joblib", zlib.compress(pickle.dumps(THING)), gzip.compress(pickle.dumps(THING))),
    ("a.pth", torch_zip("a", [1.0, 2.0]), torch_zip("b", [1.0001, 2.0], device="cuda:0")),
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
    ("a.ipynb", notebook(1, "0.5"), notebook(1, "0.6"), "stdout.shown: line 2: 'loss 0.5 <O at 0x"),
    (
        "a.ipynb",
        notebook(1, "0.5"),
        notebook(1, "0.5", picture=b"\0abcabd"),
        "image png.png: other pix",
    ),
    ("a.parquet", parquet({"x": [1.0]}), parquet({"x": [2.0]}), "row 1, column x: '1.0' -> '2.0'"),
    ("a.parquet", parquet({"x": [1.0]}), parquet({"x": [1]}), "column x: type double -> int64"),
    ("a.parquet", parquet({"x": [1.0]}), parquet({"y": [1.0]}), "column x is in one of the tables"),
    ("a.parquet", parquet({"x": [1]}), parquet({"x": [1, 2]}), "1 rows, now 2"),
    ("a.jpg", jpeg(200), jpeg(90), "other pixels: 192 of 192 numbers, first at 0: 200 -> 90"),
    ("a.jpg", jpeg(200), jpeg(200, size=9), "8 x 8 pixels, now 9 x 9"),
    ("a.pkl", pickle.dumps(THING), pickle.dumps({**THING, "w": 1.5}), "$.w: 1.0 -> 1.5"),
    ("a.pkl", pickle.dumps(THING), pickle.dumps({**THING, "more": 1}), "$.more: (nothing) -> 1"),
    (
        "a.pkl",
        pickle.dumps([Fraction(1)]),
        pickle.dumps([Decimal(1)]),
        "fractions.Fraction -> decimal",
    ),
    ("a.pkl", pickle.dumps([1])[:-1], pickle.dumps([2]), "not understood as a pickle"),
    (
        "a.pt",
        torch_zip("a", [1.0, 2.0]),
        torch_zip("a", [1.0, 3.0]),
        ".weight[0]: 1 of 2 numbers, first at 1",
    ),
    ("a.pt", torch_zip("a", [1.0]), torch_zip("a", [1.0, 1.0]), "$[0].weight"),
    ("m.skops", skops([1.0], 7), skops([2.0], 8), "array 0.npy: 1 of 1 numbers"),
    ("m.skops", skops([1.0], 7), skops([1.0], 8, class_="Lasso"), "'Ridge' -> 'Lasso'"),
]


def numbered(cases: Sequence[tuple[Any, ...]]) -> list[str]:
    """Name cases by their file: contents hold sets, whose order is another in each process."""
    return [f"{at}-{case[0]}" for at, case in enumerate(cases)]


@pytest.mark.parametrize(("path", "before", "after"), SAME, ids=numbered(SAME))
def test_what_says_the_same_is_equivalent(
    path: str, before: bytes | str, after: bytes | str
) -> None:
    assert judged(path, before, after)[0] in {"equivalent", "identical"}


@pytest.mark.parametrize(("path", "before", "after", "detail"), OTHERS, ids=numbered(OTHERS))
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


class Trap:
    """An object that a reader must not build."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_pickles_are_read_and_not_executed(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    one, other = (pickle.dumps([Trap(trap), number]) for number in (1.0, 1.0001))
    assert judged("model.pkl", one, other) == ("equivalent", "the pickles say the same")
    elsewhere = pickle.dumps([Trap(tmp_path / "elsewhere"), 1.0])
    assert judged("model.pkl", one, elsewhere)[0] == "diverged"
    assert not trap.exists()
    pickle.loads(one)
    assert trap.exists()  # so that the test could have failed


def test_a_pickle_may_hold_itself() -> None:
    one: list[Any] = [1.0]
    other: list[Any] = [1.0001]
    for found in (one, other):
        found.append(found)
    assert judged("a.pkl", pickle.dumps(one), pickle.dumps(other))[0] == "equivalent"
    shared: tuple[Any, ...] = (1.0,)
    for _ in range(64):  # two to the power of 64 items, if each were looked at
        shared = (shared, shared)
    content = pickle.dumps(shared)
    assert judged("a.pkl", content, content + b" ")[0] == "diverged"
    assert judged("a.pkl", pickle.dumps([shared]), pickle.dumps([shared, 1]))[0] == "diverged"


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, again = jpeg(1), jpeg(1, comment=b"x")
    table, packed = parquet({"x": [1]}), parquet({"x": [1]}, compression="gzip")
    for module in ("PIL", "pyarrow"):
        monkeypatch.setitem(sys.modules, module, None)
    judgement, detail = judged("a.jpg", picture, again)
    assert (judgement, "Pillow is not installed" in detail) == ("diverged", True)
    judgement, detail = judged("a.parquet", table, packed)
    assert (judgement, "pyarrow is not installed" in detail) == ("diverged", True)
    assert judged("a.png", png(PIXELS, level=1), png(PIXELS, level=9))[0] == "equivalent"


REAL_MODELS = """
import os, pickle, sys
import joblib, numpy
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
folder, more = sys.argv[1], float(sys.argv[2])
x, y = make_classification(60, random_state=1)
line = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
line[-1].coef_ = line[-1].coef_ + more
forest = RandomForestClassifier(3, random_state=2).fit(x, y)
forest.more = numpy.float32(more)
mixed = {"objects": numpy.array([1, "a", more], dtype=object),
         "dates": numpy.array(["2020-01-01"], "M8[ns]"),
         "fortran": numpy.asfortranarray([[more, 2]]),
         "complex": numpy.array([more + 2j])}
os.makedirs(folder)
for name, model in {"line": line, "forest": forest, "mixed": mixed}.items():
    for protocol in range(6):
        with open(f"{folder}/{name}-{protocol}.pkl", "wb") as file:
            pickle.dump(model, file, protocol)
    for packed in (0, "zlib", "gzip", "xz"):
        joblib.dump(model, f"{folder}/{name}-{packed}.joblib", compress=packed)
"""


@pytest.mark.slow
def test_models_that_scikit_learn_and_joblib_wrote_are_compared_by_number(
    tmp_path: Path, mlflow_python: Callable[[str], str]
) -> None:
    python = mlflow_python("3.17.2")
    for name, more in (("first", "0"), ("near", "0.0001"), ("far", "0.5")):
        command = [python, "-c", REAL_MODELS, str(tmp_path / name), more]
        subprocess.run(command, check=True)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert len(files) == 30
    for name in files:
        one, near, far = (tmp_path.joinpath(f, name).read_bytes() for f in ("first", "near", "far"))
        assert judged(name, one, near) == ("equivalent", "the pickles say the same"), name
        judgement, detail = judged(name, one, far)
        assert (judgement, "numbers, first at 0" in detail or "0.0 -> 0.5" in detail) == (
            "diverged", True,
        ), (name, detail)  # fmt: skip


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_of_pickles_do_more_than_refuse(content: bytes) -> None:
    with contextlib.suppress(ValueError, RecursionError):
        read_pickle(content)
