"""What waits for one version, and how it becomes batches: shared by every executor, and free of any clock or thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from foretell.core.signature import Signature
from foretell.core.values import Inputs, Matrix, Outputs, Row, Table, Tensors, assemble, join, join_outputs
from foretell.errors import DeadlineExceeded, QueueFull
from foretell.execution.admission import Pace, whole_seconds
from foretell.execution.base import Call, Prospect, Run

SWEEP_S = 0.1
"""How often, at most, the queue is looked through for callers who have left."""

_log = structlog.get_logger("foretell.execution")


class Batcher:
    """A bounded queue of calls that hands out batches of at most ``max_rows`` rows and answers their calls.

    A call of more rows than that goes through in slices, one after the other, so that others get their turns between.
    A batch that fails is halved until only the calls that fail by themselves are left. ``call_ms`` is what calls were
    measured to take, by rows, if they were.
    """

    def __init__(
        self, signature: Signature, max_rows: int, max_waiting_rows: int, call_ms: Mapping[int, float] | None = None
    ) -> None:
        self._signature = signature
        self._max_rows = max(1, max_rows)
        self._max_waiting_rows = max_waiting_rows
        self._queue: deque[Call] = deque()
        self._broken: deque[list[Call]] = deque()
        self.waiting_rows = 0
        self.width = 1
        """How many batches run at a time."""
        self._pace = Pace(self._max_rows, call_ms)
        self._running_rows = 0
        self._taken_s = self._swept_s = 0.0
        self._ended_s = 0.0
        self._backlogged = False

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._queue or self._broken)

    def add(self, call: Call) -> None:
        """Accepts the call. Raises QueueFull; an empty queue takes any call, however large."""
        if self.waiting_rows and self.waiting_rows + call.count > self._max_waiting_rows:
            raise QueueFull(
                f"{self.waiting_rows} rows are waiting for this model and at most {self._max_waiting_rows} may. "
                "Try again in a moment, or send fewer rows at a time.",
                retry_after_s=whole_seconds(self._pace.span_s(self.waiting_rows)),
            )
        queued = call if call.count <= self._max_rows else _Slices(call, self._max_rows, self).next()
        self.waiting_rows += call.count
        self._queue.append(queued)

    def again(self, call: Call) -> None:
        """Queues the next slice of a call that was accepted before; its rows are already counted."""
        self._queue.append(call)

    def take(self, now_s: float, shares: int = 1) -> list[Call]:
        """The calls of the next batch; empty where nothing (more) is to run. ``now_s`` is ``time.monotonic()``.

        Where several will run at a time, each takes its share of what waits.

        Abandoned calls are dropped; calls past their deadline fail here, unrun.
        """
        batch: list[Call] = []
        rows = 0
        if self._broken:
            batch = [call for call in self._broken.popleft() if self._due(call, now_s)]
            self.started(sum(call.count for call in batch), now_s)
            return batch
        most = self._max_rows
        if shares > 1:
            most = min(most, -(-(self.waiting_rows - self._running_rows) // shares))
        while self._queue:
            call = self._queue[0]
            if rows and rows + call.count > most:
                break
            self._queue.popleft()
            if self._due(call, now_s):
                batch.append(call)
                rows += call.count
        self.started(rows, now_s)
        return batch

    def prospect(self, rows: int, now_s: float) -> Prospect:
        """What a call of ``rows`` would meet if it were added now; see ``Executor.prospect``."""
        ahead = self.waiting_rows - self._running_rows
        if ahead > self._max_rows and now_s - self._swept_s > SWEEP_S:
            self._sweep(now_s)
            ahead = self.waiting_rows - self._running_rows
        return self._pace.prospect(rows, ahead, self._running_rows, now_s - self._taken_s)

    def _sweep(self, now_s: float) -> None:
        """Drops whoever has left or is too late, so that those who come are not refused on their account."""
        self._swept_s = now_s
        self._queue = deque([call for call in self._queue if self._due(call, now_s)])

    def started(self, rows: int, now_s: float) -> None:
        """Rows are on their way to the model; ``take`` says so itself."""
        if rows:
            self._running_rows += rows
            self._taken_s = now_s

    def ended(self, rows: int, run: Run | None) -> None:
        """A batch has come back. Where others waited for it, what it took is the time since the one before it."""
        self._running_rows -= rows
        if run is not None:
            ended_s = run.started_s + run.duration_s
            since_s = max(ended_s - self._ended_s, 0.0) * self.width
            self._pace.ran(rows, since_s if self._backlogged else run.duration_s)
            self._ended_s = ended_s
        self._backlogged = run is not None and bool(self)

    def _due(self, call: Call, now_s: float) -> bool:
        """Whether the call is still to run; else it comes off the count, and fails where its deadline has passed."""
        if call.abandoned:
            self.forget(call)
        elif call.deadline_s < now_s:
            self.forget(call)
            _fail(call, DeadlineExceeded("The time allowed for this request passed while it waited for the model."))
        else:
            return True
        return False

    def forget(self, call: Call) -> None:
        """Takes a call's rows, and those of its slices still to come, off the count."""
        self.waiting_rows -= call.count + (call.to_come if isinstance(call, _Slice) else 0)

    def gather(self, batch: Sequence[Call]) -> Inputs:
        """The rows of the batch as one input, in the order of the calls."""
        if all(isinstance(call.rows, list) for call in batch):
            return assemble(self._signature, [row for call in batch for row in call.rows])  # type: ignore[union-attr]  # lists, as tested
        return join([self._inputs(call.rows) for call in batch])

    def _inputs(self, rows: Sequence[Row] | Inputs) -> Inputs:
        return rows if isinstance(rows, Matrix | Table | Tensors) else assemble(self._signature, rows)

    def deliver(self, batch: Sequence[Call], outputs: Outputs, run: Run) -> None:
        """Answers every call of the batch with its own rows."""
        start = 0
        for call in batch:
            self.waiting_rows -= call.count
            if call.abandoned:
                self._drop_rest(call)
            else:
                try:
                    call.complete(outputs, start, run)
                except Exception as error:  # outputs it cannot take: its neighbours, and what waits, are not to suffer
                    self._drop_rest(call)
                    _fail(call, error)
            start += call.count
        self.ended(start, run)

    def split(self, batch: list[Call], error: Exception) -> None:
        """The batch failed: a lone call gets the error, several are halved and run again."""
        self.ended(sum(call.count for call in batch), None)
        if len(batch) > 1:
            middle = len(batch) // 2
            self._broken.extend((batch[:middle], batch[middle:]))
            return
        call = batch[0]
        self.forget(call)
        if not call.abandoned:
            _fail(call, error)

    def _drop_rest(self, call: Call) -> None:
        if isinstance(call, _Slice):
            self.waiting_rows -= call.to_come


