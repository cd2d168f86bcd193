"""The answers of a large batch are written in portions, a turn of the event loop each.

To write 64 answers takes a millisecond or two, in which whoever asked another model would wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from foretell.core.values import Outputs
from foretell.execution.base import Call, Run
from foretell.execution.batcher import Batcher

PORTION = 16
"""Calls that are answered in one turn."""


class Portions:
    """Answers batches that have come back, in their order. ``after`` is called behind each portion but the first.

    True while there is more to answer.
    """

    def __init__(self, batcher: Batcher, after: Callable[[], None]) -> None:
        self._batcher = batcher
        self._after = after
        self._left: deque[tuple[Sequence[Call], Outputs, Run]] = deque()

    def __bool__(self) -> bool:
        return bool(self._left)

    def put(self, batch: Sequence[Call], outputs: Outputs, run: Run) -> None:
        """Answers the first portion now, unless others wait, and the rest in the turns to come.

        The model need not wait for them: the batch takes no room any more.
        """
        self._batcher.arrived(batch, run)
        idle = not self._left
        if len(batch) <= PORTION:
            self._left.append((batch, outputs, run))
        else:
            start = 0
            for first in range(0, len(batch), PORTION):
                calls = batch[first : first + PORTION]
                stop = start + sum([call.count for call in calls])
                # a run of its own: what writes answers prepares the rows of a run together
                self._left.append((calls, outputs.part(start, stop), replace(run)))
                start = stop
        if idle:
            self._answer()

    def _answer(self) -> None:
        portion = self._left[0]
        self._batcher.answer(*portion)
        self._left.popleft()
        if self._left:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._answer()
        self._after()
