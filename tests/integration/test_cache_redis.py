"""Redis behind the cache: shared when it is there, and no harm whatever becomes of it."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from foretell.caching.base import RemoteFailed
from foretell.caching.redis import BATCH, RedisStore
from foretell.errors import OperatorError
from tests.redis_server import RedisServer, redis_server
from tests.report import Report
from tests.serving import WAIT_S, run

LARGEST = 1000


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def key(number: int) -> bytes:
    return number.to_bytes(20, "big")


def name(number: int) -> str:
    return "foretell:" + key(number).hex()


def events(lines: list[Any]) -> list[str]:
    return [line["event"].removeprefix("cache_redis_") for line in lines]


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to hold"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def opened(url: str, *, budget_s: float = 5.0, waiting: bool = True) -> Any:
    store = RedisStore(url, budget_s=budget_s, max_value_bytes=LARGEST, retry_s=0.05)
    await store.open()
    try:
        if waiting:
            await until(lambda: store.available)
        yield store
    finally:
        await store.close()
        assert not store.available
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("redis")]


def told(url: str, story: Callable[[RedisStore], Awaitable[None]], **options: Any) -> None:
    async def open_and_tell() -> None:
        async with opened(url, **options) as store:
            await story(store)

    run(open_and_tell())


async def written(store: RedisStore, number: int, value: bytes, ttl_s: float = 60.0) -> None:
    assert store.put(key(number), value, ttl_s)
    await until(store._tasks["write"].done)


def test_what_was_put_is_there_for_its_time(server: RedisServer) -> None:
    async def story(store: RedisStore) -> None:
        await written(store, 1, b"one", ttl_s=60.0)
        assert await store.get(key(1)) == b"one"
        assert await store.get(key(2)) is None
        assert 0 < server.client().pttl(name(1)) <= 60_000

    told(server.url, story)


def test_questions_of_one_turn_go_out_together(server: RedisServer) -> None:
    async def story(store: RedisStore) -> None:
        for number in range(100):
            store.put(key(number), str(number).encode(), 60.0)
        await until(store._tasks["write"].done)
        before = server.client().info("stats")["total_reads_processed"]
        answers = await asyncio.gather(*(store.get(key(number)) for number in range(100)))
        assert answers == [str(number).encode() for number in range(100)]
        assert server.client().info("stats")["total_reads_processed"] - before < 20

    told(server.url, story)


def test_a_redis_that_is_not_there_keeps_no_start_waiting_and_is_found_later(
    server: RedisServer, logged: list[Any]
) -> None:
    server.kill()

    async def story(store: RedisStore) -> None:
        assert not store.available
        assert await store.get(key(1)) is None
        assert not store.put(key(1), b"one", 60.0)
        await until(lambda: "unavailable" in events(logged))
        await asyncio.to_thread(server.start)
        await until(lambda: store.available)
        await written(store, 1, b"one")
        assert await store.get(key(1)) == b"one"
        assert events(logged) == ["unavailable", "available"]

    told(server.url, story, waiting=False)


def test_a_redis_that_dies_fails_those_who_wait_and_nobody_after_them(server: RedisServer, logged: list[Any]) -> None:
    async def story(store: RedisStore) -> None:
        await written(store, 1, b"one")
        server.kill()
        store.put(key(2), b"two", 60.0)
        outcomes = await asyncio.gather(*(store.get(key(n)) for n in range(100)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes[:BATCH]} == {RemoteFailed}
        assert outcomes[BATCH:] == [None] * (100 - BATCH), "whom nobody asked for was told at once"
        assert await store.get(key(1)) is None
        assert not store.put(key(1), b"one", 60.0)
        await asyncio.to_thread(server.start)
        await until(lambda: store.available)
        assert await store.get(key(1)) is None, "it came back empty"
        assert events(logged) == ["available", "unavailable", "available"]

    told(server.url, story)


def test_a_redis_that_hangs_costs_those_who_wait_their_budget_and_nobody_else(
    server: RedisServer, logged: list[Any]
) -> None:
    async def story(store: RedisStore) -> None:
        await written(store, 1, b"one")
        server.hang()
        outcomes = await asyncio.gather(*(store.get(key(n)) for n in range(100)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {RemoteFailed, type(None)}
        await until(lambda: not store.available)
        assert await store.get(key(1)) is None
        server.wake()
        await until(lambda: store.available)
        assert await store.get(key(1)) == b"one"
        assert events(logged) == ["available", "unavailable", "available"]
        await until(lambda: server.client().info("clients")["connected_clients"] == 3)  # ours, and the one that asks

    told(server.url, story, budget_s=0.05)


def test_nobody_waits_longer_than_the_budget_for_his_turn(server: RedisServer) -> None:
    class Stuck:
        async def exchange(self, commands: Any, timeout_s: float) -> list[Any]:
            await asyncio.Event().wait()
            return []

        async def cut(self) -> None:
            """Has nothing to cut."""

    async def story(store: RedisStore) -> None:
        await store._reader.cut()
        store._reader = Stuck()  # type: ignore[assignment]
        with pytest.raises(RemoteFailed):
            await store.get(key(1))

    told(server.url, story, budget_s=0.02)


def test_values_of_another_type_and_huge_ones_are_no_failure_of_redis(server: RedisServer) -> None:
    server.client().lpush(name(1), "a list")
    server.client().set(name(2), b"x" * 10_000_000)

    async def story(store: RedisStore) -> None:
        await written(store, 3, b"three")
        with pytest.raises(RemoteFailed):
            await store.get(key(1))
        huge = await store.get(key(2))
        assert huge is not None
        assert len(huge) == LARGEST + 1
        assert await store.get(key(3)) == b"three"
        await written(store, 1, b"one")
        assert await store.get(key(1)) == b"one"

    told(server.url, story)


def test_a_redis_that_takes_no_values_is_read_all_the_same_and_reported_once(
    server: RedisServer, logged: list[Any]
) -> None:
    async def story(store: RedisStore) -> None:
        await written(store, 1, b"one")
        server.client().config_set("maxmemory", "1")
        for number in range(5):
            await written(store, 10 + number, b"more")
        assert await store.get(key(1)) == b"one"
        assert await store.get(key(10)) is None
        assert events(logged) == ["available", "refused"]

    told(server.url, story)


def test_a_redis_that_lets_us_not_in_is_as_good_as_none_and_the_password_stays_unsaid(logged: list[Any]) -> None:
    with redis_server("--requirepass", "right") as server:

        async def story(store: RedisStore) -> None:
            await until(lambda: "unavailable" in events(logged))
            assert await store.get(key(1)) is None

        told(server.url.replace("127", ":wrong@127"), story, waiting=False)
        assert "wrong" not in str(logged)

        async def allowed(store: RedisStore) -> None:
            await written(store, 1, b"one")
            assert await store.get(key(1)) == b"one"

        told(server.url.replace("127", ":right@127"), allowed)


def test_what_waits_to_be_written_is_bounded(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.caching.redis.MAX_UNWRITTEN_BYTES", 100)

    async def story(store: RedisStore) -> None:
        assert store.put(key(1), b"x" * 80, 60.0)
        assert not store.put(key(2), b"x" * 80, 60.0)
        await until(store._tasks["write"].done)
        assert store.put(key(2), b"x" * 80, 60.0)

    told(server.url, story)


def test_who_waits_to_be_answered_is_bounded(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.caching.redis.MAX_READS", 3)

    async def story(store: RedisStore) -> None:
        outcomes = await asyncio.gather(*(store.get(key(n)) for n in range(5)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None)] * 3 + [RemoteFailed] * 2

    told(server.url, story)


def test_what_was_put_is_written_before_the_store_is_left(server: RedisServer) -> None:
    async def story(store: RedisStore) -> None:
        for number in range(100):
            assert store.put(key(number), b"value", 60.0)

    told(server.url, story)
    with server.client() as client:
        assert client.dbsize() == 100


def test_without_the_library_the_start_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(OperatorError, match="library for Redis is not installed") as caught:
        RedisStore("redis://127.0.0.1", budget_s=1.0, max_value_bytes=LARGEST)
    assert caught.value.hint == "pip install 'foretell[redis]'"


def test_a_store_that_was_closed_does_nothing_more(server: RedisServer) -> None:
    async def story() -> None:
        async with opened(server.url) as store:
            pass
        assert await store.get(key(1)) is None
        assert not store.put(key(1), b"", 1.0)

    run(story())


# -- the ChatGPT test of 2023: callers that leave, and the replies meant for them --------------------------------------


def storm(server: RedisServer, gets: int, seed: int) -> int:
    """Concurrent gets of unique values, many cancelled at a random moment; how many got the value of another."""
    keys = 500
    chance = random.Random(seed)

    async def story() -> int:
        wrong = 0
        async with opened(server.url) as store:
            for number in range(keys):
                store.put(key(number), b"value %d" % number, 600.0)
            await until(store._tasks["write"].done)

            async def ask(number: int) -> None:
                nonlocal wrong
                wrong += await store.get(key(number)) != b"value %d" % number

            for _ in range(gets // 200):
                asked = [asyncio.ensure_future(ask(chance.randrange(keys))) for _ in range(200)]
                for _ in range(chance.randrange(6)):
                    await asyncio.sleep(chance.choice([0, 0, 0.0005]))
                    for leaver in chance.sample(asked, 20):
                        leaver.cancel()
                outcomes = await asyncio.gather(*asked, return_exceptions=True)
                assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}
        return wrong

    return int(run(story()))


@pytest.mark.parametrize("gets", [10_000, pytest.param(200_000, marks=pytest.mark.torture)])
def test_callers_that_leave_take_nobodys_answer_with_them(server: RedisServer, gets: int, report: Report) -> None:
    mixed_up = storm(server, gets, seed=gets)
    report("Gets from Redis, many cancelled at a random moment", bar="0 mixed up", gets=gets, mixed_up=mixed_up)
    assert mixed_up == 0
