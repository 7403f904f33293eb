"""Two Parquet files -> the columns whose cells are to be compared, where pyarrow is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Columns = Iterator[tuple[str, list[Any], list[Any]]]

LARGEST = 1 << 30
"""Bytes of a table, uncompressed, that is looked into."""
MISSING = (
    "other bytes; the cells are not compared, for pyarrow is not installed "
    "(pip install 'runproj[compare]')"
)


def columns(before: bytes, after: bytes) -> str | Columns:
    """Return the columns that are not the same, with their cells, or why that is a divergence.

    How the cells are compressed, encoded and cut into row groups does not count.

    Raises:
        ValueError: One is no Parquet file, or too large.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        return MISSING
    one, other = _table(before, parquet), _table(after, parquet)
    if one.column_names != other.column_names:
        odd = sorted(set(one.column_names) ^ set(other.column_names))
        return f"column {odd[0]} is in one of the tables only" if odd else "the columns' order"
    for field, new in zip(one.schema, other.schema, strict=True):
        if field.type != new.type:
            return f"column {field.name}: type {field.type} -> {new.type}"
    if one.num_rows != other.num_rows:
        return f"{one.num_rows} rows, now {other.num_rows}"
    return _cells(one, other)


def _table(content: bytes, parquet: Any) -> Any:  # noqa: ANN401 - an optional package
    import pyarrow as pa

    with parquet.ParquetFile(pa.BufferReader(content)) as file:
        head = file.metadata
        size = sum(head.row_group(at).total_byte_size for at in range(head.num_row_groups))
        if size > LARGEST:
            raise ValueError("too large to look into")
        return file.read()


def _cells(one: Any, other: Any) -> Columns:  # noqa: ANN401 - tables of an optional package
    for at, name in enumerate(one.column_names):
        column, new = one.column(at), other.column(at)
        if not column.equals(new):
            yield name, column.to_pylist(), new.to_pylist()
