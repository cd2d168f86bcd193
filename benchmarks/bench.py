"""One run of the benchmarks: what every scenario shares, and rounds in which all its cases take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.machine import Cores, cpu_s
from benchmarks.models import Models
from benchmarks.servers import Recipe, Server, running
from benchmarks.wrk import Load, drive

Figures = Mapping[str, float]
"""What one measurement gave, by name with its unit: per_s, p50_ms, p99_ms, cpu_us, memory_mib, start_s."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured once in every round."""

    key: str
    measure: Callable[[], Figures]


Results = dict[str, dict[str, float]]
"""Medians over the rounds, by case and figure."""


SETTLE_S = 10.0
IDLE_S = 0.01
"""Processor time in a tenth of a second that a server with nothing to do may use: one tick of the clock."""


@dataclass(frozen=True, slots=True)
class Bench:
    """How long, how often, where, on what; and the servers that run meanwhile."""

    seconds: int
    rounds: int
    quick: bool
    cores: Cores
    folder: Path
    models: Models
    console: Console
    servers: list[Server] = field(default_factory=list)

    def start(self, stack: ExitStack, recipe: Recipe, pin: bool = True) -> Server:
        """A server that runs until ``stack`` closes, on the server's core or, unpinned, on all of them."""
        server = stack.enter_context(running(recipe, self.cores.server if pin else None, self.folder))
        self.servers.append(server)
        stack.callback(self.servers.remove, server)
        return server

    def settle(self) -> None:
        """Waits until no server works any more.

        wrk leaves at the end of its turn with its last requests unanswered. A slow server goes on with them on the core
        that the next case is measured on: 64 requests of the tutorial app take 2 % of a second, which would be its p99.
        """
        deadline_s = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline_s:
            before_s = sum(cpu_s(server.pid) for server in self.servers)
            time.sleep(0.1)
            if sum(cpu_s(server.pid) for server in self.servers) - before_s <= IDLE_S:
                return

    def load(self, key: str, load: Load, pin: bool = True) -> Case:
        """A case that drives ``load`` and gives its rate and latencies."""

        def measure() -> Figures:
            outcome = drive(load, self.seconds, self.cores.load if pin else None)
            return {"per_s": outcome.per_s, "p50_ms": outcome.p50_ms, "p99_ms": outcome.p99_ms}

        return Case(key, measure)

    def connections(self, *counts: int) -> tuple[int, ...]:
        """``counts``, or the last alone in a quick run."""
        return counts[-1:] if self.quick else counts


Scenario = Callable[[Bench, ExitStack], list[Case]]
"""Starts its servers on the stack and lists what to measure, in the order of a round."""


def run(bench: Bench, name: str, scenario: Scenario) -> Results:
    """The medians of all rounds. In every round every case has its turn, so a drift of the machine hits all alike."""
    samples: dict[str, list[Figures]] = {}
    with ExitStack() as stack:
        with bench.console.status(f"{name}: starting servers"):
            cases = scenario(bench, stack)
        for number in range(bench.rounds):
            for case in cases:
                with bench.console.status(f"{name}: round {number + 1} of {bench.rounds}, {case.key}"):
                    bench.settle()
                    samples.setdefault(case.key, []).append(case.measure())
        bench.console.print(f"  {name}: {len(cases)} cases, {bench.rounds} rounds")
    return {key: medians(figures) for key, figures in samples.items()}


def medians(figures: list[Figures]) -> dict[str, float]:
    return {name: statistics.median(sample[name] for sample in figures) for name in figures[0]}
