"""What never becomes a request, on raw sockets: a problem and a closed connection, in bounded time (contract §4)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.execution.threaded import ThreadedExecutor
from tests.e2e.client import check, check_problem
from tests.e2e.process import Serving
from tests.e2e.test_hostile import SUITE, TORTURE, Say
from tests.report import Report
from tests.serving import Running, Sum, running
from tests.wire import Answer, Wire, get, post

PREDICT = "/api/v1/models/iris/versions/v1/predict"
BODY = b'{"features": [5.1, 3.5, 1.4, 0.2]}'
HEAD = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\n".encode()
REFUSED = {
    "no HTTP": (b"\x16\x03\x01 hello\r\n\r\n", 400, "malformed_http"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed_http"),
    "a method nobody knows": (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "malformed_http"),
    "two lengths": (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, "malformed_http"),
    "a length and chunks": (
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "malformed_http",
    ),
    "a negative length": (HEAD + b"Content-Length: -3\r\n\r\n", 400, "malformed_http"),
    "a length that is none": (HEAD + b"Content-Length: 0x10\r\n\r\n", 400, "malformed_http"),
    "a length beyond all": (HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n", 400, "malformed_http"),
    "a chunk size that is none": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", 400, "malformed_http"),
    "a NUL in a header": (HEAD + b"X-A: a\x00b\r\nContent-Length: 0\r\n\r\n", 400, "malformed_http"),
    "a folded header": (HEAD + b"X-A: a\r\n  b\r\nContent-Length: 0\r\n\r\n", 400, "malformed_http"),
    "a header without a colon": (HEAD + b"nonsense\r\n\r\n", 400, "malformed_http"),
    "a long target": (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "target_too_long"),
    "a very long target": (b"GET /" + b"a" * 500_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", None, None),
    "a long query": (b"GET /health?" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "target_too_long"),
    "many headers": (
        HEAD + b"".join(b"X-%d: a\r\n" % i for i in range(500)) + b"\r\n", 431, "headers_too_large",
    ),
    "a large header": (HEAD + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n", 431, "headers_too_large"),
    "a header without an end": (HEAD + b"X-A: " + b"a" * 1_000_000, 431, "headers_too_large"),
}  # fmt: skip


def answered(wire: Wire) -> Answer:
    answer = wire.answer()
    check(answer)
    return answer


def send(wire: Wire, data: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # the server may have read enough
        wire.send(data)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_request_is_refused_as_a_problem_and_the_connection_closed(server: Serving, name: str) -> None:
    data, status, code = REFUSED[name]
    with Wire(server.port) as wire:
        send(wire, data)
        answer = answered(wire)
        assert answer.status == status if status else answer.status in (414, 431)
        assert check_problem(answer)["code"] == code or code is None
        assert answer.headers["connection"] == "close"
    with Wire(server.port) as wire:
        wire.send(post(PREDICT, BODY))
        assert answered(wire).status == 200, "others are not disturbed"


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_a_request_in_pieces_is_a_request(server: Serving, pieces: int) -> None:
    data = post(PREDICT, BODY, "X-Padding: " + "p" * 2000)
    with Wire(server.port) as wire:
        for at in range(0, len(data), max(1, len(data) // pieces)):
            wire.send(data[at : at + max(1, len(data) // pieces)])
        assert answered(wire).status == 200


def test_ninety_headers_and_eight_kilobytes_of_target_are_fine(server: Serving) -> None:
    with Wire(server.port) as wire:
        wire.send(post(PREDICT, BODY, *(f"X-{i}: {'v' * 300}" for i in range(90))))
        assert answered(wire).status == 200
        wire.send(get("/health?" + "a" * 8000))
        assert answered(wire).status == 200


def test_http_1_0_gets_its_answer_and_the_connection_ends(server: Serving) -> None:
    with Wire(server.port) as wire:
        wire.send(b"POST %b HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (PREDICT.encode(), len(BODY), BODY))
        assert answered(wire).status == 200
        assert wire.closed()


@pytest.fixture
def impatient() -> Iterator[Running]:
    """A server that waits 0.4 seconds for a head."""
    with running(wire={"head_s": 0.4}) as server:
        yield server


def test_a_head_that_does_not_come_in_time(impatient: Running) -> None:
    with Wire(impatient.port) as wire:
        began = time.monotonic()
        wire.send(b"GET /health HTTP/1.1\r\nHo")
        assert answered(wire).status == 408
        assert wire.closed()
        assert 0.3 < time.monotonic() - began < 10


def test_a_head_that_drips_does_not_gain_time(impatient: Running) -> None:
    with Wire(impatient.port, wait_s=0.1) as wire:
        wire.send(b"GET /health HTTP/1.1\r\n")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            send(wire, b"X-A: a\r\n")
            try:
                assert wire.answer().status == 408
            except TimeoutError:
                continue
            return
        pytest.fail("it waits as long as something comes")


def test_a_connection_that_says_nothing_is_closed(impatient: Running) -> None:
    with Wire(impatient.port) as wire:
        assert wire.closed()


def test_a_second_head_that_is_late_waits_for_the_first_answer() -> None:
    model = Sum()
    with running(model, make_executor=ThreadedExecutor, wire={"head_s": 0.2}) as server, Wire(server.port) as wire:
        model.gate.clear()
        wire.send(post("/predict", b'{"features": [1, 2]}'), b"GET /health HT")
        server.eventually(model.entered.is_set)
        late = time.monotonic() + 0.6
        server.eventually(lambda: time.monotonic() > late)
        model.gate.set()
        assert answered(wire).json["prediction"] == 12.0
        assert answered(wire).status == 408


# -- any bytes at all --------------------------------------------------------------------------------------------------

LINES = [
    b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/9.9\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"Host: localhost\r\n",
    b"Content-Length: 34\r\n", b"Content-Length: 0\r\n", b"content-length:34\r\n", b"Content-Length: 34, 34\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: identity\r\n",
    b"22\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"5;x=y\r\n", b"Connection: close\r\n", b"Upgrade: h2c\r\n",
    b"Connection: upgrade\r\n", b"Expect: 100-continue\r\n", b"Expect: nonsense\r\n", b"Accept: ;;;,,,\r\n",
    b"Content-Type: application/json\r\n", b"Content-Type: \xff\r\n", b"X-Request-ID: \x7f\r\n", b"Trailer: x\r\n",
    b"Content-Encoding: gzip\r\n", b": v\r\n", b"A B: v\r\n", b"X:\r\n",
]  # fmt: skip
WORDS = [
    b"GET ", b"POST ", b"HEAD ", b"DELETE ", b"/", b"*", b"/predict", b"http://x/health", b"?a=%ff", b"#f", b"\x00",
    b"\xff\xfe",
]  # fmt: skip
ANY_BYTES = "Any bytes at all on a connection"
PARTS = st.sampled_from([*LINES, *WORDS, PREDICT.encode(), BODY])


def exchange(how: settings, lane_port: int, ordinary_port: int, say: Say) -> None:
    counts = {"sent": 0, "answered": 0}

    @how
    @given(parts=st.lists(PARTS, min_size=1, max_size=14), whole=st.booleans())
    def each(parts: list[bytes], whole: bool) -> None:
        data = b"".join(parts)
        if whole:  # a request that can be read, so that what stands behind it is met too
            data = HEAD + data + b"\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
        by_lane, ordinary = statuses_of(lane_port, data), statuses_of(ordinary_port, data)
        assert by_lane == ordinary
        assert all(status < 500 for status in by_lane)
        counts["sent"] += 1
        counts["answered"] += bool(by_lane)

    each()
    say(bar="bounded time, no 5xx, the same both ways", requests=counts["sent"], answered=counts["answered"])
    assert counts["answered"] > counts["sent"] / 3


def test_any_bytes_end_in_bounded_time_and_without_a_5xx(
    lane_server: Serving, ordinary_server: Serving, report: Report
) -> None:
    exchange(settings(SUITE, max_examples=400), lane_server.port, ordinary_server.port, partial(report, ANY_BYTES))


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_any_bytes_at_length(lane_server: Serving, ordinary_server: Serving, report: Report) -> None:
    exchange(settings(TORTURE, max_examples=20_000), lane_server.port, ordinary_server.port, partial(report, ANY_BYTES))


def statuses_of(port: int, data: bytes) -> list[int]:
    """The statuses of every answer to these bytes; 0 at the end where the server rightly waits for more of a body."""
    statuses = []
    with Wire(port, wait_s=3) as wire:
        send(wire, data + b"\r\n\r\nEND\r\n\r\n")  # whatever came before, this is no request: the connection ends
        while True:
            try:
                statuses.append(wire.answer(to_head=False).status)
            except EOFError:
                return statuses
            except TimeoutError:
                return [*statuses, 0]
