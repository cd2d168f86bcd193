"""What others wait while one caller sends bodies of 8 MB: a probe asks `/health/live` over and over, and is timed.

A probe needs a few turns of the loop, so this is more than the longest of them.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import orjson

from benchmarks.bench import Bench, Case, Figures
from benchmarks.openloop import percentile
from benchmarks.servers import HOST, Recipe, Server
from benchmarks.wrk import Load, LoadError, drive

PATH = "/api/v1/models/iris/versions/v1/predict/batch"
SETTINGS = {"FORETELL_LIMITS__MAX_BATCH_ROWS": "1000000"}
BYTES = 8_000_000


def large(bench: Bench, stack: ExitStack) -> list[Case]:
    server = bench.start(stack, Recipe.foretell(bench.models.iris_only, settings=SETTINGS), pin=False)
    row = orjson.dumps(bench.models.iris_rows[0])
    bodies = {
        "plain": many(row),
        "wrong": many(orjson.dumps(["bad"] * 4)),
        "nested": b'{"features":' + b"[" * BYTES,
    }
    return [Case(f"large/{name}", partial(waits, bench, server, body)) for name, body in bodies.items()]


def many(row: bytes) -> bytes:
    return b'{"features":[%b]}' % b",".join([row] * (BYTES // (len(row) + 1) - 1))


def waits(bench: Bench, server: Server, body: bytes) -> Figures:
    load = Load(server.url(PATH), body, 1)
    burden(load, 1)  # the first body that is not plain starts a process
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    times_s: list[float] = []
    with ThreadPoolExecutor(1) as background:
        other = background.submit(burden, load, max(bench.seconds, 2))
        while not other.done():
            asked_s = time.perf_counter()
            connection.request("GET", "/health/live")
            connection.getresponse().read()
            times_s.append(time.perf_counter() - asked_s)
            time.sleep(0.001)
    ordered = sorted(times_s)
    p50_s, p99_s = percentile(ordered, 0.5), percentile(ordered, 0.99)
    return {"p50_ms": p50_s * 1e3, "p99_ms": p99_s * 1e3, "max_ms": ordered[-1] * 1e3}


def burden(load: Load, seconds: int) -> None:
    """Sends the body over and over. That it is refused is what some bodies are for."""
    with contextlib.suppress(LoadError):
        drive(load, seconds, None)
