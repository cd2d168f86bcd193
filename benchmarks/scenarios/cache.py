"""The same question again and again to a forest: remembered, and computed."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.bench import Bench, Case
from benchmarks.scenarios.singles import FOREST
from benchmarks.servers import Recipe
from benchmarks.wrk import Load


def cache(bench: Bench, stack: ExitStack) -> list[Case]:
    models = bench.models
    servers = {
        way: bench.start(stack, Recipe.foretell(models.repository, settings={"FORETELL_CACHE__MODELS": which}))
        for way, which in {"computed": "none", "remembered": "all"}.items()
    }
    body = models.single(models.tumour_rows)
    return [
        bench.load(f"cache/{way}/forest/c{connections}", Load(server.url(FOREST), body, connections))
        for connections in bench.connections(1, 64)
        for way, server in servers.items()
    ]
