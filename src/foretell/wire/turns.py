"""Work that is due for many at the same moment, done a little in each turn of the loop.

Thousands of connections that came together are due together: to end them all in one turn would hold up everybody else
for as long as that takes. What comes to be due while others are at it waits its turn behind them.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count

SLICE_S = 0.00005
"""How long one turn of the loop may go on with what is due. A piece of work that was begun is ended."""
GRAIN_S = 0.001
"""What is due within so long is due now: loops keep time in milliseconds."""


class Turn:
    """Something to be done at its time, unless it is called off before."""

    __slots__ = ("_work",)

    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work

    def cancel(self) -> None:
        """Calls it off. To do so twice, or afterwards, is as good as once."""
        self._work = None

    def take(self) -> Callable[[], None] | None:
        """The work, once; None where it was called off."""
        work, self._work = self._work, None
        return work


class Turns:
    """What is due when, for one event loop: that of whoever calls first."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due: list[tuple[float, int, Turn]] = []
        self._numbers = count()
        self._timer: asyncio.Handle | None = None
        self._wakes_s = self._until_s = self._spared_s = 0.0

    def later(self, seconds: float, work: Callable[[], None]) -> Turn:
        """Has the work done in ``seconds``, or as soon after that as its turn comes: by time, then in order."""
        due_s = time.perf_counter() + seconds
        turn = Turn(work)
        heapq.heappush(self._due, (due_s, next(self._numbers), turn))
        if self._timer is None or due_s < self._wakes_s:
            self._wake(due_s)
        return turn

    def spare(self) -> bool:
        """Whether there is time at once for something that others may want as well: not while work waits for its turn,
        nor twice within a slice."""
        now_s = time.perf_counter()
        if now_s < self._spared_s + SLICE_S or (self._due and self._due[0][0] <= now_s):
            return False
        self._spared_s = now_s
        return True

    async def mine(self) -> None:
        """Waits for a turn: no two of those who wait go on in the same turn of the loop."""
        ready = asyncio.get_running_loop().create_future()

        def go_on() -> None:
            if not ready.done():
                ready.set_result(None)
                self._until_s = 0.0  # the rest of this turn is for what goes on

        self.later(0.0, go_on)
        await ready

    def _wake(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop = loop = self._loop or asyncio.get_running_loop()
        self._wakes_s = due_s
        seconds = due_s - time.perf_counter()
        if seconds > GRAIN_S:
            self._timer = loop.call_later(seconds, self._go_on)
        else:
            self._timer = loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        due, now_s = self._due, time.perf_counter()
        self._until_s = now_s + SLICE_S
        try:
            while due and due[0][0] - GRAIN_S <= now_s < self._until_s:
                work = heapq.heappop(due)[2].take()
                if work is not None:
                    work()
                    now_s = time.perf_counter()
        finally:  # what fails is the loop's to tell of, and nobody loses a turn over it
            self._timer = None
            if due:
                self._wake(due[0][0])
