"""Crowds of bad callers at full size around a real server (faults.md, rows 24 to 27, 30 and 31)."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pytest

import foretell
from tests.e2e.process import Serving, serving
from tests.evil.client import ADDRESSES, Crowd, connect, read
from tests.evil.normal import Normal, Traffic
from tests.report import Report
from tests.tooling import find_tool
from tests.wire import Wire, get, post

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]
Result = TypeVar("Result")
ROUNDS = 7
"""A shared machine stops as a whole for some 50 ms now and then, which is a round's 99th percentile."""
SECONDS = 12.0
"""How long normal traffic goes on beside a crowd: from before it comes until the last of it is gone."""
PATH = "/api/v1/models/plane/predict"
ROW = b'{"features": [1.0, 2.0]}'
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n".encode()
STREAM = f"POST {PATH}/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n".encode()


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of one small model."""
    from sklearn.linear_model import LinearRegression

    points = np.random.default_rng(0).normal(size=(100, 2))
    folder = tmp_path_factory.mktemp("plane")
    foretell.package(LinearRegression().fit(points, points.sum(axis=1)), folder / "plane" / "v1", example=points)
    return folder


@pytest.fixture
def server(plane: Path, place: Path) -> Iterator[Serving]:
    with serving(plane, place) as running:
        yield running


def normal(server: Serving, seconds: float) -> Normal:
    """What normal traffic is like while nobody else is there."""
    return Traffic(server.port, PATH, ROW, seconds).result()


@pytest.fixture
def cores(server: Serving) -> Iterator[None]:
    """The server's loop has a core of its own, and whoever calls it the others (faults.md §3)."""
    ours = os.sched_getaffinity(0)
    first = min(ours)
    if len(ours) > 1:
        os.sched_setaffinity(server.process.pid, {first})
        os.sched_setaffinity(0, ours - {first})
    yield
    os.sched_setaffinity(0, ours)


def modestly(work: Callable[[], Result]) -> Result:
    """Does a crowd's own work in a thread that lets normal traffic go first: a crowd is on other machines than those it
    disturbs, and what it takes of this one is not the server's doing."""

    def give_way() -> None:
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))

    with ThreadPoolExecutor(1, initializer=give_way) as thread:
        return thread.submit(work).result()


class Round(NamedTuple):
    """Normal traffic before and beside one crowd, and what became of the crowd. Times are from the first connection."""

    before: Normal
    during: Normal
    left: int
    made_s: float
    last_s: float
    statuses: set[tuple[int, ...]]


def round_of(server: Serving, count: int, first: bytes, drip: bytes, wait_s: float) -> Round:
    before = normal(server, 10)
    beside = Traffic(server.port, PATH, ROW, SECONDS)
    time.sleep(0.5)  # until it asks

    def crowd_in() -> tuple[int, float, float, set[tuple[int, ...]]]:
        began_s = time.monotonic()
        with Crowd.of(count, server.port, first) as crowd:
            made_s = time.monotonic() - began_s
            crowd.watch(wait_s, drip=drip)
            last_s = max(crowd.ended_s.values(), default=began_s) - began_s
            return len(crowd.open), made_s, last_s, {read(came, True).statuses for came in crowd.came.values()}

    crowd = modestly(crowd_in)
    return Round(before, beside.result(), *crowd)


def undisturbed(rounds: Sequence[Round]) -> bool:
    """Whether normal traffic kept its pace, in most rounds."""
    return median(r.during.p99_ms / r.before.p99_ms for r in rounds) <= 1.5


def told(rounds: Sequence[Round]) -> dict[str, Any]:
    """The figures of all rounds."""
    return {
        "rounds": len(rounds),
        "left": sum(r.left for r in rounds),
        "closed_s": round(max(r.last_s for r in rounds), 1),
        "failed": sum(r.during.failed for r in rounds),
        "p99_before_ms": median(r.before.p99_ms for r in rounds),
        "p99_during_ms": median(r.during.p99_ms for r in rounds),
    }


