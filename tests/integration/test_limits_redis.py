"""Redis behind the limits: exact while it is there, this host's share when it is not, and never open."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from foretell.core.access.principal import Principal
from foretell.core.access.rates import Rate
from foretell.errors import OperatorError, RateLimited
from foretell.limiting import open_limiter
from foretell.security.limits import redis as module
from foretell.security.limits.buckets import Bucket, Policy
from foretell.security.limits.counters import Amount, Granted, Refused
from foretell.security.limits.file import CounterFile
from foretell.security.limits.limiter import SharedLimiter
from foretell.security.limits.redis import RedisCounters
from foretell.settings import Rates, Settings, State
from tests.redis_server import RedisServer, redis_server
from tests.serving import WAIT_S, run

ONE = Amount(1, 0)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def key(*rates: str, name: str = "key:x") -> Principal:
    return Principal(name, "key", "", frozenset({"predict"}), None, tuple(map(Rate.parse, rates)))


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to hold"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(folder: Path, url: str, *, budget_s: float = 5.0, **options: Any) -> AsyncIterator[RedisCounters]:
    """The counters of one worker of one host."""
    file = CounterFile(folder, 1)
    counters = RedisCounters(url, file.counters, host=file.id, workers=1, budget_s=budget_s, retry_s=0.05, **options)
    await counters.open()
    try:
        yield counters
    finally:
        await counters.close()
        file.close()
        assert all(task.done() for task in counters._tasks.values())


async def admitted(counters: RedisCounters, bucket: Bucket, tries: int) -> int:
    found = [await counters.ask([bucket], ONE, ONE) for _ in range(tries)]
    return sum(isinstance(each, Granted) for each in found)


def test_hosts_count_together_and_each_holds_its_share_when_redis_is_gone(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.05)

    async def story() -> None:
        heard: list[int] = []
        async with (
            opened(tmp_path / "a", server.url) as one,
            opened(tmp_path / "b", server.url, note_hosts=heard.append) as other,
        ):
            assert heard[-1] == 2
            await until(lambda: one._local.share == 2)
            mine, theirs = Bucket("key", "x", Rate(100, 3600)), Bucket("key", "x", Rate(100, 3600))
            counts = await asyncio.gather(admitted(one, mine, 80), admitted(other, theirs, 80))
            assert sum(counts) == 100
            server.kill()
            fresh = Bucket("key", "y", Rate(100, 3600))
            counts = await asyncio.gather(admitted(one, fresh, 300), admitted(other, fresh, 300))
            assert list(counts) == [50, 50]
            more = await asyncio.gather(admitted(one, mine, 300), admitted(other, theirs, 300))
            assert sum(more) <= 30, "what Redis granted is known here, too"
            assert not one.available
            server.start()  # empty
            await until(lambda: one.available and other.available)
            counts = await asyncio.gather(admitted(one, mine, 80), admitted(other, theirs, 80))
            assert sum(counts) == 100

    run(story())


def test_without_redis_from_the_start_the_share_of_last_time_holds(tmp_path: Path) -> None:
    async def story() -> None:
        settings = Settings(state=State(folder=tmp_path), rates=Rates(redis_url="redis://127.0.0.1:1/0"))
        file = CounterFile(tmp_path, 1)
        file.hosts = 4
        file.close()
        async with open_limiter(settings) as limiter:
            caller = key("100/h")
            count = 0
            for _ in range(150):
                count += limiter.spend(caller, "", "m", 1, 1)
            assert count == 25
            with pytest.raises(RateLimited):
                await limiter.charge(caller, "", "m", 1, 1)

    run(story())


def test_a_redis_that_hangs_costs_the_budget_once_and_then_nothing(
    server: RedisServer, tmp_path: Path, logged: list[Any]
) -> None:
    async def story() -> None:
        async with opened(tmp_path, server.url, budget_s=0.05) as counters:
            bucket = Bucket("key", "x", Rate(1000, 3600))
            assert counters.available
            server.hang()
            assert isinstance(await counters.ask([bucket], ONE, ONE), Granted)
            await until(lambda: not counters.available)
            assert isinstance(counters.take([bucket], ONE, ONE), Granted), "nobody waits any more"
            server.wake()
            await until(lambda: counters.available)
        assert [line["event"].removeprefix("limits_redis_") for line in logged] == [
            "available", "unavailable", "available"
        ]  # fmt: skip

    run(story())


@pytest.mark.parametrize("fault", ["scripts forgotten", "read-only", "no room", "another type"])
def test_whatever_redis_refuses_is_counted_here(server: RedisServer, tmp_path: Path, fault: str) -> None:
    async def story() -> None:
        async with opened(tmp_path, server.url) as counters:
            client, bucket = server.client(), Bucket("key", "x", Rate(10, 3600))
            if fault == "scripts forgotten":
                client.script_flush()
            elif fault == "read-only":
                client.replicaof("127.0.0.1", "1")
            elif fault == "no room":
                client.config_set("maxmemory", "1")
            else:
                client.set(module._name(bucket), "a text")
            assert await admitted(counters, bucket, 30) <= 10 + (10 if fault == "scripts forgotten" else 0)
            assert await admitted(counters, bucket, 30) <= 10
            client.close()

    run(story())


def test_what_came_too_late_is_given_back(server: RedisServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path, server.url) as counters:
            bucket = Bucket("key", "x", Rate(10, 3600))
            asking = asyncio.create_task(counters.ask([bucket], Amount(10, 0), Amount(10, 0)))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            found: Any = None

            async def had() -> bool:
                nonlocal found
                found = await counters.ask([bucket], Amount(10, 0), Amount(10, 0))
                return isinstance(found, Granted)

            deadline = time.monotonic() + WAIT_S
            while not await had():
                assert time.monotonic() < deadline
            assert isinstance(await counters.ask([bucket], ONE, ONE), Refused)

    run(story())


def test_callers_that_leave_in_any_number_never_get_each_others_portions(server: RedisServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path, server.url) as counters:
            buckets = [Bucket("key", f"k{number}", Rate(1000 + number, 3600)) for number in range(200)]
            tasks = [
                asyncio.create_task(counters.ask([each], Amount(1 + i), Amount(1 + i)))
                for i, each in enumerate(buckets)
            ]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            for number, each in enumerate(found):
                if number % 3:
                    assert isinstance(each, Granted)
                    assert each.amount.requests == 1 + number

    run(story())


def test_too_many_questions_are_answered_here(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ASKED", 3)

    async def story() -> None:
        async with opened(tmp_path, server.url) as counters:
            bucket = Bucket("key", "x", Rate(1000, 3600))
            found = await asyncio.gather(*(counters.ask([bucket], ONE, ONE) for _ in range(10)))
            places = [each.mark.place for each in found if isinstance(each, Granted)]
            assert sorted(places) == ["file"] * 7 + ["redis"] * 3

    run(story())


def test_a_busy_caller_hardly_ever_waits_for_redis(server: RedisServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path, server.url) as counters:
            made = SharedLimiter(Policy(), counters, counters._local, ahead=True)
            caller, at_once = key("1000000/h"), 0
            for _ in range(60):
                for _ in range(20):
                    if made.spend(caller, "", "m", 1, 1):
                        at_once += 1
                    else:
                        await made.charge(caller, "", "m", 1, 1)
                await asyncio.sleep(0.004)
            await made.close()
            assert at_once > 600
            await asyncio.sleep(0.05)
            counted = server.client().hvals(module._name(Bucket("key", "key:x", Rate(1_000_000, 3600))))
            assert sum(map(int, counted)) == 1200, "what was not spent was given back"

    run(story())


def test_a_flood_beyond_the_limit_is_refused_from_memory(server: RedisServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path, server.url) as counters:
            made = SharedLimiter(Policy(), counters, counters._local, ahead=True)
            caller = key("5/h")
            client = server.client()
            before = client.info("commandstats")
            refused = 0
            for _ in range(500):
                try:
                    await made.charge(caller, "", "m", 1, 0)
                except RateLimited:
                    refused += 1
            asked = client.info("commandstats")["cmdstat_evalsha"]["calls"] - before["cmdstat_evalsha"]["calls"]
            assert refused == 495
            assert asked < 250
            await made.close()

    run(story())


def test_beats_tell_of_hosts(server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.01)

    async def story() -> None:
        heard: list[int] = []
        async with opened(tmp_path / "a", server.url, note_hosts=heard.append), opened(tmp_path / "b", server.url):
            await until(lambda: heard[-1] == 2)

    run(story())


def test_an_address_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    async def story() -> None:
        settings = Settings(state=State(folder=tmp_path), rates=Rates(redis_url="http://x:secret@y"))
        with pytest.raises(OperatorError, match=r"rates\.redis_url is no address"):
            async with open_limiter(settings):
                pass

    run(story())


def test_what_was_counted_is_put_onto_the_disk_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = threading.Event()
    monkeypatch.setattr("foretell.limiting.SYNC_S", 0.01)
    monkeypatch.setattr(CounterFile, "sync", lambda _: synced.set())

    async def story() -> None:
        async with open_limiter(Settings(state=State(folder=tmp_path))) as limiter:
            assert limiter.spend(key("100/h"), "", "m", 1, 1)
            assert await asyncio.to_thread(synced.wait, WAIT_S)

    run(story())
