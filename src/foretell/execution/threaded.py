"""Threaded execution with natural batching: while one batch runs on the thread, the next one gathers.

For libraries that release the GIL while they compute. An idle model starts at once; there is no timer in the way.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time

from foretell.core.values import Outputs
from foretell.execution.base import Call, Prospect, Run
from foretell.execution.batcher import Batcher
from foretell.execution.costs import Costs
from foretell.execution.direct import call_model
from foretell.runtimes.base import Model


class ThreadedExecutor:
    """Runs a model on one thread of its own, a batch at a time.

    The thread is a daemon: a model that never returns cannot keep the process from ending. Its callers get their
    deadlines from whoever waits.
    """

    mode = "threaded"

    def __init__(self, model: Model, *, max_rows: int, max_waiting_rows: int, costs: Costs | None = None) -> None:
        self._model = model
        self._batcher = Batcher(model.signature, max_rows, max_waiting_rows, costs.call_ms if costs else None)
        self._work: queue.SimpleQueue[list[Call] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._running = False
        self._idle: asyncio.Future[None] | None = None

    @property
    def waiting_rows(self) -> int:
        return self._batcher.waiting_rows

    def prospect(self, rows: int) -> Prospect:
        return self._batcher.prospect(rows, time.monotonic())

    def submit(self, call: Call) -> None:
        self._batcher.add(call)
        if not self._running:
            self._start()

    def _start(self) -> None:
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._work_off, args=(loop,), name="foretell-model", daemon=True)
            self._thread.start()
        self._next()

    def _next(self) -> None:
        batch: list[Call] = []
        while not batch and self._batcher:
            batch = self._batcher.take(time.monotonic())
        self._running = bool(batch)
        if batch:
            self._work.put(batch)
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _work_off(self, loop: asyncio.AbstractEventLoop) -> None:
        while (batch := self._work.get()) is not None:
            answer = call_model(self._model, self._batcher, batch)
            if loop.is_closed():
                return
            loop.call_soon_threadsafe(self._ran, batch, answer)

    def _ran(self, batch: list[Call], answer: tuple[Outputs, Run] | Exception) -> None:
        if isinstance(answer, Exception):
            self._batcher.split(batch, answer)
        else:
            self._batcher.deliver(batch, *answer)
        self._next()

    async def close(self) -> None:
        if self._running:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        self._work.put(None)