def _fail(call: Call, error: Exception) -> None:
    try:
        call.fail(error)
    except Exception as fault:  # a fault of ours: this call is lost, and the executor has to go on for the others
        _log.error("call_not_ended", error=type(fault).__name__)


def whole(call: Call) -> Call:
    """The call that was accepted, of which this may be a slice."""
    return call._whole.call if isinstance(call, _Slice) else call


class _Slices:
    """A call too large for one batch, on its way in slices. Fails as a whole with its first failing slice."""

    def __init__(self, call: Call, max_rows: int, batcher: Batcher) -> None:
        self.call = call
        self._inputs = batcher._inputs(call.rows)
        self._max_rows = max_rows
        self._batcher = batcher
        self._parts: list[Outputs] = []
        self._started_s = 0.0
        self._duration_s = 0.0
        self._stop = 0

    def next(self) -> _Slice:
        start, self._stop = self._stop, min(self._stop + self._max_rows, self.call.count)
        return _Slice(self, self._inputs.part(start, self._stop), self.call.count - self._stop)

    def completed(self, part: Outputs, run: Run) -> None:
        self._parts.append(part)
        self._started_s = self._started_s or run.started_s
        self._duration_s += run.duration_s
        if self._stop < self.call.count:
            self._batcher.again(self.next())
        else:
            self.call.complete(join_outputs(self._parts), 0, Run(self.call.count, self._started_s, self._duration_s))


class _Slice:
    """One slice, to the executor a call like any other."""

    __slots__ = ("_whole", "count", "rows", "to_come")

    def __init__(self, whole: _Slices, rows: Inputs, to_come: int) -> None:
        self._whole = whole
        self.rows: Any = rows
        self.count = rows.count
        self.to_come = to_come

    @property
    def deadline_s(self) -> float:
        return self._whole.call.deadline_s

    @property
    def abandoned(self) -> bool:
        return self._whole.call.abandoned

    def complete(self, outputs: Outputs, start: int, run: Run) -> None:
        self._whole.completed(outputs.part(start, start + self.count), run)

    def fail(self, error: Exception) -> None:
        self._whole.call.fail(error)
