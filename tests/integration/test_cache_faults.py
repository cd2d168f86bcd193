"""No value that others changed in Redis is served. `tests/e2e/test_cache_redis_faults.py` has what else befalls it."""

from __future__ import annotations

import asyncio
import random
import time

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
from tests.redis_server import redis_server
from tests.report import Report
from tests.serving import Sum, light_servable, run

CALLERS = 8
REQUESTS = 300
WANTED = 10_000
ENTRY = 1 << 16


def test_ten_thousand_values_that_were_tampered_with_and_none_is_served(report: Report) -> None:
    spoiled = wrong = rejected = 0

    async def story(url: str) -> None:
        nonlocal spoiled, wrong, rejected
        store = RedisStore(url, budget_s=5.0, max_value_bytes=ENTRY + OVERHEAD_BYTES)
        caches = Caches(  # Redis and hardly anything else
            CachePolicy("all"), max_bytes=2048, max_entry_bytes=ENTRY, secret="a secret of the tests", remote=store
        )
        servable = light_servable(Sum(), Settings(), DirectExecutor, caches.cache)
        holder = CatalogHolder(Catalog.of([Entry(servable.ref, State.READY, None, servable)], "sum"))
        service = InferenceService(holder, Settings().limits.body)

        async def call(chance: random.Random) -> None:
            nonlocal wrong
            for _ in range(REQUESTS // CALLERS):
                x = chance.randrange(REQUESTS)
                asked = Ask("sum", None, b'{"features": [%d.0, 0.5]}' % x, json_codec, False, time.monotonic() + 30)
                found = await service.predict(asked)
                wrong += found.outputs.listed.predictions != [x * 10 + 0.5]

        chance = random.Random(1)
        await caches.open()
        while spoiled < WANTED:  # bounded by the test's own time limit
            await asyncio.gather(*(call(random.Random(chance.random())) for _ in range(CALLERS)))
            await asyncio.sleep(0)
            spoiled += await asyncio.to_thread(server.poison, chance)
        assert servable.cache is not None
        rejected = servable.cache.to_document()["rejected"]
        await caches.close()
        servable.retire()
        await servable.closed()

    with redis_server() as server:
        run(story(server.url))
    report("Values that were tampered with in Redis", bar="0 served", spoiled=spoiled, rejected=rejected, served=wrong)
    assert wrong == 0
    assert rejected > WANTED / 10, "few of them were read at all"
