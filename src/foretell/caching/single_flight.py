"""Equal questions at the same time share one computation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from foretell.errors import DeadlineExceeded, Unavailable

T = TypeVar("T")

LEEWAY_S = 0.1
"""With so little more time than whoever began, a caller shares that one's fate: a full queue is asked once for all."""


class SingleFlight(Generic[T]):
    """Computations under way, by key. All methods are called from the event loop's thread.

    A computation is a task of its own and belongs to nobody: whoever leaves, the one who began it included, leaves the
    others as they are. Where the last one has left it is cancelled. What it raises is raised for everyone who waits at
    that moment, and is forgotten.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def share(self, key: Hashable, deadline_s: float, compute: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """What the computation under ``key`` gives, and whether this call began it.

        Raises what it raises, and DeadlineExceeded past ``deadline_s`` (``time.monotonic``). Where a computation that
        another began, who had clearly less time, was refused or given up for that, this one begins anew.
        """
        while True:
            flight = self._flights.get(key)
            began = flight is None
            if flight is None:
                flight = self._flights[key] = _Flight(compute, deadline_s)
                flight.task.add_done_callback(lambda _, flight=flight: self._land(key, flight))  # type: ignore[misc]
            try:
                return await self._wait(key, flight, deadline_s), began
            except (DeadlineExceeded, Unavailable):
                if deadline_s - flight.deadline_s < LEEWAY_S or time.monotonic() >= deadline_s:
                    raise

    async def _wait(self, key: Hashable, flight: _Flight[T], deadline_s: float) -> T:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[T] = loop.create_future()
        flight.waiters.add(waiter)
        timer = loop.call_later(max(0.0, deadline_s - time.monotonic()), _expire, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            flight.waiters.discard(waiter)
            if not flight.waiters and not flight.task.done():
                self._forget(key, flight)  # at once: nobody may board what is cancelled
                flight.task.cancel()

    def _land(self, key: Hashable, flight: _Flight[T]) -> None:
        self._forget(key, flight)
        waiters = [waiter for waiter in flight.waiters if not waiter.done()]
        if flight.task.cancelled():
            for waiter in waiters:
                waiter.cancel()
            return
        error = flight.task.exception()
        for waiter in waiters:
            if error is None:
                waiter.set_result(flight.task.result())
            else:
                waiter.set_exception(error)

    def _forget(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


class _Flight(Generic[T]):
    """One computation and those who wait for it."""

    __slots__ = ("deadline_s", "task", "waiters")

    def __init__(self, compute: Callable[[], Awaitable[T]], deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.waiters: set[asyncio.Future[T]] = set()
        self.task: asyncio.Task[T] = asyncio.get_running_loop().create_task(_awaited(compute))


async def _awaited(compute: Callable[[], Awaitable[T]]) -> T:
    return await compute()


def _expire(waiter: asyncio.Future[T]) -> None:
    if not waiter.done():
        waiter.set_exception(DeadlineExceeded("The time allowed for this request passed before the model answered."))
