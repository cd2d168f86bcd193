"""What a version costs, measured at warm-up, and what that means for how it runs.

Two things are measured: how long one call takes by batch size, and how late the event loop gets its turns while calls
run on a thread. The second decides whether a thread helps at all: a library that holds the GIL starves the loop worse
from a thread than by running in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from foretell.core.execution import Mode

BATCH_SIZES = (1, 8, 64, 256)

_REPEATS = 3
_SIZE_BUDGET_S = 0.15
_LAG_BUDGET_S = 0.06
_THREAD_HOP_MS = 0.1


@dataclass(frozen=True, slots=True)
class Costs:
    """``call_ms``: the quickest of a few calls, in milliseconds, by rows in the call, ascending.

    ``loop_lag_ms``: how long the event loop waits for its turns while calls run on a thread; None when not measured.
    """

    call_ms: Mapping[int, float]
    loop_lag_ms: float | None = None

    def to_document(self) -> dict[str, Any]:
        """As ``/models/{model}`` shows it."""
        lag = None if self.loop_lag_ms is None else round(self.loop_lag_ms, 3)
        return {"call_ms": {str(rows): round(ms, 4) for rows, ms in self.call_ms.items()}, "loop_lag_ms": lag}


@dataclass(frozen=True, slots=True)
class Choice:
    """How a version runs: its mode, the most rows of one call, and why, in words for people."""

    mode: Mode
    max_rows: int
    reason: str


HOSTED_ROWS = 1024
"""Most rows of one call of a hosted model, which holds up nobody but those who wait for the same model."""
HOSTED_CALLS = 20
"""How many times as long as in the loop such a call may take."""


def choose(
    costs: Costs, max_call_ms: float, wanted: Mode | Literal["auto"] = "auto", *, can_host: bool = False
) -> Choice:
    """Direct, threaded or hosted, and how many rows a call may have.

    Direct: a call holds the loop for as long as it takes, so a single-row call sets the price. A thread adds a hop and
    the lag that was measured. The thread is taken where it keeps the loop at least twice as free as running direct
    would; never for calls that are shorter than what a hop is worth. A model whose call of one row is longer than
    ``max_call_ms`` and cannot go on a thread is hosted, where that can be.
    """
    single_ms = costs.call_ms[min(costs.call_ms)]
    lag_ms = costs.loop_lag_ms
    if wanted == "hosted":
        return Choice(wanted, _hosted_rows(costs, max_call_ms), "hosted by setting, or because its runtime is")
    if wanted != "auto":
        return Choice(wanted, _rows_within(costs, max_call_ms), f"{wanted} by setting")
    if lag_ms is None or single_ms <= 10 * _THREAD_HOP_MS:
        reason = f"a call of one row takes {single_ms:.2f} ms, less than a thread would be worth"
        return Choice("direct", _rows_within(costs, max_call_ms), reason)
    if lag_ms + _THREAD_HOP_MS <= single_ms / 2:
        reason = f"a call takes {single_ms:.2f} ms and delays the loop by {lag_ms:.2f} ms from a thread"
        return Choice("threaded", max(costs.call_ms) * 4, reason)
    if can_host and single_ms > max_call_ms:
        reason = f"a call takes {single_ms:.2f} ms, which would hold up the loop even from a thread ({lag_ms:.2f} ms)"
        return Choice("hosted", _hosted_rows(costs, max_call_ms), reason)
    reason = f"a call takes {single_ms:.2f} ms, but from a thread it delays the loop by {lag_ms:.2f} ms"
    return Choice("direct", _rows_within(costs, max_call_ms), reason)


def _hosted_rows(costs: Costs, max_call_ms: float) -> int:
    """As many rows as fit into some hundred milliseconds.

    A model that takes as long for each row of many as for one gains nothing by larger calls, and whoever comes while
    one runs waits for all of it. Where only one row could be measured, many may well cost what one does.
    """
    if len(costs.call_ms) < 2:
        return HOSTED_ROWS
    return min(HOSTED_ROWS, _rows_within(costs, HOSTED_CALLS * max_call_ms))


def _rows_within(costs: Costs, max_call_ms: float) -> int:
    """The most rows whose call stays within ``max_call_ms``, or adds at most half to the unavoidable single-row call.

    Between and beyond the measured sizes the cost is taken as linear.
    """
    allowed_ms = max(max_call_ms, 1.5 * costs.call_ms[min(costs.call_ms)])
    sizes = sorted(costs.call_ms)
    rows = sizes[0]
    for below, above in pairwise(sizes):
        if costs.call_ms[above] > allowed_ms:
            per_row = max((costs.call_ms[above] - costs.call_ms[below]) / (above - below), 1e-9)
            return max(rows, below + int((allowed_ms - costs.call_ms[below]) / per_row))
        rows = above
    below, above = sizes[-2:] if len(sizes) > 1 else (sizes[0], sizes[0])
    if below == above:
        return rows
    per_row = max((costs.call_ms[above] - costs.call_ms[below]) / (above - below), 1e-6)
    return min(above + int((allowed_ms - costs.call_ms[above]) / per_row), 65_536)


def measure_calls(call: Callable[[int], object], sizes: Sequence[int] = BATCH_SIZES) -> dict[int, float]:
    """Milliseconds of ``call(rows)`` by rows. Stops growing once the budget of time is spent; one row always counts."""
    costs: dict[int, float] = {}
    began = time.perf_counter()
    for rows in sizes:
        call(rows)  # the first call of a size pays for allocations and caches
        quickest = float("inf")
        for _ in range(_REPEATS):
            started = time.perf_counter()
            call(rows)
            quickest = min(quickest, time.perf_counter() - started)
        costs[rows] = quickest * 1e3
        if time.perf_counter() - began > _SIZE_BUDGET_S:
            break
    return costs


async def measure_loop_lag(call: Callable[[], object]) -> float:
    """How long, in ms, the running loop waits for its turns while ``call`` runs over and over on a thread.

    It is the wait such that waits as long or longer fill a quarter of the time, less what the loop waits anyway:
    starvation fills nearly all of it, a hiccup of the machine does not. The thread may use every core the machine has,
    even where the process is pinned: on one core the scheduler takes turns and the starvation that the GIL causes does
    not show.
    """
    quiet = await _usual_wait(_LAG_BUDGET_S / 3)
    done = threading.Event()
    thread = threading.Thread(target=_call_until, args=(call, done), name="foretell-lag", daemon=True)
    thread.start()
    try:
        busy = await _usual_wait(_LAG_BUDGET_S)
    finally:  # also where the measuring is given up: nothing else would stop the thread
        done.set()
    await asyncio.to_thread(thread.join)
    return max(0.0, busy - quiet) * 1e3


async def _usual_wait(budget_s: float) -> float:
    waits = []
    began = last = time.perf_counter()
    while last < began + budget_s:
        await asyncio.sleep(0)
        now = time.perf_counter()
        waits.append(now - last)
        last = now
    filled_s = 0.0
    for wait_s in sorted(waits, reverse=True):
        filled_s += wait_s
        if filled_s >= (last - began) / 4:
            return wait_s
    return 0.0


def _call_until(call: Callable[[], object], done: threading.Event) -> None:
    # where a cpuset fences cores off the kernel refuses, and what is measured is what this process will see anyway
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    while not done.is_set():
        call()