def memory_mib(server: Serving) -> float:
    for line in Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def cpu_s(*pids: int) -> float:
    """The processor time that these processes have taken together."""
    stats = [Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split() for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / 100


def processes(server: Serving) -> list[int]:
    """The processes that take connections: the server's own, or its workers."""
    own = server.process.pid
    children = Path(f"/proc/{own}/task/{own}/children").read_text(encoding="utf-8").split()
    return [int(pid) for pid in children] or [own]


KINDS = {
    "silent": (b"", b""),
    "half a head": (HEAD + b"X-A: ", b""),
    "one byte a second": (HEAD + b"X-A: ", b"a"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_slow_heads(server: Serving, cores: None, report: Report, kind: str) -> None:
    first, drip = KINDS[kind]
    rounds = [round_of(server, 1950, first, drip, 20) for _ in range(ROUNDS)]
    report(
        f"Slow heads, {kind}: closed in time, nobody else disturbed",
        bar="closed <= 11 s, E = 0, p99 <= 1.5 x",
        sockets=1950, addresses=len(ADDRESSES), **told(rounds),
    )  # fmt: skip
    assert sum(r.left for r in rounds) == 0
    assert all(r.last_s < 11 + r.made_s for r in rounds)
    assert sum(r.during.failed for r in rounds) == 0
    assert undisturbed(rounds)


def test_a_thousand_slow_bodies(server: Serving, cores: None, report: Report) -> None:
    head = HEAD + b"Content-Length: 100000\r\n\r\n{"
    rounds = [round_of(server, 1000, head, b" ", 40) for _ in range(ROUNDS)]
    report(
        "Slow bodies, a byte a second: 408, nobody else disturbed",
        bar="closed <= 31 s, E = 0, p99 <= 1.5 x",
        sockets=1000, **told(rounds),
    )  # fmt: skip
    assert {status for r in rounds for status in r.statuses} == {(408,)}
    assert (sum(r.left for r in rounds), sum(r.during.failed for r in rounds)) == (0, 0)
    assert max(r.last_s for r in rounds) < 31
    assert undisturbed(rounds)


def test_five_hundred_callers_that_never_read(plane: Path, place: Path, report: Report) -> None:
    """As many of them as may have a stream at a time; the others are refused at once."""
    rows = b'{"features":[1,2]}\n' * 4000
    with serving(plane, place, limits__stream_idle_s=120) as server:
        before, began_s = memory_mib(server), time.monotonic()
        with Crowd(
            connect(server.port, ADDRESSES[i % len(ADDRESSES)], receive_bytes=4096) for i in range(500)
        ) as crowd:
            for made in crowd.sockets:
                with suppress(BlockingIOError):
                    made.send(STREAM + b"Content-Length: 200000000\r\n\r\n")
            fed: dict[socket.socket, float] = {}
            until_s, most = time.monotonic() + 120, before
            while crowd.open and time.monotonic() < until_s:
                for made in crowd.open:
                    try:
                        made.send(rows)
                        fed[made] = time.monotonic()
                    except BlockingIOError:
                        continue
                    except OSError:
                        crowd.ended_s[made] = time.monotonic()
                most = max(most, memory_mib(server))
                time.sleep(0.2)
            left = len(crowd.open)
            slowest = max(crowd.ended_s[made] - fed.get(made, until_s) for made in crowd.ended_s)
            streams = sum(ended_s > began_s + 20 for ended_s in crowd.ended_s.values())
        report(
            "Callers that never read are cut off, and their answers are not kept",
            bar="memory <= + 100 MiB, aborted <= 31 s after they stopped",
            callers=500, streams=streams, left=left, slowest_s=round(slowest, 1), grown_mib=round(most - before, 1),
        )  # fmt: skip
        assert left == 0
        assert streams >= 16
        assert most - before <= 100
        assert slowest <= 33


def test_a_thousand_half_closed_connections(server: Serving, report: Report) -> None:
    with Crowd.of(1000, server.port, post(PATH, ROW)) as crowd:
        for made in crowd.sockets:
            made.shutdown(socket.SHUT_WR)
        crowd.watch(30)
        whole = sum(read(came, True).statuses == (200,) for came in crowd.came.values())
    report("Who closes its side gets its answer", bar="1000 of 1000", answered=whole)
    assert whole == 1000


def test_a_flood_of_twenty_thousand_connections(server: Serving, cores: None, report: Report) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    before, made, worst = memory_mib(server), 0, 0.0
    held: list[socket.socket] = []
    for index in range(20_000):
        each = socket.socket()
        each.bind((ADDRESSES[index % len(ADDRESSES)], 0))
        each.setblocking(False)
        with suppress(BlockingIOError):
            each.connect(("127.0.0.1", server.port))
        held.append(each)
        made += 1
        if len(held) > 4000:
            held.pop(0).close()
        if index % 1000 == 999:
            began_s = time.perf_counter()
            with Wire(server.port) as probe:
                probe.send(get("/health/live"))
                assert probe.answer().status == 200
            worst = max(worst, time.perf_counter() - began_s)
    grown = memory_mib(server) - before
    for each in held:
        each.close()
    report(
        "A flood of connections: health answers, memory is bounded",
        bar="health <= 100 ms", connects=made, health_worst_ms=round(worst * 1e3, 1), grown_mib=round(grown, 1),
    )  # fmt: skip
    assert worst <= 0.1
    assert grown <= 100
    with Wire(server.port) as wire:
        wire.send(post(PATH, ROW))
        assert wire.answer().status == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_out_of_files(plane: Path, place: Path, report: Report, workers: int) -> None:
    find_tool("prlimit")
    with serving(plane, place, workers=workers) as server:
        files = {pid: len(list(Path(f"/proc/{pid}/fd").iterdir())) + 100 for pid in processes(server)}
        for pid, count in files.items():
            subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={count}:{count}"], check=True)
        began_s, used_s = time.monotonic(), cpu_s(*files)
        with Crowd.of(200 * (workers + 1), server.port) as crowd:
            crowd.watch(8)
            took_s, used_s = time.monotonic() - began_s, cpu_s(*files) - used_s
        said = sum(event["event"] == "out_of_files" for event in server.events())
        with Wire(server.port) as wire:
            wire.send(post(PATH, ROW))
            status = wire.answer().status
    report(
        "Out of files: shed without a busy loop, said once a second, and nothing to do to recover",
        bar="CPU <= 20 %",
        workers=workers, cpu_percent=round(used_s / took_s * 100, 1), seconds=round(took_s, 1), log_lines=said,
        status_after=status,
    )  # fmt: skip
    assert used_s / took_s <= 0.2
    assert 6 <= said <= (took_s + 1) * workers
    assert status == 200
