"""Batches of 1,000 rows on one core, beside the tutorial app and a plain loop without any server."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench import Bench, Case, Figures
from benchmarks.machine import ROOT, pinned
from benchmarks.servers import Recipe
from benchmarks.wrk import Load

ROWS = 1000


def batches(bench: Bench, stack: ExitStack) -> list[Case]:
    models = bench.models
    narrow, wide = models.batch(models.iris_rows, ROWS), models.batch(models.tumour_rows, ROWS)
    lane = bench.start(stack, Recipe.foretell(models.repository))
    ordinary = bench.start(stack, Recipe.ordinary(models.repository))
    tutorial = bench.start(stack, Recipe.tutorial(models.iris))
    tutorial_wide = bench.start(stack, Recipe.tutorial(models.wide))
    iris, wider = "/api/v1/models/iris/versions/v1/predict/batch", "/api/v1/models/wide/predict/batch"
    asked = {
        "lane/1000x4": (lane.url(iris), narrow),
        "ordinary/1000x4": (ordinary.url(iris), narrow),
        "tutorial/1000x4": (tutorial.url("/api/v1/predict/batch"), narrow),
        "lane/1000x30": (lane.url(wider), wide),
        "ordinary/1000x30": (ordinary.url(wider), wide),
        "tutorial/1000x30": (tutorial_wide.url("/api/v1/predict/batch"), wide),
    }
    cases = [
        in_rows(bench.load(f"batch/{name}/c{connections}", Load(url, body, connections)), ROWS)
        for connections in bench.connections(1, 4)
        for name, (url, body) in asked.items()
    ]
    cases.append(plain_loop(bench, "batch/plain-loop/1000x4", models.iris, narrow))
    cases.append(plain_loop(bench, "batch/plain-loop/1000x30", models.wide, wide))
    return cases


def in_rows(case: Case, rows: int) -> Case:
    """The case with its rate in rows instead of requests, of which each has so many."""

    def measure() -> Figures:
        figures = case.measure()
        return {**figures, "per_s": figures["per_s"] * rows}

    return Case(case.key, measure)


def plain_loop(bench: Bench, key: str, model: Path, body: bytes) -> Case:
    path = bench.folder / f"{key.replace('/', '-')}.json"
    path.write_bytes(body)
    command = [sys.executable, "-m", "benchmarks.baselines.plain_loop", str(model), str(path), str(bench.seconds)]

    def measure() -> Figures:
        place = pinned(command, bench.cores.server)
        run = subprocess.run(place, cwd=ROOT, capture_output=True, text=True, check=True)
        return {"per_s": float(run.stdout) * ROWS}

    return Case(key, measure)
