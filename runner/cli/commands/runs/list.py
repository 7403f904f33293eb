"""``runproj runs list``: a table of runs, once or live."""

from __future__ import annotations

from itertools import islice

from runner.app import utc_now
from runner.cli import run_views
from runner.cli.columns import Setting, columns
from runner.cli.live import watch
from runner.cli.selection import FILTERS, counted, opened, selected, selection_options, store_option
from runner.cli.table import lines
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from runner.cli.output import Console
    from runner.model.tracking import TrackedRun
    from runner.ports import TrackingStore

LIMIT = 20
EPILOG = f"""\
COLUMNS are separated by commas; a '+' in front adds them to the usual ones:
  run, run_id, status, started, ended, took, experiment, name, source, user, commit, branch,
  entry_point, parent, note, artifacts, params.NAME, metrics.NAME, tags.NAME; NAME may be '*'

{FILTERS}"""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EPILOG
    selection_options(parser)
    add = parser.add_argument
    add("--columns", metavar="COLUMNS", help="what to show (see below)")
    add("-n", "--limit", type=int, metavar="N", help=f"at most N runs (default: {LIMIT})")
    add("--all", action="store_true", help="all runs")
    add("--deleted", action="store_true", help="deleted runs too")
    add(
        "--watch",
        nargs="?",
        type=float,
        const=2.0,
        metavar="SECONDS",
        help="show it live, until Ctrl-C (default: every 2 seconds)",
    )
    add("--csv", action="store_true", help="print CSV")
    add("--json", action="store_true", help="print JSON")
    store_option(parser)


def call(options: Namespace, console: Console) -> int:
    """List the runs."""
    _check(options)
    with opened(options) as store:
        if options.watch is not None:
            return _watch(options, store, console)
        if options.csv or options.json:
            _emit(options, store, console)
            return 0
        table, news = _table(options, store, console)
        for line in table:
            console.say(line)
        if news:
            console.tell(news, colour="dim")
    return 0


def _check(options: Namespace) -> None:
    """Refuse what makes no sense."""
    columns(options.columns, [])
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit {options.limit} would show nothing", hint="--limit 10, or --all")
    if options.limit is not None and options.all:
        raise UsageError("--limit and --all contradict each other")
    if options.csv and options.json:
        raise UsageError("--csv and --json contradict each other")
    if options.watch is not None:
        if options.csv or options.json:
            raise UsageError("--watch draws a table, it prints no --csv and no --json")
        if not 0.1 <= options.watch <= 86400:  # noqa: PLR2004 - a day
            raise UsageError(f"--watch {options.watch:g}: every 0.1 to 86400 seconds")


def _limit(options: Namespace) -> int | None:
    return None if options.all else options.limit or LIMIT


def _found(
    options: Namespace, store: TrackingStore, limit: int | None
) -> tuple[list[TrackedRun], dict[str, str], bool]:
    """Return the runs to list, the names of the experiments, and whether there are more."""
    lifecycle = "all" if options.deleted else "active"
    runs, names = selected(options, store, limit=limit, lifecycle=lifecycle)
    found = [*islice(runs, None if limit is None else limit + 1)]
    return found[:limit], names, limit is not None and len(found) > limit


def _table(
    options: Namespace, store: TrackingStore, console: Console, *, height: int | None = None
) -> tuple[list[str], str]:
    """Return the lines of the table, and a word about what it does not show."""
    limit = _limit(options)
    if height is not None:
        limit = min(limit or height, height)
    runs, names, is_more = _found(options, store, limit)
    if not runs:
        what = "no such runs" if options.filter or options.experiment else "no runs"
        return [], f"{what} in {store.uri}"
    at = _setting(runs, names)
    shown = columns(options.columns, runs)
    room = console.room
    table = lines(
        [column.heading for column in shown],
        [[column.text(run, at) for column in shown] for run in runs],
        room=room[0] if room else None,
        styled=console.styled,
    )
    first = "first" if options.order_by else "newest"
    more = f"the {first} {counted(len(runs))}; --all shows all" if is_more else ""
    return [*table], more


def _setting(runs: list[TrackedRun], names: dict[str, str]) -> Setting:
    return Setting(
        experiments=names,
        now=utc_now(),
        width=run_views.id_width([run.run_id for run in runs]),
    )


def _emit(options: Namespace, store: TrackingStore, console: Console) -> None:
    from runner.cli.export import Keys, csv_text, documents, table_columns

    runs, names, _ = _found(options, store, _limit(options))
    at = _setting(runs, names)
    shown = table_columns(options.columns, Keys().see(runs))
    if options.csv:
        for piece in csv_text(runs, shown, at):
            console.write(piece)
    else:
        console.emit([{**d} for d in documents(runs, shown if options.columns else None, at)])


def _watch(options: Namespace, store: TrackingStore, console: Console) -> int:
    if not console.is_terminal:
        raise UsageError("--watch needs a terminal", hint="without it, the table is printed once")

    def drawn() -> str:
        room = console.room or (80, 24)
        table, news = _table(options, store, console, height=max(1, room[1] - 3))
        return "\n".join([*table, *([console.styled(news, "dim")] if news else [])])

    return watch(drawn, console, every=options.watch)
