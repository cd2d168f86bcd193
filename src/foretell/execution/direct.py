"""Direct execution: all that arrived in one turn of the event loop is one model call at the end of that turn.

No timer, no thread, no process hop: the cheapest way for models whose call is short. The price is isolation, and that
a call holds the loop for as long as it takes; ``costs.choose`` says when that is right.
"""

from __future__ import annotations

import asyncio
import time

from foretell.core.values import Outputs
from foretell.execution.base import Call, Prospect, Run
from foretell.execution.batcher import Batcher
from foretell.execution.costs import Costs
from foretell.runtimes.base import Model


class DirectExecutor:
    """Runs a model in the event loop, one batch per turn."""

    mode = "direct"

    def __init__(self, model: Model, *, max_rows: int, max_waiting_rows: int, costs: Costs | None = None) -> None:
        self._model = model
        self._batcher = Batcher(model.signature, max_rows, max_waiting_rows, costs.call_ms if costs else None)
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: asyncio.Future[None] | None = None

    @property
    def waiting_rows(self) -> int:
        return self._batcher.waiting_rows

    def prospect(self, rows: int) -> Prospect:
        return self._batcher.prospect(rows, time.monotonic())

    def submit(self, call: Call) -> None:
        self._batcher.add(call)
        if not self._scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._scheduled = True
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        loop.call_soon(self._yield_once, loop)

    def _yield_once(self, loop: asyncio.AbstractEventLoop) -> None:
        # one more turn, so that every socket that is readable by now is read before the model runs
        loop.call_soon(self._run_batch)

    def _run_batch(self) -> None:
        batch = self._batcher.take(time.monotonic())
        if batch:
            run_batch(self._model, self._batcher, batch)
        if self._batcher:
            self._schedule()
            return
        self._scheduled = False
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def close(self) -> None:
        if self._scheduled:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle


def run_batch(model: Model, batcher: Batcher, batch: list[Call]) -> None:
    """Runs one batch here and now, and answers its calls."""
    answer = call_model(model, batcher, batch)
    if isinstance(answer, Exception):
        batcher.split(batch, answer)
    else:
        batcher.deliver(batch, *answer)


def call_model(model: Model, batcher: Batcher, batch: list[Call]) -> tuple[Outputs, Run] | Exception:
    """The model's answer for the batch, or what went wrong. Never raises."""
    started_s = time.perf_counter()
    try:
        inputs = batcher.gather(batch)
        outputs = model.predict(inputs)
    except StopIteration as error:  # nothing that awaits can be given one
        failure = RuntimeError("the model raised StopIteration")
        failure.__cause__ = error
        return failure
    except Exception as error:
        return error
    except BaseException as error:  # a model that calls sys.exit() or raises KeyboardInterrupt must not stop the server
        return RuntimeError(f"the model raised {type(error).__name__}")
    run = Run(inputs.count, started_s, time.perf_counter() - started_s)
    if outputs.count != run.rows:
        return RuntimeError(f"the model gave {outputs.count} rows for {run.rows}")
    return outputs, run
