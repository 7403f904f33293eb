"""A verdict on a terminal."""

from __future__ import annotations

import json

from runner.pipeline.verdict import (
    HEADER,
    bisection_sentence,
    row,
    summary,
    telling,
    verdict_document,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.output import Console
    from runner.codec import JSON
    from runner.model.verdict import Bisection, Difference, Verdict
    from runner.pipeline.repeat import Repetition

COLOUR_OF = {"IDENTICAL": "green", "EQUIVALENT": "green", "DIVERGED": "red", "INCOMPLETE": "yellow"}
MOST_REASONS = 5


def show_verdict(verdict: Verdict, console: Console, *, everything: bool = False) -> None:
    """Print a verdict: one line, the reasons, a table, and what may be the cause."""
    console.say(console.styled(summary(verdict), COLOUR_OF[verdict.status]))
    if verdict.is_variation:
        changes = ", ".join(f"{name}={value}" for name, value in sorted(verdict.varied.items()))
        console.say(f"  a variation, with {changes}")
    for reason in verdict.reasons[:MOST_REASONS]:
        console.say(f"  {reason}")
    if len(verdict.reasons) > MOST_REASONS:
        console.say(f"  and {len(verdict.reasons) - MOST_REASONS} more")
    shown = telling(verdict.comparisons, everything=everything)
    if shown:
        console.say()
        console.table(HEADER, [row(comparison) for comparison in shown])
    if verdict.differences:
        console.say()
        likely = verdict.status == "DIVERGED"
        title = "what may be the cause, the likeliest first" if likely else "what else differs"
        console.say(console.styled(title, "bold"))
        show_differences(verdict.differences, console)
    if verdict.bisection:
        _show_bisection(verdict.bisection, console)
    if verdict.reproduction:
        console.say()
        console.say(f"the new run is {verdict.reproduction} in {verdict.store}")


def _show_bisection(bisection: Bisection, console: Console) -> None:
    trials = f"{bisection.trials} run{'s' * (bisection.trials != 1)}"
    console.say()
    if bisection.names:
        console.say(f"bisection: {bisection_sentence(bisection)}, found with {trials}")
    else:
        console.say(f"bisection: {bisection.detail} ({trials})")


def show_noise(repetition: Repetition, console: Console) -> None:
    """Print how much the metrics vary, and the tolerances that would cover it."""
    console.say()
    rows = [
        (n.name, f"{n.spread:.3g}", str(n.tolerance) if n.tolerance else "-")
        for n in repetition.noise
    ]
    if rows:
        console.table(("metric", "spread", "proposed tolerance"), rows)
    proposed = {n.name: str(n.tolerance) for n in repetition.noise if n.tolerance}
    if proposed:
        console.say("\nin MLproject:\n")
        console.say("reproduce:\n  metrics:")
        for name, tolerance in proposed.items():
            console.say(f"    {json.dumps(name)}: {tolerance}")


def repetition_document(repetition: Repetition) -> dict[str, JSON]:
    """Return all verdicts and the noise, for programs; numbers are texts with all their digits."""
    return {
        "version": 1,
        "status": repetition.worst.status,
        "noise": {
            n.name: {
                "values": [repr(value) for value in n.values],
                "spread": repr(n.spread),
                "tolerance": str(n.tolerance) if n.tolerance else None,
            }
            for n in repetition.noise
        },
        "verdicts": [verdict_document(verdict) for verdict in repetition.verdicts],
    }


def show_differences(differences: Sequence[Difference], console: Console) -> None:
    """Print what differs between two runs, a line each."""
    for d in differences:
        reason = f"  ({d.reason})" if d.reason else ""
        console.say(f"  {d.axis} {d.name}: {d.reference or '-'} -> {d.now or '-'}{reason}")
