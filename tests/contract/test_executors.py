"""What every executor promises, whichever way it runs a model."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from foretell.core.signature import Column, Output, Signature
from foretell.core.values import Inputs, Matrix, Outputs, Row
from foretell.errors import DeadlineExceeded, QueueFull
from foretell.execution.base import Executor, Run
from foretell.execution.direct import DirectExecutor
from foretell.execution.hosted.link import RemoteError
from foretell.execution.threaded import ThreadedExecutor
from tests.calls import WAIT_S, Recorded
from tests.hosting import HostBeside
from tests.report import Report

SIGNATURE = Signature((Column("x"),), output=Output("regression"))
POISON = -1.0


class Doubler:
    """Gives twice what it gets; fails whole batches that hold a poisoned row, as real libraries do."""

    signature = SIGNATURE
    model_type = "Doubler"
    parameters: ClassVar[dict[str, Any]] = {}

    def __init__(self, failure: BaseException | None = None) -> None:
        self.batches: list[list[float]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.leave: Recorded | None = None
        self._failure = failure or ValueError("poisoned")

    def predict(self, inputs: Inputs) -> Outputs:
        assert isinstance(inputs, Matrix)
        rows = inputs.values[:, 0].tolist()
        self.batches.append(rows)
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        if self.leave is not None:
            self.leave.abandoned = True
        if POISON in rows:
            raise self._failure
        return Outputs(self.signature.output, values=inputs.values[:, 0] * 2)

    def close(self) -> None:
        self.gate.set()


Make = Callable[..., Executor]


@pytest.fixture(params=["direct", "threaded", "hosted"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(mode: str, tmp_path: Path) -> Iterator[Make]:
    def build(model: Doubler, max_rows: int = 64, max_waiting_rows: int = 4096) -> Executor:
        if mode == "hosted":
            return beside.executor(model, max_rows, max_waiting_rows)
        kind = DirectExecutor if mode == "direct" else ThreadedExecutor
        return kind(model, max_rows=max_rows, max_waiting_rows=max_waiting_rows)

    with HostBeside(tmp_path) as beside:
        yield build


def one(value: float) -> Recorded:
    return Recorded([[value]])


def test_every_call_gets_its_own_rows_in_order(make: Make, report: Report, mode: str) -> None:
    async def scenario() -> None:
        executor = make(Doubler())
        calls = [Recorded([[float(i)], [float(i) + 0.5]]) for i in range(100)]
        for call in calls:
            executor.submit(call)
        for i, call in enumerate(calls):
            assert await call.answer() == [2.0 * i, 2.0 * i + 1]
        assert executor.waiting_rows == 0
        await executor.close()

    asyncio.run(scenario())
    report(f"Every call gets its own rows in order, {mode}", calls=100)


def test_answers_come_in_the_thread_of_the_loop_once_each(make: Make) -> None:
    async def scenario() -> None:
        executor = make(Doubler())
        calls = [one(float(i)) for i in range(10)]
        for call in calls:
            executor.submit(call)
        for call in calls:
            await call.answer()
        await executor.close()
        assert {call.thread for call in calls} == {threading.get_ident()}
        assert all(len(call.answers) == 1 for call in calls)

    asyncio.run(scenario())


def test_what_arrives_together_runs_together(make: Make) -> None:
    async def scenario() -> None:
        model = Doubler()
        executor = make(model)
        first = one(0.0)
        executor.submit(first)
        await first.answer()
        model.batches.clear()
        calls = [one(float(i)) for i in range(1, 31)]
        for call in calls:
            executor.submit(call)
        for call in calls:
            await call.answer()
        await executor.close()
        assert len(model.batches) <= 2, "30 calls of one turn of the loop"
        assert max(call.run.rows for call in calls if call.run) >= 29

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "failure", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), RecursionError(), MemoryError()]
)
def test_a_poisoned_row_fails_alone(make: Make, failure: BaseException) -> None:
    async def scenario() -> None:
        executor = make(Doubler(failure))
        calls = [one(POISON if i == 17 else float(i)) for i in range(32)]
        for call in calls:
            executor.submit(call)
        for i, call in enumerate(calls):
            answer = await call.answer()
            assert isinstance(answer, Exception) if i == 17 else answer == [2.0 * i]
        assert executor.waiting_rows == 0
        await executor.close()

    asyncio.run(scenario())


def test_one_poisoned_row_in_32_leaves_31_right_answers_a_thousand_times(make: Make, report: Report, mode: str) -> None:
    async def scenario() -> None:
        executor = make(Doubler())
        for number in range(1000):
            poisoned = number % 32
            calls = [one(POISON if i == poisoned else number + i / 64) for i in range(32)]
            for call in calls:
                executor.submit(call)
            answers = [await call.answer() for call in calls]
            assert isinstance(answers.pop(poisoned), Exception)
            assert answers == [[2 * (number + i / 64)] for i in range(32) if i != poisoned]
        assert executor.waiting_rows == 0
        await executor.close()

    asyncio.run(scenario())
    report(f"One poisoned row in 32 leaves 31 right answers, {mode}", bar="0 wrong", rounds=1000, wrong=0)


def test_a_call_abandoned_while_its_broken_batch_is_halved_never_runs_again(make: Make) -> None:
    async def scenario() -> None:
        model = Doubler()
        executor = make(model)
        calls = [one(POISON), one(1.0), one(2.0), one(3.0)]
        for call in calls:
            executor.submit(call)
        model.leave = calls[2]
        assert isinstance(await calls[0].answer(), Exception)
        assert await calls[1].answer() == [2.0]
        assert await calls[3].answer() == [6.0]
        await executor.close()
        assert calls[2].answers == []
        assert executor.waiting_rows == 0
        assert sum(2.0 in batch for batch in model.batches) <= 1

    asyncio.run(scenario())


def test_a_large_call_goes_in_slices_and_comes_back_whole(make: Make) -> None:
    async def scenario() -> None:
        model = Doubler()
        executor = make(model, max_rows=10)
        large = Recorded(Matrix(np.arange(95, dtype=np.float64).reshape(-1, 1)))
        small = one(1000.0)
        executor.submit(large)
        executor.submit(small)
        assert await large.answer() == [2.0 * i for i in range(95)]
        assert await small.answer() == [2000.0]
        assert max(map(len, model.batches)) <= 10
        assert large.run is not None and large.run.rows == 95
        order = [batch[-1] for batch in model.batches]
        assert order.index(1000.0) < len(order) - 1, "others get their turn between the slices"
        assert executor.waiting_rows == 0
        await executor.close()

    asyncio.run(scenario())


def test_a_large_call_with_a_poisoned_row_fails_whole_and_once(make: Make) -> None:
    async def scenario() -> None:
        executor = make(Doubler(), max_rows=10)
        rows = np.arange(95, dtype=np.float64).reshape(-1, 1)
        rows[50] = POISON
        large, other = Recorded(Matrix(rows)), one(3.0)
        executor.submit(large)
        executor.submit(other)
        assert isinstance(await large.answer(), ValueError | RemoteError)
        assert await other.answer() == [6.0]
        await executor.close()
        assert len(large.answers) == 1
        assert executor.waiting_rows == 0

    asyncio.run(scenario())


def test_a_call_past_its_deadline_is_failed_unrun(make: Make, report: Report, mode: str) -> None:
    async def scenario() -> None:
        model = Doubler()
        executor = make(model)
        late, timely = Recorded([[5.0]], deadline_s=time.monotonic() - 1), one(6.0)
        executor.submit(late)
        executor.submit(timely)
        assert isinstance(await late.answer(), DeadlineExceeded)
        assert await timely.answer() == [12.0]
        await executor.close()
        assert [5.0] not in model.batches and all(5.0 not in batch for batch in model.batches)

    asyncio.run(scenario())
    report(f"A call past its deadline never runs, {mode}")


@pytest.mark.parametrize("which", range(5))
def test_abandoning_any_call_leaves_the_others_alone(make: Make, which: int, report: Report, mode: str) -> None:
    async def scenario() -> None:
        model = Doubler()
        executor = make(model)
        first = one(100.0)
        executor.submit(first)
        calls = [one(float(i)) for i in range(5)]
        for call in calls:
            executor.submit(call)
        calls[which].abandoned = True
        for i, call in enumerate(calls):
            if i != which:
                assert await call.answer() == [2.0 * i]
        await executor.close()
        assert calls[which].answers == []
        assert executor.waiting_rows == 0
        assert all(float(which) not in batch for batch in model.batches), "dropped before it ran"

    asyncio.run(scenario())
    report(f"Call {which + 1} of 5 cancelled, the others are right, {mode}")


def test_abandoning_a_large_call_midway_frees_its_rows(make: Make) -> None:
    async def scenario() -> None:
        model = Doubler()
        executor = make(model, max_rows=10)
        large = Recorded(Matrix(np.arange(1000, dtype=np.float64).reshape(-1, 1)))
        executor.submit(large)
        for _ in range(1000):
            if model.batches:
                break
            await asyncio.sleep(0)
        large.abandoned = True
        small = one(4.0)
        executor.submit(small)
        assert await small.answer() == [8.0]
        await executor.close()
        assert large.answers == []
        assert len(model.batches) < 100
        assert executor.waiting_rows == 0

    asyncio.run(scenario())


def test_a_full_queue_refuses_and_recovers(make: Make) -> None:
    async def scenario() -> None:
        executor = make(Doubler(), max_waiting_rows=4)
        accepted = [one(float(i)) for i in range(4)]
        for call in accepted:
            executor.submit(call)
        with pytest.raises(QueueFull) as refused:
            executor.submit(one(9.0))
        assert refused.value.retry_after_s >= 1
        for i, call in enumerate(accepted):
            assert await call.answer() == [2.0 * i]
        again = one(9.0)
        executor.submit(again)
        assert await again.answer() == [18.0]
        await executor.close()

    asyncio.run(scenario())


def test_an_idle_executor_takes_a_call_at_once_and_a_busy_one_says_how_long(make: Make) -> None:
    async def scenario() -> None:
        executor = make(Doubler(), max_rows=4)
        assert executor.prospect(1).wait_s == 0
        calls = [one(float(i)) for i in range(40)]
        for call in calls:
            executor.submit(call)
        for call in calls:
            await call.answer()
        assert executor.prospect(1).wait_s == 0
        later = [one(float(i)) for i in range(40)]
        for call in later:
            executor.submit(call)
        near, far = executor.prospect(1), executor.prospect(40)
        assert 0 < near.wait_s < near.answer_s < far.answer_s
        for call in later:
            await call.answer()
        await executor.close()

    asyncio.run(scenario())


def test_whoever_has_left_is_not_waited_for(make: Make) -> None:
    async def scenario() -> None:
        model = Doubler()
        executor = make(model, max_rows=4)
        calls = [one(float(i)) for i in range(400)]
        for call in calls:
            executor.submit(call)
            call.abandoned = True
        late = Recorded([[7.0]], deadline_s=time.monotonic() - 1)
        executor.submit(late)
        executor.prospect(1)
        assert executor.waiting_rows <= 4, "at most what runs already"
        assert isinstance(await late.answer(), DeadlineExceeded)
        await executor.close()
        assert sum(map(len, model.batches)) <= 4
        assert executor.waiting_rows == 0

    asyncio.run(scenario())


def test_close_runs_what_was_accepted_to_its_end(make: Make, report: Report, mode: str) -> None:
    async def scenario() -> None:
        executor = make(Doubler(), max_rows=3)
        calls = [one(float(i)) for i in range(20)]
        for call in calls:
            executor.submit(call)
        await asyncio.wait_for(executor.close(), WAIT_S)
        assert [call.answers for call in calls] == [[[2.0 * i]] for i in range(20)]

    asyncio.run(scenario())
    report(f"What was accepted is answered at a shutdown, {mode}", calls=20)


def test_a_model_that_gives_another_number_of_rows_fails_the_call(make: Make) -> None:
    class Short(Doubler):
        def predict(self, inputs: Inputs) -> Outputs:
            return Outputs(self.signature.output, values=np.zeros(inputs.count + 1))

    async def scenario() -> None:
        executor = make(Short())
        call = one(1.0)
        executor.submit(call)
        assert isinstance(await call.answer(), Exception)
        await executor.close()

    asyncio.run(scenario())


def test_a_running_batch_on_a_thread_gathers_the_next_meanwhile() -> None:
    async def scenario() -> None:
        model = Doubler()
        executor = ThreadedExecutor(model, max_rows=64, max_waiting_rows=4096)
        model.gate.clear()
        first = one(1.0)
        executor.submit(first)
        await asyncio.to_thread(model.entered.wait, WAIT_S)
        rest = [one(float(i)) for i in range(2, 12)]
        for call in rest:
            executor.submit(call)
        model.gate.set()
        for call in rest:
            await call.answer()
        await executor.close()
        assert [len(batch) for batch in model.batches] == [1, 10]

    asyncio.run(scenario())


class Stubborn(Recorded):
    """A call that cannot take its answer; ``worse``: nor a failure."""

    def __init__(self, rows: Sequence[Row] | Inputs, *, worse: bool = False, late: bool = False) -> None:
        super().__init__(rows, time.monotonic() - 1 if late else None)
        self.worse = worse

    def complete(self, outputs: Outputs, start: int, run: Run) -> None:
        raise IndexError("no such class")

    def fail(self, error: Exception) -> None:
        super().fail(error)
        if self.worse:
            raise TypeError("not even that")


@pytest.mark.parametrize("worse", [False, True])
def test_a_call_that_cannot_take_its_answer_leaves_the_others_alone(make: Make, worse: bool) -> None:
    async def scenario() -> None:
        executor = make(Doubler(), max_rows=10)
        slices = Stubborn(Matrix(np.arange(35, dtype=np.float64).reshape(-1, 1)), worse=worse)
        single, late = Stubborn([[1.0]], worse=worse), Stubborn([[2.0]], worse=worse, late=True)
        poisoned = Stubborn([[POISON]], worse=worse)
        stubborn, others = (slices, single, late, poisoned), [one(float(i)) for i in range(20)]
        for call in (*others[:5], *stubborn, *others[5:]):
            executor.submit(call)
        for i, other in enumerate(others):
            assert await other.answer() == [2.0 * i]
        *refused, late_answer, poisoned_answer = [type(await call.answer()) for call in stubborn]
        assert (refused, late_answer) == ([IndexError, IndexError], DeadlineExceeded)
        assert poisoned_answer in (ValueError, RemoteError)
        await asyncio.wait_for(executor.close(), WAIT_S)
        assert all(len(call.answers) == 1 for call in stubborn)
        assert executor.waiting_rows == 0

    asyncio.run(scenario())


class Watched(Doubler):
    """Calls ``on_run`` in the middle of each batch."""

    def __init__(self, on_run: Callable[[], None]) -> None:
        super().__init__()
        self.on_run = on_run

    def predict(self, inputs: Inputs) -> Outputs:
        self.on_run()
        return super().predict(inputs)


@pytest.mark.parametrize("poisoned", [False, True])
def test_calls_abandoned_while_they_run_are_not_answered_and_shift_nobody(make: Make, poisoned: bool) -> None:
    async def scenario() -> None:
        calls = [Recorded([[float(i)], [float(i) + 0.5]]) for i in range(6)]
        calls[2] = one(POISON if poisoned else 2.0)

        def leave() -> None:
            calls[0].abandoned = calls[2].abandoned = True

        executor = make(Watched(leave))
        large = Recorded(Matrix(np.arange(100, 200, dtype=np.float64).reshape(-1, 1)))
        for call in (*calls, large):
            executor.submit(call)
        for i in (1, 3, 4, 5):
            assert await calls[i].answer() == [2.0 * i, 2.0 * i + 1]
        assert await large.answer() == [2.0 * i for i in range(100, 200)]
        await asyncio.wait_for(executor.close(), WAIT_S)
        assert calls[0].answers == calls[2].answers == []
        assert executor.waiting_rows == 0

    asyncio.run(scenario())


def test_a_slice_that_shares_its_batch_gets_its_own_rows(make: Make) -> None:
    async def scenario() -> None:
        model = Doubler()
        executor = make(model, max_rows=10)
        large = Recorded(Matrix(np.arange(15, dtype=np.float64).reshape(-1, 1)))
        small = Recorded([[100.0], [200.0]])
        executor.submit(large)
        executor.submit(small)
        assert await large.answer() == [2.0 * i for i in range(15)]
        assert await small.answer() == [200.0, 400.0]
        await executor.close()
        assert [len(batch) for batch in model.batches] == [10, 7], "the second slice stood behind the small call"

    asyncio.run(scenario())


def test_an_empty_queue_takes_a_call_larger_than_itself(make: Make) -> None:
    async def scenario() -> None:
        executor = make(Doubler(), max_waiting_rows=4)
        large = Recorded(Matrix(np.arange(9, dtype=np.float64).reshape(-1, 1)))
        executor.submit(large)
        with pytest.raises(QueueFull):
            executor.submit(one(1.0))
        assert await large.answer() == [2.0 * i for i in range(9)]
        await executor.close()

    asyncio.run(scenario())


def test_direct_takes_along_what_arrives_in_the_same_turn_after_the_first() -> None:
    async def scenario() -> None:
        model = Doubler()
        executor = DirectExecutor(model, max_rows=64, max_waiting_rows=64)
        first, second = one(1.0), one(2.0)
        executor.submit(first)
        asyncio.get_running_loop().call_soon(executor.submit, second)
        assert (await first.answer(), await second.answer()) == ([2.0], [4.0])
        await executor.close()
        assert [len(batch) for batch in model.batches] == [2]

    asyncio.run(scenario())
