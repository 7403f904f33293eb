"""Calls about the histories of metrics: of one run, of many, and thinned out for charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.model.value import RunId
from runner.serving.answers import metric_json
from runner.serving.messages import Refusal
from runner.serving.search import page_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from runner.codec import JSON
    from runner.model.tracking import Metric
    from runner.serving.arguments import Arguments
    from runner.serving.service import Service

MOST_RUNS: Final = 100
"""How many runs one call may ask about."""
MOST_VALUES: Final = 25_000
"""How many values ``get-history-bulk`` returns at most."""
MOST_STEPS: Final = 2500
"""How many steps ``get-history-bulk-interval`` returns of each run at most, ends aside."""


def one(service: Service, given: Arguments) -> JSON:
    """``metrics/get-history``."""
    run_id = RunId(given.text("run_id", "run_uuid"))
    metrics = service.store.history(run_id, given.text("metric_key"))
    page, following = page_of(metrics, given, len(metrics) or 1)
    answer: dict[str, JSON] = {"metrics": [metric_json(metric) for metric in page]}
    if following:
        answer["next_page_token"] = following
    return answer


def bulk(service: Service, given: Arguments) -> JSON:
    """``metrics/get-history-bulk``: all values of a metric of several runs, run by run."""
    run_ids = sorted(_run_ids(given, "run_id"))
    key = given.text("metric_key")
    most = min(_positive(given, "max_results", MOST_VALUES), MOST_VALUES)
    found: list[JSON] = []
    for run_id in run_ids:
        history = service.store.history(RunId(run_id), key)
        found += [_of_run(run_id, metric) for metric in history[: most - len(found)]]
    return {"metrics": found}


def interval(service: Service, given: Arguments) -> JSON:
    """``metrics/get-history-bulk-interval``: at most so many steps of each run, spread evenly.

    The first and the last step of each run are always among them.
    """
    run_ids, key = _run_ids(given, "run_ids"), given.text("metric_key")
    most = _positive(given, "max_results", MOST_STEPS)
    if most > MOST_STEPS:
        raise Refusal(f"max_results must be between 1 and {MOST_STEPS}.")
    if given.has("start_step") != given.has("end_step"):
        raise Refusal("If either start step or end step are specified, both must be specified.")
    histories = {run_id: service.store.history(RunId(run_id), key) for run_id in run_ids}
    all_steps = [metric.step for history in histories.values() for metric in history]
    first = given.integer("start_step", default=0)
    last = given.integer("end_step", default=max([0, *all_steps]))
    if first > last:
        raise Refusal(
            "end_step must be greater than start_step. "
            f"Found start_step={first} and end_step={last}."
        )
    wanted = _spread(sorted({s for s in all_steps if first <= s <= last}), most)
    for history in histories.values():
        steps = [metric.step for metric in history]
        wanted |= (
            {step for step in (min(steps), max(steps)) if first <= step <= last} if steps else set()
        )
    return {
        "metrics": [
            _of_run(run_id, metric)
            for run_id, history in histories.items()
            for metric in _by_step(history)
            if metric.step in wanted
        ]
    }


def _by_step(history: Iterable[Metric]) -> list[Metric]:
    return sorted(history, key=lambda metric: (metric.step, metric.timestamp))


def _spread(steps: Sequence[int], most: int) -> set[int]:
    """Return at most so many of some sorted steps, in equal distances of their places."""
    if len(steps) <= most:
        return set(steps)
    return {steps[place * len(steps) // most] for place in range(most)}


def _run_ids(given: Arguments, name: str) -> tuple[str, ...]:
    run_ids = tuple(dict.fromkeys(given.texts(name)))
    if not run_ids:
        raise Refusal(f"Missing value for required parameter '{name}': name at least one run.")
    if len(run_ids) > MOST_RUNS:
        raise Refusal(f"At most {MOST_RUNS} runs can be asked about at once, not {len(run_ids)}.")
    return run_ids


def _positive(given: Arguments, name: str, default: int) -> int:
    number = given.integer(name, default=default)
    if number < 1:
        raise Refusal(
            f"Invalid value {number} for parameter '{name}' supplied: it must be positive."
        )
    return number


def _of_run(run_id: str, metric: Metric) -> JSON:
    return {**metric_json(metric), "run_id": run_id}
