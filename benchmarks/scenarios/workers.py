"""One worker process and two, which share all cores with the load: what the second brings, and what it costs."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.bench import Bench, Case, Figures
from benchmarks.machine import cpu_s
from benchmarks.scenarios.singles import FOREST, IRIS_V1
from benchmarks.servers import Recipe, Server
from benchmarks.wrk import Load, drive

BATCH_ROWS = (100, 1000)


def workers(bench: Bench, stack: ExitStack) -> list[Case]:
    models = bench.models
    servers = {
        count: bench.start(stack, Recipe.foretell(models.repository, workers=count), pin=False) for count in (1, 2)
    }
    tumour, iris = models.single(models.tumour_rows), models.single(models.iris_rows)
    cases = []
    for connections in bench.connections(512, 64):
        for count, server in servers.items():
            load = Load(server.url(FOREST), tumour, connections)
            cases.append(bench.load(f"workers/{count}/forest/c{connections}", load, pin=False))
    for rows in BATCH_ROWS:
        batch = models.batch(models.tumour_rows, rows)
        for count, server in servers.items():
            load = Load(server.url(f"{FOREST}/batch"), batch, 8)
            cases.append(bench.load(f"workers/{count}/forest-batch{rows}/c8", load, pin=False))
    for count, server in servers.items():
        cases.append(cost(bench, f"workers/{count}/iris-cost/c64", server, Load(server.url(IRIS_V1), iris, 64)))
    return cases


def cost(bench: Bench, key: str, server: Server, load: Load) -> Case:
    """Processor time of the server's whole process tree by request."""

    def measure() -> Figures:
        before_s = cpu_s(server.pid)
        outcome = drive(load, bench.seconds, None)
        used_s = cpu_s(server.pid) - before_s
        return {"per_s": outcome.per_s, "p99_ms": outcome.p99_ms, "cpu_us": used_s / outcome.requests * 1e6}

    return Case(key, measure)
