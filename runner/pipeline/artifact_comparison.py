"""Two files whose bytes differ -> whether they say the same: by what is known of their formats.

Nothing is executed or unpickled: of pickles the opcodes are read. Whatever is no known
format, or is malformed, is compared as text where it is text, else by its bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zipfile
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from runner.model.value import Value, changed
from runner.pipeline.array_comparison import compared_npy, compared_safetensors
from runner.pipeline.model_comparison import skops_parts
from runner.pipeline.notebook_comparison import SHOWN as SHOWN_OUTPUT
from runner.pipeline.notebook_comparison import notebook_parts, shown_difference
from runner.pipeline.picture_comparison import compared_pictures, compared_pngs
from runner.pipeline.tolerance import within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeGuard

    from runner.model.verdict import Judgement, Tolerance

    Found = tuple[Judgement, str]
    Comparing = Callable[[bytes, bytes, "Look"], Found]

OTHER_BYTES = "other bytes"
SHOWN = 60
"""The longest piece of a file that a detail quotes."""
DEEPEST = 3
"""How many archives within archives are looked into."""
LARGEST_MEMBER = 256 << 20
VOLATILE_MODEL_KEYS = frozenset({"run_id", "utc_time_created", "model_uuid", "model_id",
                                 "model_size_bytes", "artifact_path"})  # fmt: skip
"""What MLflow writes anew into each ``MLmodel`` file."""


class Look(Value):
    """How to look at two files: name, tolerance, words for the same thing, depth in archives."""

    path: str
    tolerance: Tolerance
    names: Mapping[str, str]
    depth: int = 0


def compared_content(
    path: str, before: bytes, after: bytes, tolerance: Tolerance, *, names: Mapping[str, str]
) -> Found:
    """Judge two files of one name that are not the same bytes.

    ``names`` are words of the two runs (their ids) and what to put in their place.
    """
    return _compared(before, after, Look(path=path, tolerance=tolerance, names=names))


def _compared(before: bytes, after: bytes, look: Look) -> Found:
    if before == after:
        return "identical", ""
    name = os.path.basename(look.path).lower()
    extension = os.path.splitext(name)[1]
    compare = BY_NAME.get(name) or BY_EXTENSION.get(extension)
    try:
        if compare is not None:
            return compare(before, after, look)
        if zipfile.is_zipfile(io.BytesIO(before)) and zipfile.is_zipfile(io.BytesIO(after)):
            return _zips(before, after, look)
    except Exception:  # noqa: BLE001, S110 - readers raise all sorts when a file is not what its name says
        pass
    return compared_texts(before, after, names=look.names)


def compared_texts(before: bytes, after: bytes, *, names: Mapping[str, str]) -> Found:
    """Judge two texts: line endings, white space at the ends of lines and run ids do not count."""
    try:
        one, other = before.decode(), after.decode()
    except UnicodeDecodeError:
        return "diverged", _first_byte(before, after)
    if "\0" in one or "\0" in other:
        return "diverged", _first_byte(before, after)
    lines, others = _lines(one, names), _lines(other, names)
    for number, (line, new) in enumerate(zip_longest(lines, others), 1):
        if line != new:
            return "diverged", f"line {number}: {_quoted(line)} -> {_quoted(new)}"
    return "equivalent", "only run ids, line endings or white space at the ends of lines differ"


def _lines(text: str, names: Mapping[str, str]) -> list[str]:
    lines = [line.rstrip() for line in _named(text, names).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _named(text: str, names: Mapping[str, str]) -> str:
    for word, substitute in names.items():
        text = text.replace(word, substitute)
    return text


def _quoted(line: str | None) -> str:
    if line is None:
        return "(end of file)"
    return repr(line if len(line) <= SHOWN else line[: SHOWN - 3] + "...")


def _first_byte(before: bytes, after: bytes) -> str:
    at = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b),
        min(len(before), len(after)),
    )
    return f"{OTHER_BYTES}, from offset {at} on"


# --- JSON, YAML, notebooks


def _json(before: bytes, after: bytes, look: Look) -> Found:
    return _documents(json.loads(before), json.loads(after), look)


def _json_lines(before: bytes, after: bytes, look: Look) -> Found:
    one = [json.loads(line) for line in before.splitlines() if line.strip()]
    return _documents(one, [json.loads(line) for line in after.splitlines() if line.strip()], look)


def _yaml(before: bytes, after: bytes, look: Look) -> Found:
    return _documents(_loaded(before), _loaded(after), look)


def _mlmodel(before: bytes, after: bytes, look: Look) -> Found:
    one, other = (_without(_loaded(b), VOLATILE_MODEL_KEYS) for b in (before, after))
    judgement, detail = _documents(one, other, look)
    return judgement, detail or "what MLflow writes anew for each model does not count"


def _notebook(before: bytes, after: bytes, look: Look) -> Found:
    parts, others = notebook_parts(before), notebook_parts(after)
    judgement, detail = _parts(parts, others, look, "notebooks")
    return judgement, detail or "only counts, times, ids, places in memory or near numbers differ"


def _shown(before: bytes, after: bytes, look: Look) -> Found:
    """Compare what a cell of a notebook has shown."""
    one, other = (_named(content.decode(), look.names) for content in (before, after))
    difference = shown_difference(one, other, look.tolerance)
    if difference is None:
        return "equivalent", ""
    number, line, new = difference
    return "diverged", f"line {number}: {_quoted(line)} -> {_quoted(new)}"


def _loaded(content: bytes) -> object:
    import yaml

    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _without(document: Any, keys: frozenset[str]) -> Any:  # noqa: ANN401 - JSON of any shape
    if isinstance(document, dict):
        return {k: _without(v, keys) for k, v in document.items() if k not in keys}
    if isinstance(document, list):
        return [_without(item, keys) for item in document]
    return document


def _documents(before: object, after: object, look: Look) -> Found:
    for place, one, other in _differing(before, after, look, "$"):
        return "diverged", f"{place}: {_quoted(str(one))} -> {_quoted(str(other))}"
    return "equivalent", ""


ABSENT = "(nothing)"


def _differing(
    before: Any,  # noqa: ANN401 - JSON of any shape
    after: Any,  # noqa: ANN401 - likewise
    look: Look,
    place: str,
) -> Iterator[tuple[str, object, object]]:
    """Find where two documents differ, by JSONPath (RFC 9535)."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in (*before, *(k for k in after if k not in before)):
            one, other = before.get(key, ABSENT), after.get(key, ABSENT)
            yield from _differing(one, other, look, f"{place}.{key}")
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield f"{place}.length()", len(before), len(after)
        for at, (one, other) in enumerate(zip(before, after, strict=False)):
            yield from _differing(one, other, look, f"{place}[{at}]")
    elif not _same_value(before, after, look):
        yield place, before, after


