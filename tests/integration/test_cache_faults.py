"""Predictions go on, right and in time, while Redis is killed, hangs, comes back empty, is away at the start, lies."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from foretell.caching.caches import Caches
from foretell.caching.policy import CachePolicy
from foretell.caching.redis import RedisStore
from foretell.caching.seal import OVERHEAD_BYTES
from foretell.codecs.json import codec as json_codec
from foretell.execution.direct import DirectExecutor
from foretell.inference.service import Ask, InferenceService
from foretell.lifecycle.catalog import Catalog, CatalogHolder, Entry
from foretell.lifecycle.states import State
from foretell.settings import Settings
from tests.redis_server import RedisServer, redis_server
from tests.report import Report
from tests.serving import Sum, light_servable, run

CALLERS = 8
ENTRY = 1 << 16


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


@dataclass
class Tally:
    """What a phase of load came to. ``late_s`` are durations of requests that began after its first second."""

    asked: int = 0
    wrong: int = 0
    failed: list[str] = field(default_factory=list)
    hits: int = 0
    late_s: list[float] = field(default_factory=list)

    @property
    def p99_ms(self) -> float:
        return float(np.percentile(self.late_s, 99)) * 1e3


class Plane:
    """The service around one model whose cache is Redis and hardly anything else."""

    def __init__(self, store: RedisStore | None) -> None:
        memory = Caches(
            CachePolicy("all"), max_bytes=2048, max_entry_bytes=ENTRY, secret="a secret of the tests", remote=store
        )
        self.store = store
        self.servable = light_servable(Sum(), Settings(), DirectExecutor, memory.cache)
        holder = CatalogHolder(Catalog.of([Entry(self.servable.ref, State.READY, None, self.servable)], "sum"))
        self.service = InferenceService(holder, Settings().limits.body)

    @property
    def counts(self) -> dict[str, Any]:
        assert self.servable.cache is not None
        return dict(self.servable.cache.to_document())

    async def load(self, *, requests: int = 0, seconds: float = 0.0) -> Tally:
        """Callers one after another, until as many requests were made or so much time has passed."""
        tally, began_s = Tally(), time.perf_counter()

        async def call(seed: int) -> None:
            chance = random.Random(seed)
            while tally.asked < requests or time.perf_counter() - began_s < seconds:
                tally.asked += 1
                await self._ask(chance.randrange(300), tally, began_s)

        await asyncio.gather(*map(call, range(CALLERS)))
        return tally

    async def _ask(self, x: int, tally: Tally, began_s: float) -> None:
        body = b'{"features": [%d.0, 0.5]}' % x
        at_s = time.perf_counter()
        try:
            found = await self.service.predict(Ask("sum", None, body, json_codec, False, time.monotonic() + 30))
        except Exception as error:
            tally.failed.append(repr(error))
            return
        tally.wrong += found.outputs.listed.predictions != [x * 10 + 0.5]
        tally.hits += found.cache == "hit"
        if at_s - began_s > 1.0:
            tally.late_s.append(time.perf_counter() - at_s)
        await asyncio.sleep(0)


@asynccontextmanager
async def plane(url: str | None) -> AsyncIterator[Plane]:
    store = None
    if url is not None:
        store = RedisStore(url, budget_s=0.02, max_value_bytes=ENTRY + OVERHEAD_BYTES, retry_s=0.2)
        await store.open()
    made = Plane(store)
    try:
        yield made
    finally:
        if store is not None:
            await store.close()
        made.servable.retire()
        await made.servable.closed()


async def available(made: Plane, wanted: bool = True) -> None:
    assert made.store is not None
    while made.store.available is not wanted:  # bounded by the test's own time limit
        await made.load(requests=1)
        await asyncio.sleep(0.005)


def poison(server: RedisServer, seed: int) -> int:
    """Spoils every value there is, each in one of many ways. How many there were."""
    chance, client = random.Random(seed), server.client()
    names = list(client.scan_iter("foretell:*", count=1000))
    values = [client.get(name) if client.type(name) == b"string" else b"x" for name in names]
    for name, value in zip(names, values, strict=True):
        flipped = bytearray(value or b"x")
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        way = chance.randrange(6)
        if way == 5:
            client.delete(name)
            client.lpush(name, b"no text at all")
        else:
            other = chance.choice(values)
            client.set(
                name, [bytes(flipped), value[:-3], other[: len(value)], chance.randbytes(200), b"x" * 10**6][way]
            )
    client.close()
    return len(names)


def test_every_state_of_redis_is_good_enough(server: RedisServer, report: Report) -> None:
    tallies: list[Tally] = []

    async def story() -> None:
        async with plane(server.url) as made:
            tallies.append(await made.load(requests=500))  # while it connects
            await available(made)
            tallies.append(await made.load(requests=2000))
            assert tallies[-1].hits > 500, "Redis was of no use"
            server.hang()
            tallies.append(await made.load(requests=500))
            await available(made, False)
            tallies.append(await made.load(requests=500))
            server.wake()
            await available(made)
            server.kill()
            tallies.append(await made.load(requests=500))
            await asyncio.to_thread(server.start)
            await available(made)
            tallies.append(await made.load(requests=1000))
            for seed in range(5):
                assert await asyncio.to_thread(poison, server, seed) > 50
                tallies.append(await made.load(requests=600))
            assert made.counts["rejected"] > 100

    run(story())
    failed, wrong = sum((tally.failed for tally in tallies), list[str]()), sum(tally.wrong for tally in tallies)
    report(
        "Predictions while Redis connects, hangs, is killed, comes back empty, lies",
        bar="0 failed, 0 wrong",
        requests=sum(tally.asked for tally in tallies),
        failed=len(failed),
        wrong=wrong,
    )
    assert (failed, wrong) == ([], 0)


def test_ten_thousand_values_that_were_tampered_with_and_none_is_served(server: RedisServer, report: Report) -> None:
    async def story() -> int:
        spoiled = 0
        async with plane(server.url) as made:
            await available(made)
            await made.load(requests=3000)
            while spoiled < 10_000:
                spoiled += await asyncio.to_thread(poison, server, spoiled)
                tally = await made.load(requests=300)
                assert (tally.wrong, tally.failed) == (0, [])
        return spoiled

    spoiled = int(run(story()))
    report("Values that were tampered with in Redis", bar="0 served", spoiled=spoiled, served=0)


def restart(server: RedisServer) -> None:
    server.kill()
    server.start()


STATES: dict[str, Callable[[RedisServer], Any]] = {
    "killed": RedisServer.kill,
    "hung": RedisServer.hang,
    "restarted empty": restart,
    "poisoned": lambda server: poison(server, 1),
}


@pytest.mark.torture
@pytest.mark.parametrize("state", STATES)
def test_in_no_state_do_predictions_fail_or_take_ten_milliseconds_more(
    server: RedisServer, state: str, report: Report
) -> None:
    async def story() -> None:
        async with plane(None) as without:
            baseline = await without.load(seconds=10)
        async with plane(server.url) as made:
            await available(made)
            await made.load(seconds=5)
            await asyncio.to_thread(STATES[state], server)
            tally = await made.load(seconds=60)
        report(
            f"Predictions for 60 s while Redis is {state}",
            bar="0 failed, 0 wrong, p99 ≤ 10 ms more after the first second",
            requests=tally.asked,
            failed=len(tally.failed),
            wrong=tally.wrong,
            p99_without_redis_ms=baseline.p99_ms,
            p99_ms=tally.p99_ms,
        )
        assert (tally.wrong, tally.failed) == (0, [])
        assert tally.p99_ms <= baseline.p99_ms + 10.0

    run(story())
