"""Time limits, full queues and draining: around a model that answers when the test says so (contract §4, §5)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from foretell.execution.direct import DirectExecutor
from foretell.execution.threaded import ThreadedExecutor
from tests.e2e.client import check, check_problem
from tests.serving import Running, Sum, running
from tests.wire import Answer, Wire, get, post

PREDICT, BATCH = "/api/v1/predict", "/api/v1/predict/batch"
Serve = Callable[..., AbstractContextManager[Running]]


@pytest.fixture(params=[True, False], ids=["lane", "ordinary"])
def serve(request: pytest.FixtureRequest) -> Serve:
    def start(model: Sum, **options: Any) -> AbstractContextManager[Running]:
        return running(model, lane=request.param, make_executor=ThreadedExecutor, **options)

    return start


def answered(wire: Wire) -> Answer:
    answer = wire.answer()
    check(answer)
    return answer


def body(x: float) -> bytes:
    return b'{"features": [%f, 0]}' % x


@pytest.mark.parametrize("many", [False, True], ids=["single", "batch"])
def test_the_callers_own_deadline(serve: Serve, many: bool) -> None:
    model = Sum()
    with serve(model) as server, Wire(server.port) as wire:
        model.gate.clear()
        began = time.monotonic()
        data = b'{"features": [[1, 0], [2, 0]]}' if many else body(1)
        wire.send(post(BATCH if many else PREDICT, data, "X-Request-Timeout: 0.25"))
        answer = answered(wire)
        assert answer.status == 504
        assert check_problem(answer)["code"] == "deadline_exceeded"
        assert 0.2 < time.monotonic() - began < 10
        model.gate.set()
        wire.send(post(PREDICT, body(3)))
        assert answered(wire).json["prediction"] == 30.0, "the connection and the model go on"


def test_the_shorter_of_the_two_limits_holds(serve: Serve) -> None:
    model = Sum()
    with serve(model, limits={"timeout_s": 0.3}) as server, Wire(server.port) as wire:
        model.gate.clear()
        wire.send(post(PREDICT, body(1), "X-Request-Timeout: 100"))
        assert answered(wire).status == 504
        model.gate.set()


def test_a_body_that_does_not_come_in_time(serve: Serve) -> None:
    with serve(Sum(), limits={"timeout_s": 0.3}) as server, Wire(server.port) as wire:
        wire.send(b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\n{" % PREDICT.encode())
        assert wire.answer().status in (408, 504)


def test_a_full_queue_counts_rows(serve: Serve) -> None:
    model = Sum()
    with serve(model, limits={"max_waiting_rows": 10}) as server, ExitStack() as stack:
        model.gate.clear()
        first, second, third = (stack.enter_context(Wire(server.port)) for _ in range(3))
        rows = b'{"features": [%b]}' % b", ".join([b"[1, 0]"] * 8)
        first.send(post(BATCH, b'{"features": [[1, 0]]}'))
        server.eventually(model.entered.is_set)
        second.send(post(BATCH, rows))
        server.eventually(lambda: server.services.servable.executor.waiting_rows >= 8)
        third.send(post(BATCH, rows))
        refused = answered(third)
        assert refused.status == 503
        assert check_problem(refused)["code"] == "queue_full"
        assert int(refused.headers["retry-after"]) >= 1
        model.gate.set()
        assert answered(first).json["predictions"] == [10.0]
        assert answered(second).json["predictions"] == [10.0] * 8, "what was accepted ends"


def test_draining_refuses_new_work_and_ends_what_was_accepted(serve: Serve) -> None:
    model = Sum()
    with serve(model) as server, Wire(server.port) as accepted, Wire(server.port) as late:
        model.gate.clear()
        accepted.send(post(PREDICT, body(4)))
        server.eventually(model.entered.is_set)
        late.send(get("/health/ready"))
        assert answered(late).status == 200
        server.services.drain()  # as the signal handler does, before the server closes anything
        late.send(get("/health/ready"))
        ready = answered(late)
        assert (ready.status, ready.json["reason"]) == (503, "draining")
        late.send(get("/health"))
        assert answered(late).status == 503
        late.send(get("/health/live"))
        assert answered(late).status == 200
        late.send(post(PREDICT, body(5)))
        refused = answered(late)
        assert refused.status == 503
        assert check_problem(refused)["code"] == "draining"
        model.gate.set()
        assert answered(accepted).json["prediction"] == 40.0


SIZES = (1, 2, 3, 5, 8, 13, 21, 34, 55, 64)


@pytest.mark.parametrize("executor", [DirectExecutor, ThreadedExecutor])
@pytest.mark.parametrize("lane", [True, False], ids=["lane", "ordinary"])
def test_crowds_of_every_size_each_get_their_own_answers(executor: Any, lane: bool) -> None:
    """What comes while the model is busy is one call, or comes in one turn of the loop."""
    model = Sum()
    with running(model, lane=lane, make_executor=executor) as server, ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.port)) for _ in range(max(SIZES))]
        for size in SIZES:
            if executor is ThreadedExecutor:
                model.gate.clear()
            for index, wire in enumerate(wires[:size]):
                wire.send(post(PREDICT, body(index + 0.125)))
            if executor is ThreadedExecutor:
                server.eventually(lambda wanted=size: server.services.servable.leases == wanted)  # type: ignore[misc]
                model.gate.set()
            got = [answered(wire).json["prediction"] for wire in wires[:size]]
            assert got == [10 * (index + 0.125) for index in range(size)]
