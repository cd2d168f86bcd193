"""The execution port: how a prediction runs.

A *call* is one request's rows on their way to the model. An executor gathers calls into batches and answers each
through ``complete`` or ``fail``, always from the event loop's thread, exactly once, unless the call was abandoned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from foretell.core.values import Inputs, Outputs, Row


@dataclass(frozen=True, slots=True)
class Run:
    """One batch that ran: rows in it, when it started (``time.perf_counter`` seconds) and how long the model took."""

    rows: int
    started_s: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a call would meet if it were submitted now, in estimated seconds.

    ``answer_s`` passes until its answer; ``wait_s`` of that is on account of others, before it or in the same call. A
    model that has nothing to do has a ``wait_s`` of 0, whatever it costs.
    """

    wait_s: float
    answer_s: float


AT_ONCE = Prospect(0.0, 0.0)


class Call(Protocol):
    """One request's rows."""

    @property
    def rows(self) -> Sequence[Row] | Inputs:
        """A list of validated rows, or inputs already gathered."""
        ...

    @property
    def count(self) -> int:
        """How many rows."""
        ...

    @property
    def deadline_s(self) -> float:
        """On the clock of ``time.monotonic``; past it the call is failed with DeadlineExceeded, unrun."""
        ...

    @property
    def abandoned(self) -> bool:
        """Set by the owner when nobody waits any more; such a call is dropped before it runs, and never answered."""
        ...

    def complete(self, outputs: Outputs, start: int, run: Run) -> None:
        """The call's rows are ``outputs[start : start + count]``; ``outputs`` is shared with its neighbours."""
        ...

    def fail(self, error: Exception) -> None:
        """The call cannot be answered. ``error`` is a RequestError, or whatever the model raised."""
        ...


class Executor(Protocol):
    """Runs calls on one version of a model."""

    @property
    def mode(self) -> str:
        """``direct`` or ``threaded``, as ``/models/{model}`` shows it."""
        ...

    @property
    def waiting_rows(self) -> int:
        """Rows accepted and not yet run."""
        ...

    def prospect(self, rows: int) -> Prospect:
        """What a call of that many rows would meet if it were submitted now; never raises.

        Whoever is about to submit asks this first, and ``admission`` what it means.
        """
        ...

    def submit(self, call: Call) -> None:
        """Accepts the call, from the event loop's thread. Raises QueueFull where it does not fit."""
        ...

    async def close(self) -> None:
        """Runs what was accepted to its end, then stops."""
        ...
