"""Predictions go on, right and in time, whatever becomes of the Redis behind a real server, and it is used again."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.callers import Answers, callers, write_questions
from tests.e2e.client import Client
from tests.e2e.models import Repository
from tests.e2e.process import Serving, free_port, serving, until
from tests.redis_server import RedisServer, redis_server
from tests.report import Report

TORTURE_S = float(os.environ.get("REDIS_FAULT_S", "60"))
TORTURE_BEFORE_S = TORTURE_S / 3
SHORT_S, SHORT_BEFORE_S = 2.0, 0.1
SHORT_PER_S = 200.0
SHARE_OF_CAPACITY = 0.3
FIRST_S = 1.0
MORE_MS = 10.0
CHANGES = 3
"""Lines of the log at first: Redis goes, is tried again at once, and goes again. From then on at most one a second."""
HITS = 0.3
"""The share of hits from which on Redis is of use: half of all is asked again, and the process itself remembers two."""
VERSION = "/api/v1/models/iris/versions/v1"
EVENTS = {"cache_redis_unavailable", "cache_redis_available", "cache_redis_refused"}


@dataclass(frozen=True)
class Scene:
    """A server, and the Redis it shares answers through."""

    server: Serving
    redis: RedisServer
    folder: Path

    def cache(self) -> dict[str, Any]:
        """What the server says of the cache of its model."""
        with Client(self.server.port) as client:
            document: dict[str, Any] = client.get(VERSION).json["cache"]
            return document

    def becomes_useful(self) -> None:
        """Waits until many answers are remembered ones."""
        before = self.cache()

        def hits() -> bool:
            nonlocal before
            now = self.cache()
            hits, misses = now["hits"] - before["hits"], now["misses"] - before["misses"]
            if hits + misses < 50:
                return False
            before = now
            return bool(hits > HITS * (hits + misses))

        until(hits, "Redis is of use")

    def written(self) -> int:
        """How many bytes of log there are."""
        return self.server.log.stat().st_size

    def lines(self, since: int) -> list[str]:
        """What was written after so many bytes, whole lines, but those of requests."""
        with self.server.log.open("rb") as log:
            log.seek(since)
            lines = log.read().decode().splitlines(keepends=True)
        return [line for line in lines if line.endswith("\n") and '"event":"request"' not in line]


@pytest.fixture(scope="module")
def scene(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("redis-faults")
    write_questions(repository.model("iris"), folder)
    said: dict[str, Any] = {"cache__models": "iris", "cache__ttl_s": 4, "cache__max_bytes": 2048, "keep_alive_s": 120}
    with (
        redis_server() as redis,
        serving(repository.models / "iris", folder, cache__redis_url=redis.url, **said) as server,
    ):
        yield Scene(server, redis, folder)


@pytest.fixture(scope="module")
def capacity_per_s(scene: Scene) -> float:
    """How many callers can be answered in a second, remembered answers and others."""
    with callers(scene.server.port, f"{VERSION}/predict", scene.folder, 0.0) as came:
        scene.becomes_useful()
        began_s = time.monotonic()
        time.sleep(3.0)
        over_s = time.monotonic()
    return len(came[0].within(began_s, over_s)) / (over_s - began_s)


@contextmanager
def killed(scene: Scene) -> Iterator[None]:
    scene.redis.kill()
    yield
    assert not scene.cache()["shared_store"]["available"]
    scene.redis.start()


@contextmanager
def hung(scene: Scene) -> Iterator[None]:
    scene.redis.hang()
    yield
    assert not scene.cache()["shared_store"]["available"]
    scene.redis.wake()


@contextmanager
def restarted_empty(scene: Scene) -> Iterator[None]:
    scene.redis.kill()
    scene.redis.start()
    yield


@contextmanager
def poisoned(scene: Scene) -> Iterator[None]:
    """Again and again, since what is not believed is written anew."""
    over, chance, before = threading.Event(), random.Random(3), scene.cache()["rejected"]

    def poison() -> None:
        while not over.wait(1.0):
            scene.redis.poison(chance)

    assert scene.redis.poison(chance) > 0
    poisoner = threading.Thread(target=poison)
    poisoner.start()
    try:
        yield
    finally:
        over.set()
        poisoner.join()
    assert scene.cache()["rejected"] > before


@contextmanager
def a_replica(scene: Scene) -> Iterator[None]:
    """Of a server that is not there: it can be read, and refuses to be written to."""
    with scene.redis.client() as client:
        client.replicaof("127.0.0.1", free_port())
        yield
        assert client.info("errorstats")["errorstat_READONLY"]["count"] > 0
        client.replicaof("NO", "ONE")


@contextmanager
def full(scene: Scene) -> Iterator[None]:
    with scene.redis.client() as client:
        client.config_set("maxmemory", 1)
        yield
        assert client.info("errorstats")["errorstat_OOM"]["count"] > 0
        client.config_set("maxmemory", 0)


@contextmanager
def slow(scene: Scene) -> Iterator[None]:
    """It answers whoever has time, and few within the budget."""
    over = threading.Event()

    def slow_down() -> None:
        while not over.is_set():
            scene.redis.hang()
            over.wait(0.1)
            scene.redis.wake()
            over.wait(0.002)

    slowing = threading.Thread(target=slow_down)
    slowing.start()
    try:
        yield
    finally:
        over.set()
        slowing.join()


Enter = Callable[[Scene], AbstractContextManager[None]]
STATES: list[Enter] = [killed, poisoned, hung, full, restarted_empty, a_replica, slow]


@dataclass(frozen=True)
class Told:
    """What came of a state: all answers, those before it, those in it after its first second; what was logged in it."""

    whole: Answers
    before: Answers
    during: Answers
    lines: list[str]
    seconds: float


def through(scene: Scene, state: Enter, per_s: float, before_s: float, seconds: float) -> Told:
    """A steady load before the state, in it, and afterwards until Redis is of use again."""
    with callers(scene.server.port, f"{VERSION}/predict", scene.folder, per_s) as came:
        scene.becomes_useful()
        began_s = time.monotonic()
        time.sleep(before_s)
        over_s, written = time.monotonic(), scene.written()
        with state(scene):
            entered_s = time.monotonic()
            time.sleep(seconds)
            left_s = time.monotonic()
            lines = scene.lines(written)
        scene.becomes_useful()
    before, during = came[0].within(began_s, over_s), came[0].within(entered_s + FIRST_S, left_s)
    return Told(came[0], before, during, lines, left_s - over_s)


def check(told: Told) -> None:
    assert (told.whole.wrong, told.whole.failed) == (0, 0), told.whole.told
    assert {json.loads(line)["event"] for line in told.lines} <= EVENTS, told.lines
    assert len(told.lines) <= CHANGES + told.seconds, told.lines


@pytest.mark.parametrize("state", STATES)
def test_no_prediction_fails_or_is_wrong_in_any_state_of_redis(scene: Scene, state: Enter, report: Report) -> None:
    told = through(scene, state, SHORT_PER_S, SHORT_BEFORE_S, SHORT_S)
    report(
        f"Predictions while Redis is {named(state)}",
        bar="0 failed, 0 wrong",
        requests=len(told.whole),
        failed=told.whole.failed,
        wrong=told.whole.wrong,
        lines_of_log=len(told.lines),
    )
    check(told)


@pytest.mark.torture
@pytest.mark.parametrize("state", STATES)
def test_in_no_state_do_predictions_fail_or_take_ten_milliseconds_more(
    scene: Scene, capacity_per_s: float, state: Enter, report: Report
) -> None:
    told = through(scene, state, capacity_per_s * SHARE_OF_CAPACITY, TORTURE_BEFORE_S, TORTURE_S)
    before_ms, during_ms = told.before.p99_ms, told.during.p99_ms
    report(
        f"Predictions for {TORTURE_S:.0f} s while Redis is {named(state)}, at {SHARE_OF_CAPACITY:.0%} of capacity",
        bar=f"0 failed, 0 wrong, p99 ≤ {MORE_MS:.0f} ms more after the first second, at most one line of log a second",
        requests=len(told.whole),
        failed=told.whole.failed,
        wrong=told.whole.wrong,
        p99_before_ms=before_ms,
        p99_ms=during_ms,
        p99_of_the_callers_own_delay_ms=told.during.behind_p99_ms,
        lines_of_log=len(told.lines),
    )
    check(told)
    assert during_ms <= before_ms + MORE_MS


def named(state: Enter) -> str:
    return state.__name__.replace("_", " ")
