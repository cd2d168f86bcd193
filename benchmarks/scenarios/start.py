"""From `foretell serve` to the first answered prediction, beside a bare process that does nothing but import."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack

from benchmarks.bench import Bench, Case, Figures
from benchmarks.machine import pinned
from benchmarks.servers import HOST, START_S, NotStartedError, Recipe, ask, free_port, launch, stop

IMPORTS = "import fastapi, uvicorn, skops.io"
POLL_S = 0.002


def start(bench: Bench, _stack: ExitStack) -> list[Case]:
    recipe = Recipe.foretell(bench.models.iris_only)
    body = bench.models.single(bench.models.iris_rows)
    head = f"POST /api/v1/predict HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def first_prediction() -> Figures:
        port = free_port()
        with (bench.folder / f"start-{port}.log").open("wb") as sink:
            started_s = time.perf_counter()
            process = launch(recipe, port, bench.cores.server, bench.folder, sink.fileno())
            try:
                while ask(port, request) != 200:
                    if process.poll() is not None or time.perf_counter() - started_s > START_S:
                        raise NotStartedError(f"foretell serve gave no prediction; its output is in {sink.name}")
                    time.sleep(POLL_S)
                return {"start_s": time.perf_counter() - started_s}
            finally:
                stop(process)

    def imports() -> Figures:
        started_s = time.perf_counter()
        subprocess.run(pinned([sys.executable, "-c", IMPORTS], bench.cores.server), check=True)
        return {"start_s": time.perf_counter() - started_s}

    return [Case("start/foretell", first_prediction), Case("start/imports", imports)]
