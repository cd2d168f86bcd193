"""What a heavy model under full load does to a light one beside it in the same process, unpinned."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from benchmarks.bench import Bench, Case, Figures
from benchmarks.scenarios.singles import FOREST, IRIS_V1
from benchmarks.servers import Recipe
from benchmarks.wrk import Load, drive

LIGHT_CONNECTIONS = 4
HEAVY_CONNECTIONS = 64


def interference(bench: Bench, stack: ExitStack) -> list[Case]:
    models = bench.models
    server = bench.start(stack, Recipe.foretell(models.repository), pin=False)
    light = Load(server.url(IRIS_V1), models.single(models.iris_rows), LIGHT_CONNECTIONS)
    heavy = Load(server.url(FOREST), models.single(models.tumour_rows), HEAVY_CONNECTIONS)

    def beside() -> Figures:
        with ThreadPoolExecutor(1) as background:
            other = background.submit(drive, heavy, bench.seconds + 1, None)
            outcome = drive(light, bench.seconds, None)
            forest = other.result()
        return {
            "per_s": outcome.per_s,
            "p50_ms": outcome.p50_ms,
            "p99_ms": outcome.p99_ms,
            "forest_per_s": forest.per_s,
        }

    return [bench.load("interference/iris/alone", light, pin=False), Case("interference/iris/beside-forest", beside)]
