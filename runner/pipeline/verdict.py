"""A verdict as a document, as Markdown, as JUnit, and where it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from runner.codec import document, pretty
from runner.errors import StoreError
from runner.model.event import Warned
from runner.model.spec import Problem
from runner.model.verdict import BAD
from runner.pipeline.record import FOLDER
from runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.codec import JSON
    from runner.model.verdict import Bisection, Comparison, Verdict
    from runner.pipeline.recorded import RecordedRun
    from runner.ports import Services

VERDICT_VERSION = 1
TAG_LIMIT = 5000
SHORT = 12
"""How much of a commit's id is shown."""
SINCE = "since "
"""How the detail of a bisection begins that looked backwards."""
EXIT_CODES = {"IDENTICAL": 0, "EQUIVALENT": 0, "DIVERGED": 1, "INCOMPLETE": 3}
HEADER = ("what", "name", "reference", "now", "difference", "tolerance", "judgement")


def exit_code(verdict: Verdict) -> int:
    """Return 0 when the run was reproduced, 1 when it diverged, 3 when nobody can say."""
    return EXIT_CODES[verdict.status]


def verdict_document(verdict: Verdict) -> dict[str, JSON]:
    """Return a verdict as ``schemas/verdict.schema.json`` has it.

    Numbers are texts that hold all their digits, for JSON has no NaN and no infinity.
    """
    written = document(verdict)
    assert isinstance(written, dict)  # noqa: S101 - a Value is always written as an object
    comparisons: list[JSON] = []
    for comparison in verdict.comparisons:
        entry = document(comparison)
        assert isinstance(entry, dict)  # noqa: S101 - likewise
        if comparison.difference is not None:
            entry["difference"] = repr(comparison.difference)
        comparisons.append(entry)
    return {
        "version": VERDICT_VERSION,
        "runproj": __version__,
        **written,
        "comparisons": comparisons,
        "is_variation": verdict.is_variation,
    }


def keep_verdict(
    verdict: Verdict, reference: RecordedRun, services: Services, *, quietly: bool = False
) -> None:
    """Store a verdict with the new run, and tag both runs with it; ``quietly`` only the new one.

    The reference may be in a store that we may only read: its tags are then left as they are, and
    that is said.

    Raises:
        StoreError: The new run cannot be written to.
    """
    if verdict.reproduction is None:
        return
    store = services.store
    run = store.run(verdict.reproduction)
    store.artifacts(run).put(f"{FOLDER}/verdict.json", pretty(verdict_document(verdict)))
    diverged = verdict.status == "DIVERGED" and verdict.differences
    cause = f"{verdict.differences[0].axis} {verdict.differences[0].name}" if diverged else ""
    tags = {
        "runproj.verdict": verdict.status,
        "runproj.verdict.reasons": "; ".join(verdict.reasons)[:TAG_LIMIT],
        "runproj.verdict.cause": cause,
    }
    store.log(run.run_id, tags={k: v for k, v in tags.items() if v})
    if verdict.is_variation or quietly:
        return
    back = {
        "runproj.reproduced": verdict.status,
        "runproj.reproduced_by": run.run_id,
    }
    try:
        reference.store.log(reference.run.run_id, tags=back)
    except StoreError as error:
        message = f"the reference could not be tagged with the verdict: {error.message}"
        problem = Problem(severity="warning", rule="reference-not-tagged", message=message)
        services.reporter.report(Warned(problem=problem))


def telling(comparisons: Iterable[Comparison], *, everything: bool = False) -> list[Comparison]:
    """Return what a table shows: all metrics, and whatever else is not identical."""
    return [
        c
        for c in comparisons
        if everything
        or c.kind in {"metric", "output"}
        or c.judgement not in {"identical", "ignored"}
    ]


def row(comparison: Comparison) -> tuple[str, ...]:
    """Return the cells of one comparison, in the order of ``HEADER``."""
    detail = f": {comparison.detail}" if comparison.detail else ""
    return (
        comparison.kind,
        comparison.name,
        _cell(comparison.reference),
        _cell(comparison.now),
        difference_text(comparison),
        comparison.tolerance or "",
        f"{comparison.judgement}{detail}",
    )


def difference_text(comparison: Comparison) -> str:
    """Return how far apart numbers are, short; nothing where there are none."""
    return "" if comparison.difference is None else f"{comparison.difference:.3g}"


