"""What is measured, by name, in the order of a full run."""

from __future__ import annotations

from benchmarks.bench import Scenario
from benchmarks.scenarios.batches import batches
from benchmarks.scenarios.hosted import hosted, isolation
from benchmarks.scenarios.idle import memory
from benchmarks.scenarios.interference import interference
from benchmarks.scenarios.singles import singles
from benchmarks.scenarios.start import start
from benchmarks.scenarios.workers import workers

SCENARIOS: dict[str, Scenario] = {
    "singles": singles,
    "batches": batches,
    "workers": workers,
    "interference": interference,
    "hosted": hosted,
    "isolation": isolation,
    "start": start,
    "memory": memory,
}
