"""One run, reproduced several times: the worst verdict, and the noise of its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.model.value import Value
from runner.pipeline.noise import noise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.model.tracking import Metric
    from runner.model.verdict import Status, Verdict
    from runner.pipeline.noise import Noise
    from runner.pipeline.reproduce import Reproduction
    from runner.ports import Services

ORDER: tuple[Status, ...] = ("IDENTICAL", "EQUIVALENT", "INCOMPLETE", "DIVERGED")
"""From the best to the worst: a divergence that was seen once is one."""


class Repetition(Value):
    """What several reproductions of one run have shown."""

    verdicts: tuple[Verdict, ...]
    noise: tuple[Noise, ...]

    @property
    def worst(self) -> Verdict:
        """The verdict that counts."""
        return max(self.verdicts, key=lambda verdict: ORDER.index(verdict.status))


def repeated(
    asked: Reproduction,
    times: int,
    run_again: Callable[[Reproduction], Verdict],
    services: Services,
) -> Repetition:
    """Reproduce a run several times; one that cannot be run ends it early."""
    verdicts = []
    samples = [_values(asked.reference.run.metrics)]
    for _ in range(times):
        verdict = run_again(asked)
        verdicts.append(verdict)
        if verdict.reproduction is None:
            break
        samples.append(_values(services.store.run(verdict.reproduction).metrics))
    return Repetition(verdicts=tuple(verdicts), noise=noise(samples))


def _values(metrics: Mapping[str, Metric]) -> dict[str, float]:
    return {name: metric.value for name, metric in metrics.items()}
