"""A call whose owner awaits its answer: handed to the executor where it may wait, and asked of the cache before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from foretell.caching.base import AnswerCache, Answered
from foretell.core.values import Inputs, Outputs, Row
from foretell.errors import DeadlineExceeded
from foretell.execution.admission import refusal
from foretell.execution.base import Executor, Run

NO_RUN = Run(0, 0.0, 0.0)
"""What ran for an answer that was remembered."""


class Waiting:
    """Rows on their way to the model; see ``foretell.execution.base.Call``."""

    __slots__ = ("_future", "abandoned", "count", "deadline_s", "rows")

    def __init__(self, rows: Sequence[Row] | Inputs, count: int, deadline_s: float) -> None:
        self.rows = rows
        self.count = count
        self.deadline_s = deadline_s
        self.abandoned = False
        self._future: asyncio.Future[tuple[Outputs, Run]] = asyncio.get_running_loop().create_future()

    def complete(self, outputs: Outputs, start: int, run: Run) -> None:
        if not self._future.done():
            whole = start == 0 and outputs.count == self.count
            self._future.set_result((outputs if whole else outputs.part(start, start + self.count), run))

    def fail(self, error: Exception) -> None:
        if not self._future.done():
            self._future.set_exception(error)

    async def answer(self, deadline_s: float) -> tuple[Outputs, Run]:
        """The answer, or DeadlineExceeded. Whoever stops waiting, for whichever reason, abandons the call."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(max(0.0, deadline_s - time.monotonic()), self._expire)
        try:
            return await self.ended()
        finally:
            timer.cancel()

    async def ended(self) -> tuple[Outputs, Run]:
        """The answer, whenever it comes."""
        try:
            return await self._future
        except asyncio.CancelledError:
            self.abandoned = True
            raise

    def _expire(self) -> None:
        if not self._future.done():
            self.abandoned = True
            self._future.set_exception(
                DeadlineExceeded("The time allowed for this request passed before the model answered.")
            )


def submit(
    executor: Executor, rows: Sequence[Row] | Inputs, count: int, deadline_s: float, max_queue_s: float
) -> Waiting:
    """Hands rows to an executor. Raises where they would not be answered in time, or do not fit."""
    refused = refusal(executor.prospect(count), deadline_s - time.monotonic(), max_queue_s)
    if refused is not None:
        raise refused
    waiting = Waiting(rows, count, deadline_s)
    executor.submit(waiting)
    return waiting


async def remembered(
    cache: AnswerCache,
    executor: Executor,
    rows: Sequence[Row] | Inputs,
    count: int,
    *,
    deadline_s: float,
    max_queue_s: float,
    tenant: str,
) -> Answered[Run]:
    """The answer of a version's cache, or of its model through it. Raises what ``submit`` and the model raise.

    The one way to an answer of a version with a cache, for the lane and for the ordinary way.
    """

    async def compute() -> tuple[Outputs, Run]:
        # whoever waits watches its own clock: once it runs, a call goes on for those who have more time
        return await submit(executor, rows, count, deadline_s, max_queue_s).ended()

    return await cache.answer(rows, deadline_s, compute, tenant)
