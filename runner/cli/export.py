"""Runs for other programs: CSV, JSON, JSON lines and Parquet, written as they are read."""

from __future__ import annotations

import csv
import io
import json
from itertools import islice

from runner.cli import run_views
from runner.cli.columns import columns
from runner.errors import RunprojError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from runner.cli.columns import Column, Setting
    from runner.codec import JSON
    from runner.model.tracking import TrackedRun

USUAL = "run_id,name,experiment,status,started,ended,took,user,source,params.*,metrics.*"
"""The columns of tables for programs, where none are asked for."""
ROW_GROUP = 10_000
"""Runs that are written to a Parquet file at once."""
TIMES = frozenset({"started", "ended"})


class Keys:
    """What runs have, seen one by one: enough of a run to know which columns there are."""

    def __init__(self) -> None:
        self.params: dict[str, None] = {}
        self.metrics: dict[str, None] = {}
        self.tags: dict[str, None] = {}

    def see(self, runs: Iterable[TrackedRun]) -> Keys:
        """Note the keys of some runs."""
        for run in runs:
            self.params.update(dict.fromkeys(run.params))
            self.metrics.update(dict.fromkeys(run.metrics))
            self.tags.update(dict.fromkeys(run.tags))
        return self


def table_columns(wanted: str | None, keys: Keys) -> list[Column]:
    """Return the columns of a table for programs."""
    if wanted and wanted.lstrip().startswith("+"):
        wanted = f"{USUAL},{wanted.lstrip()[1:]}"
    found = columns(wanted or USUAL, [keys])
    return [*{column.name: column for column in found}.values()]


def csv_text(
    runs: Iterable[TrackedRun], shown: Sequence[Column], setting: Setting
) -> Iterator[str]:
    """Return the lines of a CSV file (RFC 4180, but lines end as everywhere on this system)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.name for column in shown])
    for run in runs:
        writer.writerow([column.value(run, setting) for column in shown])
        if buffer.tell() > io.DEFAULT_BUFFER_SIZE:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def documents(
    runs: Iterable[TrackedRun], shown: Sequence[Column] | None, setting: Setting
) -> Iterator[Mapping[str, JSON]]:
    """Return runs as JSON documents: whole, or the columns that were asked for."""
    for run in runs:
        if shown is None:
            name = setting.experiments.get(run.experiment_id, "")
            yield run_views.summary(run, name, setting.now)
        else:
            yield {column.name: column.value(run, setting) for column in shown}


def json_text(found: Iterable[Mapping[str, JSON]]) -> Iterator[str]:
    """Return a JSON array, one run a line."""
    separator = "[\n"
    for document in found:
        yield separator + json.dumps(document)
        separator = ",\n"
    yield "\n]\n" if separator == ",\n" else "[]\n"


def json_lines(found: Iterable[Mapping[str, JSON]]) -> Iterator[str]:
    """Return JSON documents, each on a line of its own."""
    return (json.dumps(document) + "\n" for document in found)


def write_parquet(
    path: str, runs: Iterable[TrackedRun], shown: Sequence[Column], setting: Setting
) -> None:
    """Write a Parquet file: numbers for metrics, times in UTC, text for the rest.

    Raises:
        RunprojError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise RunprojError(
            "Parquet files need pyarrow, which is not installed",
            hint="pip install 'runproj[parquet]', or export .csv or .jsonl",
        ) from error
    schema = pa.schema([(column.name, _type(column, pa)) for column in shown])
    waiting = iter(runs)
    with parquet.ParquetWriter(path, schema) as writer:
        while share := [*islice(waiting, ROW_GROUP)]:
            cells = {c.name: [_cell(c, c.value(run, setting)) for run in share] for c in shown}
            writer.write_table(pa.table(cells, schema=schema))


def _type(column: Column, pa: Any) -> Any:  # noqa: ANN401 - an optional package
    if column.name in TIMES:
        return pa.timestamp("ms", tz="UTC")
    is_number = column.name == "took" or column.name.startswith("metrics.")
    return pa.float64() if is_number else pa.string()


def _cell(column: Column, value: JSON) -> object:
    if value is None:
        return None
    if column.name in TIMES:
        from datetime import datetime

        return datetime.fromisoformat(str(value))
    if column.name.startswith("metrics."):
        return float(str(value))
    return value
