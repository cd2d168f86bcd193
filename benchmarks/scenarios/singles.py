"""Single predictions on one core, beside the empty ASGI application and the tutorial app."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.bench import Bench, Case
from benchmarks.servers import Recipe
from benchmarks.wrk import Load

PREDICT = "/api/v1/predict"
IRIS_V1 = "/api/v1/models/iris/versions/v1/predict"
IRIS_V2 = "/api/v1/models/iris/versions/v2/predict"
FOREST = "/api/v1/models/breast-cancer/predict"


def singles(bench: Bench, stack: ExitStack) -> list[Case]:
    models = bench.models
    iris, tumour = models.single(models.iris_rows), models.single(models.tumour_rows)
    empty = bench.start(stack, Recipe.empty())
    tutorial = bench.start(stack, Recipe.tutorial(models.iris))
    lane = bench.start(stack, Recipe.foretell(models.repository))
    ordinary = bench.start(stack, Recipe.ordinary(models.repository))
    asked = {
        "empty": (empty.url(PREDICT), iris),
        "tutorial/iris": (tutorial.url(PREDICT), iris),
        "lane/iris-v1": (lane.url(IRIS_V1), iris),
        "lane/iris-v2": (lane.url(IRIS_V2), iris),
        "ordinary/iris-v1": (ordinary.url(IRIS_V1), iris),
    }
    if not bench.quick:
        tutorial_forest = bench.start(stack, Recipe.tutorial(models.forest))
        asked |= {
            "tutorial/forest": (tutorial_forest.url(PREDICT), tumour),
            "lane/forest": (lane.url(FOREST), tumour),
            "ordinary/forest": (ordinary.url(FOREST), tumour),
        }
    cases = [
        bench.load(f"single/{name}/c{connections}", Load(url, body, connections))
        for connections in bench.connections(1, 16, 64)
        for name, (url, body) in asked.items()
    ]
    ten_headers = ("empty", "tutorial/iris", "lane/iris-v1", "lane/iris-v2", "ordinary/iris-v1")
    return cases + [
        bench.load(f"single/{name}/c{connections}/h10", Load(*asked[name], connections, many_headers=True))
        for connections in (() if bench.quick else (16, 64))
        for name in ten_headers
    ]
