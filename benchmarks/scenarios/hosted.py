"""Models in processes of their own: what the hop costs, what batches bring, what a heavy one does to a light one."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench, Case, Figures
from benchmarks.scenarios.interference import beside, loads
from benchmarks.scenarios.singles import FOREST, IRIS_V1
from benchmarks.servers import HOST, Recipe, Server
from benchmarks.wrk import Load, drive

SPINNING = """
import time


class Spinning:
    def predict(self, seconds: float) -> float:
        until = time.monotonic() + max(seconds)
        while time.monotonic() < until:
            pass
        return seconds
"""
SPIN = "import sys, time; until = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < until: pass"
"""The same burden outside the server."""


def hosted(bench: Bench, stack: ExitStack) -> list[Case]:
    models = bench.models
    iris, tumour = models.single(models.iris_rows), models.single(models.tumour_rows)
    direct = bench.start(stack, Recipe.foretell(models.repository))
    own = bench.start(stack, recipe(models.repository, "--mode", "hosted"))
    alone = bench.start(stack, recipe(with_forest(bench, "alone", 'mode = "hosted"\nmax_batch_rows = 1')))
    return [
        bench.load("hosted/iris/direct/c64", Load(direct.url(IRIS_V1), iris, 64)),
        bench.load("hosted/iris/hosted/c64", Load(own.url(IRIS_V1), iris, 64)),
        bench.load("hosted/forest/direct/c64", Load(direct.url(FOREST), tumour, 64)),
        bench.load("hosted/forest/hosted/c64", Load(own.url(FOREST), tumour, 64)),
        bench.load("hosted/forest/one-call-each/c64", Load(alone.url(FOREST), tumour, 64)),
    ]


def isolation(bench: Bench, stack: ExitStack) -> list[Case]:
    """Unpinned: iris alone, beside a hosted forest under full load, and beside what spins, in a host and outside."""
    repository = with_forest(bench, "isolated", 'mode = "hosted"')
    version = repository / "spinning" / "v1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(SPINNING)
    server = bench.start(stack, recipe(repository), pin=False)
    light, heavy = loads(bench, server)

    def burdened(burden: Callable[[], AbstractContextManager[None]]) -> Figures:
        with burden():
            outcome = drive(light, bench.seconds, None)
        return {"per_s": outcome.per_s, "p50_ms": outcome.p50_ms, "p99_ms": outcome.p99_ms}

    seconds = bench.seconds + 1.0
    return [
        bench.load("isolation/iris/alone", light, pin=False),
        Case("isolation/iris/beside-hosted-forest", partial(beside, bench, light, heavy)),
        Case("isolation/iris/beside-spinning-process", partial(burdened, partial(spinning_process, seconds))),
        Case("isolation/iris/beside-spinning-host", partial(burdened, partial(spinning_host, server, seconds))),
    ]


def recipe(repository: Path, *options: str) -> Recipe:
    usual = Recipe.foretell(repository)
    return replace(usual, command=[*usual.command, *options])


def with_forest(bench: Bench, name: str, execution: str) -> Path:
    """A copy of the repository whose forest runs as the table says."""
    copy = bench.folder / name
    shutil.copytree(bench.models.repository, copy)
    for manifest in (copy / "breast-cancer").glob("*/manifest.toml"):
        manifest.write_text(f"{manifest.read_text()}\n[execution]\n{execution}\n")
    return copy


@contextmanager
def spinning_process(seconds: float) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", SPIN, str(seconds)])
    time.sleep(0.2)
    yield
    process.wait()


@contextmanager
def spinning_host(server: Server, seconds: float) -> Iterator[None]:
    body = json.dumps({"features": [seconds]}).encode()
    path = "/api/v1/models/spinning/predict"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((HOST, server.port), timeout=seconds + 30) as connection:
        connection.sendall(head.encode() + body)
        time.sleep(0.2)
        yield
        connection.recv(65_536)