def _same_value(before: object, after: object, look: Look) -> bool:
    if _is_number(before) and _is_number(after):
        return within(float(before), float(after), look.tolerance)
    if isinstance(before, str) and isinstance(after, str):
        return _named(before, look.names) == _named(after, look.names)
    return type(before) is type(after) and before == after


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- tables


def _comma_table(before: bytes, after: bytes, look: Look) -> Found:
    return _tables(before, after, look, ",")


def _tab_table(before: bytes, after: bytes, look: Look) -> Found:
    return _tables(before, after, look, "\t")


def _tables(before: bytes, after: bytes, look: Look, delimiter: str) -> Found:
    rows, others = (
        list(csv.reader(io.StringIO(content.decode("utf-8-sig")), delimiter=delimiter))
        for content in (before, after)
    )
    if len(rows) != len(others):
        return "diverged", f"{len(rows)} rows, now {len(others)}"
    header = rows[0] if rows else []
    for number, (row, other) in enumerate(zip(rows, others, strict=True), 1):
        if len(row) != len(other):
            return "diverged", f"row {number}: {len(row)} columns, now {len(other)}"
        for at, (cell, new) in enumerate(zip(row, other, strict=True)):
            if not _same_cell(cell, new, look):
                column = header[at] if at < len(header) else str(at + 1)
                return (
                    "diverged",
                    f"row {number}, column {column}: {_quoted(cell)} -> {_quoted(new)}",
                )
    return "equivalent", ""


def _same_cell(before: str, after: str, look: Look) -> bool:
    if _named(before.strip(), look.names) == _named(after.strip(), look.names):
        return True
    try:
        return within(float(before), float(after), look.tolerance)
    except ValueError:
        return False


# --- archives


def _zips(before: bytes, after: bytes, look: Look) -> Found:
    """Compare what is in zip files (npz, torch, xlsx, ...), not their times and compression."""
    if look.depth >= DEEPEST:
        return "diverged", OTHER_BYTES
    with zipfile.ZipFile(io.BytesIO(before)) as one, zipfile.ZipFile(io.BytesIO(after)) as other:
        if found := _weights(before, after, look, (one, other)):
            return found
        names = {i.filename: i for i in one.infolist() if not i.is_dir()}
        others = {i.filename: i for i in other.infolist() if not i.is_dir()}
        if names.keys() != others.keys():
            odd = sorted(names.keys() ^ others.keys())[0]
            return "diverged", f"{odd} is in one of the archives only"
        for name, info in names.items():
            if max(info.file_size, others[name].file_size) > LARGEST_MEMBER:
                return "diverged", f"{name} is too large to look into"
            deeper = changed(look, path=name, depth=look.depth + 1)
            judgement, detail = _compared(one.read(name), other.read(name), deeper)
            if judgement not in {"identical", "equivalent"}:
                return judgement, f"{name}: {detail}"
    return "equivalent", "the archives hold the same"


