"""The floors of the issue, each a ratio or difference of figures that were measured in one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.bench import Results

Figure = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Floor:
    """A promise: ``value`` of the results stands at or beyond ``bound``, above or below it as ``sense`` says."""

    name: str
    sense: Literal[">=", "<="]
    bound: float
    value: Callable[[Results], float]

    def measure(self, results: Results) -> float | None:
        """The value, or None where this run did not measure what it is made of."""
        try:
            return self.value(results)
        except KeyError:
            return None

    def met(self, value: float) -> bool:
        return value >= self.bound if self.sense == ">=" else value <= self.bound


def ratio(figure: str, one: str, other: str) -> Callable[[Results], float]:
    return lambda results: results[one][figure] / results[other][figure]


def difference(figure: str, one: str, other: str) -> Callable[[Results], float]:
    return lambda results: results[one][figure] - results[other][figure]


def goodput(results: Results) -> float:
    """Of the highest goodput at any load, what is left at five times too much."""
    return results["overload/x5"]["per_s"] / max(row["per_s"] for key, row in results.items() if "overload/x" in key)


MODEL_LOOP = "columnar/model-loop/10000x30"
V1, V2, EMPTY, TUTORIAL = "single/lane/iris-v1", "single/lane/iris-v2", "single/empty", "single/tutorial/iris"
FOREST, TUTORIAL_FOREST = "single/lane/forest", "single/tutorial/forest"

FLOORS = (
    Floor("iris v1 / empty ASGI, 64 connections", ">=", 1.05, ratio("per_s", f"{V1}/c64", f"{EMPTY}/c64")),
    Floor("iris v1 / tutorial, 64 connections", ">=", 24, ratio("per_s", f"{V1}/c64", f"{TUTORIAL}/c64")),
    Floor("iris v1 / empty ASGI, 16 connections", ">=", 0.55, ratio("per_s", f"{V1}/c16", f"{EMPTY}/c16")),
    Floor("iris v1 / tutorial, 16 connections", ">=", 13, ratio("per_s", f"{V1}/c16", f"{TUTORIAL}/c16")),
    Floor("iris v1 / tutorial, 1 connection", ">=", 1.6, ratio("per_s", f"{V1}/c1", f"{TUTORIAL}/c1")),
    Floor("iris v2 / empty ASGI, 64 connections", ">=", 1.25, ratio("per_s", f"{V2}/c64", f"{EMPTY}/c64")),
    Floor("iris v2 / empty ASGI, 16 connections", ">=", 1.0, ratio("per_s", f"{V2}/c16", f"{EMPTY}/c16")),
    Floor("iris v1 p99 / empty ASGI p99, 64 connections", "<=", 1.0, ratio("p99_ms", f"{V1}/c64", f"{EMPTY}/c64")),
    Floor("iris v2 p99 / empty ASGI p99, 64 connections", "<=", 1.0, ratio("p99_ms", f"{V2}/c64", f"{EMPTY}/c64")),
    Floor("forest / tutorial, 64 connections", ">=", 20, ratio("per_s", f"{FOREST}/c64", f"{TUTORIAL_FOREST}/c64")),
    Floor("forest p99 / tutorial p99, 64", "<=", 1.0, ratio("p99_ms", f"{FOREST}/c64", f"{TUTORIAL_FOREST}/c64")),
    Floor(
        "plain uvicorn / tutorial, 64 connections",
        ">=",
        2.5,
        ratio("per_s", "single/ordinary/iris-v1/c64", f"{TUTORIAL}/c64"),
    ),
    Floor(
        "batch 1,000 × 30 / plain loop",
        ">=",
        1.2,
        ratio("per_s", "batch/lane/1000x30/c4", "batch/plain-loop/1000x30"),
    ),
    Floor(
        "forest, two workers / one, 64 connections",
        ">=",
        1.5,
        ratio("per_s", "workers/2/forest/c64", "workers/1/forest/c64"),
    ),
    Floor(
        "forest, two workers / one, 512 connections",
        ">=",
        1.5,
        ratio("per_s", "workers/2/forest/c512", "workers/1/forest/c512"),
    ),
    Floor(
        "forest batches of 100, two workers / one",
        ">=",
        1.5,
        ratio("per_s", "workers/2/forest-batch100/c8", "workers/1/forest-batch100/c8"),
    ),
    Floor(
        "forest batches of 1,000, two workers / one",
        ">=",
        1.5,
        ratio("per_s", "workers/2/forest-batch1000/c8", "workers/1/forest-batch1000/c8"),
    ),
    Floor(
        "iris CPU a request, two workers / one",
        "<=",
        1.3,
        ratio("cpu_us", "workers/2/iris-cost/c64", "workers/1/iris-cost/c64"),
    ),
    Floor(
        "iris p99 beside a loaded forest, ms more",
        "<=",
        10,
        difference("p99_ms", "interference/iris/beside-forest", "interference/iris/alone"),
    ),
    Floor(
        "iris with keys and limits / without, 64 connections",
        ">=",
        0.75,
        ratio("per_s", "guard/keys/iris-v1/c64", "guard/open/iris-v1/c64"),
    ),
    Floor("hosted iris / direct", ">=", 0.4, ratio("per_s", "hosted/iris/hosted/c64", "hosted/iris/direct/c64")),
    Floor(
        "hosted forest / one call each",
        ">=",
        8,
        ratio("per_s", "hosted/forest/hosted/c64", "hosted/forest/one-call-each/c64"),
    ),
    Floor(
        "hosted forest p99 / one call each",
        "<=",
        1.0,
        ratio("p99_ms", "hosted/forest/hosted/c64", "hosted/forest/one-call-each/c64"),
    ),
    Floor(
        "iris p99 beside a hosted forest, ms more",
        "<=",
        2,
        difference("p99_ms", "isolation/iris/beside-hosted-forest", "isolation/iris/alone"),
    ),
    Floor(
        "iris p99 beside a host that spins / beside any process that does",
        "<=",
        1.5,
        ratio("p99_ms", "isolation/iris/beside-spinning-host", "isolation/iris/beside-spinning-process"),
    ),
    Floor("NPY 10,000 × 30 / the model alone", ">=", 0.85, ratio("per_s", "columnar/npy/10000x30", MODEL_LOOP)),
    Floor("Arrow 10,000 × 30 / the model alone", ">=", 0.85, ratio("per_s", "columnar/arrow/10000x30", MODEL_LOOP)),
    Floor("goodput of 500/s offered 5 × / the most", ">=", 0.8, goodput),
    Floor("refused in, ms", "<=", 50, lambda results: results["overload/x5"]["refused_ms"]),
    Floor("p50 five seconds after / before", "<=", 1.5, ratio("p50_ms", "overload/after", "overload/x0.5")),
    Floor("beside 8 MB of JSON, p99 ms", "<=", 20, lambda results: results["large/plain"]["p99_ms"]),
    Floor("beside 8 MB of wrong JSON, p99 ms", "<=", 20, lambda results: results["large/wrong"]["p99_ms"]),
    Floor("a stream of CSV, MiB more", "<=", 100, lambda results: results["stream/csv"]["growth_mib"]),
    Floor("score / a loop of pyarrow and the model", ">=", 0.8, ratio("per_s", "score/foretell", "score/plain-loop")),
    Floor("score, MiB of the largest process", "<=", 400, lambda results: results["score/foretell"]["memory_mib"]),
    Floor("first prediction / bare imports", "<=", 1.35, ratio("start_s", "start/foretell", "start/imports")),
)
