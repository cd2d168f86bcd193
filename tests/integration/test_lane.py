"""The lane on raw sockets: as right as uvicorn itself, and taken by what is plain.

``way`` runs a case with the lane and without it: the same bytes must come to the same end.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest

from foretell.core.values import Inputs, Matrix, Outputs
from foretell.execution.threaded import ThreadedExecutor
from foretell.wire.tested import lane_supported
from tests.report import Report
from tests.serving import WAYS, Running, Sum, by_way, running, until
from tests.wire import Answer, Wire, get, post

PREDICT = "/api/v1/predict"
Serve = Callable[..., AbstractContextManager[Running]]


def body(x: float, y: float = 0.0) -> bytes:
    return json.dumps({"features": [x, y]}).encode()


def ask(x: float, y: float = 0.0, *headers: str) -> bytes:
    return post(PREDICT, body(x, y), *headers)


def ask_(method: bytes) -> bytes:
    return ask(1).replace(b"POST", method, 1)


def lane_count(server: Running) -> int:
    return server.services.servable.served.lane


@pytest.fixture(params=WAYS)
def serve(request: pytest.FixtureRequest) -> Serve:
    def start(model: Any | None = None, **options: Any) -> AbstractContextManager[Running]:
        return by_way(request.param, model, **options)

    return start


@pytest.fixture(scope="module", params=WAYS)
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with by_way(request.param) as started:
        yield started


@pytest.fixture
def wire(server: Running) -> Iterator[Wire]:
    with Wire(server.port) as connection:
        yield connection


def stable(answer: Answer) -> dict[str, Any]:
    fields: dict[str, Any] = answer.json
    return {
        k: v for k, v in fields.items() if k not in ("prediction_id", "timestamp", "inference_time_ms", "request_id")
    }


# -- the plain case --------------------------------------------------------------------------------------------------


def test_the_lane_gives_the_answer_of_the_ordinary_way() -> None:
    answers = []
    for lane in (True, False):
        with running(lane=lane) as server, Wire(server.port) as wire:
            wire.send(ask(4, 2, "X-Request-ID: mine-1"))
            answer = wire.answer()
            answers.append(answer)
            server.eventually(lambda: server.services.servable.served.rows == 1)
            assert lane_count(server) == int(lane)
            assert server.services.servable.served.ordinary == int(not lane)
    by_lane, ordinary = answers
    assert stable(by_lane) == stable(ordinary)
    assert list(by_lane.json) == list(ordinary.json), "the same keys in the same order"
    assert {k: type(v) for k, v in by_lane.json.items()} == {k: type(v) for k, v in ordinary.json.items()}
    assert by_lane.headers.keys() == ordinary.headers.keys()
    assert by_lane.headers["x-request-id"] == ordinary.headers["x-request-id"] == "mine-1"
    assert by_lane.headers["content-type"] == ordinary.headers["content-type"]


@pytest.mark.parametrize(
    "path",
    [
        "/predict",
        PREDICT,
        "/api/v1/models/sum/predict",
        "/api/v1/models/sum/versions/v1/predict",
        "/api/v1/models/sum/versions/latest/predict",
    ],
)
def test_every_path_of_a_single_prediction_answers(server: Running, wire: Wire, path: str) -> None:
    before = lane_count(server)
    wire.send(post(path, body(1, 2)))
    assert wire.answer().json["prediction"] == 12.0
    if server.services.lane is not None:
        server.eventually(lambda: lane_count(server) == before + 1)


def test_a_body_in_small_pieces_answers(wire: Wire) -> None:
    request = ask(7, 1)
    for i in range(0, len(request), 7):
        wire.send(request[i : i + 7])
    assert wire.answer().json["prediction"] == 71.0


def test_one_log_line_for_each_request(server: Running, wire: Wire) -> None:
    ids = [f"line-{i}" for i in range(20)]
    for i, request_id in enumerate(ids):
        wire.send(
            ask(i, 0, f"X-Request-ID: {request_id}") if i % 3 else post(PREDICT, b"{", f"X-Request-ID: {request_id}")
        )
        assert wire.answer().headers["x-request-id"] == request_id
    server.eventually(lambda: set(ids) <= set(server.observer.ids))
    assert sorted(i for i in server.observer.ids if i in ids) == sorted(ids)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(post(PREDICT, b'{"features":[1]}'), 400, id="wrong count"),
        pytest.param(post(PREDICT, b'{"features":[1,"2"]}'), 422, id="text for a number"),
        pytest.param(post(PREDICT, b'{"features":[1,2'), 400, id="malformed"),
        pytest.param(post(PREDICT, b""), 400, id="empty"),
        pytest.param(post(PREDICT + "?top_k=0", body(1)), 422, id="query"),
        pytest.param(post(PREDICT + "?", body(1)), 200, id="empty query"),
        pytest.param(post("/api/v1/models/nope/predict", body(1)), 404, id="unknown model"),
        pytest.param(post(PREDICT, body(1), "Accept: image/png"), 406, id="not acceptable"),
        pytest.param(post(PREDICT, body(1), "Content-Encoding: gzip"), 415, id="compressed"),
        pytest.param(post(PREDICT, b'{"features":[1,2],"model_version":"v1"}'), 200, id="version in the body"),
        pytest.param(post(PREDICT, b'{"features":[1,2],"features":[1,2]}'), 400, id="twice the same key"),
        pytest.param(post("/api/v1/predict%2F", body(1)), 404, id="escaped path"),
        pytest.param(post("/api/v1/%70redict", body(1, 2)), 200, id="escaped letter"),
        pytest.param(get(PREDICT), 405, id="method"),
        pytest.param(ask_(b"PUT"), 405, id="method with a body"),
    ],
)
def test_whatever_is_not_plain_is_explained_and_the_connection_lives(
    wire: Wire, request_bytes: bytes, status: int
) -> None:
    wire.send(request_bytes)
    assert wire.answer().status == status
    wire.send(ask(1, 1))
    assert wire.answer().json["prediction"] == 11.0


# -- order -----------------------------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    wire.send(*[ask(i) for i in range(30)])
    assert [wire.answer().json["prediction"] for _ in range(30)] == [10.0 * i for i in range(30)]


def test_pipelined_mixes_of_both_ways_are_answered_in_order(wire: Wire) -> None:
    mix = [
        (ask(1), 200, 10.0),
        (get("/health"), 200, None),
        (ask(2), 200, 20.0),
        (post(PREDICT, b"nonsense"), 400, None),
        (ask(3), 200, 30.0),
        (get("/nowhere"), 404, None),
        (post(PREDICT + "/batch", b'{"features":[[1,2],[3,4]]}'), 200, None),
        (ask(4), 200, 40.0),
    ]
    for _ in range(5):
        wire.send(*[request for request, _, _ in mix])
        for _, status, prediction in mix:
            answer = wire.answer()
            assert answer.status == status
            if prediction is not None:
                assert answer.json["prediction"] == prediction


def test_a_request_behind_one_that_is_in_flight_waits_its_turn(serve: Serve) -> None:
    model = Sum()
    with serve(model, make_executor=ThreadedExecutor) as server, Wire(server.port) as wire:
        model.gate.clear()
        wire.send(ask(1))
        assert model.entered.wait(20)
        wire.send(get("/health/live"), ask(2), get("/nowhere"))
        with Wire(server.port) as other:
            other.send(get("/health/live"))
            assert other.answer().status == 200, "the loop is free, only this connection waits"
        model.gate.set()
        assert [wire.answer().status for _ in range(4)] == [200, 200, 200, 404]


def test_the_server_reads_on_after_a_pause_behind_a_request_in_flight(serve: Serve) -> None:
    model = Sum()
    with serve(model, make_executor=ThreadedExecutor) as server, Wire(server.port) as wire:
        model.gate.clear()
        wire.send(ask(1))
        assert model.entered.wait(20)
        wire.send(get("/nowhere"))  # nobody reads its body, which would have made uvicorn read on
        with Wire(server.port) as other:
            other.send(get("/health/live"))
            assert other.answer().status == 200
        model.gate.set()
        assert [wire.answer().status for _ in range(2)] == [200, 404]
        wire.send(ask(2))
        assert wire.answer().json["prediction"] == 20.0


# -- the end of connections --------------------------------------------------------------------------------------------


def test_connection_close_is_honoured(wire: Wire) -> None:
    wire.send(ask(5, 0, "Connection: close"))
    answer = wire.answer()
    assert answer.json["prediction"] == 50.0
    assert answer.headers["connection"] == "close"
    assert wire.closed()


def test_http_1_0_is_answered_and_closed(wire: Wire) -> None:
    wire.send(ask(5).replace(b"HTTP/1.1", b"HTTP/1.0"))
    answer = wire.answer()
    assert answer.json["prediction"] == 50.0
    assert answer.headers["connection"] == "close"
    assert wire.closed()


def test_a_caller_that_closes_its_side_after_asking_gets_its_answer(serve: Serve) -> None:
    model = Sum()
    with serve(model, make_executor=ThreadedExecutor) as server, Wire(server.port) as wire:
        model.gate.clear()
        wire.send(ask(6))
        assert model.entered.wait(20)
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.answer().status == 102, "to see whether it is still there"
        model.gate.set()
        assert wire.answer().json["prediction"] == 60.0
        assert wire.closed()
        server.eventually(lambda: server.services.servable.leases == 0)


def test_an_idle_connection_is_closed_and_a_used_one_is_not(serve: Serve) -> None:
    with serve(keep_alive_s=1) as server, Wire(server.port) as idle, Wire(server.port) as used:
        idle.send(ask(1))
        assert idle.answer().status == 200
        idle.socket.settimeout(0.2)
        closed = False
        for _ in range(60):  # the used one is asked five times a second while the other idles away
            used.send(ask(2))
            assert used.answer().status == 200
            try:
                closed = idle.socket.recv(1) == b""
                break
            except TimeoutError:
                continue
        assert closed
        used.send(ask(3))
        assert used.answer().json["prediction"] == 30.0


def test_a_request_that_begins_before_the_idle_time_is_over_is_not_cut(serve: Serve) -> None:
    model = Sum()
    with serve(model, keep_alive_s=1, make_executor=ThreadedExecutor) as server, Wire(server.port) as wire:
        wire.send(ask(1))
        assert wire.answer().status == 200
        model.gate.clear()
        wire.send(ask(2))
        with Wire(server.port) as idle:  # its end shows that the idle time has passed
            idle.send(get("/health/live"))
            assert idle.answer().status == 200
            assert idle.closed()
        model.gate.set()
        assert wire.answer().json["prediction"] == 20.0


def test_a_reader_that_is_slow_gets_everything_and_holds_the_server_back(serve: Serve) -> None:
    with serve() as server, Wire(server.port) as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.eventually(lambda: len(server.server.server_state.connections) == 1)
        for connection in list(server.server.server_state.connections):
            accepted = connection.transport.get_extra_info("socket")
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        served = server.services.servable.served
        asked, waited_s = 0, 0.0
        while waited_s < 1.0 and asked < 5000:
            wire.send(ask(asked))  # one at a time, so that the lane could take each
            asked, waited_s = asked + 1, 0.0
            while served.lane + served.ordinary < asked and waited_s < 1.0:
                time.sleep(0.001)
                waited_s += 0.001
        assert asked < 5000, "the server stops answering when nobody takes the answers"
        assert [wire.answer().json["prediction"] for _ in range(asked)] == [10.0 * i for i in range(asked)]
        with Wire(server.port) as other:
            other.send(ask(2))
            assert other.answer().status == 200


def test_a_caller_that_leaves_frees_everything_and_is_logged_once(serve: Serve) -> None:
    model = Sum()
    with serve(model, make_executor=ThreadedExecutor) as server:
        model.gate.clear()
        leaving, staying = Wire(server.port), Wire(server.port)
        staying.send(ask(1))
        assert model.entered.wait(20)
        leaving.send(ask(2, 0, "X-Request-ID: left"))
        server.eventually(lambda: server.services.servable.leases == 2)
        leaving.socket.close()
        server.eventually(lambda: server.observer.ids.count("left") == 1)
        model.gate.set()
        assert staying.answer().json["prediction"] == 10.0
        server.eventually(lambda: server.services.servable.leases == 0)
        assert server.observer.ids.count("left") == 1
        assert sum(model.batches) == 1, "what nobody waits for never runs"
        staying.socket.close()


def test_stopping_ends_accepted_work_and_closes_idle_connections(serve: Serve) -> None:
    model = Sum()
    with serve(model, make_executor=ThreadedExecutor, keep_alive_s=60) as server:
        idle = Wire(server.port)
        idle.send(ask(99))
        assert idle.answer().status == 200
        model.gate.clear()
        model.entered.clear()
        busy = [Wire(server.port) for _ in range(20)]
        for i, wire in enumerate(busy):
            wire.send(ask(i))
        assert model.entered.wait(20)
        server.eventually(lambda: server.services.servable.leases == 20)
        server.stop()
        assert idle.closed()
        model.gate.set()
        for i, wire in enumerate(busy):
            answer = wire.answer()
            assert answer.json["prediction"] == 10.0 * i
            assert answer.headers["connection"] == "close"
            assert wire.closed()
            wire.socket.close()
        idle.socket.close()
        server.thread.join(20)
        assert not server.thread.is_alive()


def test_a_body_that_is_still_coming_when_the_server_stops_is_answered(serve: Serve) -> None:
    with serve() as server, Wire(server.port) as wire:
        request = ask(3)
        wire.send(request[:-4])
        until(lambda: any(getattr(c, "cycle", None) for c in server.server.server_state.connections))
        server.stop()
        with pytest.raises(OSError), Wire(server.port, 1):  # the listener is gone: the stop has begun
            while True:
                with Wire(server.port, 1):
                    pass
        wire.send(request[-4:])
        assert wire.answer().json["prediction"] == 30.0
        assert wire.closed()


# -- faults inside the model -------------------------------------------------------------------------------------------


def test_a_poisoned_row_fails_alone_and_is_explained(serve: Serve) -> None:
    model = Sum(poison=13)
    with serve(model, make_executor=ThreadedExecutor) as server:
        model.gate.clear()
        wires = [Wire(server.port) for _ in range(32)]
        for i, wire in enumerate(wires):
            wire.send(ask(i, 0, f"X-Request-ID: p-{i}"))
        server.eventually(lambda: server.services.servable.leases == 32)
        model.gate.set()
        for i, wire in enumerate(wires):
            answer = wire.answer()
            assert answer.status == (500 if i == 13 else 200)
            assert answer.headers["x-request-id"] == f"p-{i}"
            if i != 13:
                assert answer.json["prediction"] == 10.0 * i
            wire.socket.close()
        server.eventually(lambda: len([i for i in server.observer.ids if i.startswith("p-")]) == 32)
        server.eventually(lambda: server.services.servable.leases == 0)


def test_the_deadline_of_the_settings_holds(serve: Serve) -> None:
    model = Sum()
    with (
        serve(model, make_executor=ThreadedExecutor, limits={"timeout_s": 0.3}) as server,
        Wire(server.port) as wire,
    ):
        model.gate.clear()
        wire.send(ask(1, 0, "X-Request-ID: late"))
        answer = wire.answer()
        assert answer.status == 504
        assert answer.headers["x-request-id"] == "late"
        model.gate.set()
        wire.send(ask(2))
        assert wire.answer().json["prediction"] == 20.0
        server.eventually(lambda: server.observer.ids.count("late") == 1)
        server.eventually(lambda: server.services.servable.leases == 0)


def test_a_full_queue_is_said_with_a_time_to_come_back(serve: Serve) -> None:
    model = Sum()
    with serve(model, make_executor=ThreadedExecutor, limits={"max_waiting_rows": 2}) as server:
        model.gate.clear()
        wires = [Wire(server.port) for _ in range(5)]
        for i, wire in enumerate(wires):
            wire.send(ask(i))
        refused: list[Answer] = []
        server.eventually(lambda: sum(o.status == 503 for o in server.observer.outcomes) == 3)
        model.gate.set()
        answers = [wire.answer() for wire in wires]
        refused = [answer for answer in answers if answer.status == 503]
        assert len(refused) == 3
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        for wire in wires:
            wire.socket.close()


def test_a_number_beyond_what_the_model_computes_in_is_the_callers_fault_and_named(wire: Wire) -> None:
    wire.send(ask(1e308, 2))
    answer = wire.answer()
    assert answer.status == 422
    assert answer.json["code"] == "out_of_range"
    assert answer.json["errors"][0]["pointer"] == "/features/0"
    wire.send(ask(1e30, 2))
    assert wire.answer().json["prediction"] == 1e31


def test_what_a_model_cannot_say_in_json_is_never_a_silent_null(serve: Serve) -> None:
    class NoNumber(Sum):
        def predict(self, inputs: Inputs) -> Outputs:
            assert isinstance(inputs, Matrix)
            return Outputs(self.signature.output, values=np.where(inputs.values[:, 0] > 5, np.nan, 1.0))

    with serve(NoNumber()) as server, Wire(server.port) as wire:
        wire.send(ask(9, 0, "X-Request-ID: no-number"), ask(1))
        refused = wire.answer()
        assert refused.status == 500
        assert refused.json["code"] == "model_gave_no_number"
        assert wire.answer().json["prediction"] == 1.0
        server.eventually(lambda: len(server.observer.ids) == 2)
        assert server.observer.ids.count("no-number") == 1


# -- many at once ---


def test_ten_thousand_unique_answers_among_invalid_and_cancelled_requests(serve: Serve, report: Report) -> None:
    """64 connections; one in ten requests is invalid, one in twenty is left before its answer."""

    async def connection(port: int, numbers: list[int], chance: random.Random) -> int:
        right = 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            luck = chance.random()
            if luck < 0.05:
                writer.write(ask(number, 5))
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            elif luck < 0.15:
                writer.write(post(PREDICT, b'{"features":[1,"%d"]}' % number))
                assert (await one(reader))[0] == 422
            writer.write(ask(number, 0.25))
            status, answer = await one(reader)
            assert status == 200 and answer["prediction"] == number * 10 + 0.25
            right += 1
        writer.close()
        return right

    async def one(reader: asyncio.StreamReader) -> tuple[int, Any]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        return int(head.split(" ")[1]), json.loads(await reader.readexactly(length))

    async def crowd(port: int) -> int:
        jobs = [connection(port, list(range(i, 10_000, 64)), random.Random(i)) for i in range(64)]
        return sum(await asyncio.wait_for(asyncio.gather(*jobs), 100))

    with serve() as server:
        assert asyncio.run(crowd(server.port)) == 10_000
        server.eventually(lambda: server.services.servable.leases == 0)
        assert max(server.services.servable.model.batches) > 8, "they shared calls"  # type: ignore[attr-defined]
        way = "ordinary way" if server.services.lane is None else "lane"
    report(
        f"Unique answers at 64 connections, invalid and cancelled requests among them, {way}",
        bar="0 mixed up",
        requests=10_000,
        mixed_up=0,
    )


def test_the_lane_stays_off_on_an_untested_uvicorn() -> None:
    assert lane_supported("0.54.0") and lane_supported("0.54.3")
    assert not any(lane_supported(version) for version in ("0.55.0", "0.5.4", "0.540.0", "1.0.0"))
