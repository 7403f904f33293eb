"""``runproj runs compare``: runs side by side."""

from __future__ import annotations

from itertools import islice

from runner.app import utc_now
from runner.cli import run_views
from runner.cli.comparing import Goals, Line, Section, sections
from runner.cli.selection import (
    FILTERS,
    RUN_HELP,
    opened,
    selected,
    selection_options,
    store_option,
)
from runner.cli.sparkline import sparkline
from runner.cli.table import GAP, NARROWEST, fitted
from runner.cli.text import clipped, padded, printable, width
from runner.errors import UsageError
from runner.model.value import Value, changed
from runner.pipeline.lookup import find_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Mapping, Sequence

    from runner.cli.output import Console
    from runner.codec import JSON
    from runner.model.tracking import Metric, TrackedRun
    from runner.ports import TrackingStore

MOST = 50
"""Runs that can be compared at once."""
LABEL = 36
"""Columns for the names of values, at most."""
SPARK = 16
"""Columns of a sparkline; it never is wider than its run's column."""
EPILOG = f"""\
Only what differs is shown, unless --all is given. Of metrics whose name says what is good
(loss, rmse, accuracy, ...) the best value has a star; --lower and --higher tell of others.

{FILTERS}"""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("run", nargs="*", metavar="RUN", help=f"two or more: {RUN_HELP}")
    selection_options(parser)
    add("-n", "--limit", type=int, default=5, metavar="N", help="of a filter: the first N (5)")
    add("--all", action="store_true", help="show what is the same, too")
    add("--lower", action="append", default=[], metavar="PATTERN", help="low is good: 'cost*'")
    add("--higher", action="append", default=[], metavar="PATTERN", help="high is good")
    add("--no-history", action="store_true", help="leave the sparklines out")
    add("--json", action="store_true", help="print JSON")
    store_option(parser)


class Comparison(Value):
    """Runs, in what they differ, and the course of their metrics by metric and run."""

    runs: tuple[TrackedRun, ...]
    sections: tuple[Section, ...]
    courses: Mapping[str, tuple[tuple[Metric, ...], ...]]


def call(options: Namespace, console: Console) -> int:
    """Compare the runs."""
    with opened(options) as store:
        runs = _runs(options, store)
        names = {e.experiment_id: e.name for e in store.experiments()}
        goals = Goals(lower=tuple(options.lower), higher=tuple(options.higher))
        whole = sections(runs, names, utc_now(), goals)
        shown = whole if options.all else tuple(map(_telling, whole))
        courses = {} if options.no_history or options.json else _courses(store, runs, shown)
    if options.json:
        console.emit(_document(runs, names, shown))
        return 0
    comparison = Comparison(runs=runs, sections=shown, courses=courses)
    for line in drawn(comparison, console):
        console.say(line)
    _notes(whole, shown, console)
    return 0


def _runs(options: Namespace, store: TrackingStore) -> tuple[TrackedRun, ...]:
    narrowed = options.filter or options.experiment or options.order_by
    if bool(options.run) == bool(narrowed):
        raise UsageError(
            "name the runs to compare, or choose them with --filter, --experiment or --order-by",
            hint="runproj runs compare 3e01c1d4 77ab02f1",
        )
    if options.run:
        found = [find_run(store, name) for name in options.run]
    else:
        chosen, _ = selected(options, store, limit=options.limit, lifecycle="active")
        found = [*islice(chosen, max(0, options.limit))]
    runs = tuple({run.run_id: run for run in found}.values())
    if not 1 < len(runs) <= MOST:
        raise UsageError(
            f"a comparison needs 2 to {MOST} different runs, these are {len(runs)}",
            hint="'runproj runs show RUN' shows one, 'runproj runs list' many",
        )
    return runs


def _telling(section: Section) -> Section:
    """Return what differs; what the machine was doing always does."""
    if section.title == "system":
        return changed(section, lines=())
    return changed(section, lines=tuple(line for line in section.lines if line.differs))


def _courses(
    store: TrackingStore, runs: Sequence[TrackedRun], shown: Sequence[Section]
) -> dict[str, tuple[tuple[Metric, ...], ...]]:
    """Return the histories of the metrics that are shown, where one has more than one value."""
    keys = [line.name for section in shown if section.title == "metrics" for line in section.lines]
    found = {}
    for key in keys:
        courses = tuple(
            store.history(run.run_id, key) if key in run.metrics else () for run in runs
        )
        if any(len(course) > 1 for course in courses):
            found[key] = courses
    return found


