"""Edges of the wire where the lane and uvicorn meet: idle times, stops, faults in odd places. ``serve``: both ways."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from foretell.core.access.decision import Action
from foretell.core.access.principal import anonymous
from foretell.core.signature import Column, Output, Signature
from foretell.core.values import Inputs, Matrix, Outputs
from foretell.execution.base import AT_ONCE, Executor
from foretell.execution.direct import DirectExecutor
from foretell.execution.threaded import ThreadedExecutor
from foretell.lifecycle.catalog import Catalog
from foretell.security.unlimited import Unlimited
from foretell.wire.cycle import LaneCycle
from foretell.wire.lane import Lane
from foretell.wire.protocol import LaneProtocol
from tests.integration.test_lane import PREDICT, ask, body, lane_count
from tests.serving import WAYS, Observed, Running, Sum, by_way, running
from tests.wire import Answer, Wire, get, post

Serve = Callable[..., AbstractContextManager[Running]]


@pytest.fixture(params=WAYS)
def serve(request: pytest.FixtureRequest) -> Serve:
    def start(model: Any | None = None, **options: Any) -> AbstractContextManager[Running]:
        return by_way(request.param, model, **options)

    return start


@pytest.fixture(params=[DirectExecutor, ThreadedExecutor], ids=["direct", "threaded"])
def executor(request: pytest.FixtureRequest) -> type[Executor]:
    kind: type[Executor] = request.param
    return kind


# -- limits ----------------------------------------------------------------------------------------------------------


def test_the_largest_body_of_the_settings_holds(serve: Serve) -> None:
    with serve(limits={"max_body_bytes": 1024}) as server:
        for length, status in ((1024, 200), (1025, 413)):
            with Wire(server.port) as wire:
                wire.send(post(PREDICT, body(1, 2).ljust(length)))
                assert wire.answer().status == status


def test_time_that_the_body_takes_is_part_of_the_time_allowed() -> None:
    delays: list[float] = []

    def call_later(delay_s: float, _: object) -> Any:
        delays.append(delay_s)
        return SimpleNamespace(cancel=lambda: None)

    cycle = _cycle(call_later, decode=lambda _: (1.0, 2.0))
    cycle.started_s = time.perf_counter() - 4  # so long the body took
    assert cycle.start()
    assert 5.0 < delays[0] < 6.1


def test_a_fault_in_the_decoder_is_left_to_the_ordinary_way() -> None:
    def decode(_: bytes) -> Any:
        raise RecursionError

    cycle = _cycle(lambda *_: None, decode)
    assert not cycle.start()
    assert not cycle.leased


def test_a_failure_after_the_answer_does_not_answer_twice() -> None:
    cycle = _cycle(lambda *_: None, lambda _: (1.0, 2.0))
    assert cycle.start()
    cycle.response_complete = True
    cycle.fail(ValueError())  # the fake protocol knows of no fall_back
    assert not cycle.leased


def _cycle(call_later: Callable[..., Any], decode: Callable[[bytes], Any]) -> LaneCycle:
    servable = SimpleNamespace(
        acquire=lambda: None,
        release=lambda: None,
        executor=SimpleNamespace(mode="threaded", submit=lambda _: None, prospect=lambda _: AT_ONCE),
    )
    door = SimpleNamespace(timeout_s=10.0, max_queue_s=2.0, decode=decode, servable=servable, submit=lambda _: None)
    door.limiter, door.action = Unlimited(), Action("predict", "sum")
    protocol = SimpleNamespace(
        address="", arrived_s=time.perf_counter(), url=b"/", headers=[], loop=SimpleNamespace(call_later=call_later)
    )
    return LaneCycle(cast(Any, protocol), cast(Any, door), None, anonymous(frozenset({"predict"})))


# -- idle connections ------------------------------------------------------------------------------------------------


def test_a_request_whose_first_bytes_came_with_the_one_before_is_not_cut(serve: Serve) -> None:
    model = Sum()
    with serve(model, keep_alive_s=1, make_executor=ThreadedExecutor) as server, Wire(server.port) as wire:
        second = ask(2)
        wire.send(ask(1), second[:30])
        assert wire.answer().status == 200
        model.gate.clear()
        wire.send(second[30:])
        with Wire(server.port) as idle:  # its end shows that the idle time has passed
            idle.send(get("/health/live"))
            assert idle.answer().status == 200
            assert idle.closed()
        model.gate.set()
        assert wire.answer().json["prediction"] == 20.0


def test_a_body_that_goes_on_after_its_answer_keeps_the_connection(serve: Serve) -> None:
    with serve(keep_alive_s=1) as server, Wire(server.port) as wire:
        wire.send(post("/nowhere", b"x" * 4)[:-3])
        assert wire.answer().status == 404
        wire.send(b"x")
        with Wire(server.port) as idle:
            idle.send(get("/health/live"))
            assert idle.answer().status == 200
            assert idle.closed()
        wire.send(b"xx", ask(3))
        assert wire.answer().json["prediction"] == 30.0


# -- what is counted and told ----------------------------------------------------------------------------------------


def test_the_time_a_body_took_is_in_the_log_whichever_way_it_went(serve: Serve) -> None:
    with serve() as server, Wire(server.port) as wire:
        request = post(PREDICT, b'{"features":[1,"2"]}')
        wire.send(request[:-4])
        time.sleep(0.2)
        wire.send(request[-4:])
        assert wire.answer().status == 422
        server.eventually(lambda: len(server.observer.outcomes) == 1)
        assert server.observer.outcomes[0].duration_ms > 150


def test_every_request_counts_and_the_date_moves_on(serve: Serve) -> None:
    with serve() as server, Wire(server.port) as wire:
        dates: set[str] = set()
        asked = 0
        while len(dates) < 2:
            wire.send(ask(1))
            dates.add(wire.answer().headers["date"])
            asked += 1
            time.sleep(0.05)
            assert asked < 400
        wire.send(get("/nowhere"))
        assert wire.answer().status == 404
        server.eventually(lambda: server.server.server_state.total_requests == asked + 1)


def test_nothing_more_is_written_while_nobody_takes_what_was(serve: Serve) -> None:
    with serve() as server, Wire(server.port) as wire:
        wire.send(ask(1))
        assert wire.answer().status == 200
        (protocol,) = server.server.server_state.connections
        connection = cast(Any, protocol)
        connection.loop.call_soon_threadsafe(connection.pause_writing)  # as a full transport does
        server.eventually(lambda: connection.flow.write_paused)
        held, drain = threading.Event(), connection.flow.drain

        async def watched_drain() -> None:
            held.set()
            await drain()

        connection.flow.drain = watched_drain
        wire.send(ask(2))
        assert held.wait(20), "the answer is there and waits to be written"
        mark = b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n"
        connection.loop.call_soon_threadsafe(connection.transport.write, mark)
        connection.loop.call_soon_threadsafe(connection.resume_writing)
        assert wire.answer().status == 204, "what was written past the pause is the first that comes"
        assert wire.answer().json["prediction"] == 20.0


# -- callers that leave ----------------------------------------------------------------------------------------------


def test_nonsense_right_behind_a_request_ends_the_connection_and_the_request_is_logged_once(serve: Serve) -> None:
    with serve() as server, Wire(server.port) as wire:
        wire.send(ask(1, 0, "X-Request-ID: first"), b"\x00\x00nonsense\r\n\r\n")
        assert [wire.answer().status, wire.answer().status] == [200, 400], "each in its turn"
        assert wire.closed()
        server.eventually(lambda: server.services.servable.leases == 0)
        server.eventually(lambda: server.observer.ids == ["first"])
        server.eventually(lambda: server.services.servable.executor.waiting_rows == 0)


def test_a_request_that_has_to_fall_back_when_its_connection_is_closing_is_reported() -> None:
    left: list[LaneCycle] = []
    cycle = _cycle(lambda *_: None, lambda _: None)
    cycle.door = cast(Any, SimpleNamespace(left=left.append, timeout_s=1.0))
    protocol = SimpleNamespace(transport=SimpleNamespace(is_closing=lambda: True))
    LaneProtocol.fall_back(cast(Any, protocol), cycle)
    assert left == [cycle]
    assert cycle.response_complete


def test_a_caller_that_leaves_before_its_body_is_whole_is_logged_once(serve: Serve) -> None:
    with serve() as server:
        wire = Wire(server.port)
        wire.send(ask(1, 0, "X-Request-ID: half")[:-3])
        server.eventually(lambda: any(getattr(c, "cycle", None) for c in server.server.server_state.connections))
        wire.socket.close()
        server.eventually(lambda: server.observer.ids.count("half") == 1)
        server.eventually(lambda: not server.server.server_state.connections)
        assert server.observer.ids.count("half") == 1


# -- the stop --------------------------------------------------------------------------------------------------------


def test_a_body_that_is_still_coming_when_the_drain_begins_is_answered(serve: Serve) -> None:
    with serve() as server, Wire(server.port) as wire, Wire(server.port) as late:
        request = ask(3)
        wire.send(request[:-4])
        server.eventually(lambda: any(getattr(c, "cycle", None) for c in server.server.server_state.connections))
        late.send(get("/health/live"))
        assert late.answer().status == 200
        server.services.drain()
        wire.send(request[-4:])
        assert wire.answer().json["prediction"] == 30.0
        late.send(ask(1))
        assert late.answer().status == 503
        assert lane_count(server) == int(server.services.lane is not None)


def test_a_failure_of_accepted_work_is_explained_also_at_a_stop_and_ends_the_connection(serve: Serve) -> None:
    model = Sum(poison=13)
    with (
        serve(model, make_executor=ThreadedExecutor, keep_alive_s=60) as server,
        Wire(server.port) as wire,
        Wire(server.port) as idle,
    ):
        idle.send(get("/health/live"))
        assert idle.answer().status == 200
        model.gate.clear()
        wire.send(ask(13))
        assert model.entered.wait(20)
        server.services.drain()
        server.stop()
        assert idle.closed()
        model.gate.set()
        answer = wire.answer()
        assert answer.status == 500
        assert answer.headers["connection"] == "close"
        assert wire.closed()


def test_a_closed_lane_opens_no_door_again() -> None:
    with running() as server:
        lane = server.services.lane
        assert lane is not None and lane.doors
        closing = Lane(
            lambda _: {b"/predict": (server.services.servable, "/predict")},
            Observed(),
            lane.ids,
            lane.gate,
            timeout_s=1.0,
            max_body_bytes=1024,
        )
        closing.refresh(Catalog())
        assert list(closing.doors) == [b"/predict"]
        closing.close()
        closing.refresh(Catalog())
        assert not closing.doors


# -- models that do odd things ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [StopIteration("odd"), StopAsyncIteration(), GeneratorExit(), asyncio.CancelledError()]
)
def test_whatever_a_model_raises_it_goes_on_answering_others(
    serve: Serve, executor: type[Executor], failure: BaseException
) -> None:
    class Odd(Sum):
        def predict(self, inputs: Inputs) -> Outputs:
            assert isinstance(inputs, Matrix)
            if (inputs.values[:, 0] == 13).any():
                raise failure
            return super().predict(inputs)

    with serve(Odd(), make_executor=executor) as server, Wire(server.port) as wire:
        wire.send(ask(13))
        assert wire.answer().status == 500
        wire.send(ask(2))
        assert wire.answer().json["prediction"] == 20.0
        server.eventually(lambda: server.services.servable.leases == 0)
        assert server.services.servable.executor.waiting_rows == 0


class Chooser(Sum):
    """Gives class x; there are two, and whoever asks for another gets an index that no class has."""

    signature = Signature((Column("x"), Column("y")), output=Output("classification", ("a", "b")))

    def predict(self, inputs: Inputs) -> Outputs:
        assert isinstance(inputs, Matrix)
        self.entered.set()
        assert self.gate.wait(20)
        return Outputs(self.signature.output, indices=inputs.values[:, 0].astype(np.intp))


def test_outputs_that_are_not_the_signatures_are_a_failure_and_never_the_answer_of_a_batch_before(serve: Serve) -> None:
    model = Chooser()
    patient = {"max_queue_s": 600.0, "timeout_s": 600.0}  # how long the gate was shut is no measure of the model
    with serve(model, make_executor=ThreadedExecutor, limits=patient) as server, Wire(server.port) as first:
        wires = [Wire(server.port) for _ in range(4)]

        def together(*xs: int) -> list[Answer]:
            model.gate.clear()
            model.entered.clear()
            first.send(post("/predict", body(0, -sum(xs))))  # another door: what this one remembers is of the four
            assert model.entered.wait(20)
            for i, (wire, x) in enumerate(zip(wires, xs, strict=True)):
                wire.send(ask(x, i + sum(xs)))  # y is nothing to the model, and makes other questions of them
            server.eventually(lambda: server.services.servable.leases == 5)
            model.gate.set()
            assert first.answer().json["prediction"] == "a"
            return [wire.answer() for wire in wires]

        assert [answer.json["prediction"] for answer in together(0, 0, 0, 0)] == ["a"] * 4
        answers = together(1, 7, 1, 1)
        assert [answer.status for answer in answers] == [200, 500, 200, 200]
        assert all(answer.json["prediction"] == "b" for answer in answers if answer.status == 200)
        first.send(ask(1))
        assert first.answer().json["prediction"] == "b"
        for wire in wires:
            wire.socket.close()
        server.eventually(lambda: server.services.servable.leases == 0)
        assert server.services.servable.executor.waiting_rows == 0
