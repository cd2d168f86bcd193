"""Slow callers, in short: with limits of tenths of a second. ``tests/e2e/test_crowds.py`` has them at full size."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from foretell.execution.threaded import ThreadedExecutor
from foretell.wire.turns import Turns
from tests.evil.client import Crowd, connect, read, reset, talk
from tests.serving import Running, Sum, running
from tests.wire import Wire, get, post

ROW = b'{"features": [1, 2]}'
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
SHORT = {"head_s": 0.5, "body_s": 1.5, "body_grace_s": 0.4, "write_stall_s": 0.5}
CROWD = 100


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "ordinary"])
def impatient(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(lane=request.param, wire=SHORT) as serving:
        yield serving


@pytest.mark.parametrize(
    ("first", "drip"),
    [(b"", b""), (b"POST /pre", b""), (HEAD, b"X"), (HEAD + b"X-A: ", b"a"), (b"\r\n", b"\r\n")],
    ids=["silent", "half a line", "one byte at a time", "a header without an end", "empty lines"],
)
def test_a_head_that_does_not_come_ends_the_connection_and_disturbs_nobody(
    impatient: Running, first: bytes, drip: bytes
) -> None:
    with Crowd.of(CROWD, impatient.port, first) as crowd, Wire(impatient.port) as other:
        for _ in range(20):
            other.send(post("/predict", ROW))
            assert other.answer().status == 200
        crowd.watch(10, drip=drip, every_s=0.2)
        assert not crowd.open
        statuses = {read(came, True).statuses for came in crowd.came.values()}
        assert statuses <= {(), (408,)}
        assert (408,) in statuses or not first.strip()


@pytest.mark.parametrize("head", [b"Content-Length: 4000\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_body_that_drips_is_answered_408(impatient: Running, head: bytes) -> None:
    drip = b" " if b"Length" in head else b"1\r\n \r\n"
    with Crowd.of(CROWD // 2, impatient.port, HEAD + head) as crowd:
        crowd.watch(10, drip=drip, every_s=0.1)
        assert not crowd.open
        assert {read(came, True).statuses for came in crowd.came.values()} == {(408,)}


def test_a_body_that_comes_slowly_but_steadily_enough_is_read(impatient: Running) -> None:
    body = ROW + b" " * 4000
    with Wire(impatient.port) as wire:
        wire.send(post("/predict", body)[:-4000])
        for _ in range(8):
            wire.send(b" " * 500)
            time.sleep(0.1)
        assert wire.answer().status == 200


def test_a_caller_that_does_not_read_is_cut_off_and_one_that_reads_is_not() -> None:
    rows = b'{"features":[1,2]}\n' * 60_000
    head = (
        b"POST /api/v1/models/sum/predict/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
    )
    with running(wire=SHORT) as server:
        stuck = connect(server.port, receive_bytes=4096)
        stuck.setblocking(False)
        stuck.send(head + b"Content-Length: %d\r\n\r\n" % (len(rows) * 10))
        server.eventually(lambda: _fill(stuck, rows))
        server.eventually(lambda: not server.server.server_state.connections)
        stuck.close()
        with Wire(server.port) as wire:
            wire.send(head + b"Content-Length: %d\r\n\r\n" % len(rows[:19000]), rows[:19000])
            assert wire.answer().body.count(b"prediction") == 1000


def _fill(made: socket.socket, data: bytes) -> bool:
    """Sends until the other side takes no more; whether it does not."""
    try:
        made.send(data)
    except BlockingIOError:
        return True
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def test_an_answer_that_nobody_fetches_does_not_keep_its_connection() -> None:
    """Too small to be waited for while it is written: the connection is closing, and cannot."""
    with running(wire=SHORT, keep_alive_s=1) as server:
        made = connect(server.port, receive_bytes=2048)
        made.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        server.eventually(lambda: not server.server.server_state.connections)
        made.close()


def test_who_closes_its_side_gets_its_answers_and_who_leaves_frees_what_it_held() -> None:
    model = Sum()
    with running(model, make_executor=ThreadedExecutor) as server, ExitStack() as stack:
        model.gate.clear()
        wires = [stack.enter_context(Wire(server.port)) for _ in range(20)]
        for wire in wires:
            wire.send(post("/predict", ROW))
            wire.socket.shutdown(socket.SHUT_WR)
        server.eventually(lambda: server.services.servable.leases == 20)
        for wire in wires[:5]:
            wire.socket.close()
        reset(wires[5].socket)
        server.eventually(lambda: server.services.servable.leases == 14)
        model.gate.set()
        for wire in wires[6:]:
            assert wire.answer().status == 102
            assert wire.answer().json["prediction"] == 12.0
            assert wire.closed()


def test_whose_first_words_are_put_off_for_others_is_answered_all_the_same(
    impatient: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Turns, "spare", lambda _: False)
    asked = post("/predict", ROW)
    with Crowd(connect(impatient.port) for _ in range(60)) as crowd:
        for index, made in enumerate(crowd.sockets):
            if index % 3 == 0:
                made.send(asked[:30])
                made.send(asked[30:])
            else:
                made.send(asked)
            if index % 3 == 1:
                made.shutdown(socket.SHUT_WR)
        for _ in range(20):
            leaver = connect(impatient.port)
            leaver.send(asked)
            reset(leaver)
        impatient.eventually(lambda: _answered(crowd) == 60)
    impatient.eventually(lambda: not impatient.server.server_state.connections)


def _answered(crowd: Crowd) -> int:
    crowd.watch(0.05)
    return sum(read(came, True).statuses == (200,) for came in crowd.came.values())


def test_an_unread_body_is_not_read_but_the_answer_arrives(impatient: Running) -> None:
    made = connect(impatient.port)
    made.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
    sent = 0
    try:
        while sent < 100_000_000:
            sent += made.send(b"x" * 65536)
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        pass
    assert sent < 20_000_000, "what the system buffers, and no more"
    made.close()
    got = talk(
        impatient.port, b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n", b"x" * 1000
    )
    assert (got.statuses, got.ended) == ((404,), True)
    assert b"connection: close" in got.heads[0].lower()


def test_who_was_not_told_to_go_on_with_its_body_cannot_pass_off_a_request_as_one(impatient: Running) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 70\r\n\r\n"
    with Wire(impatient.port) as wire:
        wire.send(head)
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        wire.send(b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: smuggled\r\n\r\n")
        assert wire.closed()
    assert "smuggled" not in impatient.observer.ids


def test_too_many_chunks_and_what_stands_beside_them(impatient: Running) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    assert talk(impatient.port, chunked, b"1\r\n \r\n" * 17_000, b"0\r\n\r\n").statuses == (413,)
    assert talk(impatient.port, chunked, b"1;" + b"x" * 200_000).statuses == (431,)
    assert talk(impatient.port, chunked, b"1\r\n \r\n0\r\nX: " + b"x" * 200_000).statuses == (431,)


def test_a_table_that_is_full_makes_room_or_says_so_and_health_is_answered() -> None:
    with running(wire={"max_connections": 8, "max_connections_per_address": 0}) as server, ExitStack() as stack:
        busy = [stack.enter_context(Wire(server.port)) for _ in range(8)]
        for wire in busy:
            wire.send(post("/predict", ROW))
            assert wire.answer().status == 200
        with Wire(server.port) as late:
            late.send(post("/predict", ROW))
            answer = late.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert late.closed()
        with Wire(server.port) as probe:
            probe.send(get("/health/live"))
            answer = probe.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        busy[0].socket.close()
        server.eventually(lambda: server.services.wire.admitted == 7)
        with Wire(server.port) as next_one:
            next_one.send(post("/predict", ROW))
            assert next_one.answer().status == 200


def test_those_that_ask_for_nothing_make_room_for_those_that_do() -> None:
    with running(wire={"max_connections": 8, "head_s": 60}) as server, Crowd.of(8, server.port) as crowd:
        server.eventually(lambda: server.services.wire.admitted == 8)
        crowd.watch(1.2)
        for _ in range(8):
            with Wire(server.port) as wire:
                wire.send(post("/predict", ROW))
                assert wire.answer().status == 200


def test_one_address_has_its_share_and_others_theirs() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(running(wire={"max_connections_per_address": 5}))
        stack.enter_context(Crowd.of(5, server.port, sources=("127.0.0.9",)))
        server.eventually(lambda: server.services.wire.admitted == 5)
        got = talk(server.port, post("/predict", ROW), source="127.0.0.9")
        assert (got.statuses, got.ended) == ((503,), True)
        other = stack.enter_context(Wire(server.port))
        other.send(post("/predict", ROW))
        assert other.answer().status == 200


def test_a_flood_of_connections_is_shed_and_leaves_nothing_behind() -> None:
    with running(wire={"max_connections": 50, "max_connections_per_address": 0}) as server:
        with Crowd.of(400, server.port) as crowd:
            with Wire(server.port) as probe:
                probe.send(get("/health/live"))
                assert probe.answer().status == 200
            crowd.watch(0.5)
            assert len(crowd.open) <= 50 + 64
        server.eventually(lambda: server.services.wire.admitted == 0)
        server.eventually(lambda: not server.server.server_state.connections)
