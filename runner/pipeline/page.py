"""A verdict as one HTML page that needs nothing but itself, with plots of the metric histories."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from runner.pipeline.verdict import HEADER, bisection_sentence, row, summary, telling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.model.tracking import Metric
    from runner.model.verdict import Verdict

    Histories = Mapping[str, tuple[Sequence[Metric], Sequence[Metric]]]

WIDTH, HEIGHT, MARGIN = 420, 160, 12
"""Pixels of a plot."""
STYLE = """
:root { color-scheme: light dark; --line: #8888; --ours: #0b6bcb; --theirs: #d9730d; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h1 span { padding: .1em .4em; border-radius: .3em; color: #fff; }
.IDENTICAL, .EQUIVALENT { background: #1a7f37; } .DIVERGED { background: #c62828; }
.INCOMPLETE { background: #8a6d00; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0;
         border-bottom: 1px solid var(--line); }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
tr.diverged td:last-child, tr.missing td:last-child, tr.extra td:last-child { color: #d13438; }
.plots { display: flex; flex-wrap: wrap; gap: 1.5rem; } figure { margin: 0; }
svg { border: 1px solid var(--line); max-width: 100%; } svg text { fill: currentColor; }
.ours { stroke: var(--ours); fill: none; } .theirs { stroke: var(--theirs); fill: none; }
.theirs { stroke-dasharray: 5 3; }
code { overflow-wrap: anywhere; }
"""


def page(verdict: Verdict, histories: Histories) -> bytes:
    """Write the page; ``histories`` are the values of each metric in the reference and now."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(summary(verdict))}</title><style>{STYLE}</style></head><body>",
        f'<h1><span class="{verdict.status}">{verdict.status}</span></h1>',
        f"<p>{_runs(verdict)}</p>",
        _list(verdict.reasons),
        *_plots(histories),
        *_comparisons(verdict),
        *_differences(verdict),
        _list(verdict.warnings, "Warnings"),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part).encode("utf-8", "replace") + b"\n"


def _runs(verdict: Verdict) -> str:
    text = f"Reference run <code>{escape(verdict.reference)}</code>"
    if verdict.reproduction:
        text += f", run again as <code>{escape(verdict.reproduction)}</code>"
    if verdict.is_variation:
        varied = ", ".join(f"{k}={v}" for k, v in sorted(verdict.varied.items()))
        text += f"; a variation, with <code>{escape(varied)}</code>"
    return f"{text}."


def _list(items: Sequence[str], title: str = "") -> str:
    if not items:
        return ""
    heading = f"<h2>{title}</h2>" if title else ""
    return f"{heading}<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _table(header: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Write a table; the first of each pair is the row's class."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f'<tr class="{kind}">{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for kind, cells in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _comparisons(verdict: Verdict) -> list[str]:
    shown = telling(verdict.comparisons)
    if not shown:
        return []
    hidden = len(verdict.comparisons) - len(shown)
    note = f"<p>{hidden} more are identical or not judged.</p>" if hidden else ""
    return ["<h2>Results</h2>", _table(HEADER, [(c.judgement, row(c)) for c in shown]), note]


def _differences(verdict: Verdict) -> list[str]:
    if not verdict.differences:
        return []
    title = "What may be the cause" if verdict.status == "DIVERGED" else "What else differs"
    rows = [
        ("", (f"{d.axis} {d.name}", d.reference or "-", d.now or "-", d.reason))
        for d in verdict.differences
    ]
    found = [f"<h2>{title}</h2>", _table(("what", "reference", "now", "why"), rows)]
    if verdict.bisection and verdict.bisection.names:
        sentence, trials = bisection_sentence(verdict.bisection), verdict.bisection.trials
        found.append(f"<p>Bisection: {escape(sentence)}, found with {trials} runs.</p>")
    return found


def _plots(histories: Histories) -> list[str]:
    """Draw each metric that has more than one value; NaN and infinity leave gaps."""
    figures = [
        _figure(name, before, after)
        for name, (before, after) in sorted(histories.items())
        if max(len(before), len(after)) > 1
    ]
    if not any(figures):
        return []
    legend = "<p>Solid: reference. Dashed: now.</p>"
    return ["<h2>Histories</h2>", legend, f'<div class="plots">{"".join(figures)}</div>']


def _figure(name: str, before: Sequence[Metric], after: Sequence[Metric]) -> str:
    points = [m for m in (*before, *after) if math.isfinite(m.value)]
    if not points:
        return ""
    low, high = min(m.value for m in points), max(m.value for m in points)
    first, last = min(m.step for m in points), max(m.step for m in points)

    def place(metric: Metric) -> str:
        x = _scaled(metric.step, first, last, WIDTH)
        y = HEIGHT - _scaled(metric.value, low, high, HEIGHT)
        return f"{x:.1f},{y:.1f}"

    lines = "".join(
        f'<polyline class="{kind}" points="{" ".join(map(place, part))}"/>'
        for kind, history in (("ours", before), ("theirs", after))
        for part in _unbroken(history)
    )
    label = f"{escape(name)}: {low:.6g} to {high:.6g}, steps {first} to {last}"
    return (
        f'<figure><svg role="img" aria-label="{label}" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}">{lines}</svg><figcaption>{label}</figcaption></figure>'
    )


def _scaled(value: float, low: float, high: float, size: int) -> float:
    """Return where a value lies between the margins of an axis."""
    inside = size - 2 * MARGIN
    if low == high:
        return size / 2
    return MARGIN + inside * (value / 2 - low / 2) / (high / 2 - low / 2)  # halves do not overflow


def _unbroken(history: Sequence[Metric]) -> list[list[Metric]]:
    parts: list[list[Metric]] = [[]]
    for metric in history:
        if math.isfinite(metric.value):
            parts[-1].append(metric)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]
