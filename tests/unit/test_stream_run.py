"""Streams through the plane: order, few chunks on their way, and a failing row that costs no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from foretell.codecs.stream.base import Answered, Chunk
from foretell.core.values import Inputs, Matrix, Outputs
from foretell.errors import DeadlineExceeded, Draining, MalformedRequest, QueueFull
from foretell.execution.base import Call, Prospect, Run
from foretell.inference.service import InferenceService
from foretell.inference.stream import IN_FLIGHT, StreamRun
from foretell.lifecycle.catalog import Catalog, CatalogHolder, Entry
from foretell.lifecycle.servable import Servable
from foretell.lifecycle.states import State
from foretell.settings import Settings
from tests.serving import Sum, light_servable, run


class _Own:
    def columns(self) -> Mapping[str, Sequence[Any]]:
        return {}


def chunk(start: int, xs: Sequence[float], faults: Mapping[int, str] | None = None) -> Chunk:
    good = [[x, 1.0] for row, x in enumerate(xs) if row not in (faults or {})]
    inputs = Matrix(np.array(good, dtype=np.float64)) if good else None
    return Chunk(start, len(xs), _Own(), inputs, faults or {})


async def given(*chunks: Chunk) -> AsyncIterator[Chunk]:
    for each in chunks:
        yield each


class Held:
    """An executor that answers when it is told to."""

    mode = "threaded"
    waiting_rows = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        self.calls: list[Call] = []
        self.refusing = 0
        self.row_s = 0.0

    def prospect(self, rows: int) -> Prospect:
        return Prospect(1.0, 1.0 + rows * self.row_s)

    def submit(self, call: Call) -> None:
        if self.refusing:
            self.refusing -= 1
            raise QueueFull("full")
        self.calls.append(call)

    def answer(self, call: Call) -> None:
        inputs = call.rows
        assert isinstance(inputs, Matrix)
        call.complete(Outputs(Sum.signature.output, values=inputs.values[:, 0]), 0, Run(call.count, 0.0, 0.0))

    async def close(self) -> None:
        """Holds nothing."""


def servable(model: Any = None, executor: Any = None) -> Servable:
    model = model or Sum()
    return light_servable(model, Settings(), lambda *_, **__: executor or _Direct(model))


class _Direct(Held):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model
        self.sizes: list[int] = []

    def submit(self, call: Call) -> None:
        assert isinstance(call.rows, Matrix)
        self.sizes.append(call.count)
        try:
            call.complete(self._model.predict(call.rows), 0, Run(call.count, 0.0, 0.0))
        except ValueError as error:
            call.fail(error)


def values(answered: Answered) -> list[float]:
    return [] if answered.outputs is None or answered.outputs.values is None else answered.outputs.values.tolist()


def answers(target: Servable, *chunks: Chunk, call_s: float = 5.0) -> list[Answered]:
    async def collect() -> list[Answered]:
        return [answered async for answered in StreamRun(target, call_s).answers(given(*chunks))]

    found: list[Answered] = run(collect())
    return found


def test_chunks_are_answered_in_order_and_a_faulty_row_is_not_asked() -> None:
    found = answers(servable(), chunk(0, [1, 2]), chunk(2, [3, 4, 5], {1: "bad"}), chunk(5, [6], {0: "bad"}))
    assert [values(answered) for answered in found] == [[11, 21], [31, 51], []]
    assert [dict(answered.faults) for answered in found] == [{}, {1: "bad"}, {0: "bad"}]


def test_a_row_the_model_fails_on_is_a_fault_of_its_own() -> None:
    model = Sum(poison=7)
    [found] = answers(servable(model), chunk(0, [0, 1, 2, 3, 7, 5, 6, 7, 8], {0: "bad"}))
    assert values(found) == [11, 21, 31, 51, 61, 81]
    assert list(found.faults) == [0, 4, 7]
    assert found.faults[4].startswith("model_failed")
    [none] = answers(servable(model), chunk(0, [7, 7]))
    assert none.outputs is None
    assert list(none.faults) == [0, 1]


class _Odd(Sum):
    def predict(self, inputs: Inputs) -> Outputs:
        outputs = super().predict(inputs)
        assert outputs.values is not None
        outputs.values[outputs.values > 50] = np.nan
        return outputs


@pytest.mark.parametrize("poison", [-1.0, 2.0])
def test_a_row_the_model_gives_no_number_for_is_a_fault_of_its_own(poison: float) -> None:
    [found] = answers(servable(_Odd(poison)), chunk(0, [9, 2, 9, 4, 5], {0: "bad"}))
    assert values(found) == ([21, 41] if poison < 0 else [41])
    assert {row: text.split(":")[0] for row, text in found.faults.items() if row != 1} == {
        0: "bad",
        2: "model_gave_no_number",
        4: "model_gave_no_number",
    }
    [none] = answers(servable(_Odd()), chunk(0, [9]))
    assert none.outputs is None


def test_only_a_few_chunks_are_on_their_way_and_answers_come_as_soon_as_they_are_there() -> None:
    async def scenario() -> None:
        held, read = Held(), []

        async def chunks() -> AsyncIterator[Chunk]:
            for start in range(10):
                read.append(start)
                yield chunk(start, [start])

        stream = StreamRun(servable(executor=held), 5.0).answers(chunks())
        first = asyncio.ensure_future(anext(stream))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(held.calls) == IN_FLIGHT
        assert len(read) <= IN_FLIGHT + 1
        held.answer(held.calls[1])
        held.answer(held.calls[0])
        assert values(await first) == [0]
        assert values(await anext(stream)) == [1]
        await stream.aclose()
        assert all(call.abandoned for call in held.calls[2:])

    run(scenario())


def test_what_came_before_a_fault_of_the_stream_is_answered_first() -> None:
    async def scenario() -> None:
        held = Held()

        async def chunks() -> AsyncIterator[Chunk]:
            yield chunk(0, [1])
            raise MalformedRequest("broken")

        stream = StreamRun(servable(executor=held), 5.0).answers(chunks())
        first = asyncio.ensure_future(anext(stream))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not first.done()
        held.answer(held.calls[0])
        assert values(await first) == [1]
        with pytest.raises(MalformedRequest):
            await anext(stream)

    run(scenario())


def test_a_slow_model_gets_a_chunk_in_parts_that_others_can_go_between() -> None:
    direct = _Direct(Sum())
    direct.row_s = 0.03
    [found] = answers(servable(executor=direct), chunk(0, list(range(10))))
    assert values(found) == [10.0 * x + 1 for x in range(10)]
    assert direct.sizes == [3, 3, 3, 1]


def test_a_full_queue_is_waited_for_within_the_time_of_a_call() -> None:
    held = Held()
    held.refusing = 2

    async def scenario() -> list[float]:
        stream = StreamRun(servable(executor=held), 5.0).answers(given(chunk(0, [4])))
        first = asyncio.ensure_future(anext(stream))
        await asyncio.wait([first], timeout=0.5)
        held.answer(held.calls[0])
        return values(await first)

    assert run(scenario()) == [4]
    held.refusing = 10**9
    with pytest.raises(DeadlineExceeded, match="full"):
        answers(servable(executor=held), chunk(0, [4]), call_s=0.01)


def test_a_model_that_does_not_answer_ends_the_stream_at_the_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        answers(servable(executor=Held()), chunk(0, [4]), call_s=0.01)
    assert time.monotonic() - began < 60


def service(target: Servable, max_streams: int = 2) -> InferenceService:
    holder = CatalogHolder(Catalog.of([Entry(target.ref, State.READY, None, target)], "sum"))
    return InferenceService(holder, Settings().limits.body, max_streams=max_streams)


def test_a_stream_holds_a_lease_and_there_are_only_so_many() -> None:
    target = servable()
    plane = service(target)
    with plane.stream_lease(target), plane.stream_lease(target):
        assert target.leases == 2
        with pytest.raises(QueueFull, match="max_streams"), plane.stream_lease(target):
            pass
    assert target.leases == 0
    assert target.served.ordinary == 2
    plane.draining = True
    with pytest.raises(Draining), plane.stream_lease(target):
        pass


def test_of_all_streams_a_caller_holds_a_quarter_and_nobody_in_particular_any_number() -> None:
    target = servable()
    plane = service(target, max_streams=8)
    with plane.stream_lease(target, "key:a"), plane.stream_lease(target, "key:a"):
        with pytest.raises(QueueFull, match="of this caller"), plane.stream_lease(target, "key:a"):
            pass
        with plane.stream_lease(target, "key:b"), plane.stream_lease(target), plane.stream_lease(target):
            assert target.leases == 5
    assert not plane._streams
    with service(target, max_streams=1).stream_lease(target, "key:a"):
        assert target.leases == 1


def test_the_service_answers_the_chunks_of_a_stream() -> None:
    target = servable()

    async def collect() -> list[Answered]:
        return [each async for each in service(target).predict_stream(target, given(chunk(0, [1])), 5.0)]

    [found] = run(collect())
    assert values(found) == [11]
    assert target.served.rows == 1
