"""Normal traffic, in a process of its own: ``python -m tests.evil.normal PORT PATH BODY SECONDS`` asks two hundred times
a second and prints what came of it as JSON: how many, how many failed, and the 99th percentile in milliseconds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.wire import Wire, post

EVERY_S = 0.005


class Normal(NamedTuple):
    """What came of it."""

    asked: int
    failed: int
    p99_ms: float


class Traffic:
    """Normal traffic that runs beside whatever a test does."""

    def __init__(self, port: int, path: str, body: bytes, seconds: float) -> None:
        command = [sys.executable, "-m", "tests.evil.normal", str(port), path, body.decode(), str(seconds)]
        self._process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)

    def result(self) -> Normal:
        """Waits for its end."""
        out, _ = self._process.communicate(timeout=600)
        return Normal(**json.loads(out))


def ask(port: int, path: str, body: bytes, seconds: float) -> Normal:
    """Asks at a steady pace over one connection, opened anew where it breaks; each takes from when it was due."""
    taken: list[float] = []
    failed, began_s = 0, time.perf_counter()
    data, wire = post(path, body), Wire(port)
    while (due_s := began_s + (len(taken) + failed) * EVERY_S) < began_s + seconds:
        time.sleep(max(0.0, due_s - time.perf_counter()))
        try:
            wire.send(data)
            good = wire.answer().status == 200
        except (OSError, EOFError):
            good = False
            wire.socket.close()
            wire = Wire(port)
        if good:
            taken.append(time.perf_counter() - due_s)
        failed += not good
    wire.socket.close()
    worst = sorted(taken)
    return Normal(len(taken) + failed, failed, round(worst[int(len(worst) * 0.99)] * 1e3, 3))


if __name__ == "__main__":
    print(json.dumps(ask(int(sys.argv[1]), sys.argv[2], sys.argv[3].encode(), float(sys.argv[4]))._asdict()))  # noqa: T201
