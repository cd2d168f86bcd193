"""An open-loop load: requests come when they are due, whether those before were answered or not, as callers do.

`python -m benchmarks.openloop URL BODY RATE SECONDS TIMEOUT_S [SKIP_S]` prints what came of them as JSON. Times are
counted from when a request was due, not from when it could be sent, so a server that stalls is charged for all who
would have come meanwhile; wrk, which waits for each answer before it asks again, never asks them.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.machine import ROOT, pinned

MAX_OPENING = 8192


@dataclass(frozen=True, slots=True)
class Plan:
    """So many requests a second, for so long, each with its deadline. The first ``skip_s`` seconds are not counted."""

    per_s: float
    seconds: float
    timeout_s: float
    skip_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Offered:
    """What came of an open load. ``goodput_per_s`` counts answers within their deadline, by when they came.

    ``behind_ms``: how late, at the 99th percentile, the generator itself was with sending; where that is much, the
    times say nothing of the server.
    """

    offered_per_s: float
    goodput_per_s: float
    p50_ms: float
    p99_ms: float
    refused_share: float
    refused_p50_ms: float
    failed: int
    late: int
    behind_ms: float


def offer(url: str, body: bytes, plan: Plan, core: int | None) -> Offered:
    """Offers the load from a process of its own."""
    with tempfile.TemporaryDirectory(prefix="foretell-openloop-") as folder:
        path = Path(folder, "body")
        path.write_bytes(body)
        command = [sys.executable, "-m", "benchmarks.openloop", url, str(path)]
        command += [str(plan.per_s), str(plan.seconds), str(plan.timeout_s), str(plan.skip_s)]
        run = subprocess.run(pinned(command, core), cwd=ROOT, capture_output=True, text=True, check=True)
    return Offered(**json.loads(run.stdout))


@dataclass(slots=True)
class Tally:
    """Answers by status with their times in seconds; ``timely`` came within deadline and while the load was offered."""

    plan: Plan
    started_s: float = field(default_factory=time.perf_counter)
    times_s: dict[int, list[float]] = field(default_factory=dict)
    behind_s: list[float] = field(default_factory=list)
    asked: int = 0
    counted: int = 0
    timely: int = 0

    def asks(self, due_s: float) -> bool:
        """One more is due; whether it counts."""
        counts = due_s >= self.started_s + self.plan.skip_s
        self.asked += counts
        return counts

    def came(self, status: int, due_s: float, counts: bool) -> None:
        """What a request that was due then was answered, now; 0 for nothing."""
        now_s = time.perf_counter()
        in_time = status == 200 and now_s - due_s <= self.plan.timeout_s
        self.timely += in_time and self.plan.skip_s <= now_s - self.started_s < self.plan.seconds
        if counts:
            self.times_s.setdefault(status, []).append(now_s - due_s)
            self.counted += 1

    def offered(self) -> Offered:
        """The whole of it."""
        seconds = self.plan.seconds - self.plan.skip_s
        good = sorted(self.times_s.get(200, []))
        refused = sorted(self.times_s.get(503, []) + self.times_s.get(429, []))
        return Offered(
            offered_per_s=self.asked / seconds,
            goodput_per_s=self.timely / seconds,
            p50_ms=percentile(good, 0.5) * 1e3,
            p99_ms=percentile(good, 0.99) * 1e3,
            refused_share=len(refused) / max(1, self.asked),
            refused_p50_ms=percentile(refused, 0.5) * 1e3,
            failed=self.asked - len(good) - len(refused),
            late=sum(took_s > self.plan.timeout_s for took_s in good),
            behind_ms=percentile(sorted(self.behind_s), 0.99) * 1e3,
        )


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that ``share`` of all lie at or below; 0 of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


class Connection(asyncio.Protocol):
    """Asks one thing at a time; ``idle`` gets it back after each answer."""

    def __init__(self, tally: Tally, idle: list[Connection]) -> None:
        self._tally = tally
        self._idle = idle
        self._buffer = b""
        self._asked: tuple[float, bool] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes, due_s: float, counts: bool) -> None:
        assert self._transport is not None
        self._asked = due_s, counts
        self._tally.behind_s.append(time.perf_counter() - due_s)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        length = int(lower.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]) if b"content-length:" in lower else 0
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._answered(int(head.split(b" ", 2)[1]))
        if b"connection: close" not in lower:
            self._idle.append(self)
        elif self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._answered(0)
        if self in self._idle:
            self._idle.remove(self)

    def _answered(self, status: int) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            self._tally.came(status, *asked)


async def load(url: str, body: bytes, plan: Plan) -> Offered:
    """Offers the load from here. Requests come at random moments (a Poisson process), the same ones in every run."""
    place = urlsplit(url)
    request = message(url, body, plan)
    tally, idle, loop, chance = Tally(plan), list[Connection](), asyncio.get_running_loop(), random.Random(7)
    opening: set[asyncio.Task[None]] = set()

    async def fresh(due_s: float, counts: bool) -> None:
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(tally, idle), place.hostname or "127.0.0.1", place.port or 80
            )
        except OSError:
            tally.came(0, due_s, counts)
            return
        connection.ask(request, due_s, counts)

    due_s = tally.started_s
    while (due_s := due_s + chance.expovariate(plan.per_s)) < tally.started_s + plan.seconds:
        if (ahead_s := due_s - time.perf_counter()) > 0:
            await asyncio.sleep(ahead_s)
        counts = tally.asks(due_s)
        if idle:
            idle.pop().ask(request, due_s, counts)
        elif len(opening) < MAX_OPENING:
            task = asyncio.create_task(fresh(due_s, counts))
            opening.add(task)
            task.add_done_callback(opening.discard)
        else:
            tally.came(0, due_s, counts)
    give_up_s = time.perf_counter() + plan.timeout_s + 1.0
    while tally.counted < tally.asked and time.perf_counter() < give_up_s:  # noqa: ASYNC110  # no event for each answer
        await asyncio.sleep(0.02)
    return tally.offered()


def message(url: str, body: bytes, plan: Plan) -> bytes:
    place = urlsplit(url)
    target = f"{place.path}?{place.query}" if place.query else place.path
    head = f"POST {target} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
    head += f"X-Request-Timeout: {plan.timeout_s:g}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def main(url: str, path: str, *plan: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    came = asyncio.run(load(url, Path(path).read_bytes(), Plan(*map(float, plan))))
    print(json.dumps(asdict(came)))


if __name__ == "__main__":
    main(*sys.argv[1:])
