"""What others wait while one caller sends bodies of 8 MB: a probe asks `/health/live` over and over, and is timed."""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import ExitStack
from functools import partial

import orjson

from benchmarks.bench import Bench, Case, Figures
from benchmarks.openloop import percentile
from benchmarks.servers import HOST, Recipe, Server

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
    stopped = threading.Event()
    times_s: list[float] = []

    def probe() -> None:
        connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
        while not stopped.wait(0.001):
            asked_s = time.perf_counter()
            connection.request("GET", "/health/live")
            connection.getresponse().read()
            times_s.append(time.perf_counter() - asked_s)

    ask(server, body)  # the first body that is not plain starts a process
    prober = threading.Thread(target=probe)
    prober.start()
    until_s = time.monotonic() + bench.seconds
    while time.monotonic() < until_s:
        ask(server, body)
    stopped.set()
    prober.join()
    ordered = sorted(times_s)
    return {
        "p50_ms": percentile(ordered, 0.5) * 1e3,
        "p99_ms": percentile(ordered, 0.99) * 1e3,
        "max_ms": ordered[-1] * 1e3,
    }


def ask(server: Server, body: bytes) -> None:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    connection.request("POST", PATH, body, {"Content-Type": "application/json"})
    connection.getresponse().read()
    connection.close()
