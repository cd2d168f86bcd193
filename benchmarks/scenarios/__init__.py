"""What is measured, by name, in the order of a full run."""

from __future__ import annotations

from benchmarks.bench import Scenario
from benchmarks.scenarios.batches import batches
from benchmarks.scenarios.cache import cache
from benchmarks.scenarios.columnar import columnar
from benchmarks.scenarios.guard import guard
from benchmarks.scenarios.hosted import hosted, isolation
from benchmarks.scenarios.idle import memory
from benchmarks.scenarios.interference import interference
from benchmarks.scenarios.large import large
from benchmarks.scenarios.overload import overload
from benchmarks.scenarios.score import score
from benchmarks.scenarios.singles import singles
from benchmarks.scenarios.sizes import sizes
from benchmarks.scenarios.start import start
from benchmarks.scenarios.stream import stream
from benchmarks.scenarios.workers import workers

SCENARIOS: dict[str, Scenario] = {
    "singles": singles,
    "batches": batches,
    "sizes": sizes,
    "large": large,
    "columnar": columnar,
    "stream": stream,
    "score": score,
    "workers": workers,
    "interference": interference,
    "hosted": hosted,
    "isolation": isolation,
    "overload": overload,
    "cache": cache,
    "guard": guard,
    "start": start,
    "memory": memory,
}
