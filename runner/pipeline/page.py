"""A verdict as one HTML page that needs nothing but itself, with plots of the metric histories.

There is no script in it, and nothing that a browser would fetch: its content policy forbids both.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from runner.pipeline.page_style import STYLE
from runner.pipeline.plot import figure
from runner.pipeline.verdict import bisection_sentence, difference_text, summary, telling
from runner.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.model.tracking import Metric
    from runner.model.verdict import Comparison, Difference, Verdict

    Histories = Mapping[str, tuple[Sequence[Metric], Sequence[Metric]]]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
MEANING = {
    "IDENTICAL": ("good", "✓", "Every value and every byte is the same."),
    "EQUIVALENT": (
        "good", "≈", "Everything is within its tolerance, or says the same in other bytes.",
    ),
    "DIVERGED": ("bad", "✗", "The run did not come to the same results."),
    "INCOMPLETE": ("open", "?", "It could not be checked whether the run comes to the same."),
}  # fmt: skip
LOOK = {
    "identical": ("good", "✓"), "equivalent": ("good", "≈"), "diverged": ("bad", "✗"),
    "missing": ("bad", "-"), "extra": ("bad", "+"), "unknown": ("open", "?"),
    "varied": ("note", "↔"), "ignored": ("note", "·"),
}  # fmt: skip
"""The colour and the sign of a judgement: neither alone says it."""
COLUMNS = ("what", "reference", "now", "difference", "tolerance", "judgement")


def page(verdict: Verdict, histories: Histories) -> bytes:
    """Write the page; ``histories`` are the values of each metric in the reference and now."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(summary(verdict))}</title><style>{STYLE}</style></head><body>",
        _header(verdict),
        "<main>",
        _reasons(verdict),
        _plots(histories),
        _results(verdict),
        _causes(verdict),
        _warnings(verdict.warnings),
        f"</main><footer>runproj {__version__}: <code>runproj reproduce "
        f"{escape(verdict.reference)}</code></footer></body></html>",
    ]
    return "\n".join(part for part in parts if part).encode("utf-8", "replace") + b"\n"


def _header(verdict: Verdict) -> str:
    look, sign, meaning = MEANING[verdict.status]
    rows = [("reference run", _run(verdict.reference, verdict.reference_store))]
    if verdict.reproduction:
        rows.append(("run again as", _run(verdict.reproduction, verdict.store)))
    if verdict.is_variation:
        varied = ", ".join(f"{k}={v}" for k, v in sorted(verdict.varied.items()))
        rows.append(("variation", f"with <code>{escape(varied)}</code>"))
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return (
        f'<header><div class="verdict {look}"><h1><span aria-hidden="true">{sign}</span> '
        f"{verdict.status}</h1><p>{meaning}</p></div>"
        f'<dl class="runs">{listed}</dl>{_counts(verdict.comparisons)}</header>'
    )


def _run(run_id: str, store: str | None) -> str:
    place = f" <small>in {escape(store)}</small>" if store else ""
    return f"<code>{escape(run_id)}</code>{place}"


def _counts(comparisons: Sequence[Comparison]) -> str:
    counts = {
        name: sum(c.judgement == name for c in comparisons)
        for name in ("diverged", "missing", "extra", "unknown", "varied", "equivalent", "identical")
    }
    items = "".join(
        f'<li class="{LOOK[name][0]}">{count} {name}</li>'
        for name, count in counts.items()
        if count
    )
    return f'<ul class="counts" aria-label="What was compared">{items}</ul>' if items else ""


def _reasons(verdict: Verdict) -> str:
    if not verdict.reasons:
        return ""
    items = "".join(f"<li>{escape(reason)}</li>" for reason in verdict.reasons)
    return f'<h2>Why</h2><ul class="reasons">{items}</ul>'


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<h2>Warnings</h2><ul class="reasons">{items}</ul>'


def _results(verdict: Verdict) -> str:
    shown = telling(verdict.comparisons)
    rest = [c for c in verdict.comparisons if c not in shown]
    parts = ["<h2>Results</h2>"] if verdict.comparisons else []
    if shown:
        parts.append(_table(shown, "What was compared, and how it was judged"))
    if rest:
        plural = "s" if len(rest) > 1 else ""
        parts.append(
            f"<details><summary>{len(rest)} more result{plural}, identical or not judged</summary>"
            f"{_table(rest, 'Results that are identical or not judged')}</details>"
        )
    return "".join(parts)


def _table(comparisons: Sequence[Comparison], caption: str) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    rows = "".join(map(_row, comparisons))
    return (
        f'<table aria-label="{escape(caption)}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(comparison: Comparison) -> str:
    look, sign = LOOK[comparison.judgement]
    values = (
        ("reference", comparison.reference),
        ("now", comparison.now),
        ("difference", difference_text(comparison)),
        ("tolerance", comparison.tolerance),
    )
    cells = "".join(_value(label, value) for label, value in values)
    detail = f"<small>{escape(comparison.detail)}</small>" if comparison.detail else ""
    return (
        f'<tr class="{comparison.judgement}"><th scope="row">{escape(comparison.name)} '
        f"<small>{comparison.kind}</small></th>{cells}<td>"
        f'<span class="chip {look}"><span aria-hidden="true">{sign}</span> {comparison.judgement}'
        f"</span>{detail}</td></tr>"
    )


def _value(label: str, value: str | None) -> str:
    text = value or ""
    kind = "number" if len(text) < 32 and " " not in text.strip() else "text"  # noqa: PLR2004 - a line
    return f'<td class="{kind}" data-label="{label}">{escape(text)}</td>'


def _causes(verdict: Verdict) -> str:
    parts = []
    if verdict.differences:
        likely = verdict.status == "DIVERGED"
        title = "What may be the cause, the likeliest first" if likely else "What else differs"
        parts.append(f"<h2>{title}</h2>")
    if verdict.bisection:
        look = "note" if verdict.bisection.names else "open"
        trials = f"{verdict.bisection.trials} run{'s' * (verdict.bisection.trials != 1)}"
        parts.append(
            f'<p class="bisection {look}"><b>Bisection:</b> '
            f"{escape(bisection_sentence(verdict.bisection))} <small>({trials})</small></p>"
        )
    if verdict.differences:
        parts.append(f'<ol class="causes">{"".join(map(_cause, verdict.differences))}</ol>')
    return "".join(parts)


def _cause(difference: Difference) -> str:
    before = escape(difference.reference or "nothing")
    after = escape(difference.now or "nothing")
    reason = f"<p><small>{escape(difference.reason)}</small></p>" if difference.reason else ""
    return (
        f"<li><div><b>{escape(f'{difference.axis} {difference.name}')}</b><p>"
        f'<span class="before">{before}</span> → '
        f'<span class="after">{after}</span></p>{reason}</div></li>'
    )


def _plots(histories: Histories) -> str:
    """Draw each metric that has more than one value."""
    figures = [
        figure(name, before, after)
        for name, (before, after) in sorted(histories.items())
        if max(len(before), len(after)) > 1
    ]
    if not any(figures):
        return ""
    key = '<p class="key"><span>reference</span><span>now</span></p>'
    return f'<h2>Metrics by step</h2>{key}<div class="plots">{"".join(figures)}</div>'
