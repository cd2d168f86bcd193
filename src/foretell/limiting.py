"""Settings -> the limiter of a process, and what it counts with."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from foretell.security.limits.buckets import Policy
from foretell.security.limits.counters import Counters
from foretell.security.limits.file import HostCounters
from foretell.security.limits.limiter import SharedLimiter
from foretell.security.limits.redis import RedisCounters
from foretell.settings import Settings
from foretell.settings_rates import parsed

SYNC_S = 30.0


@asynccontextmanager
async def open_limiter(settings: Settings) -> AsyncIterator[SharedLimiter]:
    """The limiter, while the block lasts. A Redis that is not there keeps nobody waiting. Raises OperatorError."""
    rates = settings.rates
    policy = Policy(
        key=parsed(rates.per_key),
        tenant=parsed(rates.per_tenant),
        model={name: parsed(texts) for name, texts in rates.per_model.items()},
        address=parsed(rates.anonymous),
    )
    host = HostCounters(settings.state.place, settings.workers)
    far = None if rates.redis_url is None else _open_redis(settings, rates.redis_url, host)
    counters: Counters = host if far is None else far
    limiter = SharedLimiter(policy, counters, host, parsed(rates.failures), ahead=far is not None)
    if far is not None:
        await far.open()
    syncing = asyncio.create_task(_sync(host), name="limits sync")
    try:
        yield limiter
    finally:
        syncing.cancel()
        await limiter.close()
        if far is not None:
            await far.close()
        await asyncio.to_thread(host.sync)
        host.close()


def _open_redis(settings: Settings, url: str, host: HostCounters) -> RedisCounters:
    local, file = host.counters, host.file

    def note_hosts(count: int) -> None:
        if file is not None:
            file.hosts = count

    return RedisCounters(
        url,
        local,
        host=socket.gethostname() if file is None else file.id,
        workers=settings.workers,
        budget_s=settings.rates.redis_timeout_ms / 1e3,
        hosts=1 if file is None else file.hosts,
        note_hosts=note_hosts,
    )


async def _sync(host: HostCounters) -> None:
    """Puts quotas onto the disk now and then: what was used since is all that a power cut can lose."""
    while True:
        await asyncio.sleep(SYNC_S)
        await asyncio.to_thread(host.sync)