def _weights(
    before: bytes, after: bytes, look: Look, archives: tuple[zipfile.ZipFile, zipfile.ZipFile]
) -> Found | None:
    """Compare files of ``torch.save``; None where they are none, or not understood."""
    if not any(name.endswith("/data.pkl") for name in archives[0].namelist()):
        return None
    from runner.pipeline.pickle_comparison import compared_torch

    try:
        return compared_torch(before, after, look.tolerance, look.names)
    except (ValueError, KeyError, RecursionError):
        return None


def _skops(before: bytes, after: bytes, look: Look) -> Found:
    judgement, detail = _parts(skops_parts(before), skops_parts(after), look, "models")
    return judgement, detail or "the same model"


def _parts(
    parts: Mapping[str, bytes], others: Mapping[str, bytes], look: Look, whole: str
) -> Found:
    """Compare the parts of two files, as if each were a file."""
    if parts.keys() != others.keys():
        return "diverged", f"{min(parts.keys() ^ others.keys())} is in one of the {whole} only"
    for name, part in parts.items():
        deeper = changed(look, path=name, depth=look.depth + 1)
        judgement, detail = _compared(part, others[name], deeper)
        if judgement not in {"identical", "equivalent"}:
            return judgement, f"{name}: {detail}"
    return "equivalent", ""


def _gzips(before: bytes, after: bytes, look: Look) -> Found:
    one, other = (_gunzipped(content) for content in (before, after))
    inside = changed(look, path=os.path.splitext(look.path)[0])
    judgement, detail = _compared(one, other, inside)
    return ("equivalent" if judgement == "identical" else judgement), detail


def _gunzipped(content: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        unpacked = file.read(LARGEST_MEMBER + 1)
    if len(unpacked) > LARGEST_MEMBER:
        raise ValueError("too large to look into")
    return unpacked


# --- arrays and pictures


def _numeric(compare: Callable[[bytes, bytes, Tolerance], Found]) -> Comparing:
    return lambda before, after, look: compare(before, after, look.tolerance)


# --- what is only looked into with a package, or opcode by opcode


def _parquet(before: bytes, after: bytes, look: Look) -> Found:
    """Compare tables column by column, where pyarrow is installed."""
    from runner.pipeline import parquet_comparison

    tables = parquet_comparison.columns(before, after)
    if isinstance(tables, str):
        return "diverged", tables
    for name, one, other in tables:
        for row, (cell, new) in enumerate(zip(one, other, strict=True), 1):
            for place, was, now in _differing(cell, new, look, name):
                return (
                    "diverged",
                    f"row {row}, column {place}: {_quoted(str(was))} -> {_quoted(str(now))}",
                )
    return "equivalent", "the same cells"


def _pickles(before: bytes, after: bytes, look: Look) -> Found:
    """Compare pickles by their opcodes, and files of ``torch.save`` tensor by tensor."""
    from runner.pipeline.pickle_comparison import compared_pickles

    if zipfile.is_zipfile(io.BytesIO(before)) and zipfile.is_zipfile(io.BytesIO(after)):
        return _zips(before, after, look)
    try:
        return compared_pickles(before, after, look.tolerance, look.names)
    except (ValueError, RecursionError) as error:
        return "diverged", f"{_first_byte(before, after)}; not understood as a pickle: {error}"


BY_NAME: dict[str, Comparing] = {"mlmodel": _mlmodel}
BY_EXTENSION: dict[str, Comparing] = {
    ".csv": _comma_table,
    ".gz": _gzips,
    ".ipynb": _notebook,
    ".json": _json,
    ".jsonl": _json_lines,
    ".npy": _numeric(compared_npy),
    ".npz": _zips,
    ".parquet": _parquet,
    ".png": _numeric(compared_pngs),
    ".safetensors": _numeric(compared_safetensors),
    ".skops": _skops,
    SHOWN_OUTPUT: _shown,
    ".tsv": _tab_table,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".zip": _zips,
    **dict.fromkeys(
        (".bmp", ".gif", ".jpeg", ".jpg", ".tif", ".tiff", ".webp"), _numeric(compared_pictures)
    ),
    **dict.fromkeys((".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"), _pickles),
}
