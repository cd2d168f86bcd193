"""One lane request on its connection: to uvicorn a request-response cycle, to the executor a call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from foretell.core.access.principal import Principal
from foretell.core.values import Outputs, Row
from foretell.execution.admission import fits
from foretell.execution.base import Run
from foretell.security.gate import Admission

if TYPE_CHECKING:
    from foretell.wire.door import Door
    from foretell.wire.protocol import LaneProtocol


class Arrival(NamedTuple):
    """What a fallback keeps of a request: its id, when it came (``time.perf_counter``), and how it was let in.

    ``whole``: its body is here, so that whatever is answered, the connection can go on.
    """

    request_id: str
    started_s: float
    admission: Admission | None = None
    whole: bool = False


class LaneCycle:
    """Stands where uvicorn keeps the cycle of the request in flight, so that its pipelining, shutdown and disconnect
    rules hold for lane requests too: it reads and sets ``response_complete``, ``keep_alive``, ``disconnected`` and
    ``message_event``.
    """

    __slots__ = (
        "_timer",
        "abandoned",
        "address",
        "body",
        "deadline_s",
        "door",
        "headers",
        "keep_alive",
        "leased",
        "paid",
        "principal",
        "protocol",
        "request_id",
        "response_complete",
        "rows",
        "started_s",
        "url",
    )
    count = 1
    more_body = False
    """A body that is not whole yet is the protocol's."""
    last = False

    def __init__(self, protocol: LaneProtocol, door: Door, request_id: str | None, principal: Principal) -> None:
        self.protocol = protocol
        self.door = door
        self.request_id = request_id
        self.principal = principal
        self.paid = False
        self.started_s = protocol.arrived_s
        self.url = protocol.url
        self.address = protocol.address
        self.headers = protocol.headers
        self.body = b""
        self.rows: Sequence[Row] = []
        self.deadline_s = 0.0
        self.keep_alive = True
        self.response_complete = False
        self.abandoned = False
        self.leased = False
        self._timer: asyncio.TimerHandle | None = None

    # -- as uvicorn sees it --

    @property
    def disconnected(self) -> bool:
        return self.abandoned

    @disconnected.setter
    def disconnected(self, value: bool) -> None:
        if value and not self.abandoned:
            self.abandoned = True
            self._release()
            self.door.left(self)

    @property
    def message_event(self) -> LaneCycle:
        """What uvicorn wakes when something changes for the request; nobody sleeps on a lane cycle."""
        return self

    def set(self) -> None:
        """Part of ``message_event``."""

    # -- on the way to the model --

    def pay(self) -> bool:
        """Charges the caller; False where that cannot be done at once, and nothing was charged."""
        door = self.door
        self.paid = door.limiter.spend(self.principal, self.address, door.action.model, 1, 1)
        return self.paid

    @property
    def admission(self) -> Admission | None:
        """How the request was let in, for the ordinary way; None where nothing was charged yet."""
        if not self.paid:
            return None
        door = self.door
        return Admission(self.principal, self.address, door.action.model, door.limiter, rows_paid=1)

    def start(self) -> bool:
        """Reads the body and submits the row; False where the request must go the ordinary way."""
        now_s = time.monotonic()
        self.deadline_s = now_s + self.door.timeout_s
        servable = self.door.servable
        watched = servable.executor.mode != "direct"  # in the loop what waits is over in a few of its turns
        if watched:
            self.deadline_s -= time.perf_counter() - self.started_s  # the time the body took is part of what is allowed
        try:
            if not self.pay():
                return False
            row = self.door.decode(self.body)
            if row is None:
                return False
            if watched and not fits(servable.executor.prospect(1), self.deadline_s - now_s, self.door.max_queue_s):
                return False
            self.rows = [row]
            servable.acquire()
            self.leased = True
            self.door.submit(self)
        except Exception:
            # a full queue, a version retired this instant, a fault of ours: the ordinary way meets it again, and
            # explains; out of here it would become the parser's, a 400 and the end of the connection
            self._release()
            return False
        if watched:
            # a running thread cannot be hurried: at the deadline the ordinary way takes over and answers 504
            self._timer = self.protocol.loop.call_later(max(0.0, self.deadline_s - now_s), self._expire)
        return True

    def complete(self, outputs: Outputs, start: int, run: Run) -> None:
        """Writes the answer."""
        self._release()
        answer = self.door.answer(self, outputs, start, run)
        if answer is None:
            self.protocol.fall_back(self)
        else:
            self.protocol.answer(self, *answer)

    def fail(self, error: Exception) -> None:  # noqa: ARG002  # the ordinary way meets the error itself
        """Not a success: the ordinary way runs the row again, and explains."""
        self._release()
        if not self.response_complete:
            self.protocol.fall_back(self)

    def _expire(self) -> None:
        if not (self.abandoned or self.response_complete):
            self.abandoned = True
            self._release()
            self.protocol.fall_back(self)

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.leased:
            self.leased = False
            self.door.servable.release()
