"""Starts commands in turn and reads what each of them cost.

Variants run in interleaved rounds (A B C, then C B A, ...), so that a busy neighbour slows all of
them alike. CPU is user and system time of the process and of everything it waited for.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Prepare = Callable[[], object]


class Failed(Exception):  # noqa: N818 - it names what happened
    """A measured command did not succeed; what it wrote is the message."""


@dataclass(frozen=True)
class Variant:
    """One way of doing the same thing.

    ``copies`` processes are started at once; ``prepare`` is called before each round, untimed.
    ``base`` names the variant that this one is compared with, by default the first of its table.
    """

    name: str
    argv: Sequence[str]
    cwd: str
    variables: Mapping[str, str]
    prepare: Prepare = lambda: None
    copies: int = 1
    base: str | None = None


@dataclass(frozen=True)
class Cost:
    """What one round of a variant cost: milliseconds, and the peak memory in MiB."""

    wall: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Table:
    """The costs of some variants, round by round."""

    title: str
    variants: Sequence[Variant]
    note: str = ""
    costs: dict[str, list[Cost]] = field(default_factory=dict)

    def measure(self, rounds: int) -> None:
        """Run every variant once to warm up, then ``rounds`` times in turn."""
        for variant in self.variants:
            once(variant)
        for at in range(rounds):
            for variant in self.variants if at % 2 == 0 else reversed(self.variants):
                self.costs.setdefault(variant.name, []).append(once(variant))
            print(f"{self.title}: round {at + 1} of {rounds}", file=sys.stderr)

    def markdown(self) -> str:
        """Return the medians as a Markdown table."""
        lines = [
            f"### {self.title}",
            "",
            *([self.note, ""] if self.note else []),
            "| | CPU ms | above base | wall ms | times base | peak MiB |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        lines += [self._row(variant) for variant in self.variants]
        return "\n".join(lines) + "\n"

    def _row(self, variant: Variant) -> str:
        mine = self.costs[variant.name]
        base = self.costs[variant.base or self.variants[0].name]
        above = median(a.cpu - b.cpu for a, b in zip(mine, base, strict=True))
        times = median(a.wall / b.wall for a, b in zip(mine, base, strict=True))
        cpu, wall = median(c.cpu for c in mine), median(c.wall for c in mine)
        memory = max(c.memory for c in mine)
        numbers = f"{cpu:.1f} | {above:+.1f} | {wall:.1f} | {times:.2f} | {memory:.0f}"
        return f"| {variant.name} | {numbers} |"


def once(variant: Variant) -> Cost:
    """Start a variant, wait for its end and return what it cost.

    Raises:
        Failed: A process ended with another exit code than 0.
    """
    variant.prepare()
    output = os.memfd_create("output")
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    argv = ["env", "-C", variant.cwd, *variant.argv]
    began = time.perf_counter()
    started = [
        os.posix_spawnp("env", argv, variant.variables, file_actions=actions)
        for _ in range(variant.copies)
    ]
    ended = [os.wait4(process, 0) for process in started]
    wall = (time.perf_counter() - began) * 1000
    failures = sum(status != 0 for _process, status, _usage in ended)
    os.lseek(output, 0, os.SEEK_SET)
    with os.fdopen(output, "rb") as stream:
        text = stream.read().decode("utf-8", "replace")
    if failures:
        raise Failed(f"{variant.name}: {failures} of {variant.copies} failed\n{text}")
    return Cost(
        wall=wall,
        cpu=sum(usage.ru_utime + usage.ru_stime for _p, _s, usage in ended) * 1000,
        memory=max(usage.ru_maxrss for _p, _s, usage in ended) / 1024,
    )
