"""What a heavy model under full load does to a light one beside it in the same process, unpinned."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from benchmarks.bench import Bench, Case, Figures
from benchmarks.scenarios.singles import FOREST, IRIS_V1
from benchmarks.servers import Recipe, Server
from benchmarks.wrk import Load, drive

LIGHT_CONNECTIONS = 4
HEAVY_CONNECTIONS = 64


def interference(bench: Bench, stack: ExitStack) -> list[Case]:
    server = bench.start(stack, Recipe.foretell(bench.models.repository), pin=False)
    light, heavy = loads(bench, server)
    return [
        bench.load("interference/iris/alone", light, pin=False),
        Case("interference/iris/beside-forest", partial(beside, bench, light, heavy)),
    ]


def loads(bench: Bench, server: Server) -> tuple[Load, Load]:
    """A light one on iris and a heavy one on the forest."""
    models = bench.models
    light = Load(server.url(IRIS_V1), models.single(models.iris_rows), LIGHT_CONNECTIONS)
    return light, Load(server.url(FOREST), models.single(models.tumour_rows), HEAVY_CONNECTIONS)


def beside(bench: Bench, light: Load, heavy: Load) -> Figures:
    """What the light load gets while the heavy one runs."""
    with ThreadPoolExecutor(1) as background:
        other = background.submit(drive, heavy, bench.seconds + 1, None)
        outcome = drive(light, bench.seconds, None)
        forest = other.result()
    latencies = {"p50_ms": outcome.p50_ms, "p99_ms": outcome.p99_ms}
    return {"per_s": outcome.per_s, **latencies, "forest_per_s": forest.per_s}
