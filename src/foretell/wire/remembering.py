"""The door and the requests of a version whose answers are remembered.

What this process remembers is answered at once, while the request is still being read; for anything else the request
waits as a task, for an equal one, for the shared store or for the model. Which of these it is, the cache decides, for
the lane and for the ordinary way alike.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from foretell.caching.base import AnswerCache, Answered
from foretell.core.access.principal import Principal
from foretell.core.values import Row
from foretell.execution.base import Run
from foretell.inference.calls import NO_RUN, remembered
from foretell.lifecycle.servable import Servable
from foretell.wire.cycle import LaneCycle
from foretell.wire.door import Door, Told
from foretell.wire.writer import SingleWriter

if TYPE_CHECKING:
    from foretell.wire.lane import Lane
    from foretell.wire.protocol import LaneProtocol

_HIT = b"x-cache: hit\r\n"
_MISS = b"x-cache: miss\r\n"
Answer = tuple[bytes, bytes, bytes]
"""The request id, the body, and the header line that says whether it was remembered."""


class RememberingCycle(LaneCycle):
    """One request to a ``RememberingDoor``."""

    __slots__ = ("_task",)
    door: RememberingDoor

    def __init__(
        self, protocol: LaneProtocol, door: RememberingDoor, request_id: str | None, principal: Principal
    ) -> None:
        super().__init__(protocol, door, request_id, principal)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> bool:
        """Answers the row, or goes on in a task; False where the request must go the ordinary way."""
        self._release()  # the timer of the body
        door = self.door
        try:
            if self.protocol.transport.is_closing() or not self.pay():
                return False
            row = door.decode(self.body)
            if row is None:
                return False
            told = door.recall(self, row)
            if told is not None:
                self.protocol.answer(self, *told)
                return True
            if not self.deadline_s:
                self.deadline_s = time.monotonic() + door.timeout_s
            door.servable.acquire()
            self.leased = True
            self._task = self.protocol.loop.create_task(self._wait(row))
        except Exception:
            self._release()  # as in LaneCycle: whatever it is, the ordinary way meets it again
            return self.response_complete
        return True

    async def _wait(self, row: Row) -> None:
        try:
            answered = await self.door.answered(self, row)
            self._task = None
            self._release()
            told = self.door.tell(self, answered)
            if told is not None:
                self.protocol.answer(self, *told)
        except Exception as error:
            self._task = None
            self.fail(error)
        else:
            if told is None:
                self.protocol.fall_back(self)

    def _release(self) -> None:
        """As in LaneCycle; a caller that leaves stops waiting, and what others wait for goes on."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        super()._release()


class RememberingDoor(Door):
    """One path, and a version with a cache."""

    cycle = RememberingCycle
    __slots__ = ("_cache", "_hits", "_recalled")

    def __init__(self, servable: Servable, route: str, lane: Lane, cache: AnswerCache) -> None:
        super().__init__(servable, route, lane)
        self._cache = cache
        self._hits = SingleWriter(servable.ref, servable.signature.output)
        self._recalled: list[Told] | None = None

    def recall(self, cycle: RememberingCycle, row: Row) -> Answer | None:
        """The answer, where this process remembers it."""
        head = self._cache.recalled(row, self._hits.head, cycle.principal.tenant)
        return None if head is None else self._tell_hit(cycle, head)

    async def answered(self, cycle: RememberingCycle, row: Row) -> Answered[Run]:
        """The answer by any other way; raises whatever the ordinary way explains."""
        return await remembered(
            self._cache,
            self.servable.executor,
            [row],
            1,
            deadline_s=cycle.deadline_s,
            max_queue_s=self.max_queue_s,
            tenant=cycle.principal.tenant,
        )

    def tell(self, cycle: RememberingCycle, answered: Answered[Run]) -> Answer | None:
        """What ``answered`` gave; None where it cannot be written."""
        head = self._hits.head(answered.outputs)
        if head is None:
            return None
        run = answered.ran
        if run is None:
            return self._tell_hit(cycle, head)
        self._writer.stamp(run)
        request_id, prediction_id, duration_ms = self._named(cycle)
        cycle.protocol.loop.call_soon(self._report, run, [(request_id, duration_ms, cycle.principal)])
        return request_id.encode(), self._writer.whole(head, prediction_id.encode()), _MISS

    def _tell_hit(self, cycle: RememberingCycle, head: bytes) -> Answer:
        recalled = self._recalled
        if recalled is None:  # the first one of this turn of the loop; the others are told of with it
            self._hits.stamp(NO_RUN)
            recalled = self._recalled = []
            cycle.protocol.loop.call_soon(self._report_hits)
        request_id, prediction_id, duration_ms = self._named(cycle)
        recalled.append((request_id, duration_ms, cycle.principal))
        return request_id.encode(), self._hits.whole(head, prediction_id.encode()), _HIT

    def _named(self, cycle: RememberingCycle) -> tuple[str, str, float]:
        prediction_id = self.ids.next()
        return cycle.request_id or prediction_id, prediction_id, (time.perf_counter() - cycle.started_s) * 1e3

    def _report_hits(self) -> None:
        recalled, self._recalled = self._recalled, None
        self._report(None, recalled or [])
