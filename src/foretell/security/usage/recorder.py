"""Counts what callers used, in memory, and adds it to the ledger every few seconds and at the end."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from foretell.errors import StateError
from foretell.security.usage.ledger import Batch, Ledger, Line

if TYPE_CHECKING:
    from foretell.core.access.principal import Principal
    from foretell.telemetry.observer import Outcome

MAX_LINES = 100_000
OTHERS = "_other"
_DAY_S = 86_400

_log = structlog.get_logger("foretell.usage")


class Recorder:
    """An ``Observer`` that counts what was answered with 2xx, by principal, tenant, model and day."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._clock = clock
        self._counted: dict[Line, list[int]] = {}
        self._writer = secrets.token_hex(16)
        self._batch = Batch(self._writer, 0, 0, {})
        self._away = False

    def request(self, outcome: Outcome) -> None:
        """Counts one request."""
        if outcome.principal is not None and 200 <= outcome.status < 300:
            self._count(outcome.principal, outcome.model, 1, outcome.rows)

    def answered(self, shared: Outcome, requests: Sequence[tuple[str, float]]) -> None:
        """Counts requests that ended alike."""
        if shared.principal is not None and 200 <= shared.status < 300:
            self._count(shared.principal, shared.model, len(requests), shared.rows * len(requests))

    def _count(self, principal: Principal, model: str | None, requests: int, rows: int) -> None:
        line = Line(self._today(), principal.id, principal.tenant, model or "")
        amounts = self._counted.get(line)
        if amounts is None:
            # the database may have been away for long, and callers come and go
            if len(self._counted) + len(self._batch.counted) >= MAX_LINES:
                line = line._replace(principal=OTHERS, tenant=OTHERS)
            amounts = self._counted.setdefault(line, [0, 0])
        amounts[0] += requests
        amounts[1] += rows

    def _today(self) -> int:
        return int(self._clock() / _DAY_S)

    async def flush(self) -> bool:
        """Adds what was counted to the ledger; where that cannot be, it goes on being counted here."""
        # a batch that may be written already stays as it is: it is known by its number
        return (not self._batch.counted or await self._write()) and await self._write_counted()

    async def _write_counted(self) -> bool:
        if not self._counted:
            return True
        self._batch = Batch(self._writer, self._batch.number + 1, self._today(), self._counted)
        self._counted = {}
        return await self._write()

    async def _write(self) -> bool:
        try:
            await asyncio.to_thread(self._ledger.add, self._batch)
        except StateError as error:
            if not self._away:
                _log.error("usage_not_written", detail=error.detail, hint=error.hint)
            self._away = True
            return False
        self._batch = self._batch._replace(counted={})
        if self._away:
            _log.info("usage_written_again")
        self._away = False
        return True

    def note_lost(self) -> None:
        """Says how much could not be written in the end."""
        lost = [*self._batch.counted.values(), *self._counted.values()]
        requests, rows = (sum(amounts[unit] for amounts in lost) for unit in (0, 1))
        _log.error("usage_lost", requests=requests, rows=rows)


@asynccontextmanager
async def recording(ledger: Ledger, flush_s: float) -> AsyncIterator[Recorder]:
    """A recorder that writes down what it counts while the block lasts, every ``flush_s``, and the rest at its end.

    A process that is killed loses what it counted in ``flush_s`` and the time that a flush takes, at most.
    """
    recorder, stopping = Recorder(ledger), asyncio.Event()
    flushing = asyncio.create_task(_flush_on(recorder, stopping, flush_s), name="usage")
    try:
        yield recorder
    finally:
        stopping.set()
        await flushing  # never cancelled: nobody would know whether what it was writing is written
        if not await recorder.flush():
            recorder.note_lost()


async def _flush_on(recorder: Recorder, stopping: asyncio.Event, flush_s: float) -> None:
    while not stopping.is_set():
        try:
            await asyncio.wait_for(stopping.wait(), flush_s)
        except TimeoutError:
            await recorder.flush()
