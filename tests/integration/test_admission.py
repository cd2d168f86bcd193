"""Too much traffic and callers who leave, on raw sockets. ``serve`` runs a case with the lane and without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

import pytest

from foretell.codecs.json import JsonCodec
from foretell.core.identity import Ref
from foretell.core.limits import BodyLimits
from foretell.core.values import Inputs, Outputs
from foretell.errors import DeadlineExceeded, QueueFull
from foretell.execution.base import Prospect
from foretell.execution.costs import Costs
from foretell.execution.direct import DirectExecutor
from foretell.execution.threaded import ThreadedExecutor
from foretell.inference.service import Ask, InferenceService
from foretell.lifecycle.catalog import Catalog, CatalogHolder, Entry
from foretell.lifecycle.servable import Servable
from foretell.lifecycle.states import State
from foretell.testing import FakeCosts, FakeExecutor, FakeModel
from tests.integration.test_lane import ask
from tests.report import Report
from tests.serving import Running, Sum, running
from tests.wire import Wire, post

Serve = Callable[..., AbstractContextManager[Running]]
SECOND_A_ROW = partial(ThreadedExecutor, costs=Costs({1: 1000.0, 64: 64_000.0}))
BATCH = "/api/v1/predict/batch"


@pytest.fixture(params=[True, False], ids=["lane", "ordinary"])
def serve(request: pytest.FixtureRequest) -> Serve:
    def start(model: Any | None = None, **options: Any) -> AbstractContextManager[Running]:
        return running(model, lane=request.param, **options)

    return start


def test_who_cannot_be_answered_in_time_is_refused_before_it_waits(serve: Serve) -> None:
    model = Sum()
    with serve(model, make_executor=SECOND_A_ROW) as server, Wire(server.port) as first, Wire(server.port) as wire:
        model.gate.clear()
        first.send(ask(1))
        server.eventually(model.entered.is_set)
        wire.send(ask(2, 0, "X-Request-Timeout: 0.5"))
        refused = wire.answer()
        assert refused.status == 503
        assert refused.json["code"] == "queue_full"
        assert int(refused.headers["retry-after"]) >= 1
        assert server.services.servable.executor.waiting_rows == 1
        model.gate.set()
        assert first.answer().json["prediction"] == 10.0
        wire.send(ask(2, 0, "X-Request-Timeout: 0.5"))
        assert wire.answer().json["prediction"] == 20.0, "an idle model is tried, whatever it cost before"
        assert model.batches == [1, 1]


def test_what_the_settings_allow_bounds_plain_requests_too(serve: Serve) -> None:
    model = Sum()
    with (
        serve(model, make_executor=SECOND_A_ROW, limits={"timeout_s": 10.0}) as server,
        ExitStack() as stack,
    ):
        model.gate.clear()
        wires = [stack.enter_context(Wire(server.port)) for _ in range(12)]
        for i, wire in enumerate(wires):
            wire.send(ask(i))
            if not i:
                server.eventually(model.entered.is_set)
        executor, outcomes = server.services.servable.executor, server.observer.outcomes
        server.eventually(lambda: executor.waiting_rows + sum(o.status == 503 for o in outcomes) == 12)
        model.gate.set()
        answers = [wire.answer() for wire in wires]
        refused = [answer for answer in answers if answer.status == 503]
        assert 3 <= len(refused) < 12, "seconds of work that fit into ten, and no more"
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        answered = {i: answer.json["prediction"] for i, answer in enumerate(answers) if answer.status == 200}
        assert answered == {i: 10.0 * i for i in answered}


def test_what_expires_in_the_queue_never_runs(serve: Serve) -> None:
    model = Sum()
    with serve(model, make_executor=ThreadedExecutor) as server, ExitStack() as stack:
        model.gate.clear()
        first, *late = (stack.enter_context(Wire(server.port)) for _ in range(51))
        first.send(ask(1))
        server.eventually(model.entered.is_set)
        for wire in late:
            wire.send(ask(2, 0, "X-Request-Timeout: 0.005"))
        assert {wire.answer().status for wire in late} == {504}
        model.gate.set()
        assert first.answer().status == 200
        late[0].send(ask(3))
        assert late[0].answer().json["prediction"] == 30.0
        assert model.batches == [1, 1]


def leave(serve: Serve, callers: int, make_executor: Any, message: bytes) -> None:
    """``callers`` send ``message`` behind a call that runs, and leave: nothing of theirs may run after that."""
    model = Sum()
    any_number = {"max_connections_per_address": 0}
    with serve(model, make_executor=make_executor, wire=any_number) as server, Wire(server.port) as first:
        executor = server.services.servable.executor
        model.gate.clear()
        first.send(ask(1))
        server.eventually(model.entered.is_set)
        wires = [Wire(server.port) for _ in range(callers)]
        for wire in wires:
            wire.send(message)
        server.eventually(lambda: executor.waiting_rows > callers)
        for wire in wires:
            wire.socket.close()
        left = "client_disconnected"
        server.eventually(
            lambda: (
                sum(o.code == left for o in server.observer.outcomes)
                + sum(shared.code == left for shared, *_ in server.observer.lane)
                == callers
            )
        )
        model.gate.set()
        assert first.answer().status == 200
        server.eventually(lambda: executor.waiting_rows == 0)
        assert model.batches == [1]
        server.eventually(lambda: server.services.servable.leases == 0)


@pytest.mark.parametrize(
    "message", [ask(2), post(BATCH, b'{"features": [[1, 0], [2, 0]]}')], ids=["one row", "a batch"]
)
def test_nothing_runs_for_callers_who_have_left(serve: Serve, message: bytes, report: Report) -> None:
    leave(serve, 60, ThreadedExecutor, message)
    report("Nothing runs for callers who have left the queue", bar="0 rows", callers=60, rows_run_for_them=0)


@pytest.mark.torture
@pytest.mark.timeout(1200)
def test_nothing_runs_for_ten_thousand_callers_who_have_left(serve: Serve, report: Report) -> None:
    for number in range(20):
        leave(serve, 500, ThreadedExecutor, ask(float(number + 2)))
    report("Nothing runs for callers who have left the queue", bar="0 rows", callers=10_000, rows_run_for_them=0)


class Slow(Sum):
    """Takes its time for each call."""

    def predict(self, inputs: Inputs) -> Outputs:
        time.sleep(0.02)
        return super().predict(inputs)


def test_a_caller_of_a_long_queue_in_the_loop_is_watched_too() -> None:
    """A model that runs in the loop cannot be left while it runs, but while others are before it."""
    model = Slow()
    make = partial(DirectExecutor, costs=Costs({1: 100.0, 64: 100.0}))
    rows = b'{"features": [%b]}' % b", ".join([b"[1, 0]"] * 320)
    with running(model, make_executor=make) as server, Wire(server.port) as first, Wire(server.port) as leaver:
        model.gate.clear()
        first.send(post(BATCH, rows))
        server.eventually(model.entered.is_set)
        leaver.send(post(BATCH, rows))
        leaver.socket.close()
        model.gate.set()
        assert len(first.answer().json["predictions"]) == 320
        server.eventually(lambda: server.services.servable.leases == 0)
        server.eventually(lambda: any(o.code == "client_disconnected" for o in server.observer.outcomes))
        assert sum(model.batches) < 640


class Busy(FakeExecutor):
    """Has a minute of work to do."""

    def prospect(self, rows: int) -> Prospect:
        return Prospect(60.0, 61.0)


def servable(name: str, executor: type[FakeExecutor]) -> Servable:
    model = FakeModel()
    return Servable(Ref(name, "v1"), "fake", model.signature, model, executor(model), FakeCosts(), "sha256:0")


def test_one_busy_model_is_no_reason_to_refuse_another() -> None:
    both = [servable("busy", Busy), servable("idle", FakeExecutor)]
    entries = [Entry(one.ref, State.READY, None, one) for one in both]
    service = InferenceService(CatalogHolder(Catalog.of(entries, None)), BodyLimits(), 2.0)

    def asked(name: str, within_s: float) -> Ask:
        return Ask(name, None, b'{"features": [1, 2]}', JsonCodec(), False, time.monotonic() + within_s)

    async def scenario() -> None:
        with pytest.raises(QueueFull) as refused:
            await service.predict(asked("busy", 30.0))
        assert refused.value.retry_after_s == 60
        assert (await service.predict(asked("idle", 30.0))).outputs.count == 1
        with pytest.raises(DeadlineExceeded):
            await service.predict(asked("idle", -1.0))

    asyncio.run(scenario())
    assert [one.leases for one in both] == [0, 0]
