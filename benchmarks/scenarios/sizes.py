"""Requests of 1, 10, 100 and 1,000 rows to a linear, a boosted and a forest model, beside the tutorial app."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.bench import Bench, Case
from benchmarks.scenarios.batches import in_rows
from benchmarks.servers import Recipe
from benchmarks.wrk import Load

CONNECTIONS = 8


def sizes(bench: Bench, stack: ExitStack) -> list[Case]:
    models = bench.models
    served = {"wide": models.wide, "boosted": models.boosted, "breast-cancer": models.forest}
    ours = bench.start(stack, Recipe.foretell(models.repository))
    theirs = {name: bench.start(stack, Recipe.tutorial(path)) for name, path in served.items()}
    cases = []
    for rows in (1000,) if bench.quick else (1, 10, 100, 1000):
        body = models.batch(models.tumour_rows, rows)
        for name in served:
            urls = {
                "lane": ours.url(f"/api/v1/models/{name}/predict/batch"),
                "tutorial": theirs[name].url("/api/v1/predict/batch"),
            }
            for way, url in urls.items():
                case = bench.load(f"sizes/{way}/{name}/{rows}", Load(url, body, CONNECTIONS))
                cases.append(in_rows(case, rows))
    return cases