def bisection_sentence(bisection: Bisection) -> str:
    """Say what bisection has found; nothing but its detail when it found nothing."""
    names, detail = bisection.names, bisection.detail
    if not names:
        return detail
    if bisection.kind == "env":
        return f"{', '.join(names)} {'makes' if len(names) == 1 else 'make'} the run diverge"
    commits = ", ".join(name[:SHORT] for name in names)
    if detail.startswith(SINCE):
        subject = detail.removeprefix(SINCE)
        return f"since commit {commits} ({subject}) the results are those of the run"
    one_of = "one of commits" if len(names) > 1 else "commit"
    return f"{one_of} {commits} ({detail}) makes the run diverge"


WIDEST = 40


def _cell(text: str | None) -> str:
    if text is None:
        return "-"
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else f"{line[: WIDEST - 3]}..."


def summary(verdict: Verdict) -> str:
    """Return a verdict in one line."""
    counts: dict[str, int] = {}
    for comparison in verdict.comparisons:
        counts[comparison.judgement] = counts.get(comparison.judgement, 0) + 1
    counted = ", ".join(f"{number} {judgement}" for judgement, number in sorted(counts.items()))
    what = "variation of run" if verdict.is_variation else "run"
    return f"{verdict.status}: {what} {verdict.reference}" + (f" ({counted})" if counted else "")


def markdown(verdict: Verdict) -> str:
    """Write a verdict for a pull request or a job summary (GitHub Flavored Markdown)."""
    lines = [f"## {verdict.status}", "", f"Reference run `{verdict.reference}`"]
    if verdict.reproduction:
        lines[-1] += f", run again as `{verdict.reproduction}`"
    if verdict.is_variation:
        changes = ", ".join(f"`{_escaped(f'{k}={v}')}`" for k, v in sorted(verdict.varied.items()))
        lines += ["", f"This is a variation: {changes}."]
    if verdict.reasons:
        lines += ["", *(f"- {_escaped(reason)}" for reason in verdict.reasons)]
    shown = telling(verdict.comparisons)
    if shown:
        lines += ["", *_markdown_table(HEADER, [row(c) for c in shown])]
    if verdict.differences:
        header = ("cause, the likeliest first", "reference", "now", "why")
        rows = [
            (f"{d.axis} {d.name}", _cell(d.reference), _cell(d.now), d.reason)
            for d in verdict.differences
        ]
        lines += ["", "What differs between the runs:", "", *_markdown_table(header, rows)]
    return "\n".join(lines) + "\n"


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return lines + [f"| {' | '.join(map(_escaped, cells))} |" for cells in rows]


def _escaped(text: str) -> str:
    for character in "\\`|<>*_[]":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def junit(verdict: Verdict) -> bytes:
    """Write a verdict as a JUnit report: one test case a comparison, and one for the whole."""
    cases = list(verdict.comparisons)
    bad = [c for c in cases if c.judgement in BAD]
    doubtful = [c for c in cases if c.judgement == "unknown"]
    broken = verdict.status == "INCOMPLETE" and not doubtful
    suite = ET.Element(
        "testsuite",
        name=f"reproduce {verdict.reference}",
        tests=str(len(cases) + broken),
        failures=str(len(bad)),
        errors=str(len(doubtful) + broken),
    )
    if broken:
        case = ET.SubElement(suite, "testcase", classname="runproj.run", name="reproduction")
        ET.SubElement(case, "error", message=_plain("; ".join(verdict.reasons)))
    for comparison in cases:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=f"runproj.{comparison.kind}",
            name=_plain(comparison.name),
        )
        words = _plain(" ".join(row(comparison)[2:]))
        if comparison.judgement in BAD:
            ET.SubElement(case, "failure", message=words)
        elif comparison.judgement == "unknown":
            ET.SubElement(case, "error", message=words)
        elif comparison.judgement in {"ignored", "varied"}:
            ET.SubElement(case, "skipped", message=comparison.judgement)
    ET.indent(suite)
    written: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _plain(text: str) -> str:
    """Leave out what XML cannot hold (XML 1.0, 2.2)."""
    return "".join(
        c if c in "\t\n\r" or " " <= c <= "\ud7ff" or c >= "\ue000" else "?" for c in text
    )