def drawn(comparison: Comparison, console: Console) -> Iterator[str]:
    """Return the lines of the comparison, in as many blocks as the terminal's width asks for."""
    room = console.room
    count = len(comparison.runs)
    label = min(
        LABEL,
        max(
            (width(printable(x.name)) for s in comparison.sections for x in s.lines),
            default=NARROWEST,
        ),
    )
    fits = count if room is None else max(1, (room[0] - label) // (NARROWEST + 6 + GAP))
    blocks = -(-count // fits)
    share = -(-count // blocks)
    for start in range(0, count, share):
        if start:
            yield ""
        yield from _block(comparison, range(start, min(start + share, count)), label, console)


def _block(
    comparison: Comparison, which: Sequence[int], label: int, console: Console
) -> Iterator[str]:
    """Return the lines for some of the runs."""
    short = run_views.id_width([run.run_id for run in comparison.runs])
    heads = [comparison.runs[at].run_id[:short] for at in which]
    natural = [
        max([len(heads[n]), *(_width(comparison, line, at) for line in _lines(comparison))])
        for n, at in enumerate(which)
    ]
    room = console.room
    free = None if room is None else room[0] - label - GAP
    widths = fitted(natural, [True] * len(natural), free)
    gap = " " * GAP
    yield console.styled(_row(" " * label, heads, widths), "bold")
    for section in comparison.sections:
        if not section.lines:
            continue
        yield console.styled(section.title, "bold")
        for line in section.lines:
            name = padded(clipped(line.name, label), label)
            cells = [
                _cell(line, at, columns, console) for at, columns in zip(which, widths, strict=True)
            ]
            yield gap.join([name, *cells]).rstrip()
            if section.title == "metrics" and (courses := comparison.courses.get(line.name)):
                bars = _bars(courses, which, widths, plain=not console.speaks_utf8)
                yield console.styled(_row(" " * label, bars, widths), "dim")


def _lines(comparison: Comparison) -> Iterator[Line]:
    return (line for section in comparison.sections for line in section.lines)


def _row(label: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = [padded(clipped(c, n), n) for c, n in zip(cells, widths, strict=True)]
    return (" " * GAP).join([label, *shown]).rstrip()


def _width(comparison: Comparison, line: Line, at: int) -> int:
    courses = comparison.courses.get(line.name)
    bars = min(SPARK, len(courses[at])) if courses else 0
    return max(width(printable(line.texts[at])) + 2 * (at in line.best), bars)


def _cell(line: Line, at: int, columns: int, console: Console) -> str:
    """Return one value: a star behind the best, a status in its colour."""
    text = printable(line.texts[at]) or "-"
    if at in line.best:
        return console.styled(padded(clipped(text, columns - 2) + " *", columns), "green")
    colour = run_views.status_colour(text) if line.name == "status" else None
    return console.styled(padded(clipped(text, columns), columns), colour)


def _bars(
    courses: Sequence[Sequence[Metric]],
    which: Sequence[int],
    widths: Sequence[int],
    *,
    plain: bool,
) -> list[str]:
    """Return sparklines on one scale, so that they can be compared."""
    from math import isfinite

    finite = [m.value for course in courses for m in course if isfinite(m.value)]
    scale = (min(finite, default=0.0), max(finite, default=0.0))
    return [
        sparkline(
            [m.value for m in courses[at]], columns=min(SPARK, columns), plain=plain, scale=scale
        )
        for at, columns in zip(which, widths, strict=True)
    ]


def _notes(whole: Sequence[Section], shown: Sequence[Section], console: Console) -> None:
    """Say what is not shown, beside the facts of the run and of the machine."""
    hidden = [
        f"{len(all_.lines) - len(some.lines)} {all_.title}"
        for all_, some in zip(whole[1:4], shown[1:4], strict=True)
        if len(all_.lines) > len(some.lines)
    ]
    if not any(section.lines for section in shown[1:]):
        console.tell("parameters, metrics and tags are all the same", colour="dim")
    if hidden:
        console.tell(f"the same everywhere: {', '.join(hidden)}; --all shows them", colour="dim")


def _document(
    runs: Sequence[TrackedRun], names: Mapping[str, str], shown: Sequence[Section]
) -> dict[str, JSON]:
    """Return the comparison as a JSON document: by kind and name, one value a run."""
    now = utc_now()
    described: dict[str, JSON] = {
        "runs": [run_views.summary(run, names.get(run.experiment_id, ""), now) for run in runs]
    }
    for section in shown:
        values: dict[str, JSON] = {}
        for line in section.lines:
            if section.title == "metrics":
                measured: list[JSON] = [
                    run_views.measured(run.metrics.get(line.name)) for run in runs
                ]
                best: list[JSON] = [runs[at].run_id for at in line.best]
                values[line.name] = {"values": measured, "best": best}
            else:
                values[line.name] = [text or None for text in line.texts]
        described[section.title] = values
    return described
