"""Hosted execution from the side of a web worker: natural batches to the hosts of one version.

One batch is out to each host; what comes meanwhile gathers, here and, across web workers, in the host. When a host
dies, the supervisor tells whose batches it died with: those are tried again call by call, so that only the call that
kills is lost; all others are sent again as if nothing had been.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foretell.core.signature import Signature
from foretell.errors import DeadlineExceeded, ModelFailed, RequestError, Unavailable
from foretell.execution.base import Call, Prospect
from foretell.execution.batcher import Batcher
from foretell.execution.costs import Costs
from foretell.execution.hosted.breaker import Cause
from foretell.execution.hosted.hosts import Lease
from foretell.execution.hosted.link import Answer, Flight, Link
from foretell.execution.hosted.quarantine import Quarantine
from foretell.execution.hosted.status import Flight as Running

MOST_TRIES = 3
"""How often a batch is sent again that was not to blame for any of the deaths."""
LIMBO_S = 5.0
"""How long to wait for the supervisor's word on a host that has gone."""

TIDY_S = 0.25
REOPEN_S = 0.1
"""How long after a connection was lost, or could not be made, it is tried again while its host is said to live."""

_LOOK_S = 0.05
_numbers = itertools.count(1)
"""Of all batches of this process: two executors of one version may have the same host."""


@dataclass(frozen=True, slots=True)
class Limbo:
    """A batch that was out to a host whose connection broke, until it is known what became of the host."""

    host: int
    flight: Flight
    garbage: bool
    timer: asyncio.TimerHandle


