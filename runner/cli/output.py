"""The only file that prints: stdout is data, stderr is everything else, news of a run included."""

from __future__ import annotations

import sys

from runner.model.event import Ended, Noted, Opened, Progress, Started, Step, StepDone, Warned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.codec import JSON
    from runner.errors import RunprojError
    from runner.model.event import Event
    from runner.model.run import Outcome

COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "dim": "2", "bold": "1"}
COLOUR_OF = {"FINISHED": "green", "FAILED": "red", "KILLED": "yellow"}
NARROW = 20
"""Nobody reads tables on a terminal that has fewer columns; it does not know its width."""


class Console:
    """Where a command's words go.

    ``quiet`` silences everything but data and errors. Colour is used on terminals only, and never
    with ``NO_COLOR`` (no-color.org) or ``TERM=dumb``.
    """

    def __init__(self, environ: Mapping[str, str], *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._environ = environ
        if not _speaks_utf8() and hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # names may hold any character
        self.live = sys.stderr.isatty() and not environ.get("CI")
        plain = environ.get("NO_COLOR") or environ.get("TERM") == "dumb"
        self._colour_out = sys.stdout.isatty() and not plain
        self._colour_err = sys.stderr.isatty() and not plain

    def say(self, text: str = "") -> None:
        """Print a line of result."""
        print(text)

    def emit(self, document: JSON) -> None:
        """Print a result as JSON."""
        import json

        print(json.dumps(document, indent=2, ensure_ascii=not _speaks_utf8()))

    def write(self, text: str) -> None:
        """Write a piece of result as it is."""
        sys.stdout.write(text)

    @property
    def is_terminal(self) -> bool:
        """Whether the results go to somebody who looks at them."""
        return sys.stdout.isatty()

    @property
    def room(self) -> tuple[int, int] | None:
        """The columns and lines of the terminal that results go to; None when it is none."""
        import os

        if not self.is_terminal:
            return None
        try:
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return None
        given = self._environ.get("COLUMNS", "")
        columns = int(given) if given.isdecimal() and int(given) else columns
        return (columns, lines) if columns >= NARROW else None

    @property
    def speaks_utf8(self) -> bool:
        """Whether the results may hold any character."""
        return _speaks_utf8()

    def redraw(self, text: str) -> None:
        """Replace what stands on the terminal by a text that fits on it."""
        lines = "".join(f"{line}\x1b[K\r\n" for line in text.splitlines())
        sys.stdout.write(f"\x1b[H{lines}\x1b[J")
        sys.stdout.flush()

    def borrow(self, *, screen: bool) -> None:
        """Take the terminal's second screen, or give it back with what stood there before."""
        sys.stdout.write("\x1b[?1049h\x1b[?25l" if screen else "\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()

    def agrees(self, question: str) -> bool | None:
        """Ask a yes-or-no question on the terminal; None when nobody is there to answer."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return None
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def pour(self, content: bytes) -> None:
        """Hand on bytes of result as they are."""
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()

    def tell(self, text: str, *, colour: str | None = None) -> None:
        """Print a line of news, unless we are to be quiet."""
        if not self.quiet:
            print(self.styled(text, colour, error=True), file=sys.stderr, flush=True)

    def complain(self, error: RunprojError) -> None:
        """Print an error: what, where, and what to do."""
        lines = [f"{self.styled(f'error[{error.code}]:', 'red', error=True)} {error.message}"]
        if error.where:
            lines.append(f"  at {error.where}")
        others = [p for p in error.problems if p.message != error.message]
        lines += [f"  {problem}" for problem in others]
        if error.hint:
            lines.append(f"  {self.styled('hint:', 'green', error=True)} {error.hint}")
        print("\n".join(lines), file=sys.stderr, flush=True)

    def styled(self, text: str, colour: str | None, *, error: bool = False) -> str:
        """Return the text in a colour, where colour is welcome."""
        wanted = self._colour_err if error else self._colour_out
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if wanted and colour else text

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print columns, as wide as they need to be; the last one is never padded."""
        body = [tuple(header), *map(tuple, rows)]
        widths = [max(map(len, column)) for column in zip(*body, strict=True)]
        for at, row in enumerate(body):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            print(self.styled("  ".join(cells).rstrip(), None if at else "bold"))


def _speaks_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


class TerminalReporter:
    """One line a fact, on stderr. The words of a step's tool are shown on terminals only."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: list[str] = []

    def report(self, event: Event) -> None:  # noqa: C901 - one case an event
        """Say what happened."""
        tell = self._console.tell
        match event:
            case Step(verb=verb, subject=subject):
                self._last.clear()
                tell(f"{verb} {subject} ...", colour="dim")
            case Progress(line=line):
                self._last.append(line)
                if self._console.live:
                    tell(f"  {line}", colour="dim")
            case StepDone(verb=verb, subject=subject, seconds=seconds):
                tell(f"{verb} {subject}: done in {seconds:.1f} s", colour="dim")
            case Warned(problem=problem):
                tell(str(problem), colour="yellow")
            case Noted(message=message):
                tell(message, colour="dim")
            case Opened(run_id=run_id, run_name=name):
                tell(f"run {name} ({run_id})", colour="bold")
            case Started(script=script):
                tell(f"$ {script}", colour="dim")
            case Ended(run_id=run_id, outcome=outcome):
                tell(f"run {run_id[:8]} {ending(outcome)}", colour=COLOUR_OF[outcome.status])


class SilentReporter:
    """Says nothing."""

    def report(self, event: Event) -> None:
        """Take no note."""


def ending(outcome: Outcome) -> str:
    """Return how a run ended, in a few words: ``FAILED (exit code 3) after 1.2 s``."""
    seconds = (outcome.finished - outcome.started).total_seconds()
    why = ""
    if outcome.signal is not None:
        why = f" (signal {outcome.signal})"
    elif outcome.exit_code:
        why = f" (exit code {outcome.exit_code})"
    if outcome.detail and outcome.reason not in {"exit", "signal"}:
        why += f": {outcome.detail}"
    return f"{outcome.status}{why} after {seconds:.1f} s"
