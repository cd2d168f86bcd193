"""Calls for tests of executors."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import cast

from foretell.core.values import Inputs, Matrix, Outputs, Row
from foretell.execution.base import Run

WAIT_S = 20.0


class Recorded:
    """A call that keeps its answer."""

    def __init__(self, rows: Sequence[Row] | Inputs, deadline_s: float | None = None) -> None:
        self.rows = rows
        self.count = rows.count if isinstance(rows, Matrix) else len(cast(list[Row], rows))
        self.deadline_s = time.monotonic() + WAIT_S if deadline_s is None else deadline_s
        self.abandoned = False
        self.answers: list[list[float] | Exception] = []
        self.thread: int | None = None
        self.run: Run | None = None
        self._answered = asyncio.Event()

    def complete(self, outputs: Outputs, start: int, run: Run) -> None:
        assert outputs.values is not None
        self.run = run
        self._keep(outputs.values[start : start + self.count].tolist())

    def fail(self, error: Exception) -> None:
        self._keep(error)

    def _keep(self, answer: list[float] | Exception) -> None:
        self.thread = threading.get_ident()
        self.answers.append(answer)
        self._answered.set()

    async def answer(self) -> list[float] | Exception:
        await asyncio.wait_for(self._answered.wait(), WAIT_S)
        return self.answers[0]