class HostedExecutor:
    """Runs a version's calls on its hosts."""

    mode = "hosted"

    def __init__(
        self,
        signature: Signature,
        lease: Lease,
        client: int,
        *,
        max_rows: int,
        max_waiting_rows: int,
        max_wait_s: float = 0.0,
        costs: Costs | None = None,
    ) -> None:
        self._signature = signature
        self._lease = lease
        self._client = client
        self._batcher = Batcher(signature, max_rows, max_waiting_rows, costs.call_ms if costs else None)
        self._max_rows = max_rows
        self._max_wait_s = max_wait_s
        self._links: dict[int, Link] = {}
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._limbo: dict[int, Limbo] = {}
        self._dead: dict[int, tuple[Cause, list[Running]]] = {}
        self._suspects: deque[Call] = deque()
        self._innocent: dict[Call, int] = {}
        self._again: deque[list[Call]] = deque()
        self._quarantine = Quarantine(signature)
        self._scheduled: asyncio.Handle | None = None
        self._tidying: asyncio.TimerHandle | None = None
        lease.follower = self
        self.hosts_changed()

    @property
    def waiting_rows(self) -> int:
        return self._batcher.waiting_rows

    def prospect(self, rows: int) -> Prospect:
        self._batcher.width = max(1, len(self._links))
        alone = self._batcher.prospect(rows, time.monotonic())
        wait_s = alone.wait_s / self._batcher.width
        return Prospect(wait_s, wait_s + alone.answer_s - alone.wait_s)

    def to_document(self) -> dict[str, Any]:
        """As ``/models/{model}`` shows it."""
        return {"replicas": len(self._lease.replicas), "deaths": self._lease.deaths}

    def submit(self, call: Call) -> None:
        if self._lease.down_s:
            raise _down(self._lease.down_s)
        if self._quarantine and (cause := self._quarantine.find(call)) is not None:
            raise _ended_by(cause)
        self._batcher.add(call)
        if self._scheduled is None:
            self._schedule()

    async def close(self) -> None:
        """Runs what was accepted to its end, then lets the hosts go. Who has left or is too late is not waited for."""
        while self._batcher or self._suspects or self._again or self._limbo or any(self._flights()):
            await asyncio.sleep(_LOOK_S)
            self._dispatch()
        self._lease.follower = None
        for task in self._opening.values():
            task.cancel()
        for link in self._links.values():
            link.close()
        self._lease.release()

    def _flights(self) -> list[Flight]:
        return [link.flight for link in self._links.values() if link.flight is not None]

    # -- out --

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        if self._max_wait_s and self._batcher.waiting_rows < self._max_rows:
            self._scheduled = loop.call_later(self._max_wait_s, self._dispatch)
        else:  # one more turn, so that every socket that is readable by now is read first
            self._scheduled = loop.call_soon(self._yield_once, loop)

    def _yield_once(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._scheduled = None
        if self._lease.down_s:
            self._refuse_all(_down(self._lease.down_s))
        free = [link for link in self._links.values() if link.free]
        for number, link in enumerate(free):
            while link.free and (taken := self._next(len(free) - number)):
                self._send(link, *taken)
        if not self._links and (self._batcher or self._again or self._suspects):
            self._tidy_later()

    def _next(self, shares: int = 1) -> tuple[list[Call], bool] | None:
        """The next batch, and whether it goes alone; None where there is none."""
        now_s = time.monotonic()
        while self._suspects:
            call = self._suspects.popleft()
            if self._wanted(call, now_s):
                self._batcher.started(call.count, now_s)
                return [call], True
        while self._again:
            batch = [call for call in self._again.popleft() if self._wanted(call, now_s)]
            if batch:
                self._batcher.started(_rows(batch), now_s)
                return batch, False
        while self._batcher:
            batch = self._batcher.take(now_s, shares)
            if batch:
                return batch, False
        return None

    def _wanted(self, call: Call, now_s: float) -> bool:
        """Whether a call that is to be sent again is waited for still."""
        if not call.abandoned and call.deadline_s >= now_s:
            return True
        self._batcher.forget(call)
        self._innocent.pop(call, None)
        if not call.abandoned:
            call.fail(DeadlineExceeded("The time allowed for this request passed before the model answered."))
        return False

    def _send(self, link: Link, batch: list[Call], alone: bool) -> None:
        try:
            inputs = self._batcher.gather(batch)
            flight = Flight(next(_numbers), batch, inputs.count, alone)
            link.send(flight, inputs, max(call.deadline_s for call in batch))
        except Exception as error:
            self._failed(batch, error)

    def _tidy(self) -> None:
        """While there is no host: what nobody waits for any more makes room, the rest goes on waiting."""
        self._tidying = None
        if self._links:
            return
        now_s = time.monotonic()
        self._suspects = deque(call for call in list(self._suspects) if self._wanted(call, now_s))
        batches = list(self._again)
        while self._batcher:
            batches.append(self._batcher.take(now_s))
            self._batcher.ended(_rows(batches[-1]), None)
        wanted = ([call for call in batch if self._wanted(call, now_s)] for batch in batches)
        self._again = deque(batch for batch in wanted if batch)
        if self._again or self._suspects:
            self._tidy_later()

    def _tidy_later(self) -> None:
        if self._tidying is None:
            self._tidying = asyncio.get_running_loop().call_later(TIDY_S, self._tidy)

    # -- back --

    def _answered(self, link: Link, flight: Flight, answer: Answer) -> None:
        if self._innocent:
            for call in flight.batch:
                self._innocent.pop(call, None)
        if isinstance(answer, Exception):
            self._failed(flight.batch, answer)
        else:
            self._batcher.deliver(flight.batch, *answer)
        if link.leaving:
            link.close()
        self._dispatch()

    def _failed(self, batch: list[Call], error: Exception) -> None:
        for call in batch:
            self._innocent.pop(call, None)
        if isinstance(error, RequestError):
            self._batcher.ended(_rows(batch), None)
            for call in batch:
                self._end(call, error)
        else:
            self._batcher.split(batch, error)

    def _end(self, call: Call, error: Exception) -> None:
        self._batcher.forget(call)
        self._innocent.pop(call, None)
        if not call.abandoned:
            call.fail(error)

    # -- hosts come and go --

    def hosts_changed(self) -> None:
        """Connects to hosts that are new, and leaves those that are to leave."""
        if self._lease.follower is not self:
            return
        loop = asyncio.get_running_loop()
        for number, path in self._lease.replicas.items():
            if number in self._links:  # perhaps it was to be left when its supervisor was lost out of sight
                self._links[number].leaving = False
                self._dead.pop(number, None)
            elif number not in self._opening:
                self._opening[number] = loop.create_task(self._open(number, path), name=f"host {number}")
        for number, link in list(self._links.items()):
            if number not in self._lease.replicas:
                link.leaving = True
                if link.flight is None:
                    link.close()
        if self._lease.down_s:
            self._refuse_all(_down(self._lease.down_s))

    async def _open(self, number: int, path: str) -> None:
        def link() -> Link:
            return Link(number, self._client, self._signature, self._answered, self._lost)

        try:
            while number in self._lease.replicas:
                # it may have died meanwhile, which the supervisor tells; or there was no descriptor left
                with contextlib.suppress(OSError):
                    _, opened = await asyncio.get_running_loop().create_unix_connection(link, path)
                    if not opened.lost:
                        self._links[number] = opened
                        break
                await asyncio.sleep(REOPEN_S)
        finally:
            self._opening.pop(number, None)
        self.hosts_changed()
        self._dispatch()

    def _lost(self, link: Link, garbage: bool) -> None:
        if self._links.get(link.number) is link:
            del self._links[link.number]
        if garbage:
            self._lease.condemn(link.number)
        loop = asyncio.get_running_loop()
        death = self._dead.pop(link.number, None)
        flight = link.flight
        if flight is not None:
            timer = loop.call_later(LIMBO_S, self._judge, flight.number, "killed", [])
            self._limbo[flight.number] = Limbo(link.number, flight, garbage, timer)
            if death is not None:
                self._judge(flight.number, *death)
        if link.number in self._lease.replicas:
            loop.call_later(REOPEN_S, self.hosts_changed)

    def host_died(self, number: int, cause: Cause, flights: Sequence[Running]) -> None:
        if number in self._links:  # its connection has not been seen to break yet
            self._dead[number] = (cause, list(flights))
            asyncio.get_running_loop().call_later(REOPEN_S, self._cut, self._links[number])
        for limbo in [limbo for limbo in self._limbo.values() if limbo.host == number]:
            self._judge(limbo.flight.number, cause, flights)

    def supervisor_lost(self) -> None:
        """Its hosts were killed with it, and nobody is left to tell of them."""
        self._dead = {number: self._dead.get(number, ("killed", [])) for number in self._links}
        for link in self._links.values():
            asyncio.get_running_loop().call_later(LIMBO_S, self._cut, link)
        for limbo in list(self._limbo.values()):
            self._judge(limbo.flight.number, "killed", [])

    def _cut(self, link: Link) -> None:
        """Its host is dead, but what that left behind may hold the connection open for ever."""
        if self._links.get(link.number) is link and link.number in self._dead:
            link.abort()

    def _judge(self, number: int, cause: Cause, flights: Sequence[Running]) -> None:
        """Decides what becomes of the batch of this number, which was out to a host that died."""
        limbo = self._limbo.pop(number)
        limbo.timer.cancel()
        flight = limbo.flight
        self._batcher.ended(flight.rows, None)
        running = limbo.garbage or (self._client, number) in flights
        alone = flight.alone or (len(flight.batch) == 1 and len(flights) <= 1)
        if not running or cause == "killed":
            self._resend(flight)
        elif alone:
            call = flight.batch[0]
            self._quarantine.add(call, cause)
            self._end(call, _ended_by(cause))
        else:
            self._suspects.extend(flight.batch)
        self._dispatch()

    def _resend(self, flight: Flight) -> None:
        """Not to blame; but not for ever either, for what is killed from outside may be killed for what it does."""
        for call in flight.batch:
            self._innocent[call] = self._innocent.get(call, 0) + 1
        spared = [call for call in flight.batch if self._innocent[call] <= MOST_TRIES]
        for call in flight.batch:
            if self._innocent[call] > MOST_TRIES:
                self._end(call, _crashed("The model's process was killed each time this request was tried."))
        if flight.alone:
            self._suspects.extendleft(spared)
        elif spared:
            self._again.appendleft(spared)

    def _refuse_all(self, error: RequestError) -> None:
        while (taken := self._next()) is not None:
            self._batcher.ended(_rows(taken[0]), None)
            for call in taken[0]:
                self._end(call, error)


def _rows(batch: Sequence[Call]) -> int:
    return sum(call.count for call in batch)


def _down(pause_s: int) -> Unavailable:
    return Unavailable(
        "The model's process keeps dying, so it is left alone for a moment. The server's log says why it dies.",
        retry_after_s=max(1, pause_s),
        code="model_down",
    )


def _crashed(detail: str) -> ModelFailed:
    return ModelFailed(f"{detail} The server's log says how the process ended.", code="model_crashed")


def _ended_by(cause: Cause) -> RequestError:
    if cause == "time_limit":
        return DeadlineExceeded("The model took longer over this request than one call may take.")
    if cause == "memory_limit":
        return _crashed("The model took more memory over this request than it may.")
    if cause == "garbage":
        return _crashed("The model's process gave an answer to this request that cannot be read.")
    return _crashed("The model's process crashed over this request.")
