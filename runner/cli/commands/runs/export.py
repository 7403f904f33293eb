"""``runproj runs export``: runs as a file for other programs, however many they are."""

from __future__ import annotations

import os

from runner.app import utc_now
from runner.cli import export
from runner.cli.columns import Setting
from runner.cli.selection import (
    FILTERS,
    counted,
    opened,
    selected,
    selection_options,
    store_option,
)
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator

    from runner.cli.columns import Column
    from runner.cli.output import Console
    from runner.model.tracking import TrackedRun
    from runner.ports import TrackingStore

FORMATS = ("csv", "json", "jsonl", "parquet")
EPILOG = f"""\
COLUMNS are those of 'runproj runs list'. CSV and Parquet files have, unless told otherwise,
  {export.USUAL.replace(",", ", ")};
JSON and JSON lines whole runs. The file appears when it is complete.

{FILTERS}"""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("file", metavar="FILE", help="where to write; '-' is standard output")
    add("--format", choices=FORMATS, help="default: what the file's name ends in")
    selection_options(parser)
    add("--columns", metavar="COLUMNS", help="what to write")
    add("-n", "--limit", type=int, metavar="N", help="at most N runs (default: all)")
    add("--deleted", action="store_true", help="deleted runs too")
    add("-q", "--quiet", action="store_true", help="say only what went wrong")
    store_option(parser)


def call(options: Namespace, console: Console) -> int:
    """Write the file."""
    kind = _format(options)
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit {options.limit} would write nothing", hint="--limit 10")
    with opened(options) as store:
        if options.file == "-":
            for piece in _text(options, store, kind, Counted()):
                console.write(piece)
            return 0
        number = _write(options, store, kind)
    console.tell(f"{counted(number)} in {options.file}")
    return 0


def _format(options: Namespace) -> str:
    ending = os.path.splitext(options.file)[1].removeprefix(".").lower()
    kind: str = options.format or {"ndjson": "jsonl", "pq": "parquet"}.get(ending, ending)
    if kind not in FORMATS:
        raise UsageError(
            f"it is not clear what format {options.file!r} is to have",
            hint=f"--format {'|'.join(FORMATS)}, or a name that ends in one of them",
        )
    if kind == "parquet" and options.file == "-":
        raise UsageError("a Parquet file cannot be written to standard output")
    return kind


class Counted:
    """Counts what passes."""

    def __init__(self) -> None:
        self.number = 0

    def through(self, runs: Iterable[TrackedRun]) -> Iterator[TrackedRun]:
        """Hand on the runs."""
        for run in runs:
            self.number += 1
            yield run


def _write(options: Namespace, store: TrackingStore, kind: str) -> int:
    """Write beside the file, then put it in its place; return the number of runs."""
    aside = f"{options.file}.{os.getpid()}.partial"
    counter = Counted()
    try:
        if kind == "parquet":
            shown, setting = _shape(options, store)
            export.write_parquet(aside, counter.through(_runs(options, store)), shown, setting)
        else:
            with open(aside, "w", encoding="utf-8") as file:
                file.writelines(_text(options, store, kind, counter))
        os.replace(aside, options.file)
    finally:
        if os.path.exists(aside):
            os.unlink(aside)
    return counter.number


def _runs(options: Namespace, store: TrackingStore) -> Iterator[TrackedRun]:
    from itertools import islice

    lifecycle = "all" if options.deleted else "active"
    return islice(
        selected(options, store, limit=options.limit, lifecycle=lifecycle)[0], options.limit
    )


def _shape(options: Namespace, store: TrackingStore) -> tuple[list[Column], Setting]:
    """Return the columns; where they depend on the runs, these are read once for that."""
    names = {e.experiment_id: e.name for e in store.experiments()}
    wanted = options.columns or export.USUAL
    is_open = "*" in wanted or "?" in wanted or "[" in wanted or wanted.startswith("+")
    keys = export.Keys().see(_runs(options, store) if is_open else ())
    setting = Setting(experiments=names, now=utc_now(), width=0)
    return export.table_columns(options.columns, keys), setting


def _text(options: Namespace, store: TrackingStore, kind: str, counter: Counted) -> Iterator[str]:
    if kind == "csv" or options.columns:
        shown, setting = _shape(options, store)
    else:
        names = {e.experiment_id: e.name for e in store.experiments()}
        shown, setting = None, Setting(experiments=names, now=utc_now(), width=0)
    runs = counter.through(_runs(options, store))
    if kind == "csv":
        return export.csv_text(runs, shown or [], setting)
    found = export.documents(runs, shown, setting)
    return export.json_text(found) if kind == "json" else export.json_lines(found)
