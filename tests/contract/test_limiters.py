"""What a limiter promises, over the counter file and over a real Redis. Time is real: the periods are short."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from foretell.core.access.principal import Principal
from foretell.core.access.rates import Rate
from foretell.errors import RateLimited
from foretell.security.base import Limiter
from foretell.security.limits.buckets import Policy
from foretell.security.limits.file import CounterFile
from foretell.security.limits.limiter import SharedLimiter
from foretell.security.limits.redis import RedisCounters
from foretell.security.unlimited import Unlimited
from tests.redis_server import RedisServer, redis_server

FAILURES = (Rate.parse("10/m"),)
WORKERS = 3
Opened = list[SharedLimiter]


def key(*rates: str, name: str = "key:x", tenant: str = "") -> Principal:
    return Principal(name, "key", tenant, frozenset({"predict"}), None, tuple(map(Rate.parse, rates)))


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as found:
        yield found


@pytest.fixture(params=["file", "redis"])
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Tells a story with the limiters of that many workers."""
    url = request.getfixturevalue("redis").url if request.param == "redis" else None

    def tell(story: Callable[[Opened], Awaitable[None]], policy: Policy | None = None) -> None:
        async def open_and_tell() -> None:
            async with opened(tmp_path, url, policy or Policy()) as limiters:
                await story(limiters)

        asyncio.run(open_and_tell())

    return tell


@asynccontextmanager
async def opened(folder: Path, url: str | None, policy: Policy) -> AsyncIterator[Opened]:
    files = [CounterFile(folder, WORKERS) for _ in range(WORKERS)]
    far: list[RedisCounters] = []
    if url is not None:
        far = [RedisCounters(url, file.counters, host=file.id, workers=WORKERS, budget_s=5.0) for file in files]
        for counters in far:
            await counters.open()
            assert counters.available
    counters_of: list[Any] = list(far) if far else [file.counters for file in files]
    limiters = [
        SharedLimiter(policy, counters, file.counters, FAILURES, ahead=bool(far))
        for counters, file in zip(counters_of, files, strict=True)
    ]
    try:
        yield limiters
    finally:
        for limiter in limiters:
            await limiter.close()
        for counters in far:
            await counters.close()
        for file in files:
            file.close()


async def admitted(limiter: Limiter, caller: Principal, tries: int, rows: int = 1) -> int:
    """How many of so many requests get through, as lane and ordinary way ask; the loop turns in between."""
    count = 0
    for number in range(tries):
        try:
            if not limiter.spend(caller, "", "m", 1, rows):
                await limiter.charge(caller, "", "m", 1, rows)
            count += 1
        except RateLimited:
            pass
        if number % 7 == 0:
            await asyncio.sleep(0)
    return count


def unique(request: pytest.FixtureRequest) -> str:
    return f"key:{request.node.name}"


def test_workers_that_ask_at_the_same_time_never_get_more_than_the_limit(
    told: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    async def story(limiters: Opened) -> None:
        callers = [key("200/h", name=unique(request)) for _ in limiters]
        counts = await asyncio.gather(
            *(admitted(limiter, caller, 300) for limiter, caller in zip(limiters, callers, strict=True))
        )
        await asyncio.sleep(0.15)  # what was held by those who did not need it is there for others
        rest = await admitted(limiters[0], callers[0], 200)
        assert sum(counts) + rest == 200

    told(story)


def test_in_no_period_is_more_let_through_than_the_limit(
    told: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    async def story(limiters: Opened) -> None:
        let_through: list[float] = []

        async def flood(limiter: SharedLimiter) -> None:
            caller = key("50/s", name=unique(request))
            until_s = time.monotonic() + 2.5
            while time.monotonic() < until_s:
                if limiter.spend(caller, "", "m", 1, 1):
                    let_through.append(time.monotonic())
                else:
                    try:
                        await limiter.charge(caller, "", "m", 1, 1)
                        let_through.append(time.monotonic())
                    except RateLimited:
                        await asyncio.sleep(0.001)

        await asyncio.gather(*map(flood, limiters))
        let_through.sort()
        # 4 ms for the clocks: a request is let through a moment after, or before, it is counted
        assert all(let_through[i + 50] - let_through[i] > 0.996 for i in range(len(let_through) - 50))
        assert len(let_through) >= 100

    told(story)


def test_a_limit_is_free_again_when_it_said(told: Callable[..., None], request: pytest.FixtureRequest) -> None:
    async def story(limiters: Opened) -> None:
        caller = key("5/s", name=unique(request))
        assert await admitted(limiters[0], caller, 20) == 5
        with pytest.raises(RateLimited) as caught:
            await limiters[1].charge(key("5/s", name=unique(request)), "", "m", 1, 0)
        assert 1 <= caught.value.reset_s <= 2
        assert (caught.value.limit, caught.value.remaining) == (5, 0)
        await asyncio.sleep(1.2)
        assert await admitted(limiters[2], caller, 20) == 5

    told(story)


def test_rows_and_requests_are_charged_together_or_not_at_all(
    told: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    async def story(limiters: Opened) -> None:
        caller = key("10/h", "100 rows/h", name=unique(request))
        await limiters[0].charge(caller, "", "m", 1, 60)
        for _ in range(5):
            with pytest.raises(RateLimited, match="100 rows per hour; 40 are left"):
                await limiters[0].charge(caller, "", "m", 1, 60)
        await limiters[0].charge(caller, "", "m", 1, 40)
        await asyncio.sleep(0.12)
        assert await admitted(limiters[1], key("10/h", name=unique(request)), 20) == 8

    told(story)


def test_the_tenants_limit_holds_over_all_its_keys(told: Callable[..., None], request: pytest.FixtureRequest) -> None:
    async def story(limiters: Opened) -> None:
        callers = [key(name=f"key:{number}", tenant=unique(request)) for number in range(3)]
        counts = [await admitted(limiter, caller, 30) for limiter, caller in zip(limiters, callers, strict=True)]
        other = await admitted(limiters[0], key(name="key:other", tenant="other" + unique(request)), 30)
        await asyncio.sleep(0.12)
        assert sum(counts) + await admitted(limiters[0], callers[2], 30) == 40
        assert other == 30

    told(story, Policy(tenant=(Rate(40, 3600),)))


def test_one_request_beyond_the_whole_limit_can_never_pass(
    told: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    async def story(limiters: Opened) -> None:
        with pytest.raises(RateLimited, match="can never pass"):
            await limiters[0].charge(key("10 rows/m", name=unique(request)), "", "m", 0, 11)

    told(story)


def test_guessing_is_counted_for_all_workers_of_a_host(told: Callable[..., None]) -> None:
    async def story(limiters: Opened) -> None:
        for number in range(12):
            limiters[number % WORKERS].failed("203.0.113.7")
        for limiter in limiters:
            with pytest.raises(RateLimited):
                await limiter.suspect("203.0.113.7")
            await limiter.suspect("203.0.113.8")

    told(story)


def test_unlimited_refuses_nobody() -> None:
    async def story() -> None:
        limiter = Unlimited()
        assert await admitted(limiter, key("1/h"), 50, 1000) == 50
        for _ in range(50):
            limiter.failed("203.0.113.7")
        await limiter.suspect("203.0.113.7")

    asyncio.run(story())
