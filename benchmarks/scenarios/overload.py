"""A hosted model of at most 500 predictions a second, offered up to five times that: goodput, tails, and afterwards.

Unpinned: the web server and the model's process are two, and the load is a third.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from benchmarks.bench import Bench, Case, Figures
from benchmarks.machine import memory_mib
from benchmarks.models import SLOW_PER_S
from benchmarks.openloop import Offered, Plan, offer
from benchmarks.servers import Recipe, Server

FACTORS = (0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0)
TIMEOUT_S = 10.0
AFTER_S = 5.0
FLOOD_S = 60
BODY = b'{"features": [1.5]}'


def overload(bench: Bench, stack: ExitStack) -> list[Case]:
    server = bench.start(stack, Recipe.foretell(bench.models.slow, default="slow"), pin=False)
    factors = (0.5, 5.0) if bench.quick else FACTORS
    flood_s = 4 if bench.quick else FLOOD_S
    cases = [Case(f"overload/x{factor:g}", partial(flood, bench, server, factor)) for factor in factors]
    return [*cases, Case("overload/after", partial(after, server, flood_s))]


def flood(bench: Bench, server: Server, factor: float) -> Figures:
    seconds = max(bench.seconds, 4)
    return figures(offered(server, factor, seconds, skip_s=seconds / 4), server)


def after(server: Server, flood_s: int) -> Figures:
    """Half of what it can do, from five seconds after a flood on."""
    offered(server, FACTORS[-1], flood_s)
    return figures(offered(server, FACTORS[0], AFTER_S + 5, skip_s=AFTER_S), server)


def offered(server: Server, factor: float, seconds: float, skip_s: float = 0.0) -> Offered:
    url = server.url("/api/v1/predict")
    return offer(url, BODY, Plan(factor * SLOW_PER_S, seconds, TIMEOUT_S, skip_s), None)


def figures(came: Offered, server: Server) -> Figures:
    return {
        "offered_per_s": came.offered_per_s,
        "per_s": came.goodput_per_s,
        "p50_ms": came.p50_ms,
        "p99_ms": came.p99_ms,
        "refused_ms": came.refused_p50_ms,
        "refused_share": came.refused_share,
        "failed": float(came.failed + came.late),
        "behind_ms": came.behind_ms,
        "memory_mib": memory_mib(server.pid),
    }
