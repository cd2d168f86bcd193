"""The limiter: spends from purses, and has them filled by counters that all workers share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from foretell.core.access.principal import Principal
from foretell.core.access.rates import Rate
from foretell.security.limits.buckets import Bucket, Policy
from foretell.security.limits.counters import Amount, Counters, Granted, Refused
from foretell.security.limits.file import HostCounters
from foretell.security.limits.local import LocalCounters
from foretell.security.limits.purse import Purse
from foretell.security.limits.refusal import never, rate_limited

MAX_PURSES = 16_384


class SharedLimiter:
    """A ``Limiter``. All methods are called from the event loop's thread.

    ``counters`` count, ``ahead`` where they are far away; ``host`` counts wrong credentials, of which each address may
    present as many as ``failures`` say.
    """

    def __init__(
        self,
        policy: Policy,
        counters: Counters,
        host: LocalCounters | HostCounters,
        failures: Sequence[Rate] = (),
        *,
        ahead: bool = False,
    ) -> None:
        self._policy = policy
        self._counters = counters
        self._host = host
        self._failures = failures
        self._ahead = ahead
        self._models = frozenset(policy.model)
        self._all_free = not (policy.key or policy.tenant)
        self._purses: dict[tuple[int, str, str | None], Purse] = {}
        self._active: list[Purse] = []
        self._timer: asyncio.TimerHandle | None = None
        self._asking: set[asyncio.Task[None]] = set()

    def spend(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> bool:
        """See ``Limiter``."""
        stranger = principal.kind == "anonymous"
        if model not in self._models:
            # mostly nothing is limited, which shall cost next to nothing
            if not principal.rates and self._all_free and not (stranger and address):
                return True
            model = None
        purse = self._purses.get((id(principal), address if stranger else "", model))
        if purse is None:
            purse = self._purse(principal, address if stranger else "", model)
        if purse.requests > purse.low and purse.spend(requests, rows):
            return True
        return self._spend_more(purse, requests, rows)

    async def charge(self, principal: Principal, address: str, model: str | None, requests: int, rows: int) -> None:
        """See ``Limiter``."""
        model = model if model in self._models else None
        stranger = principal.kind == "anonymous"
        purse = self._purse(principal, address if stranger else "", model)
        asked = Amount(requests, rows)
        for bucket in purse.buckets:
            if asked[bucket.unit] > bucket.rate.count:
                raise never(bucket, asked[bucket.unit])
        while not purse.spend(requests, rows):
            refused = purse.refusal(requests, rows)
            if refused is not None:
                raise rate_limited(refused)
            need, want = purse.short(requests, rows)
            found = await self._counters.ask(purse.buckets, need, need if purse.asking else want)
            if isinstance(found, Refused):
                if self._ahead:  # whoever asks in a flood does not have far counters asked each time
                    purse.refused = asked, found
                    self._activate(purse)
                raise rate_limited(found)
            self._fill(purse, found)  # while it was awaited others may have spent from the purse: then it asks again

    async def suspect(self, address: str) -> None:
        """See ``Limiter``. Nobody guesses from this machine."""
        for bucket in self._failures_of(address):
            found = self._host.full(bucket)
            if found is not None:
                raise rate_limited(found)

    def failed(self, address: str) -> None:
        """See ``Limiter``."""
        for bucket in self._failures_of(address):
            self._host.count(bucket)

    async def close(self) -> None:
        """Gives back everything that was not spent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in list(self._asking):
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        for purse in self._active:
            amount, mark = purse.empty()
            if any(amount):
                self._counters.give(purse.buckets, amount, mark)
        self._active = []

    # -- purses --

    def _purse(self, principal: Principal, address: str, model: str | None) -> Purse:
        key = id(principal), address, model
        purse = self._purses.get(key)
        if purse is None:
            if len(self._purses) >= MAX_PURSES:
                self._purses = {key: purse for key, purse in self._purses.items() if purse.active}
            # it holds the principal, so that no other one gets its id meanwhile
            purse = Purse(principal, self._policy.buckets(principal, address, model))
            self._purses[key] = purse
        return purse

    def _spend_more(self, purse: Purse, requests: int, rows: int) -> bool:
        """Spends what takes counting, or leaves the purse with little in it."""
        if purse.spend(requests, rows):
            self._order(purse)
            return True
        if purse.refusal(requests, rows) is not None:
            return False
        need, want = purse.short(requests, rows)
        found = self._counters.take(purse.buckets, need, want)
        if not isinstance(found, Granted):
            return False
        self._fill(purse, found)
        return purse.spend(requests, rows)

    def _fill(self, purse: Purse, granted: Granted) -> None:
        rest = purse.fill(granted)
        self._activate(purse)
        if rest is not None:
            self._counters.give(purse.buckets, *rest)

    def _activate(self, purse: Purse) -> None:
        if not purse.active:
            purse.active = True
            self._active.append(purse)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._counters.held_s / 2, self._settle)

    def _settle(self) -> None:
        """Ends an interval of every purse that is in use. A fault with one of them holds up no other, nor the next."""
        active, self._active, self._timer = self._active, [], None
        faults: list[Exception] = []
        for purse in active:
            try:
                self._settle_one(purse)
            except Exception as fault:
                faults.append(fault)
        if self._active:
            self._timer = asyncio.get_running_loop().call_later(self._counters.held_s / 2, self._settle)
        if faults:
            raise ExceptionGroup("what was left of limits could not be given back", faults)

    def _settle_one(self, purse: Purse) -> None:
        stale = purse.settle()
        if purse.active:
            self._active.append(purse)
            if self._ahead and any(purse.usual):
                purse.low = purse.usual.requests // 2
                self._order(purse)
        if stale is not None:
            self._counters.give(purse.buckets, *stale)

    # -- counters that are far away are asked ahead, so that nobody waits for them --

    def _order(self, purse: Purse) -> None:
        if not self._ahead or purse.asking or purse.refused is not None:
            return
        purse.asking = True
        task = asyncio.get_running_loop().create_task(self._fetch(purse), name="limits ahead")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _fetch(self, purse: Purse) -> None:
        """Fills a purse up to what was usual."""
        try:
            more = purse.missing()
            if any(more):
                found = await self._counters.ask(purse.buckets, Amount(), more)
                if isinstance(found, Granted):
                    self._fill(purse, found)
        finally:
            purse.asking = False

    # -- wrong credentials --

    def _failures_of(self, address: str) -> list[Bucket]:
        if not address:
            return []
        return [Bucket("failures", address, rate) for rate in self._failures]
