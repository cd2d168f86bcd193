"""Streams through the plane: chunks in, answered chunks out, in order, a few on their way at a time.

A row that the model fails on is found by halving its chunk, and is that row's fault alone. Where the model's queue is
full a stream waits: it was accepted, and nothing more is read for it meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import structlog

from foretell.codecs.stream.base import Answered, Chunk
from foretell.core.values import Inputs, Outputs, finite_rows, join_outputs
from foretell.errors import DeadlineExceeded, QueueFull, RequestError
from foretell.inference.calls import Waiting
from foretell.lifecycle.servable import Servable

IN_FLIGHT = 2
"""Chunks of one stream on their way to the model: the next one is read while one is computed."""
CALL_S = 0.1
"""A chunk that the model would take longer for goes to it in parts, one after the other: others wait less."""
_QUEUE_FULL_S = 0.05
NO_NUMBER = "model_gave_no_number: the model gave NaN or infinity for this row"
FAILED = "model_failed: the model failed on this row; the input is valid, the failure is the model's"

_log = structlog.get_logger("foretell.inference")


class _Part(NamedTuple):
    """Rows of one chunk that were answered together."""

    start: int
    outputs: Outputs


class StreamRun:
    """The rows of one stream on one version, of which the caller holds a lease.

    ``call_s`` is how long one chunk may take, the wait in the queue included.
    """

    def __init__(self, servable: Servable, call_s: float) -> None:
        self._servable = servable
        self._call_s = call_s
        self._failures_told = 0

    async def answers(self, chunks: AsyncIterator[Chunk]) -> AsyncGenerator[Answered, None]:
        """The chunks with their answers, each as soon as it and all before it are there.

        What ``chunks`` raises is raised once all that came before it is answered. Raises DeadlineExceeded.
        """
        ahead: deque[asyncio.Task[Answered]] = deque()
        coming: asyncio.Task[Chunk | None] | None = _next(chunks)
        try:
            while coming is not None or ahead:
                more = coming if len(ahead) < IN_FLIGHT else None
                await asyncio.wait([*list(ahead)[:1], *_some(more)], return_when=asyncio.FIRST_COMPLETED)
                if ahead and ahead[0].done():
                    yield ahead.popleft().result()
                elif more is not None and more.done() and more.exception() is not None and ahead:
                    await asyncio.wait([ahead[0]])  # what came before the fault is answered first
                elif more is not None and more.done():
                    chunk = more.result()
                    coming = None if chunk is None else _next(chunks)
                    if chunk is not None:
                        ahead.append(asyncio.create_task(self._answer(chunk)))
        finally:
            await _ended([*ahead, *_some(coming)])

    async def _answer(self, chunk: Chunk) -> Answered:
        if chunk.inputs is None:
            return Answered(chunk, None, chunk.faults)
        parts, failed = await self._parts(chunk.inputs)
        self._servable.served.rows += chunk.inputs.count
        outputs = join_outputs([part.outputs for part in parts]) if parts else None
        if not failed and outputs is not None:
            finite = finite_rows(outputs)
            if finite.all():
                return Answered(chunk, outputs, chunk.faults)
            failed = dict.fromkeys(np.flatnonzero(~finite).tolist(), NO_NUMBER)
            outputs = outputs.rows(finite) if finite.any() else None
            return Answered(chunk, outputs, placed(chunk, failed))
        return self._with_failures(chunk, parts, failed)

    def _with_failures(self, chunk: Chunk, parts: list[_Part], failed: dict[int, str]) -> Answered:
        kept: list[Outputs] = []
        for part in parts:
            finite = finite_rows(part.outputs)
            failed |= {part.start + int(row): NO_NUMBER for row in np.flatnonzero(~finite)}
            if finite.any():
                kept.append(part.outputs.rows(finite))
        return Answered(chunk, join_outputs(kept) if kept else None, placed(chunk, failed))

    async def _parts(self, inputs: Inputs) -> tuple[list[_Part], dict[int, str]]:
        """The answers in order, and the rows, by position in the inputs, that the model fails on by themselves."""
        parts: list[_Part] = []
        failed: dict[int, str] = {}
        step = self._call_rows(inputs.count)
        spans = [(start, min(start + step, inputs.count)) for start in reversed(range(0, inputs.count, step))]
        while spans:
            start, stop = spans.pop()
            try:
                whole = start == 0 and stop == inputs.count
                parts.append(_Part(start, await self._call(inputs if whole else inputs.part(start, stop))))
            except RequestError:
                raise
            except Exception as error:
                if stop - start > 1:
                    middle = (start + stop) // 2
                    spans += [(middle, stop), (start, middle)]
                else:
                    failed[start] = FAILED
                    self._tell(error)
        return parts, failed

    def _call_rows(self, rows: int) -> int:
        """How many of ``rows`` one call may have, so that a slow model is never busy for long with a stream."""
        while rows > 1:
            prospect = self._servable.executor.prospect(rows)
            if prospect.answer_s - prospect.wait_s <= CALL_S:
                break
            rows = (rows + 1) // 2
        return rows

    async def _call(self, inputs: Inputs) -> Outputs:
        deadline_s = time.monotonic() + self._call_s
        while True:
            waiting = Waiting(inputs, inputs.count, deadline_s)
            try:
                self._servable.executor.submit(waiting)
            except QueueFull:
                if time.monotonic() + _QUEUE_FULL_S > deadline_s:
                    raise DeadlineExceeded("The model's queue stayed full for as long as one call may take.") from None
                await asyncio.sleep(_QUEUE_FULL_S)
                continue
            return (await waiting.answer(deadline_s))[0]

    def _tell(self, error: Exception) -> None:
        """The first failure of a stream goes to the log, without the words of it, which may hold feature values."""
        self._failures_told += 1
        if self._failures_told == 1:
            ref = self._servable.ref
            _log.error("stream_row_failed", model=ref.model, version=ref.version, error=type(error).__name__)


def placed(chunk: Chunk, failed: dict[int, str]) -> dict[int, str]:
    """The chunk's faults, and those of rows named by their position among the rows without one."""
    right = [row for row in range(chunk.count) if row not in chunk.faults]
    return {**chunk.faults, **{right[position]: text for position, text in failed.items()}}


def _next(chunks: AsyncIterator[Chunk]) -> asyncio.Task[Chunk | None]:
    async def following() -> Chunk | None:
        return await anext(chunks, None)

    return asyncio.create_task(following())


def _some(task: asyncio.Task[Chunk | None] | None) -> list[asyncio.Task[Chunk | None]]:
    return [] if task is None else [task]


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)
